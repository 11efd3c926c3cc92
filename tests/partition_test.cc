// SPDX-License-Identifier: MIT
// core/partition.h: split and partition cover everything exactly once, evenly, at multiples of the
// step; also plan/geometry.h's Panels.
#include <limits>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

TEST_CASE("split: a table", "[partition]") {
  struct Row {
    size_t size, step, index, count, begin, end;
  };
  for (const Row& r : std::vector<Row>{{10, 1, 0, 1, 0, 10},
                                       {10, 1, 0, 3, 0, 4},
                                       {10, 1, 1, 3, 4, 7},
                                       {10, 1, 2, 3, 7, 10},
                                       {10, 4, 0, 2, 0, 8},
                                       {10, 4, 1, 2, 8, 10},
                                       {10, 4, 2, 5, 8, 10},
                                       {10, 4, 3, 5, 10, 10},
                                       {10, 16, 0, 4, 0, 10},
                                       {10, 16, 1, 4, 10, 10},
                                       {0, 4, 0, 3, 0, 0},
                                       {64, 32, 1, 2, 32, 64}}) {
    const Range got = split(r.size, r.step, r.index, r.count);
    INFO("size " << r.size << " step " << r.step << " part " << r.index << " of " << r.count);
    CHECK(got.begin == r.begin);
    CHECK(got.end == r.end);
  }
}

TEST_CASE("split: all parts together are the whole", "[partition]") {
  for (size_t size = 0; size <= 70; ++size) {
    for (const size_t step : {1, 3, 16, 32}) {
      for (size_t count = 1; count <= 12; ++count) {
        size_t at = 0, least = size, most = 0;
        for (size_t i = 0; i < count; ++i) {
          const Range r = split(size, step, i, count);
          REQUIRE(r.begin == at);
          REQUIRE(r.end >= r.begin);
          REQUIRE((r.begin % step == 0 || r.begin == size));
          const size_t steps = (r.end - r.begin + step - 1) / step;
          least = std::min(least, steps);
          most = std::max(most, steps);
          at = r.end;
        }
        REQUIRE(at == size);
        REQUIRE(most - least <= 1);
      }
    }
  }
}

TEST_CASE("split: sizes near the end of size_t", "[partition]") {
  const size_t most = std::numeric_limits<size_t>::max();
  size_t at = 0;
  for (size_t i = 0; i < 7; ++i) {
    const Range r = split(most, 32, i, 7);
    CHECK(r.begin == at);
    CHECK(r.end > r.begin);
    at = r.end;
  }
  CHECK(at == most);
  CHECK(split(5, 1, most - 1, most).begin == 5);
}

TEST_CASE("partition: every element of y in exactly one part", "[partition]") {
  for (const size_t m : {1, 2, 5, 12, 13, 24, 40}) {
    for (const size_t n : {1, 15, 16, 17, 64, 100}) {
      for (const size_t mr : {1, 6, 12}) {
        for (const size_t nr : {1, 16, 32}) {
          for (size_t count = 1; count <= 17; ++count) {
            std::vector<int> hits(m * n);
            for (size_t i = 0; i < count; ++i) {
              const Rect r = partition(m, n, mr, nr, {i, count});
              if (r.empty()) continue;
              REQUIRE(r.row_end <= m);
              REQUIRE(r.col_end <= n);
              REQUIRE((r.row_begin % mr == 0 && r.col_begin % nr == 0));
              for (size_t row = r.row_begin; row < r.row_end; ++row) {
                for (size_t col = r.col_begin; col < r.col_end; ++col) ++hits[row * n + col];
              }
            }
            REQUIRE(hits == std::vector<int>(m * n, 1));
          }
        }
      }
    }
  }
}

TEST_CASE("partition: columns are cut before rows", "[partition]") {
  for (size_t i = 0; i < 4; ++i) {  // enough columns: each part has all rows
    const Rect r = partition(100, 128, 12, 32, {i, 4});
    CHECK(r.row_begin == 0);
    CHECK(r.row_end == 100);
    CHECK(r.col_end - r.col_begin == 32);
  }
  const Rect r = partition(100, 64, 12, 32, {3, 4});  // two column steps for four parts
  CHECK(r.col_begin == 32);
  CHECK(r.col_end == 64);
  CHECK(r.row_begin == 60);
  CHECK(r.row_end == 100);
  CHECK(partition(1, 32, 12, 32, {1, 2}).empty());  // more parts than tiles
  CHECK(partition(0, 0, 12, 32, {0, 1}).empty());
  CHECK(partition(0, 5, 12, 32, {0, 1}).empty());
  CHECK(partition(5, 0, 12, 32, {0, 1}).empty());
}

TEST_CASE("panels: as few and as even as can be", "[partition]") {
  for (size_t m = 1; m <= 60; ++m) {
    for (const size_t mr : {1, 3, 6, 12}) {
      const Panels panels(m, mr);
      REQUIRE(panels.count == (m + mr - 1) / mr);
      size_t at = 0, least = mr, most = 0;
      for (size_t p = 0; p < panels.count; ++p) {
        const Range rows = panels.rows(p);
        REQUIRE(rows.begin == at);
        for (size_t row = rows.begin; row < rows.end; ++row) REQUIRE(panels.panel_of(row) == p);
        least = std::min(least, rows.end - rows.begin);
        most = std::max(most, rows.end - rows.begin);
        at = rows.end;
      }
      REQUIRE(at == m);
      REQUIRE(most <= mr);
      REQUIRE(most - least <= 1);
    }
  }
}

}  // namespace
}  // namespace tessera::test

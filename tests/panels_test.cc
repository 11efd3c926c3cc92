// SPDX-License-Identifier: MIT
// Panels that engines keep: their layout_id(), packing by ranges of rows, the way back, and the
// advice on huge pages.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

/// W of random bits, which every format allows, and a plan of it.
struct Weights {
  Matrix w;
  Matmul plan;
  std::vector<std::byte> panels;

  Weights(DType type, size_t n, size_t k, const char* target, Accuracy accuracy, Rng& rng)
      : w(empty_matrix(type, n, k)) {
    for (std::byte& b : w.bytes) b = std::byte(rng.next());
    plan = *Matmul::plan(w.view(), DType::f32, {accuracy, target, {}});
    panels.resize(plan.packed_w_bytes());
    REQUIRE(plan.pack_weights(panels).ok());
  }
  MatView rows(size_t begin, size_t end) const {
    MatView view = w.view();
    view.data = w.bytes.data() + begin * w.row_bytes;
    view.rows = end - begin;
    return view;
  }
};

template <class Visitor>
void for_each_layout(const Visitor& visitor) {
  for_each_target([&](const char* target) {
    for (const Accuracy accuracy : kAccuracies) {
      INFO(target << " " << to_string(accuracy));
      visitor(target, accuracy);
    }
  });
}

TESSERA_FORMAT_TEST(ids, "layout_id: equal ones mean equal panels", "[panels]") {
  struct Seen {
    LayoutId id;
    std::vector<std::byte> panels;
  };
  std::vector<Seen> seen;
  for_each_layout([&](const char* target, Accuracy accuracy) {
    Rng rng(7);  // the same bits each time
    const size_t n = 2 * tile_of(w_dtype, target, accuracy).nr, k = whole_blocks(w_dtype, 64);
    const Weights weights(w_dtype, n, k, target, accuracy, rng);
    const LayoutId id = weights.plan.layout_id();
    CHECK(id.target == std::string(target));
    CHECK(id.version == kPanelLayoutVersion);
    CHECK(id.w == static_cast<uint32_t>(w_dtype));
    CHECK(id.panel_rows == weights.plan.tile_cols());
    CHECK(id == weights.plan.with_packed(weights.panels)->layout_id());
    CHECK(id ==
          Matmul::plan(MatShape{1, 0, w_dtype}, DType::f16, {accuracy, target, {}})->layout_id());
    for (const Seen& before : seen) {
      if (before.id == id) CHECK(before.panels == weights.panels);
    }
    seen.push_back({id, weights.panels});
  });
  CHECK(Matmul().layout_id() == LayoutId());
}

// Panels in files outlive a release, so what a kernel writes may change only with the version.
TESSERA_FORMAT_TEST(recorded, "layout_id: panels of this version as they were recorded",
                    "[panels]") {
  std::map<std::string, std::string> records;  // of a layout: the hash of its panels
  std::set<std::string> targets;
  std::ifstream file(TESSERA_GOLDEN_DIR "/panels.tsv");
  for (std::string line; std::getline(file, line);) {
    const size_t tab = line.rfind('\t');
    if (line.empty() || line[0] == '#' || tab == std::string::npos) continue;
    records[line.substr(0, tab)] = line.substr(tab + 1);
    targets.insert(line.substr(0, line.find('\t')));
  }
  REQUIRE(!records.empty());
  for_each_layout([&](const char* target, Accuracy accuracy) {
    Rng rng(7);
    const size_t n = 2 * tile_of(w_dtype, target, accuracy).nr, k = whole_blocks(w_dtype, 64);
    const Weights weights(w_dtype, n, k, target, accuracy, rng);
    const LayoutId id = weights.plan.layout_id();
    char layout[100], hash[20];
    std::snprintf(layout, sizeof(layout), "%s\t%s\t%u\t%u\t%u\t%u", id.target, dtype_name(w_dtype),
                  unsigned{id.version}, unsigned{id.panel_rows}, unsigned{id.unit_values},
                  static_cast<unsigned>(id.unit_bytes));
    std::snprintf(hash, sizeof(hash), "%016llx",
                  static_cast<unsigned long long>(hash_bytes(weights.panels)));
    if (records[layout] == hash) return;
    std::printf("%s\t%s\n", layout, hash);  // a line for that file
    INFO("other panels than tests/golden/panels.tsv has: kPanelLayoutVersion must rise");
    CHECK_FALSE(targets.contains(target));
  });
}

TESSERA_FORMAT_TEST(pack, "pack_rows: panels from pieces of W", "[panels]") {
  Rng rng = suite_rng();
  for_each_layout([&](const char* target, Accuracy accuracy) {
    const size_t nr = tile_of(w_dtype, target, accuracy).nr;
    const size_t n = 4 * nr + 3, k = whole_blocks(w_dtype, 35);
    const Weights weights(w_dtype, n, k, target, accuracy, rng);
    // From a copy that ends with the piece, by a plan that knows no weights.
    const Matmul shape = *Matmul::plan(MatShape{n, k, w_dtype}, DType::f32, {accuracy, target, {}});
    GuardedBuffer panels(weights.panels.size());
    const size_t cuts[] = {0, nr, 3 * nr, n};
    for (const size_t i : {2, 0, 1}) {
      const size_t begin = cuts[i], end = cuts[i + 1];
      Matrix piece = empty_matrix(w_dtype, end - begin, k);
      std::memcpy(piece.bytes.data(), weights.rows(begin, end).data, piece.bytes.size());
      const GuardedRows rows(piece, piece.rows, 5, {});
      REQUIRE(shape.pack_rows(rows.view(), begin, panels.bytes()).ok());
    }
    CHECK(panels.slack_untouched());
    CHECK(std::equal(weights.panels.begin(), weights.panels.end(), panels.data()));
  });
}

TESSERA_FORMAT_TEST(unpack, "unpack_rows: the bits of W again", "[panels]") {
  Rng rng = suite_rng();
  for_each_layout([&](const char* target, Accuracy accuracy) {
    const size_t nr = tile_of(w_dtype, target, accuracy).nr;
    for (const size_t k : whole_blocks(w_dtype, {1, 35, 64, 300})) {
      const size_t n = 2 * nr + 3;
      const Weights weights(w_dtype, n, k, target, accuracy, rng);
      const size_t some = 1 + rng.below(n - 1);
      const Range ranges[] = {{0, n}, {0, some}, {some, n}, {some - 1, some}, {n, n}};
      for (const Range& r : ranges) {
        INFO("n " << n << " k " << k << " rows " << r.begin << " to " << r.end);
        const size_t rows = r.end - r.begin, stride = weights.w.row_bytes + 3;
        GuardedBuffer to(rows == 0 ? 0 : (rows - 1) * stride + weights.w.row_bytes);
        const Status s = weights.plan.unpack_rows(weights.panels, r.begin,
                                                  {to.data(), rows, k, stride, w_dtype});
        CHECK(s.message().c_str() == std::string("ok"));
        bool same = to.slack_untouched();
        for (size_t i = 0; i < rows; ++i) {
          const std::byte* row = to.data() + i * stride;
          const auto* want = static_cast<const std::byte*>(weights.rows(r.begin + i, n).data);
          same = same && std::memcmp(row, want, weights.w.row_bytes) == 0 &&
                 (i + 1 == rows || row[weights.w.row_bytes] == std::byte{GuardedBuffer::kFill});
        }
        CHECK(same);
      }
    }
  });
}

TEST_CASE("pack_rows and unpack_rows: what is refused", "[panels]") {
  const size_t n = 200, k = 32;
  const Matrix w = empty_matrix(DType::f32, n, k);
  const Matmul plan = *Matmul::plan(w.view(), DType::f32);
  const size_t nr = plan.tile_cols();
  std::vector<std::byte> panels(plan.packed_w_bytes() + 4);
  std::vector<float> out(n * k);
  const std::span<std::byte> all(panels);
  const auto check_both = [&](MatView rows, size_t first, std::span<std::byte> to, StatusCode code,
                              const std::string& text) {
    CHECK(plan.pack_rows(rows, first, to).code == code);
    const MutMatView back{rows.data == nullptr ? nullptr : out.data(), rows.rows, rows.cols,
                          rows.row_stride, rows.dtype};
    const Status s = plan.unpack_rows(to, first, back);
    CHECK(s.code == code);
    CHECK(s.message().c_str() == text);
  };
  MatView rows = w.view();
  rows.rows = nr;
  check_both(rows, n - nr + 1, all, StatusCode::rect_out_of_range,
             "first + rows.rows reaches to 201 of 200");
  check_both(rows, n + 1, all, StatusCode::rect_out_of_range, "first reaches to 201 of 200");
  check_both(rows, ~size_t{0}, all, StatusCode::rect_out_of_range,
             "first reaches to 18446744073709551615 of 200");
  rows.cols = k - 1;
  check_both(rows, 0, all, StatusCode::shape_mismatch, "rows.cols = 31, but the plan's k = 32");
  rows = w.view();
  rows.dtype = DType::f16;
  check_both(rows, 0, all, StatusCode::unsupported_dtype,
             "rows is f16 (ggml type 1), which is not the format that the plan was made for");
  rows = w.view();
  rows.data = nullptr;
  check_both(rows, 0, all, StatusCode::null_data, "rows has no data but 25600 bytes");
  rows = w.view();
  check_both(rows, 0, all.first(4), StatusCode::buffer_too_small,
             "panels has 4 bytes, needs " + std::to_string(plan.packed_w_bytes()));
  check_both(rows, 0, all.subspan(1), StatusCode::misaligned,
             "panels starts 1 bytes past a multiple of 4");
  check_both(rows, 0, {static_cast<std::byte*>(nullptr), all.size()}, StatusCode::null_data,
             "panels has no data but " + std::to_string(all.size()) + " bytes");
  CHECK(Matmul().pack_rows(rows, 0, all).code == StatusCode::wrong_plan);
  CHECK(Matmul().unpack_rows(all, 0, {out.data(), n, k, 4 * k, DType::f32}).code ==
        StatusCode::wrong_plan);
  // Only packing wants whole panels.
  rows.rows = 1;
  CHECK(plan.pack_rows(rows, 0, all).message().c_str() ==
        "first + rows.rows = 1 is not a multiple of " + std::to_string(nr) +
            ", the block of rows in a panel");
  CHECK(plan.pack_rows(rows, 1, all).message().c_str() ==
        "first = 1 is not a multiple of " + std::to_string(nr) + ", the block of rows in a panel");
}

TEST_CASE("advise_huge_pages: changes no byte, refuses nothing", "[panels]") {
  CHECK_FALSE(advise_huge_pages({}));
  CHECK_FALSE(advise_huge_pages({static_cast<std::byte*>(nullptr), 0}));
  std::vector<std::byte> small(4096, std::byte{1}), large(5 << 20, std::byte{2});
  CHECK_FALSE(advise_huge_pages(small));  // no whole one in it
  (void)advise_huge_pages(large);         // as the system likes
  CHECK(std::count(large.begin(), large.end(), std::byte{2}) == 5 << 20);
}

}  // namespace
}  // namespace tessera::test

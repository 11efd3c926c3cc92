// SPDX-License-Identifier: MIT
// plan/blocking.h: what choose_blocking promises, over shapes and caches, and a table of values.
#include <limits>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

constexpr KernelShape kFloat = {12, 32, 1, 128, 4};   // f32 tiles of AVX-512
constexpr KernelShape kInt8 = {6, 32, 32, 1088, 40};  // q8_0
constexpr KernelShape kOldFloat = {6, 8, 2, 32, 8};   // f16 without AVX, x once
constexpr KernelShape kCopies = {6, 8, 1, 32, 8, 2};  // f32 on SSE4
constexpr KernelShape kSlowL3 = {12, 32, 1, 128, 4, 1, true};

size_t round_up(size_t value, size_t step) { return (value + step - 1) / step * step; }

TEST_CASE("blocking: a table", "[blocking]") {
  const CacheSizes caches;  // 32 K, 512 K, 8 M
  struct Row {
    KernelShape shape;
    size_t m, k;
    bool ready;
    size_t mc, kc_units, nc;
  };
  for (const Row& r : std::vector<Row>{
           {kFloat, 1, 64, true, 1, 64, 64},  // all of k at once, never more rows than there are
           {kFloat, 128, 4096, true, 128, 1376,
            32},  // few: 256 K / 176 = 1489 -> three shares; 95 rows fit
           {kFloat, 512, 4096, true, 180, 688, 64},    // many: 128 K / 176 = 744 -> six shares
           {kFloat, 512, 4096, false, 132, 1376, 32},  // 2 M of L3 for rows of 16 K
           {kInt8, 512, 4096, true, 174, 64, 64},
           {kInt8, 100000, 4096, false, 414, 128, 32},
           {kInt8, 7, 1 << 20, true, 7, 197, 32},  // 197 panels fit
           {kOldFloat, 9, 3, true, 9, 2, 8},       // 3 values are 2 units
           {kCopies, 512, 4096, true, 48, 1376, 16},
           {kCopies, 512, 4096, false, 90, 384, 64},  // 32 K / 80 = 409; 85 rows in 256 K
           {kCopies, 60, 4096, true, 36, 2048, 8},
           {kSlowL3, 512, 4096, true, 132, 256, 128},  // 32 K / 176, but 256; 128 rows in 128 K
           {kSlowL3, 12, 4096, true, 12, 1376, 32},    // one panel of x, as elsewhere
           {kSlowL3, 512, 4096, false, 132, 1376, 32},
           {kFloat, 0, 0, true, 1, 1, 64}}) {
    const Blocking b = choose_blocking(r.shape, r.m, r.k, caches, r.ready);
    INFO("m " << r.m << " k " << r.k);
    CHECK(b.mc == r.mc);
    CHECK(b.kc_units == r.kc_units);
    CHECK(b.nc == r.nc);
  }
}

TEST_CASE("blocking: what it promises", "[blocking]") {
  for (const KernelShape& s : {kFloat, kInt8, kOldFloat, kCopies, kSlowL3}) {
    for (const size_t l2 : {size_t{0}, size_t{256} << 10, size_t{2} << 20}) {
      for (const size_t m : {1, 5, 100, 5000}) {
        for (const size_t k : {1, 64, 1000, 4096, 100000}) {
          const CacheSizes caches{32768, l2, std::max(l2, size_t{8} << 20)};
          for (const bool ready : {false, true}) {
            const Blocking b = choose_blocking(s, m, k, caches, ready);
            const size_t units = (k + s.unit_values - 1) / s.unit_values;
            INFO("m " << m << " k " << k << " l2 " << l2);
            CHECK(b.mc >= 1);
            CHECK(b.mc <= m);
            CHECK(b.kc_units >= 1);
            CHECK(b.kc_units <= units);
            CHECK((b.mc == m || b.mc % s.mr == 0));
            // One W panel and one x panel of kc units in half of L2, unless that is under 256
            // values.
            const size_t panel = b.kc_units * (s.w_unit_bytes + s.mr * s.x_unit_bytes);
            CHECK((panel <= l2 / 2 || b.kc_units * s.unit_values <= 256));
            // Blocks of even size: a further one would not make each smaller by a cache line.
            const size_t blocks = (units + b.kc_units - 1) / b.kc_units;
            CHECK(
                (b.kc_units == units || b.kc_units <= round_up((units + blocks - 1) / blocks, 16)));
            CHECK(b.nc % s.nr == 0);
            CHECK((b.nc >= s.nr && b.nc <= kMaxNcPanels * s.nr));
          }
        }
      }
    }
  }
}

TEST_CASE("blocking: sizes near the end of size_t", "[blocking]") {
  const size_t most = std::numeric_limits<size_t>::max();
  const Blocking b = choose_blocking(kInt8, most, most / 64 * 32, {}, true);
  CHECK(b.mc >= 1);
  CHECK(b.kc_units >= 1);
  CHECK(b.kc_units <= 1024);
}

}  // namespace
}  // namespace tessera::test

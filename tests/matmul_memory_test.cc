// SPDX-License-Identifier: MIT
// plan/matmul.h: which memory is touched. Every buffer flush against an unreadable page on either
// side, at odd addresses, with rows apart by odd strides and NaN between them. (All other tests of
// products end flush against an unreadable page too; here places and strides vary.)
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

void check_layouts(DType w_dtype, const std::vector<Layout>& layouts) {
  Rng rng = suite_rng();
  for (const size_t k : whole_blocks(w_dtype, {1, 7, 39, 64})) {
    const Matrix w = exact_weights(w_dtype, 70, k, rng);
    for (const DType x_dtype : kXTypes) {
      const Matrix x = exact_x(x_dtype, 29, k, rng);
      const Expected e = reference_product(x, w, PackedX::f32);
      for_each_kernel(w_dtype, [&](Setup setup, const Tile& tile) {
        setup.x = x_dtype;
        for (const Layout& layout : layouts) {
          setup.y = kYTypes[rng.below(2)];
          setup.blocking = rng.below(2) == 0 ? Blocking{} : Blocking{5, 1};
          const Product p(w, rng.below(2) == 0 ? tile.nr + 1 : 2 * tile.nr, setup, layout);
          for (const size_t m : {size_t{1}, size_t{4}, tile.mr + 1}) {
            INFO("place at " << (layout.place.at_end ? "end" : "start") << ", offset "
                             << layout.place.offset << ", paddings of w, x, y: " << layout.w_padding
                             << ", " << layout.x_padding << ", " << layout.y_padding);
            check_exact(p, m, p.run(x, m), e);
            check_exact(p, m, p.run(x, m, {}, {2, 3}), e);
          }
        }
      });
    }
  }
}

TESSERA_FORMAT_TEST(unreadable_pages, "buffers flush against unreadable pages", "[memory]") {
  check_layouts(w_dtype, {{{true, 0}}, {{false, 0}}});
}

TESSERA_FORMAT_TEST(odd_addresses, "buffers at odd addresses", "[memory]") {
  std::vector<Layout> layouts;
  for (const bool at_end : {true, false}) {
    for (const size_t offset : {1, 2, 3}) layouts.push_back({{at_end, offset}});
  }
  check_layouts(w_dtype, layouts);
}

TESSERA_FORMAT_TEST(strides, "rows apart by any stride with NaN between them", "[memory]") {
  check_layouts(w_dtype, {{{true, 0}, 64, 64, 64},
                          {{false, 0}, 4, 12, 20},
                          {{true, 0}, 1, 2, 2},
                          {{false, 1}, 3, 1, 1},
                          {{true, 2}, 34, 5, 3}});
}

}  // namespace
}  // namespace tessera::test

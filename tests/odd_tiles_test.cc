// SPDX-License-Identifier: MIT
// Kernels that only this test has, with tiles of shapes that no instruction set asks for: 5 and 16
// rows of x, one vector and three vectors of rows of W, panels of x padded to four rows. The loops,
// packing and geometry must take any shape that a Kernel describes.
#include "tessera/simd/targets.h"  // says what Highway builds, so it is first

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "odd_tiles_test.cc"
#include "hwy/foreach_target.h"
// foreach_target.h first.
#include "tessera/simd/kernels-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// f32 or f16 in tiles of R vectors by kRows rows, with panels of x padded to row_step rows.
template <class F, size_t R, size_t kRows>
constexpr Kernel odd_float_kernel(size_t row_step) {
  using Tile = FmaTile<F, R, kRows>;
  Kernel kernel = kernel_of<F, Tile, XAsF32>(Accuracy::exact, Tile::kStepValues);
  kernel.name = "odd f32 fma";
  kernel.row_step = row_step;
  kernel.direct = tile_set<Tile>(Tile::kStepValues);
  kernel.panel_unit_bytes = kernel.direct.unit_bytes;
  kernel.pack_panel = &pack_float_panel<F, R>;
  if constexpr (Tile::kStepValues == 2) {
    kernel.kind = KernelKind::f16;
    kernel.prepared = tile_set<FmaTile<F32, R, kRows>>(Tile::kStepValues);
    kernel.prepared.prepare = &widen_float_panel<F, R>;
  }
  return kernel;
}

template <class F, size_t R, size_t kRows>
constexpr Kernel odd_int8_kernel() {
  using Tile = Int8Tile<F, false, R, kRows>;
  using X = XAsQ8<typename Tile::Dots, false>;
  Kernel kernel = kernel_of<F, Tile, X>(Accuracy::fast, Tile::kStepValues);
  kernel.name = "odd int8 dot";
  kernel.x.aux = {kDotOffset<F>, F::kHasMin};
  kernel.kind = KernelKind::codes_of_8;
  kernel.direct = tile_set<Tile>(Tile::kStepValues);
  kernel.panel_unit_bytes = kernel.direct.unit_bytes;
  kernel.pack_panel = &pack_block_panel<F, R>;
  using UnpackedTile = Int8Tile<Unpacked<F>, false, R, kRows>;
  if constexpr (std::is_same_v<typename Tile::Dots, typename UnpackedTile::Dots>) {
    kernel.prepared = tile_set<UnpackedTile>(Tile::kStepValues);
    kernel.prepared.prepare = &unpack_block_panel<F, R>;
  }
  return kernel;
}

constexpr Kernel kOddKernels[] = {
    odd_float_kernel<F32, 1, 5>(1),  odd_float_kernel<F32, 3, 16>(1),
    odd_float_kernel<F32, 2, 16>(4), odd_float_kernel<F16, 3, 5>(2),
    odd_int8_kernel<Q8_0, 1, 5>(),   odd_int8_kernel<Q4_1, 3, 16>(),
    odd_int8_kernel<Q5_0, 3, 5>(),   odd_int8_kernel<MXFP4, 1, 16>(),
};
static_assert(std::all_of(std::begin(kOddKernels), std::end(kOddKernels), is_sound));
constexpr InstructionSet kOddSet = {kTargetName, 0,           kLanes * sizeof(float),
                                    &runs_here,  kOddKernels, std::size(kOddKernels)};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#if HWY_ONCE
#include "support/suite.h"

namespace tessera::test {
namespace {

#define TESSERA_ODD_SET(TARGET, NAMESPACE) &tessera::NAMESPACE::kOddSet,
constexpr const InstructionSet* kOddSets[] = {HWY_VISIT_TARGETS(TESSERA_ODD_SET)};

// What a case adds to a kernel.
struct OddCase {
  const InstructionSet* set;
  const Kernel* kernel;
  Tuning tuning;
  Blocking blocking;
  bool packed, borrow_x;
};

Matmul plan_of(const OddCase& c, const MatView& w) {
  Plan p;
  p.set = c.set;
  p.kernel = c.kernel;
  p.tuning = &c.tuning;
  p.w = static_cast<const std::byte*>(w.data);
  p.w_stride = w.row_stride;
  p.n = w.rows;
  p.k = w.cols;
  p.blocking = c.blocking;
  p.borrow_x = c.borrow_x;
  derive(p);
  return Matmul(p);
}

// x [m, k] times the first n rows of W, in three parts: exactly the oracle's values, nothing
// written beside them.
void check_product(const OddCase& c, const Matrix& w, size_t n, const Matrix& x, size_t m,
                   const Expected& e) {
  const Placement at_end{true, 0};
  GuardedRows w_rows(w, n, 0, at_end);
  Matmul plan = plan_of(c, w_rows.view());
  INFO(c.set->name << " " << plan.explain(m).text().c_str() << ", m " << m << " n " << n << " k "
                   << w.cols << ", blocking " << c.blocking.mc << " " << c.blocking.kc_units << " "
                   << c.blocking.nc);
  // Panels begin at a multiple of 4; one row of q8_0, which is one lane's panel, has 34 bytes a
  // block.
  const Placement words{plan.packed_w_bytes() % 4 == 0, 0};
  const GuardedBuffer panels(plan.packed_w_bytes(), words);
  if (c.packed) {
    for (const size_t part : {0, 1}) REQUIRE(plan.pack_weights(panels.bytes(), {part, 2}).ok());
    plan = *plan.with_packed(panels.bytes());
    w_rows.make_unreadable();
  }
  const GuardedRows x_rows(x, m, 0, at_end);
  const GuardedBuffer packed_x(plan.packed_x_bytes(m), at_end);
  const GuardedBuffer worker(plan.worker_bytes(m), at_end);
  const GuardedY y(DType::f32, m, n, 4, at_end);
  for (const size_t part : {0, 1, 2}) {
    REQUIRE(plan.pack(x_rows.view(), packed_x.bytes(), {part, 3}).ok());
  }
  for (const size_t part : {0, 1, 2}) {
    REQUIRE(plan.run(packed_x.bytes(), y.view(), worker.bytes(), {}, {part, 3}).ok());
  }
  CHECK(y.padding_untouched());
  CHECK((worker.slack_untouched() && packed_x.slack_untouched() && panels.slack_untouched()));
  const std::vector<float> got = y.values();
  for (size_t i = 0; i < m * n; ++i) {
    const float want = static_cast<float>(e.value[i / n * e.n + i % n]);
    if (!(got[i] == want)) {
      FAIL("y[" << i / n << ", " << i % n << "] is " << got[i] << ", exactly " << want);
    }
  }
}

TEST_CASE("odd tiles: any shape that a kernel describes", "[odd]") {
  Rng rng = suite_rng();
  for (const InstructionSet* set : kOddSets) {
    if (!set->runs()) continue;
    for (size_t i = 0; i < set->count; ++i) {
      const Kernel& kernel = set->kernels[i];
      const size_t nr = kernel.nr, most_n = 3 * nr + 5;
      for (const size_t k : {size_t{32}, size_t{37}, size_t{352}}) {
        if (!row_bytes(kernel.w, k).ok()) continue;
        const Matrix w = exact_weights(kernel.w, most_n, k, rng);
        const Matrix x = exact_x(DType::f32, 40, k, rng);
        const Expected e = reference_product(x, w, kernel.x.kind);
        for (const size_t m : {1, 4, 5, 6, 15, 16, 17, 33, 40}) {
          OddCase c{set, &kernel, {}, {}, rng.below(2) == 0, rng.below(2) == 0};
          c.tuning.prepare_above = rng.below(4);
          c.tuning.prepare_above_in_place = rng.below(4);
          c.tuning.pair_rows = rng.below(9);
          c.tuning.early_rows = 1 + rng.below(4);
          c.tuning.early_bytes = rng.below(2) * 4096;
          if (rng.below(2) == 0)
            c.blocking = {1 + rng.below(m), 1 + rng.below(5), rng.below(4) * nr};
          for (const size_t n : {size_t{1}, nr - 1, nr, nr + 1, most_n}) {
            if (n > 0) check_product(c, w, n, x, m, e);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace tessera::test
#endif  // HWY_ONCE

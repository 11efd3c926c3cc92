// SPDX-License-Identifier: MIT
// plan/packed_weights.h and the sizes of panels: for block formats exactly the bytes of W, n
// rounded up to the panel; results as from panels in the caller's memory; moves; refusals.
#include <cstdint>
#include <utility>
#include <vector>

#include "support/suite.h"
#include "tessera/thread_pool.h"

namespace tessera::test {
namespace {

size_t round_up(size_t value, size_t step) { return (value + step - 1) / step * step; }

TESSERA_FORMAT_TEST(panel_bytes, "packed bytes are those of W with n rounded up", "[packed]") {
  for_each_target([&](const char* target) {
    for (const Accuracy accuracy : kAccuracies) {
      for (const size_t n : {0, 1, 31, 32, 33, 100}) {
        for (const size_t k : whole_blocks(w_dtype, {0, 32, 64, 160})) {
          const Matrix w = empty_matrix(w_dtype, n, k);
          const Result<Matmul> plan = Matmul::plan(w.view(), DType::f32, {accuracy, target, {}});
          REQUIRE(plan.ok());
          INFO(target << " n " << n << " k " << k);
          const size_t bytes = round_up(n, plan->tile_cols()) * w.row_bytes;
          CHECK(plan->packed_w_bytes() == round_up(bytes, 4));
        }
      }
      if (is_block_format(w_dtype)) continue;
      // A float row may be padded to whole steps of the kernel along k, less than 8 bytes.
      const Matrix w = empty_matrix(w_dtype, 33, 35);
      const Result<Matmul> plan = Matmul::plan(w.view(), DType::f32, {accuracy, target, {}});
      REQUIRE(plan.ok());
      const size_t rows = round_up(33, plan->tile_cols());
      CHECK(plan->packed_w_bytes() >= rows * w.row_bytes);
      CHECK(plan->packed_w_bytes() < rows * (w.row_bytes + 8));
    }
  });
}

TESSERA_FORMAT_TEST(owner, "PackedWeights multiplies as panels do", "[packed]") {
  Rng rng = suite_rng();
  const size_t m = 7, n = 150, k = whole_blocks(w_dtype, 96);
  const Matrix w = random_weights(w_dtype, n, k, rng), x = random_x(DType::f32, m, k, rng);
  ThreadPool pool(3);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    if (!setup.packed) return;
    const Product panels(w, n, setup);
    const Output want = panels.run(x, m);
    check_no_error(panels, m, want);
    for (const Executor& executor : {serial(), pool.executor()}) {
      Matrix gone = w;
      const Result<Matmul> plan =
          Matmul::plan(gone.view(), DType::f32, {setup.accuracy, setup.target, {}});
      REQUIRE(plan.ok());
      Result<PackedWeights> result = PackedWeights::pack(*plan, executor);
      REQUIRE(result.ok());
      PackedWeights packed = std::move(*result);
      std::fill(gone.bytes.begin(), gone.bytes.end(), std::byte{0xFF});  // no longer needed
      CHECK(packed.bytes() == plan->packed_w_bytes());
      CHECK(packed.plan().explain(m).packed);
      CHECK_FALSE(plan->explain(m).packed);
      PackedWeights moved;
      CHECK(moved.bytes() == 0);
      moved = std::move(packed);

      std::vector<std::byte> packed_x(moved.plan().packed_x_bytes(m));
      std::vector<std::byte> worker(moved.plan().worker_bytes(m));
      Output out;
      out.y.resize(m * n);
      REQUIRE(moved.plan().pack(x.view(), packed_x).ok());
      REQUIRE(moved.plan().run(packed_x, rows_of(out.y, m, n), worker).ok());
      check_same_bits(panels, m, out, want.y, "who owns the panels");
    }
  });
}

TEST_CASE("PackedWeights: empty ones", "[packed]") {
  const PackedWeights none;
  CHECK(none.bytes() == 0);
  CHECK(none.plan().packed_x_bytes(3) == 0);
  const Result<Matmul> no_rows = Matmul::plan({nullptr, 0, 32, 18, DType::q4_0}, DType::f32);
  REQUIRE(no_rows.ok());
  const Result<PackedWeights> packed = PackedWeights::pack(*no_rows);
  REQUIRE(packed.ok());
  CHECK(packed->bytes() == 0);
  CHECK(packed->plan().explain(1).packed);
}

}  // namespace
}  // namespace tessera::test

// SPDX-License-Identifier: MIT
// What engines ask of a plan beside products: whether a format goes, x that is lent or was
// quantized, and scratch in one call. check_test.cc has what will be refused.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

TEST_CASE("supports: what plan() says", "[engine]") {
  const std::vector<std::byte> data(4096);
  for (unsigned w = 0; w < 256; ++w) {
    for (unsigned x = 0; x < 256; ++x) {
      const bool plans = Matmul::plan({data.data(), 1, 256, 4096, DType(w)}, DType(x)).ok();
      if (supports(DType(w), DType(x)) != plans) FAIL("w " << w << ", x " << x);
    }
  }
  static_assert(supports(DType::f32, DType::f32) && !supports(DType::f32, DType::q8_0));
}

// ---- x that is lent
// ---------------------------------------------------------------------------------

TEST_CASE("packed_x_bytes: a view that will be lent needs its address only", "[engine]") {
  Rng rng = suite_rng();
  size_t lent = 0, copied = 0;
  bool borrows = false;  // not where tiles take x by lane
  for_each_target([&](const char* target) {
    for (const DType x_dtype : {DType::f32, DType::bf16}) {
      for (const size_t m : {1, 3, 24, 40}) {
        for (const size_t gap : {0, 2, 4, 32 * 64}) {  // 2: no multiple of a word
          const size_t n = 70, k = 64;
          const Matrix w = random_weights(DType::f32, n, k, rng), x = random_x(x_dtype, m, k, rng);
          const Matmul rows = *Matmul::plan(w.view(), x_dtype, {Accuracy::fast, target, {}, true});
          std::vector<std::byte> panels(rows.packed_w_bytes());
          REQUIRE(rows.pack_weights(panels).ok());
          const Matmul plan = *rows.with_packed(panels);
          borrows = borrows || plan.value().kernel->x.borrows;
          const GuardedRows stored(x, m, gap, {});
          MatView shape = stored.view();
          shape.data = nullptr;
          const size_t bytes = plan.packed_x_bytes(shape);
          CHECK(bytes == plan.packed_x_bytes(stored.view()));
          CHECK((bytes == kBorrowedXBytes || bytes == plan.packed_x_bytes(m)));
          (bytes == kBorrowedXBytes ? lent : copied) += 1;

          const GuardedBuffer packed_x(bytes);
          std::vector<std::byte> worker(plan.worker_bytes(m)), whole(plan.packed_x_bytes(m));
          std::vector<float> y(m * n), want(m * n);
          REQUIRE(plan.pack(stored.view(), packed_x.bytes()).ok());
          CHECK(plan.run(packed_x.bytes(), rows_of(y, m, n), worker).ok());
          CHECK(packed_x.slack_untouched());
          REQUIRE(plan.pack(x.view(), whole).ok());
          REQUIRE(plan.run(whole, rows_of(want, m, n), worker).ok());
          CHECK(first_difference(y, want) == y.size());
          // One byte less is refused by both.
          const std::span<std::byte> less = packed_x.bytes().first(bytes - 1);
          CHECK(plan.pack(stored.view(), less).code == StatusCode::buffer_too_small);
          CHECK(plan.run(less, rows_of(y, m, n), worker).code == StatusCode::buffer_too_small);
        }
      }
    }
  });
  CHECK((lent > 0) == borrows);
  CHECK(copied > 0);
  const Matmul plan = *Matmul::plan(MatShape{4, 64, DType::f32}, DType::f32);
  CHECK(plan.packed_x_bytes(MatView{nullptr, 3, 64, 256, DType::f32}) == plan.packed_x_bytes(3));
  CHECK(plan.packed_x_bytes(MatView{nullptr, 3, 63, 256, DType::f32}) == 0);
  CHECK(plan.packed_x_bytes(MatView{nullptr, 3, 64, 256, DType::f16}) == 0);
  CHECK(plan.packed_x_bytes(MatView{nullptr, ~size_t{0}, 64, 256, DType::f32}) == 0);
  CHECK(Matmul().packed_x_bytes(MatView{nullptr, 3, 64, 256, DType::f32}) == 0);
}

// What the comment of Matmul::plan says of such x.
TESSERA_FORMAT_TEST(quantized_x, "x that was q8_0 is not rounded again", "[engine]") {
  if (!is_block_format(w_dtype)) return;
  Rng rng = suite_rng();
  const size_t m = 3, n = 20, k = 512;
  const Matrix w = random_weights(w_dtype, n, k, rng), x = random_x(DType::f32, m, k, rng);
  std::vector<float> values(m * k), decoded(m * k);
  for (size_t i = 0; i < m * k; ++i) values[i] = static_cast<float>(x.value[i]);
  const Matrix q8 = encode(DType::q8_0, m, k, values);
  REQUIRE(quantize(q8.view(), rows_of(decoded, m, k)).ok());
  CHECK(Matmul::plan(w.view(), DType::q8_0).status().code == StatusCode::unsupported_dtype);
  for_each_target([&](const char* target) {
    // The largest error, as a multiple of what sums in f32 may have.
    const auto error = [&](const MatView& from, const std::vector<double>& of) {
      std::vector<float> y(m * n);
      const PlanOptions options{Accuracy::fast, target, {}};
      REQUIRE(matmul(rows_of(y, m, n), from, w.view(), {}, serial(), options).ok());
      double most = 0;
      for (size_t i = 0; i < m * n; ++i) {
        double sum = 0, magnitude = 0;
        for (size_t at = 0; at < k; ++at) {
          const double v = of[i / n * k + at];
          sum += v * w.value[i % n * k + at];
          magnitude += std::fabs(v) * w.magnitude_q8[i % n * k + at];
        }
        // Two roundings for each sub-block that is added up, and four of its scales.
        const double bound = (static_cast<double>(k / 8) + 4) * 0x1p-24 * magnitude;
        most = std::max(most, std::fabs(static_cast<double>(y[i]) - sum) / bound);
      }
      return most;
    };
    INFO(target);
    CHECK(error(rows_of(decoded, m, k), q8.value) < 1);
    CHECK(error(x.view(), x.value) > 1);  // else this would show nothing
  });
}

// ---- Scratch
// ----------------------------------------------------------------------------------------

TESSERA_FORMAT_TEST(scratch, "scratch: the most of all numbers of rows", "[engine]") {
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    if (setup.packed) return;
    Matmul plan = *Matmul::plan(MatShape{700, 256, w_dtype}, DType::f32, plan_options(setup));
    for (const bool packed : {false, true}) {
      const std::vector<std::byte> panels(packed ? plan.packed_w_bytes() : 0);
      if (packed) plan = *plan.with_packed(panels);
      for (const size_t most : {0, 1, 7, 40, 300}) {
        ScratchSizes want;
        for (size_t m = 0; m <= most; ++m) {
          want.packed_x_bytes = std::max(want.packed_x_bytes, plan.packed_x_bytes(m));
          want.worker_bytes = std::max(want.worker_bytes, plan.worker_bytes(m));
        }
        const Result<ScratchSizes> sizes = plan.scratch(most, 3);
        REQUIRE(sizes.ok());
        CHECK(sizes->packed_x_bytes == want.packed_x_bytes);
        CHECK(sizes->worker_bytes == want.worker_bytes);
        CHECK(sizes->bytes == want.packed_x_bytes + 3 * want.worker_bytes);
      }
    }
  });
}

TEST_CASE("scratch: what is refused, at once", "[engine]") {
  const Matmul plan = *Matmul::plan(MatShape{64, 64, DType::f32}, DType::f32);
  CHECK(Matmul().scratch(1, 1).status().code == StatusCode::wrong_plan);
  CHECK(plan.scratch(Matmul::kMostScratchRows + 1, 1).status().code == StatusCode::size_overflow);
  CHECK(plan.scratch(~size_t{0}, 1).status().code == StatusCode::size_overflow);
  CHECK(plan.scratch(100, ~size_t{0}).status().code == StatusCode::size_overflow);
  CHECK(plan.scratch(100, 0)->bytes == plan.scratch(100, 0)->packed_x_bytes);
}

}  // namespace
}  // namespace tessera::test

// SPDX-License-Identifier: MIT
// Batched products: each has the bits that Matmul gives it. Also plans that are made before there
// are weights.
#include <string>
#include <vector>

#include "support/guarded.h"
#include "support/suite.h"

namespace tessera::test {
namespace {

constexpr size_t kCount = 3, kHeads = 2;  // products; rows at the inner stride

MatView rows_from(const Matrix& a, size_t first, size_t rows) {
  MatView v = a.view();
  v.data = a.bytes.data() + first * a.row_bytes;
  v.rows = rows;
  return v;
}

// Row r of product i is head i * kHeads + r % kHeads of token r / kHeads.
template <class View>
BatchOf<View> of_heads(View all, size_t tokens) {
  const size_t row = all.row_stride;
  all.rows = kHeads;
  return {all, kHeads * row, tokens, kCount * kHeads * row};
}

// As attention has them: queries [tokens, kCount * kHeads, k], keys [kCount, n, k].
std::vector<float> batched(const BatchedMatmul& plan, const Matrix& x, size_t tokens, size_t n,
                           size_t parts) {
  const size_t m = tokens * kHeads;
  const GuardedBuffer packed_x(plan.packed_x_bytes(m), {true, 0});
  const GuardedBuffer worker(plan.worker_bytes(m), {true, 0});
  const GuardedY y(DType::f32, kCount * m, n, 8, {true, 0});
  const BatchView from = of_heads(x.view(), tokens);
  const MutBatchView to = of_heads(y.view(), tokens);
  for (size_t i = parts; i-- > 0;) REQUIRE(plan.pack(from, packed_x.bytes(), {i, parts}).ok());
  for (size_t i = parts; i-- > 0;) {
    REQUIRE(plan.run(packed_x.bytes(), to, worker.bytes(), {}, {i, parts}).ok());
  }
  CHECK(y.padding_untouched());
  CHECK(packed_x.slack_untouched());
  CHECK(worker.slack_untouched());
  return y.values();
}

// The same one product after another, from x and to y in rows of one stride.
std::vector<float> one_by_one(const Matmul& first, size_t w_stride, const Matrix& x, size_t tokens,
                              size_t n) {
  const size_t m = tokens * kHeads;
  std::vector<float> all(kCount * m * n), y(m * n);
  Matrix rows = x;
  std::vector<std::byte> packed_x(first.packed_x_bytes(m)), worker(first.worker_bytes(m));
  for (size_t i = 0; i < kCount; ++i) {
    const auto row_of = [&](size_t r) { return (r / kHeads * kCount + i) * kHeads + r % kHeads; };
    for (size_t r = 0; r < m; ++r) {
      std::copy_n(x.bytes.data() + row_of(r) * x.row_bytes, x.row_bytes, rows.row(r));
    }
    Plan plan = first.value();
    plan.w += i * w_stride;
    REQUIRE(Matmul(plan).pack(rows_from(rows, 0, m), packed_x).ok());
    REQUIRE(Matmul(plan).run(packed_x, rows_of(y, m, n), worker).ok());
    for (size_t r = 0; r < m; ++r) std::copy_n(&y[r * n], n, &all[row_of(r) * n]);
  }
  return all;
}

}  // namespace

TESSERA_FORMAT_TEST(batched_products, "a batch is its products one by one", "[batch]") {
  Rng rng = suite_rng();
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile& tile) {
    const size_t n = 2 * tile.nr + 3, k = whole_blocks(w_dtype, 3 * 32 + 8);
    for (const size_t tokens : {size_t{1}, size_t{5}, 2 * tile.mr}) {
      const Matrix w = random_weights(w_dtype, kCount * n, k, rng);
      const Matrix x = random_x(DType::f32, kCount * kHeads * tokens, k, rng);
      size_t stride = n * w.row_bytes;
      Matmul plan = *Matmul::plan(rows_from(w, 0, n), DType::f32, plan_options(setup));
      std::vector<std::byte> panels;
      if (setup.packed) {
        const size_t each = plan.packed_w_bytes();
        panels.resize(kCount * each);
        for (size_t i = 0; i < kCount; ++i) {
          const Matmul one = *plan.over(rows_from(w, i * n, n));
          REQUIRE(one.pack_weights(std::span(panels).subspan(i * each, each)).ok());
        }
        plan = *plan.with_packed(panels);
        stride = each;
      }
      const std::vector<float> want = one_by_one(plan, stride, x, tokens, n);
      const BatchedMatmul batch = *BatchedMatmul::plan(plan, kCount, stride);
      for (const size_t parts : {1, 2, 4, 7, 100}) {
        INFO(describe(setup, tokens * kHeads, n, k) << ", parts " << parts);
        const std::vector<float> got = batched(batch, x, tokens, n, parts);
        REQUIRE(first_difference(got, want) == want.size());
      }
    }
  });
}

TEST_CASE("a plan of a shape is bound to weights later", "[batch]") {
  const std::vector<float> w(5 * 8, 1.0f), x(3 * 8, 2.0f);
  std::vector<float> y(3 * 5);
  const Matmul shape = *Matmul::plan(MatShape{5, 8, DType::f32}, DType::f32);
  const Matmul bound = *Matmul::plan(rows_of(w, 5, 8), DType::f32);
  for (const size_t m : {1, 3, 40}) {
    CHECK(shape.packed_x_bytes(m) == bound.packed_x_bytes(m));
    CHECK(shape.worker_bytes(m) == bound.worker_bytes(m));
    CHECK(shape.explain(m).text().c_str() == std::string(bound.explain(m).text().c_str()));
  }
  CHECK(shape.packed_w_bytes() == bound.packed_w_bytes());
  CHECK(shape.shares_packed_x(bound));

  std::vector<std::byte> packed_x(shape.packed_x_bytes(3)), worker(shape.worker_bytes(3)),
      panels(shape.packed_w_bytes());
  REQUIRE(shape.pack(rows_of(x, 3, 8), packed_x).ok());
  const Status unbound = shape.run(packed_x, rows_of(y, 3, 5), worker);
  CHECK(unbound.code == StatusCode::wrong_plan);
  CHECK(std::string(unbound.message().c_str()).find("has no weights yet") != std::string::npos);
  CHECK(shape.run_rect(packed_x, rows_of(y, 3, 5), worker, {}, {0, 1, 0, 1}).code ==
        StatusCode::wrong_plan);
  CHECK(shape.pack_weights(panels).code == StatusCode::wrong_plan);
  CHECK(BatchedMatmul::plan(shape, 2, 160).status().code == StatusCode::wrong_plan);

  const Matmul over = *shape.over(rows_of(w, 5, 8));
  REQUIRE(over.run(packed_x, rows_of(y, 3, 5), worker).ok());
  CHECK(y == std::vector<float>(15, 16.0f));
  REQUIRE(over.pack_weights(panels).ok());
  y.assign(15, 0.0f);
  const Matmul packed = *shape.with_packed(panels);
  std::vector<std::byte> x_of_packed(packed.packed_x_bytes(3)), workers(packed.worker_bytes(3));
  REQUIRE(packed.pack(rows_of(x, 3, 8), x_of_packed).ok());
  REQUIRE(packed.run(x_of_packed, rows_of(y, 3, 5), workers).ok());
  CHECK(y == std::vector<float>(15, 16.0f));
  CHECK(packed.over(rows_of(w, 5, 8))->explain(3).packed == false);

  CHECK(shape.over(rows_of(w, 4, 8)).status().message().c_str() ==
        std::string("w.rows = 4, but the plan's n = 5"));
  CHECK(shape.over({w.data(), 5, 7, 32, DType::f32}).status().message().c_str() ==
        std::string("w.cols = 7, but the plan's k = 8"));
  CHECK(shape.over({w.data(), 5, 8, 32, DType::bf16}).status().code ==
        StatusCode::unsupported_dtype);
  CHECK(shape.over({nullptr, 5, 8, 32, DType::f32}).status().code == StatusCode::null_data);
  CHECK(Matmul().over(rows_of(w, 5, 8)).status().code == StatusCode::wrong_plan);
  CHECK(Matmul::plan(MatShape{5, 33, DType::q8_0}, DType::f32).status().code ==
        StatusCode::partial_block);
  CHECK(Matmul::plan(MatShape{~size_t{0}, 32, DType::q8_0}, DType::f32).status().code ==
        StatusCode::size_overflow);
}

TEST_CASE("what batches refuse", "[batch]") {
  const std::vector<float> w(2 * 5 * 8, 1.0f), x(2 * 3 * 8, 1.0f);
  std::vector<float> y(2 * 3 * 5);
  const Matmul first = *Matmul::plan(rows_of(w, 5, 8), DType::f32);
  const BatchedMatmul plan = *BatchedMatmul::plan(first, 2, 160);
  const size_t huge = ~size_t{0};
  CHECK(BatchedMatmul::plan(Matmul(), 2, 160).status().code == StatusCode::wrong_plan);
  CHECK(BatchedMatmul::plan(first, huge, 160).status().code == StatusCode::size_overflow);
  CHECK(BatchedMatmul::plan(first, 3, huge / 2).status().code == StatusCode::size_overflow);
  CHECK(BatchedMatmul::plan(first, huge, 0).status().code == StatusCode::size_overflow);

  std::vector<std::byte> packed_x(plan.packed_x_bytes(3)), worker(plan.worker_bytes(3));
  const BatchView from{rows_of(x, 3, 8), 96};
  const MutBatchView to{rows_of(y, 3, 5), 60};
  REQUIRE(plan.pack(from, packed_x).ok());
  REQUIRE(plan.run(packed_x, to, worker).ok());
  CHECK(y == std::vector<float>(30, 8.0f));

  BatchView bad = from;
  bad.inner.cols = 7;
  CHECK(plan.pack(bad, packed_x).code == StatusCode::shape_mismatch);
  bad = from;
  bad.inner.dtype = DType::bf16;
  CHECK(plan.pack(bad, packed_x).code == StatusCode::unsupported_dtype);
  bad = from;
  bad.outer = huge;
  CHECK(plan.pack(bad, packed_x).code == StatusCode::size_overflow);
  bad = from;
  bad.stride = huge / 2;
  CHECK(plan.pack(bad, packed_x).code == StatusCode::size_overflow);
  bad = {rows_of(x, 3, 8), 96, 2, huge / 2};
  CHECK(plan.pack(bad, packed_x).code == StatusCode::size_overflow);
  bad = {rows_of(x, 3, 8), 96, 2, 96};
  CHECK(plan.pack(bad, packed_x).code == StatusCode::buffer_too_small);
  CHECK(plan.pack(from, packed_x, {2, 2}).code == StatusCode::part_out_of_range);
  CHECK(plan.run(packed_x, to, worker, {}, {2, 2}).code == StatusCode::part_out_of_range);
  CHECK(plan.run(std::span(packed_x).first(64), to, worker).code == StatusCode::buffer_too_small);
  CHECK(plan.run(packed_x, {rows_of(y, 3, 4), 60}, worker).code == StatusCode::shape_mismatch);
  CHECK(plan.run(packed_x, {rows_of(y, 3, 5), huge / 2}, worker).code == StatusCode::size_overflow);
  CHECK(BatchedMatmul().run(packed_x, to, worker).code == StatusCode::wrong_plan);
  CHECK(BatchedMatmul().pack(from, packed_x).code == StatusCode::wrong_plan);
  CHECK(plan.packed_x_bytes(huge) == 0);
  const BatchedMatmul none = *BatchedMatmul::plan(first, 0, 160);
  CHECK(none.pack(from, packed_x).ok());
  CHECK(none.run(packed_x, to, worker).ok());
}

TEST_CASE("how many parts a batch is worth", "[batch]") {
  const std::vector<float> w(64 * 64);
  const Matmul first = *Matmul::plan(rows_of(w, 64, 64), DType::f32);
  const BatchedMatmul batch = *BatchedMatmul::plan(first, 64, 0);
  CHECK(first.parts(16, 8).run == 1);
  CHECK(batch.parts(16, 8).run == 8);
  CHECK(batch.parts(16, 8).pack == 8);
  CHECK(BatchedMatmul().parts(16, 8).run == 1);
}

}  // namespace tessera::test

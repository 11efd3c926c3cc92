// SPDX-License-Identifier: MIT
// Gated products: what the two products of Matmul and the gating between them give.
#include <string>
#include <vector>

#include "support/guarded.h"
#include "support/suite.h"

namespace tessera::test {
namespace {

constexpr size_t kMost = 61;  // rows of x

Gating drawn(Rng& rng) {
  Gating g;
  g.activation = kActivations[rng.below(std::size(kActivations))];
  if (rng.below(2) == 0) {
    g.alpha = 1.702f;
    g.clips = true;
    g.limit = 0.5f;
    g.offset = 1.0f;
  }
  return g;
}

}  // namespace

TESSERA_FORMAT_TEST(gated_products, "a gated product is that of gate and up", "[gated]") {
  Rng rng = suite_rng();
  for_each_kernel(w_dtype, [&](Setup setup, const Tile& tile) {
    const size_t n = 5 * tile.nr + 3, k = whole_blocks(w_dtype, 3 * 32 + 8);
    const Matrix w_gate = random_weights(w_dtype, n, k, rng),
                 w_up = random_weights(w_dtype, n, k, rng);
    const Matrix x = random_x(DType::f32, kMost, k, rng);
    std::vector<float> gate_bias(n), up_bias(n);
    for (float& b : gate_bias) b = rng.uniform(-1, 1);
    for (float& b : up_bias) b = rng.uniform(-1, 1);
    setup.blocking = rng.below(2) == 0 ? Blocking{} : Blocking{7, 2};
    const Product gate(w_gate, n, setup), up(w_up, n, setup);
    const GatedMatmul plan = *GatedMatmul::plan(gate.plan(), up.plan());
    for (const size_t m : {size_t{1}, size_t{8}, kMost}) {
      const Gating gating = drawn(rng);
      const DType y_dtype = kYTypes[rng.below(std::size(kYTypes))];
      INFO(describe(setup, m, n, k) << ", y " << dtype_name(y_dtype) << ", activation "
                                    << static_cast<int>(gating.activation));
      Epilogue e;
      e.bias = gate_bias.data();
      const std::vector<float> gates = gate.run(x, m, e).y;
      e.bias = up_bias.data();
      const std::vector<float> ups = up.run(x, m, e).y;
      std::string error;
      const PackedInput packed_x(plan.gate(), x, m, {}, 1, error);
      REQUIRE(error.empty());
      std::vector<float> first;
      for (const size_t parts : {1, 3, 50}) {
        const GuardedBuffer worker(plan.worker_bytes(m), {true, 0});
        const GuardedY y(y_dtype, m, n, 8, {true, 0});
        for (size_t i = parts; i-- > 0;) {
          REQUIRE(plan.run(packed_x.bytes(), y.view(), worker.bytes(),
                           {gate_bias.data(), up_bias.data(), gating}, {i, parts})
                      .ok());
        }
        CHECK(y.padding_untouched());
        CHECK(worker.slack_untouched());
        const std::vector<float> got = y.values();
        for (size_t i = 0; i < got.size(); ++i) {
          const Bounded want = bounded_gated(gating, {static_cast<double>(gates[i]), 0},
                                             {static_cast<double>(ups[i]), 0});
          const float rounded = rounded_to(y_dtype, static_cast<float>(want.value));
          if (want.bound == 0 ? got[i] == rounded : used_fraction(got[i], want, y_dtype) <= 1) {
            continue;
          }
          FAIL("parts " << parts << ": y[" << i / n << ", " << i % n << "] is " << got[i]
                        << ", not " << want.value << " +- " << want.bound);
        }
        if (parts == 1) first = got;
        REQUIRE(first_difference(got, first) == first.size());
      }
    }
  });
}

TEST_CASE("a gated product of more columns than sums of gate are kept of at once", "[gated]") {
  Rng rng = suite_rng();
  for_each_target([&](const char* target) {
    const size_t n = 40 * tile_of(DType::f32, target, Accuracy::fast).nr + 3, k = 5;
    const size_t m = 60;  // whole panels, so that what lies behind their sums is another's
    const Matrix w_gate = random_weights(DType::f32, n, k, rng),
                 w_up = random_weights(DType::f32, n, k, rng);
    const Matrix x = random_x(DType::f32, m, k, rng);
    const auto plan_of = [&](const Matrix& w) {
      return *Matmul::plan({w.bytes.data(), n, k, w.row_bytes, DType::f32}, DType::f32,
                           {Accuracy::fast, target, {}});
    };
    const GatedMatmul plan = *GatedMatmul::plan(plan_of(w_gate), plan_of(w_up));
    std::vector<std::byte> packed_x(plan.packed_x_bytes(m));
    REQUIRE(plan.pack(x.view(), packed_x).ok());
    std::vector<float> whole;
    for (const size_t parts : {1, 50}) {  // small parts take all of their columns at once
      const GuardedBuffer worker(plan.worker_bytes(m), {true, 0});
      const GuardedY y(DType::f32, m, n, 8, {true, 0});
      for (size_t i = 0; i < parts; ++i) {
        REQUIRE(plan.run(packed_x, y.view(), worker.bytes(), {}, {i, parts}).ok());
      }
      CHECK(worker.slack_untouched());
      if (parts == 1) whole = y.values();
      INFO("target " << target << ", parts " << parts);
      REQUIRE(first_difference(y.values(), whole) == whole.size());
    }
  });
}

TEST_CASE("what gated products refuse", "[gated]") {
  const std::vector<float> w(5 * 8, 1.0f), x(3 * 8, 1.0f);
  std::vector<float> y(3 * 5);
  const Matmul five = *Matmul::plan(rows_of(w, 5, 8), DType::f32);
  const Matmul four = *Matmul::plan(rows_of(w, 4, 8), DType::f32);
  const Matmul deep = *Matmul::plan(rows_of(w, 5, 4), DType::f32);
  CHECK(GatedMatmul::plan(five, four).status().message().c_str() ==
        std::string("up.n = 4, but gate.n = 5"));
  CHECK(GatedMatmul::plan(five, deep).status().message().c_str() ==
        std::string("up.k = 4, but gate.k = 8"));
  CHECK(GatedMatmul::plan(five, Matmul()).status().code == StatusCode::wrong_plan);
  CHECK(GatedMatmul::plan(Matmul(), five).status().code == StatusCode::wrong_plan);
  const Matmul shape = *Matmul::plan(MatShape{5, 8, DType::f32}, DType::f32);
  CHECK(GatedMatmul::plan(five, shape).status().code == StatusCode::wrong_plan);

  const GatedMatmul plan = *GatedMatmul::plan(five, five);
  std::vector<std::byte> packed_x(plan.packed_x_bytes(3)), worker(plan.worker_bytes(3));
  REQUIRE(plan.pack(rows_of(x, 3, 8), packed_x).ok());
  GatedEpilogue e;
  e.gating.activation = Activation::relu;
  REQUIRE(plan.run(packed_x, rows_of(y, 3, 5), worker, e).ok());
  CHECK(y == std::vector<float>(15, 64.0f));
  e.gating.activation = static_cast<Activation>(9);
  CHECK(plan.run(packed_x, rows_of(y, 3, 5), worker, e).code == StatusCode::unknown_choice);
  CHECK(plan.run(packed_x, rows_of(y, 3, 4), worker).code == StatusCode::shape_mismatch);
  CHECK(plan.run(packed_x, rows_of(y, 3, 5), std::span(worker).first(64)).code ==
        StatusCode::buffer_too_small);
  CHECK(plan.run(std::span(packed_x).first(32), rows_of(y, 3, 5), worker).code ==
        StatusCode::buffer_too_small);
  CHECK(plan.run(packed_x, rows_of(y, 3, 5), worker, {}, {1, 1}).code ==
        StatusCode::part_out_of_range);
  CHECK(GatedMatmul().run(packed_x, rows_of(y, 3, 5), worker).code == StatusCode::wrong_plan);
  CHECK(GatedMatmul().worker_bytes(3) == 0);
  CHECK(plan.parts(16, 8).run <= five.parts(16, 8).run * 2);
}

}  // namespace tessera::test

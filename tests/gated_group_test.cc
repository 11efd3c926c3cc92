// SPDX-License-Identifier: MIT
// Gated grouped products: what two grouped products and the gating between them give.
#include <string>
#include <vector>

#include "support/guarded.h"
#include "support/random_case.h"
#include "support/suite.h"

namespace tessera::test {
namespace {

constexpr size_t kExperts = 3, kChosen = 2;

GroupedMatmul plan_of(const Matrix& w, size_t n, const PlanOptions& options) {
  return *GroupedMatmul::plan(
      {{w.bytes.data(), n, w.cols, w.row_bytes, w.dtype}, kExperts, n * w.row_bytes}, kChosen,
      DType::f32, options);
}

}  // namespace

TESSERA_FORMAT_TEST(gated_groups, "a gated grouped product is that of gate and up", "[gated]") {
  Rng rng = suite_rng();
  for_each_target([&](const char* target) {
    // Of up any format, so that some take x packed in another way.
    const DType up_dtype = one_of(rng, all_formats());
    const PlanOptions options{Accuracy::fast, target, {}};
    // More columns than sums of gate are kept of at once where most rows are gathered.
    const size_t n = 2 * tile_of(w_dtype, target, Accuracy::fast).nr + 131, k = 256;
    const Matrix w_gate = random_weights(w_dtype, kExperts * n, k, rng),
                 w_up = random_weights(up_dtype, kExperts * n, k, rng);
    std::vector<float> gate_bias(kExperts * n), up_bias(kExperts * n);
    for (auto* list : {&gate_bias, &up_bias}) {
      for (float& b : *list) b = rng.uniform(-1, 1);
    }
    const GroupedMatmul gate = plan_of(w_gate, n, options), up = plan_of(w_up, n, options);
    const GatedGroupedMatmul plan = *GatedGroupedMatmul::plan(gate, up);
    for (const size_t tokens : {size_t{1}, size_t{9}, size_t{160}}) {
      const Matrix x = random_x(DType::f32, tokens, k, rng);
      // Most rows go to expert 1: of 160 tokens 256, all that are gathered at once and once more.
      std::vector<RowPair> pairs[kExperts];
      std::vector<float> factors[kExperts];
      for (size_t t = 0; t < tokens * kChosen; ++t) {
        const size_t e = t % 5 < 4 ? 1 : t / 5 % 2 * 2;
        pairs[e].push_back({t / kChosen, tokens * kChosen - 1 - t});
        factors[e].push_back(rng.uniform(-1, 1));
      }
      std::vector<ExpertRows> plain, scaled;
      std::vector<float> factor_of(tokens * kChosen);
      for (size_t e = 0; e < kExperts; ++e) {
        plain.push_back({e, pairs[e]});
        scaled.push_back({e, pairs[e], factors[e].data()});
        for (size_t i = 0; i < pairs[e].size(); ++i) factor_of[pairs[e][i].y] = factors[e][i];
      }
      const auto product = [&](const GroupedMatmul& of, const std::vector<float>& bias) {
        std::vector<std::byte> packed_x(of.packed_x_bytes(tokens)), worker(of.worker_bytes(tokens));
        std::vector<float> y(tokens * kChosen * n);
        GroupEpilogue e;
        e.bias = bias.data();
        e.bias_stride = n;
        REQUIRE(of.pack(x.view(), packed_x).ok());
        REQUIRE(of.run(packed_x, tokens, plain, {y.data(), tokens * kChosen, n, n * 4, DType::f32},
                       worker, e)
                    .ok());
        return y;
      };
      const std::vector<float> gates = product(gate, gate_bias), ups = product(up, up_bias);
      GatedGroupEpilogue epilogue{{gate_bias.data(), up_bias.data(), {}}, n};
      if (rng.below(2) == 0) epilogue.gating = {Activation::silu, 1.702f, 1.0f, true, 0.5f};
      const GuardedBuffer packed_x(plan.packed_x_bytes(tokens), {true, 0});
      for (size_t i = 0; i < 3; ++i) REQUIRE(plan.pack(x.view(), packed_x.bytes(), {i, 3}).ok());
      std::vector<float> first;
      for (const size_t parts : {1, 3, 50}) {
        const GuardedBuffer worker(plan.worker_bytes(tokens), {true, 0});
        const GuardedY y(DType::f32, tokens * kChosen, n, 8, {true, 0});
        for (size_t i = parts; i-- > 0;) {
          REQUIRE(plan.run(packed_x.bytes(), tokens, scaled, y.view(), worker.bytes(), epilogue,
                           {i, parts})
                      .ok());
        }
        CHECK(y.padding_untouched());
        CHECK(worker.slack_untouched());
        const std::vector<float> got = y.values();
        for (size_t i = 0; i < got.size(); ++i) {
          Bounded want = bounded_gated(epilogue.gating, {static_cast<double>(gates[i]), 0},
                                       {static_cast<double>(ups[i]), 0});
          const auto factor = static_cast<double>(factor_of[i / n]);
          want = {factor * want.value,
                  std::fabs(factor) * want.bound + gamma(2) * std::fabs(factor * want.value)};
          if (used_fraction(got[i], want, DType::f32) <= 1) continue;
          FAIL(target << ", up " << dtype_name(up_dtype) << ", tokens " << tokens << ", parts "
                      << parts << ": y[" << i / n << ", " << i % n << "] is " << got[i] << ", not "
                      << want.value << " +- " << want.bound);
        }
        if (parts == 1) first = got;
        REQUIRE(first_difference(got, first) == first.size());
      }
    }
  });
}

TEST_CASE("what gated grouped products refuse", "[gated]") {
  const std::vector<float> w(2 * 5 * 8, 1.0f), x(3 * 8, 1.0f);
  std::vector<float> y(4 * 5);
  const auto plan_of = [&](size_t n, size_t k, size_t count, size_t chosen) {
    return *GroupedMatmul::plan({{w.data(), n, k, k * 4, DType::f32}, count, n * k * 4}, chosen,
                                DType::f32);
  };
  const GroupedMatmul five = plan_of(5, 8, 2, 1);
  const auto refused = [&](const GroupedMatmul& up) {
    return std::string(GatedGroupedMatmul::plan(five, up).status().message().c_str());
  };
  CHECK(refused(plan_of(4, 8, 2, 1)) == "up.n = 4, but gate.n = 5");
  CHECK(refused(plan_of(5, 4, 2, 1)) == "up.k = 4, but gate.k = 8");
  CHECK(refused(plan_of(5, 8, 1, 1)) == "up's experts = 1, but gate's experts = 2");
  CHECK(refused(plan_of(5, 8, 2, 2)) == "up's chosen = 2, but gate's chosen = 1");
  CHECK(GatedGroupedMatmul::plan(five, GroupedMatmul()).status().code == StatusCode::wrong_plan);
  CHECK(GatedGroupedMatmul::plan(GroupedMatmul(), five).status().code == StatusCode::wrong_plan);

  const GatedGroupedMatmul plan = *GatedGroupedMatmul::plan(five, five);
  std::vector<std::byte> packed_x(plan.packed_x_bytes(3)), worker(plan.worker_bytes(3));
  const MutMatView y_view{y.data(), 4, 5, 20, DType::f32};
  REQUIRE(plan.pack(rows_of(x, 3, 8), packed_x).ok());
  const RowPair pair{2, 3}, no_x{3, 0};
  GatedGroupEpilogue e;
  e.gating.activation = Activation::relu;
  const auto run = [&](ExpertRows group, size_t tokens = 3, Part part = {}) {
    return plan.run(packed_x, tokens, {&group, 1}, y_view, worker, e, part);
  };
  CHECK(run({1, {&pair, 1}}).ok());
  CHECK(y[15] == 64.0f);
  CHECK(run({2, {&pair, 1}}).code == StatusCode::group_out_of_range);
  CHECK(run({1, {&no_x, 1}}).code == StatusCode::group_out_of_range);
  CHECK(run({1, {&pair, 1}}, 4).code == StatusCode::buffer_too_small);
  CHECK(run({1, {&pair, 1}}, ~size_t{0}).code == StatusCode::size_overflow);
  CHECK(run({1, {&pair, 1}}, 3, {1, 1}).code == StatusCode::part_out_of_range);
  CHECK(plan.run(packed_x, 3, {}, y_view, std::span(worker).first(64), e).code ==
        StatusCode::buffer_too_small);
  CHECK(plan.run(packed_x, 3, {}, {y.data(), 4, 4, 20, DType::f32}, worker, e).code ==
        StatusCode::shape_mismatch);
  e.gating.activation = static_cast<Activation>(9);
  CHECK(run({1, {&pair, 1}}).code == StatusCode::unknown_choice);
  CHECK(GatedGroupedMatmul().run(packed_x, 3, {}, y_view, worker).code == StatusCode::wrong_plan);
  CHECK(GatedGroupedMatmul().pack(rows_of(x, 3, 8), packed_x).code == StatusCode::wrong_plan);
  CHECK(GatedGroupedMatmul().packed_x_bytes(3) == 0);
  CHECK(plan.worker_bytes(~size_t{0}) == 0);
}

}  // namespace tessera::test

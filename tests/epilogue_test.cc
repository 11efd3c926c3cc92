// SPDX-License-Identifier: MIT
// core/epilogue.h: scale, bias, beta and activations, on every target and path. Exactly where the
// numbers are small integers and powers of two; the activations against their formulas in double.
#include <limits>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

// m 1 takes matvec where weights are in place, m 17 tiles; n holds whole tiles and a part of one.
constexpr size_t kBatches[] = {1, 17};
constexpr size_t kCols = 71;

TESSERA_FORMAT_TEST(exact_epilogue, "scale and bias and beta and relu", "[epilogue]") {
  Rng rng = suite_rng();
  const size_t k = whole_blocks(w_dtype, 39);
  const Matrix w = exact_weights(w_dtype, kCols, k, rng), x = exact_x(DType::f32, 17, k, rng);
  const Expected product = reference_product(x, w, PackedX::f32);
  std::vector<float> bias(kCols), old_y(17 * kCols);
  for (float& b : bias) b = static_cast<float>(rng.between(-4000, 4000));
  for (float& y : old_y) y = static_cast<float>(rng.between(-127, 127)) * 16.0f;  // exact as bf16
  for_each_kernel(w_dtype, [&](Setup setup, const Tile&) {
    for (const DType y_dtype : kYTypes) {
      setup.y = y_dtype;
      setup.blocking = rng.below(2) == 0 ? Blocking{} : Blocking{5, 1};
      const Product p(w, kCols, setup);
      for (int choice = 0; choice < 16; ++choice) {
        Epilogue epilogue;
        if (choice & 1) epilogue.scale = -0.5f;
        if (choice & 2) epilogue.bias = bias.data();
        if (choice & 4) epilogue.beta = 2.0f;
        if (choice & 8) epilogue.activation = Activation::relu;
        Expected e = product;
        for (size_t i = 0; i < e.value.size(); ++i) {
          double& v = e.value[i];
          v *= static_cast<double>(epilogue.scale);
          if (epilogue.bias != nullptr) v += static_cast<double>(bias[i % kCols]);
          v += static_cast<double>(epilogue.beta) * static_cast<double>(old_y[i]);
          v = activate(epilogue.activation, v);
        }
        for (const size_t m : kBatches) {
          INFO("scale " << epilogue.scale << ", beta " << epilogue.beta << ", bias "
                        << (epilogue.bias != nullptr) << ", relu " << (choice >= 8));
          // With beta 0 the old y is NaN: reading it would show.
          check_exact(p, m, p.run(x, m, epilogue, {1, 1}, epilogue.beta == 0 ? nullptr : &old_y),
                      e);
          if (choice == 15) check_exact(p, m, p.run(x, m, epilogue, {1, 5}, &old_y), e);
        }
      }
    }
  });
}

TESSERA_FORMAT_TEST(rounded_epilogue, "all of the epilogue within the derived bound",
                    "[epilogue]") {
  Rng rng = suite_rng();
  const size_t k = whole_blocks(w_dtype, 131);
  const Matrix w = random_weights(w_dtype, kCols, k, rng), x = random_x(DType::f32, 17, k, rng);
  std::vector<float> bias(kCols), old_y(17 * kCols);
  for (float& b : bias) b = rng.uniform(-3, 3);
  for (float& y : old_y) y = to_float(to_bf16(rng.uniform(-3, 3)));
  for_each_kernel(w_dtype, [&](Setup setup, const Tile&) {
    for (const DType y_dtype : kYTypes) {
      setup.y = y_dtype;
      const Product p(w, kCols, setup);
      const Expected e = reference_product(x, w, packed_x_of(p.plan().explain(17).x));
      for (const Activation a : kActivations) {
        const Epilogue epilogue{0.037f, -1.3f, bias.data(), a};
        for (const size_t m : kBatches) {
          check_bounded(p, m, p.run(x, m, epilogue, {1, 1}, &old_y), e, epilogue, &old_y);
        }
      }
    }
  });
}

// A product of depth 0 is 0, so y = activation(bias): the activation alone, over all magnitudes.
TEST_CASE("activations over all of f32", "[epilogue]") {
  Rng rng = suite_rng();
  std::vector<float> inputs;
  for (int i = -120 * 16; i <= 120 * 16; ++i) {
    inputs.push_back((static_cast<float>(i) + rng.uniform(0, 1)) * 0.0625f);
  }
  for (int e = -149; e <= 127; ++e) {
    for (const float sign : {1.0f, -1.0f}) {
      inputs.push_back(sign * std::ldexp(1.0f, e));
      inputs.push_back(sign * std::ldexp(rng.uniform(1, 2), e));
    }
  }
  for (const float v :
       {0.0f, -0.0f, std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest()}) {
    inputs.push_back(v);
  }
  const Matrix no_depth = empty_matrix(DType::f32, inputs.size(), 0);
  const Matrix x = empty_matrix(DType::f32, 1, 0);
  const Expected zeros = {1,
                          inputs.size(),
                          0,
                          PackedX::f32,
                          std::vector<double>(inputs.size()),
                          std::vector<double>(inputs.size())};
  for_each_target([&](const char* target) {
    Setup setup;
    setup.target = target;
    const Product p(no_depth, inputs.size(), setup);
    for (const Activation a : kActivations) {
      INFO("activation " << static_cast<int>(a));
      const Epilogue epilogue{1.0f, 0.0f, inputs.data(), a};
      check_bounded(p, 1, p.run(x, 1, epilogue), zeros, epilogue);
    }
  });
}

TEST_CASE("activations of NaN and infinity", "[epilogue]") {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> inputs(40, 1.0f);
  inputs[0] = inputs[17] = inputs[39] = std::numeric_limits<float>::quiet_NaN();
  inputs[1] = inputs[38] = inf;
  inputs[2] = inputs[37] = -inf;
  const Matrix no_depth = empty_matrix(DType::f32, inputs.size(), 0);
  const Matrix x = empty_matrix(DType::f32, 1, 0);
  for_each_target([&](const char* target) {
    for (const DType y_dtype : kYTypes) {
      for (const Activation a : kActivations) {
        Setup setup;
        setup.target = target;
        setup.y = y_dtype;
        const Product p(no_depth, inputs.size(), setup);
        const Output out = p.run(x, 1, {1.0f, 0.0f, inputs.data(), a});
        check_no_error(p, 1, out);
        INFO("activation " << static_cast<int>(a) << ", " << rerun(p, 1));
        for (size_t i = 0; i < inputs.size(); ++i) {
          INFO("element " << i << ", " << inputs[i] << " -> " << out.y[i]);
          if (std::isnan(inputs[i])) {
            CHECK(std::isnan(out.y[i]));
          } else if (inputs[i] == inf) {
            CHECK(out.y[i] == inf);
          } else if (inputs[i] == -inf) {  // silu and gelu say inf / inf; their limit is 0
            if (a == Activation::none) CHECK(out.y[i] == -inf);
            if (a == Activation::relu) CHECK(out.y[i] == 0.0f);
          } else {
            CHECK(std::isfinite(out.y[i]));
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace tessera::test

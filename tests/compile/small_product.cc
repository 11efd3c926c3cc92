// SPDX-License-Identifier: MIT
// A small product of every kind on every target that this CPU runs: what tests/compile/hosts.py
// runs after it compiled the bodies as some host would. tests/plain_test.cc is the long form.
#include <bit>
#include <cstdio>

#include "support/product.h"
#include "support/random.h"
#include "support/reference.h"
#include "support/targets.h"
#include "tessera/tessera.h"

namespace tessera::test {
namespace {

size_t products = 0, failures = 0;

void check(bool ok, const std::string& what) {
  ++products;
  if (ok) return;
  ++failures;
  std::printf("FAILED: %s\n", what.c_str());
}

bool is_exact(const Output& out, const Expected& e, size_t n) {
  if (!out.error.empty()) return false;
  for (size_t i = 0; i < out.y.size(); ++i) {
    if (!(out.y[i] == static_cast<float>(e.value[i / n * e.n + i % n]))) return false;
  }
  return true;
}

void exact_products(DType w_dtype) {
  constexpr size_t kN = 35;
  const size_t k = whole_blocks(w_dtype, 64);
  Rng rng(1);
  const Matrix w = exact_weights(w_dtype, kN, k, rng), x = exact_x(DType::f32, 20, k, rng);
  const Expected e = reference_product(x, w, PackedX::f32);
  for_each_target([&](const char* target) {
    for (const Accuracy accuracy : kAccuracies) {
      for (const bool packed : {false, true}) {
        const Product p(w, kN, {w_dtype, DType::f32, DType::f32, accuracy, packed, target, {}});
        for (const size_t m : {1, 5, 20}) {
          const Output out = p.run(x, m);
          check(is_exact(out, e, kN), p.describe(m) + " " + out.error);
        }
      }
    }
  });
}

// Zero, the least subnormal, NaN, one.
void special_halves() {
  for_each_target([](const char* target) {
    const f16_t w[] = {{0}, {0x0001}, {0x7E00}, {0x3C00}};
    const float x[] = {1.0f};
    float y[4] = {};
    PlanOptions options;
    options.target = target;
    const Status s =
        matmul(rows_of(y, 1, 4), rows_of(x, 1, 1), rows_of(w, 4, 1), {}, serial(), options);
    const bool nan = (std::bit_cast<uint32_t>(y[2]) & 0x7FFFFFFFu) > 0x7F800000u;
    check(s.ok() && y[0] == 0.0f && y[1] == 0x1p-24f && nan && y[3] == 1.0f,
          std::string("special f16, target ") + target + ": " + s.message().c_str());
  });
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for_each_format([](tessera::DType w) { exact_products(w); });
  special_halves();
  std::printf("%zu products, %zu failed\n", products, failures);
  return failures == 0 && products != 0 ? 0 : 1;
}

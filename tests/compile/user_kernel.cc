// SPDX-License-Identifier: MIT
// The third door: a user's own Highway file takes one kernel, here the dot product of a row of f16
// weights, and inlines it into code of its own for each target. It needs no bodies from impl.h.
#include <cstdio>
#include <vector>

#include "tessera/simd/targets.h"  // says what Highway builds, so it is first

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compile/user_kernel.cc"
#include "hwy/foreach_target.h"
// foreach_target.h first.
#include "tessera/simd/matvec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace user::HWY_NAMESPACE {

// Cosine's numerator and one half of its denominator: w x and w w, for x padded with zeros.
void products(const tessera::f16_t* w, const std::vector<float>& x, size_t k, float* out) {
  namespace kernels = tessera::HWY_NAMESPACE;
  const auto* bytes = reinterpret_cast<const std::byte*>(w);
  tessera::DotArgs args;
  args.w = bytes;
  args.x = reinterpret_cast<const std::byte*>(x.data());
  args.k = args.end = k;
  args.out = out;
  kernels::FloatDot<kernels::FmaStep<tessera::F16>>::run<1, 1>(args);
  auto squares = kernels::hn::Zero(kernels::DF());
  for (size_t i = 0; i < k; i += kernels::kLanes) {
    const auto v = kernels::load_row_values<tessera::F16>(bytes, i, k);
    squares = kernels::hn::MulAdd(v, v, squares);
  }
  out[1] = kernels::hn::ReduceSum(kernels::DF(), squares);
}

}  // namespace user::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace user {

HWY_EXPORT(products);

int run() {
  const size_t k = 77;
  std::vector<tessera::f16_t> w(k);
  std::vector<float> x(128, 0.0f);
  float product = 0.0f, square = 0.0f;  // integers: exact in any order
  for (size_t i = 0; i < k; ++i) {
    const float value = static_cast<float>(i % 17) - 8.0f;
    w[i] = tessera::to_f16(value);
    x[i] = static_cast<float>(i % 5);
    product += value * x[i];
    square += value * value;
  }
  float out[2] = {};
  HWY_DYNAMIC_DISPATCH(products)(w.data(), x, k, out);
  if (out[0] == product && out[1] == square) return 0;
  std::printf("got %f and %f, want %f and %f\n", static_cast<double>(out[0]),
              static_cast<double>(out[1]), static_cast<double>(product),
              static_cast<double>(square));
  return 1;
}

}  // namespace user

int main() { return user::run(); }
#endif  // HWY_ONCE

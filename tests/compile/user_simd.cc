// SPDX-License-Identifier: MIT
// A user's file with SIMD code of its own: it runs foreach_target.h for its own kernel and calls
// the library, whose header comes first here and could as well come last.
#include <cstdio>
#include <vector>

#include "tessera/tessera.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compile/user_simd.cc"
#include "hwy/foreach_target.h"
// foreach_target.h first.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace user::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float sum(const float* values, size_t count) {
  const hn::ScalableTag<float> d;
  auto total = hn::Zero(d);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d))
    total = hn::Add(total, hn::LoadU(d, values + i));
  float rest = hn::ReduceSum(d, total);
  for (; i < count; ++i) rest += values[i];
  return rest;
}

}  // namespace user::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace user {

HWY_EXPORT(sum);

// Integers: the sum of a row is its product with a vector of ones, exactly.
int run() {
  const size_t n = 37, k = 70;
  std::vector<float> w(n * k), ones(k, 1.0f), y(n);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 13) - 6.0f;
  const tessera::Status s = tessera::matmul(tessera::rows_of(y, 1, n), tessera::rows_of(ones, 1, k),
                                            tessera::rows_of(w, n, k));
  if (!s.ok()) {
    std::printf("%s\n", s.message().c_str());
    return 1;
  }
  int failures = 0;
  for (size_t row = 0; row < n; ++row) {
    const float own = HWY_DYNAMIC_DISPATCH(sum)(w.data() + row * k, k);
    if (!(own == y[row])) {
      ++failures;
      std::printf("row %zu: %f, but the library says %f\n", row, static_cast<double>(own),
                  static_cast<double>(y[row]));
    }
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace user

int main() { return user::run(); }
#endif  // HWY_ONCE

// SPDX-License-Identifier: MIT
// Products of a few steps of k, where storing y takes longest: row by row, W from L1 for each. A
// sum has the bits of the tiles of strided-inl.h.
#if defined(TESSERA_SIMD_FLAT_INL_H_) == (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_FLAT_INL_H_
#undef TESSERA_SIMD_FLAT_INL_H_
#else
#define TESSERA_SIMD_FLAT_INL_H_
#endif

#include "tessera/plan/kernel.h"
#include "tessera/simd/first_lanes-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// y[m, n] = alpha * x[m, K] * W[K, n] + beta * y.
template <size_t K>
void flat_rows(const StridedArgs& a) {
  const DF df;
  const VF alpha = hn::Set(df, a.alpha), beta = hn::Set(df, a.beta);
  const bool reads = a.beta != 0.0f;
  constexpr size_t kBytes = kLanes * sizeof(float);
  const size_t whole = a.n / kLanes, rest = a.n % kLanes;
  const FirstLanes<> part(rest);
  const std::byte* w[K];
  TESSERA_UNROLL
  for (size_t i = 0; i < K; ++i) w[i] = a.w + i * a.w_step;
  for (size_t row = 0; row < a.m; ++row) {
    VF x[K];
    TESSERA_UNROLL
    for (size_t i = 0; i < K; ++i) {
      float value;
      std::memcpy(&value, a.x + row * a.x_row + i * a.x_step, sizeof(value));
      x[i] = hn::Set(df, value);
    }
    const auto finished = [&](size_t at, const auto& load, const std::byte* y) TESSERA_ATTR {
      VF v = hn::Zero(df);
      TESSERA_UNROLL
      for (size_t i = 0; i < K; ++i) v = hn::MulAdd(load(w[i] + at), x[i], v);
      v = hn::Mul(v, alpha);
      return reads ? hn::MulAdd(load(y + at), beta, v) : v;
    };
    const auto load_all = [](const std::byte* p) TESSERA_ATTR { return load_bytes(DF(), p); };
    std::byte* const y = a.y + row * a.y_row;
    constexpr size_t kAtOnce = 4;
    size_t r = 0;
    for (; r + kAtOnce <= whole; r += kAtOnce) {
      TESSERA_UNROLL
      for (size_t i = 0; i < kAtOnce; ++i) {
        const size_t at = (r + i) * kBytes;
        store_bytes(finished(at, load_all, y), df, y + at);
      }
    }
    for (; r < whole; ++r) store_bytes(finished(r * kBytes, load_all, y), df, y + r * kBytes);
    if (rest == 0) continue;
    const auto load_part = [&part](const std::byte* p) TESSERA_ATTR { return part.load(p); };
    part.store(finished(r * kBytes, load_part, y), y + r * kBytes);
  }
}

// Of at most kMostFlat steps.
inline void flat_product(const StridedArgs& a) {
  constexpr void (*kFlat[])(const StridedArgs&) = {flat_rows<1>, flat_rows<2>, flat_rows<3>,
                                                   flat_rows<4>};
  static_assert(kMostFlat <= std::size(kFlat));
  kFlat[a.k - 1](a);
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_FLAT_INL_H_

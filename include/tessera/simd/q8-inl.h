// SPDX-License-Identifier: MIT
// Values of x -> 8-bit blocks, as ggml's q8_0 but with the scale in f32.
#if defined(TESSERA_SIMD_Q8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_Q8_INL_H_
#undef TESSERA_SIMD_Q8_INL_H_
#else
#define TESSERA_SIMD_Q8_INL_H_
#endif

#include <bit>
#include <cmath>
#include <limits>

#include "tessera/simd/ops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

// Blocks of 32 signed bytes, scale = max|v| / 127 kept in f32, codes rounded as ggml rounds them,
// and their sum.
struct Q8Block {
  float scale;
  int32_t sum;
  alignas(64) int8_t codes[32];
};

inline void quantize_block(const float* values, Q8Block& block) {
  const DF df;
  const DI di;
  const hn::Rebind<int8_t, DF> di8;
  VI max_bits = hn::Zero(di);  // of magnitudes; as integers NaN > infinity > finite
  for (size_t i = 0; i < 32; i += kLanes) {
    max_bits = hn::Max(max_bits, hn::BitCast(di, hn::Abs(hn::LoadU(df, values + i))));
  }
  const float max = std::bit_cast<float>(hn::ReduceMax(di, max_bits));
  block.scale = max / 127.0f;
  float inverse = block.scale != 0.0f ? 1.0f / block.scale : 0.0f;
  if (!std::isfinite(inverse)) inverse = 0.0f;  // of a scale that is tiny, or NaN
  if (!std::isfinite(max)) {
    block.scale = std::numeric_limits<float>::quiet_NaN();  // poisons the row, and nothing else
    inverse = 0.0f;
  }
  VI sums = hn::Zero(di);
  for (size_t i = 0; i < 32; i += kLanes) {
    VF v = round_half_away(df, hn::Mul(hn::LoadU(df, values + i), hn::Set(df, inverse)));
    v = hn::IfThenElseZero(hn::Le(hn::Abs(v), hn::Set(df, 127.0f)), v);  // NaN * 0 is NaN
    const VI code = hn::ConvertTo(di, v);
    sums = hn::Add(sums, code);
    hn::StoreU(hn::DemoteTo(di8, code), di8, block.codes + i);
  }
  block.sum = hn::ReduceSum(di, sums);
}

}  // namespace tessera::inline v0_1::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_Q8_INL_H_

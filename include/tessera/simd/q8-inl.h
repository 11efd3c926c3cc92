// SPDX-License-Identifier: MIT
// Values of x -> 8-bit blocks, as ggml's q8_0 but with the scale in f32.
#if defined(TESSERA_SIMD_Q8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_Q8_INL_H_
#undef TESSERA_SIMD_Q8_INL_H_
#else
#define TESSERA_SIMD_Q8_INL_H_
#endif

#include <bit>
#include <limits>

#include "tessera/simd/ops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

// Blocks of 32 signed bytes, scale = max|v| / 127 kept in f32, codes rounded as ggml rounds them,
// and their sum.
struct Q8Blocks {
  static constexpr size_t kMax = 16;
  alignas(64) float scale[kMax];
  alignas(64) int32_t sum[kMax];
  alignas(64) int8_t codes[kMax][32];
};

// Up to kMax blocks, step by step for all: one block after another waits for its maximum, two
// divisions and its codes (Zen 4, a row of 4096 values packed: 3.2 -> 1.7 us).
inline void quantize_blocks(const float* HWY_RESTRICT values, size_t count, Q8Blocks& out) {
  const DF df;
  const DI di;
  const hn::Rebind<int8_t, DF> di8;
  alignas(64) float max[Q8Blocks::kMax] = {};
  alignas(64) float inverse[Q8Blocks::kMax];
  for (size_t b = 0; b < count; ++b) {
    VI bits = hn::Zero(di);  // of magnitudes; as integers NaN > infinity > finite
    TESSERA_UNROLL
    for (size_t i = 0; i < 32; i += kLanes) {
      bits = hn::Max(bits, hn::BitCast(di, hn::Abs(hn::LoadU(df, values + b * 32 + i))));
    }
    max[b] = std::bit_cast<float>(hn::ReduceMax(di, bits));
  }
  for (size_t b = 0; b < Q8Blocks::kMax; b += kLanes) {
    const VF most = hn::Load(df, max + b);
    const VF scale = hn::Div(most, hn::Set(df, 127.0f));
    const VF one_by = hn::Div(hn::Set(df, 1.0f), scale);
    // Infinite of a scale that is 0 or tiny; NaN.
    hn::Store(hn::IfThenElseZero(hn::IsFinite(one_by), one_by), df, inverse + b);
    const VF nan = hn::Set(df, std::numeric_limits<float>::quiet_NaN());
    // NaN and infinity poison the row, and nothing else.
    hn::Store(hn::IfThenElse(hn::IsFinite(most), scale, nan), df, out.scale + b);
  }
  // To the nearest, halves away from zero: what is added is the float below 0.5, so that only a
  // half or more reaches the next integer before the conversion truncates.
  const VF half = hn::Set(df, 0x1.fffffep-2f);
  for (size_t b = 0; b < count; ++b) {
    const VF factor = hn::Set(df, inverse[b]);
    VI sums = hn::Zero(di);
    TESSERA_UNROLL
    for (size_t i = 0; i < 32; i += kLanes) {
      const VF v = hn::Mul(hn::LoadU(df, values + b * 32 + i), factor);
      const VF away = hn::Add(v, hn::CopySign(half, v));
      const auto in_range = hn::Lt(hn::Abs(v), hn::Set(df, 127.5f));  // not of NaN, infinity * 0
      const VI code = hn::ConvertInRangeTo(di, hn::IfThenElseZero(in_range, away));
      sums = hn::Add(sums, code);
      hn::StoreU(hn::DemoteTo(di8, code), di8, out.codes[b] + i);
    }
    out.sum[b] = hn::ReduceSum(di, sums);
  }
}

}  // namespace tessera::inline v0_1::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_Q8_INL_H_

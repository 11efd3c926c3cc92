// SPDX-License-Identifier: MIT
// Values of x -> 8-bit blocks, as ggml's q8_0 but with the scale in f32.
#if defined(TESSERA_SIMD_Q8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_Q8_INL_H_
#undef TESSERA_SIMD_Q8_INL_H_
#else
#define TESSERA_SIMD_Q8_INL_H_
#endif

#include <algorithm>
#include <limits>

#include "tessera/simd/ops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

// Blocks of 32 signed bytes, scale = max|v| / 127 kept in f32 (if coarse, the next power of two),
// codes rounded as ggml rounds them, and their sum.
struct Q8Blocks {
  static constexpr size_t kMax = 16;
  alignas(64) float scale[kMax];
  alignas(64) int32_t sum[kMax];
  alignas(64) int8_t codes[kMax][32];
};

// The least normal power of two that is not below v; anything if v is not finite.
HWY_INLINE VF power_of_two_from(VF v) {
  const DI di;
  const VI up = hn::Add(hn::BitCast(di, v), hn::Set(di, 0x007FFFFF));
  const VI power = hn::AndNot(hn::Set(di, 0x007FFFFF), up);
  return hn::BitCast(DF(), hn::Max(power, hn::Set(di, 0x00800000)));
}

// Up to kMax blocks, step by step for all: one block after another waits for its maximum, two
// divisions and its codes (Zen 4, a row of 4096 values packed: 3.2 -> 1.7 us).
template <bool kCoarse>
void quantize_blocks(const float* HWY_RESTRICT values, size_t count, Q8Blocks& out) {
  const DF df;
  const DI di;
  alignas(64) int32_t max[Q8Blocks::kMax] = {};
  alignas(64) float inverse[Q8Blocks::kMax];
  const auto max_of = [](auto x, auto y) HWY_ATTR { return hn::Max(x, y); };
  for (size_t b = 0; b < count; b += 4) {
    VI bits[4];  // of magnitudes; as integers NaN > infinity > finite
    TESSERA_UNROLL
    for (size_t j = 0; j < 4; ++j) {
      const float* block = values + std::min(b + j, count - 1) * 32;
      bits[j] = hn::Zero(di);
      TESSERA_UNROLL
      for (size_t i = 0; i < 32; i += kLanes) {
        bits[j] = hn::Max(bits[j], hn::BitCast(di, hn::Abs(hn::LoadU(df, block + i))));
      }
    }
    store_reduced(di, bits, max_of, max + b);
  }
  for (size_t b = 0; b < Q8Blocks::kMax; b += kLanes) {
    const VF most = hn::BitCast(df, hn::Load(di, max + b));
    VF scale = hn::Div(most, hn::Set(df, 127.0f));
    if constexpr (kCoarse) scale = power_of_two_from(scale);
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
  const auto code_of = [=](const float* value, VF factor) HWY_ATTR {
    const VF v = hn::Mul(hn::LoadU(df, value), factor);
    const VF away = hn::Add(v, hn::CopySign(half, v));
    const auto in_range = hn::Lt(hn::Abs(v), hn::Set(df, 127.5f));  // not of NaN, infinity * 0
    return hn::ConvertInRangeTo(di, hn::IfThenElseZero(in_range, away));
  };
  for (size_t b = 0; b < count; b += 4) {
    VI sums[4];
    for (size_t j = 0; j < 4; ++j) {
      const size_t block = std::min(b + j, count - 1);
      const VF factor = hn::Set(df, inverse[block]);
      const float* from = values + block * 32;
      sums[j] = hn::Zero(di);
#if HWY_TARGET == HWY_SCALAR
      for (size_t i = 0; i < 32; ++i) {
        const VI code = code_of(from + i, factor);
        sums[j] = hn::Add(sums[j], code);
        out.codes[block][i] = static_cast<int8_t>(hn::GetLane(code));
      }
#else
      const hn::Repartition<int16_t, DI> di16;
      const hn::Rebind<int8_t, decltype(di16)> di8;
      TESSERA_UNROLL
      for (size_t i = 0; i < 32; i += 2 * kLanes) {
        const VI first = code_of(from + i, factor), second = code_of(from + i + kLanes, factor);
        sums[j] = hn::Add(sums[j], hn::Add(first, second));
        const auto both = hn::OrderedDemote2To(di16, first, second);
        hn::StoreU(hn::DemoteTo(di8, both), di8, out.codes[block] + i);
      }
#endif
    }
    store_sums(di, sums, out.sum + b);
  }
}

}  // namespace tessera::inline v0_1::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_Q8_INL_H_

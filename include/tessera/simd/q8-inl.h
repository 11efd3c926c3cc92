// SPDX-License-Identifier: MIT
// Values of x -> 8-bit blocks, as ggml's q8_0 but with the scale in f32.
#if defined(TESSERA_SIMD_Q8_INL_H_) == (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_Q8_INL_H_
#undef TESSERA_SIMD_Q8_INL_H_
#else
#define TESSERA_SIMD_Q8_INL_H_
#endif

#include <algorithm>
#include <limits>

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// Blocks of 32 signed bytes, scale = max|v| / 127 kept in f32 (if coarse, the next power of two),
// codes rounded as ggml rounds them, and their sum.
struct Q8Blocks {
  static constexpr size_t kMax = 16;  // 32 and 64 are no faster: bench/sweeps/quantized_blocks.tsv
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

// To the nearest, halves away from zero: what is added is the float below 0.5, so that only a half
// or more reaches the next integer before the conversion truncates. Where a block is not finite,
// codes of what is not in range are zeros.
template <bool kFinite>
HWY_INLINE VI code_of(const float* value, VF factor) {
  const DF df;
  const VF v = hn::Mul(hn::LoadU(df, value), factor);
  const VF away = hn::Add(v, hn::CopySign(hn::Set(df, 0x1.fffffep-2f), v));
  if constexpr (kFinite) return hn::ConvertInRangeTo(DI(), away);
  const auto in_range = hn::Lt(hn::Abs(v), hn::Set(df, 127.5f));  // not of NaN, infinity * 0
  return hn::ConvertInRangeTo(DI(), hn::IfThenElseZero(in_range, away));
}

// 4 * kLanes codes as bytes, in order.
HWY_INLINE void store_codes(const VI (&codes)[4], int8_t* to) {
#if TESSERA_ONE_LANE
  for (size_t i = 0; i < 4; ++i) to[i] = static_cast<int8_t>(hn::GetLane(codes[i]));
#else
  const DI di;
  const hn::Repartition<int16_t, DI> di16;
  const hn::Repartition<int8_t, DI> di8;
  const auto first = hn::ReorderDemote2To(di16, codes[0], codes[1]);
  const auto second = hn::ReorderDemote2To(di16, codes[2], codes[3]);
  VI bytes = hn::BitCast(di, hn::ReorderDemote2To(di8, first, second));
  if constexpr (kLanes > 4) {  // word j of 16-byte block b holds the b-th four codes of codes[j]
    constexpr size_t kBlocks = kLanes / 4;
    alignas(64) int32_t order[kLanes];
    TESSERA_UNROLL
    for (size_t i = 0; i < kLanes; ++i) {
      order[i] = static_cast<int32_t>(i % kBlocks * 4 + i / kBlocks);
    }
    bytes = hn::TableLookupLanes(bytes, hn::SetTableIndices(di, order));
  }
  hn::StoreU(hn::BitCast(di8, bytes), di8, to);
#endif
}

template <bool kFinite>
void make_codes(const float* HWY_RESTRICT values, size_t count, const float* HWY_RESTRICT inverse,
                Q8Blocks& out) {
  for (size_t b = 0; b < count; b += 4) {
    VI sums[4];
    TESSERA_UNROLL
    for (size_t j = 0; j < 4; ++j) sums[j] = hn::Zero(DI());
    TESSERA_UNROLL
    for (size_t at = 0; at < size_t{4} * 32; at += 4 * kLanes) {
      VI codes[4];
      TESSERA_UNROLL
      for (size_t i = 0; i < 4; ++i) {
        const size_t value = at + i * kLanes, j = value / 32;
        const size_t block = b + j < count ? b + j : count - 1;
        const VF factor = hn::Set(DF(), inverse[block]);
        codes[i] = code_of<kFinite>(values + block * 32 + value % 32, factor);
        sums[j] = hn::Add(sums[j], codes[i]);
      }
      store_codes(codes, &out.codes[b][0] + at);
    }
    store_sums(DI(), sums, out.sum + b);
  }
}

// Up to kMax blocks, step by step for all: one block after another waits for its maximum, two
// divisions and its codes. `out` past `count` is undefined.
template <bool kCoarse>
void quantize_blocks(const float* HWY_RESTRICT values, size_t count, Q8Blocks& out) {
  const DF df;
  const DI di;
  alignas(64) int32_t max[Q8Blocks::kMax] = {};
  alignas(64) float inverse[Q8Blocks::kMax];
  const auto max_of = [](auto x, auto y) TESSERA_ATTR { return hn::Max(x, y); };
  for (size_t b = 0; b < count; b += 4) {
    VI bits[4];  // of magnitudes; as integers NaN > infinity > finite
    TESSERA_UNROLL
    for (size_t j = 0; j < 4; ++j) {
      const float* block = values + (b + j < count ? b + j : count - 1) * 32;
      bits[j] = hn::Zero(di);
      TESSERA_UNROLL
      for (size_t i = 0; i < 32; i += kLanes) {
        bits[j] = hn::Max(bits[j], hn::BitCast(di, hn::Abs(hn::LoadU(df, block + i))));
      }
    }
    store_reduced(di, bits, max_of, max + b);
  }
  bool all_finite = true;
  for (size_t b = 0; b < Q8Blocks::kMax; b += kLanes) {
    const VF most = hn::BitCast(df, hn::Load(di, max + b));
    VF scale = hn::Div(most, hn::Set(df, 127.0f));
    if constexpr (kCoarse) scale = power_of_two_from(scale);
    const VF one_by = hn::Div(hn::Set(df, 1.0f), scale);
    // Infinite of a scale that is 0 or tiny; NaN.
    hn::Store(hn::IfThenElseZero(hn::IsFinite(one_by), one_by), df, inverse + b);
    const VF nan = hn::Set(df, std::numeric_limits<float>::quiet_NaN());
    const auto finite = hn::IsFinite(most);
    // NaN and infinity poison the row, and nothing else.
    hn::Store(hn::IfThenElse(finite, scale, nan), df, out.scale + b);
    all_finite = all_finite && hn::AllTrue(df, finite);
  }
  if (all_finite) {
    make_codes<true>(values, count, inverse, out);
  } else {
    make_codes<false>(values, count, inverse, out);
  }
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_Q8_INL_H_

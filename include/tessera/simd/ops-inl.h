// SPDX-License-Identifier: MIT
// The few vector helpers that Highway lacks, and the vector types that all kernels share.
#if defined(TESSERA_SIMD_OPS_INL_H_) == (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_OPS_INL_H_
#undef TESSERA_SIMD_OPS_INL_H_
#else
#define TESSERA_SIMD_OPS_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tessera/simd/target-inl.h"

// Loops over the arrays of a tile, which must vanish for the tile to live in registers. Under a
// sanitizer they stay: instrumented and unrolled, a compiler needs ten minutes for what follows.
#ifndef TESSERA_UNROLL
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define TESSERA_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(TESSERA_SANITIZED)
#define TESSERA_UNROLL
#elif defined(__clang__)
#define TESSERA_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define TESSERA_UNROLL _Pragma("GCC unroll 32")
#else
#define TESSERA_UNROLL
#endif
#endif

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {
using DF = hn::ScalableTag<float>;
using DU = hn::RebindToUnsigned<DF>;
using DI = hn::RebindToSigned<DF>;
using VF = hn::VFromD<DF>;
using VU = hn::VFromD<DU>;
using VI = hn::VFromD<DI>;

inline constexpr size_t kLanes = hn::MaxLanes(DF());

// How vectors read a format; specialised by its file.
template <class F>
struct SimdOf;

// A vector from or to an address of any alignment: as bytes, since a pointer to a wider type
// promises more.
template <class D>
HWY_INLINE hn::VFromD<D> load_bytes(D d, const void* p) {
#if TESSERA_ONE_LANE
  hn::TFromD<D> value;
  std::memcpy(&value, p, sizeof(value));
  return hn::Set(d, value);
#else
  return hn::BitCast(d, hn::LoadU(hn::Repartition<uint8_t, D>(), static_cast<const uint8_t*>(p)));
#endif
}

// The value that kXCopies copies at x hold, in all lanes.
template <class D>
HWY_INLINE hn::VFromD<D> load_copies(D df, const std::byte* x) {
  if constexpr (kXCopies == 1) {
    float value;
    std::memcpy(&value, x, sizeof(value));
    return hn::Set(df, value);
  } else if constexpr (kXCopies == 2) {
    double pair;  // Clang loads and shuffles an integer: 66 % of the peak
    std::memcpy(&pair, x, sizeof(pair));
    return hn::BitCast(df, hn::Set(hn::Repartition<double, D>(), pair));
  } else {
    static_assert(kXCopies == hn::MaxLanes(D()));
    return load_bytes(df, x);
  }
}

template <class D>
HWY_INLINE void store_bytes(hn::VFromD<D> v, D /*d*/, void* p) {
#if TESSERA_ONE_LANE
  const hn::TFromD<D> value = hn::GetLane(v);
  std::memcpy(p, &value, sizeof(value));
#else
  const hn::Repartition<uint8_t, D> du8;
  hn::StoreU(hn::BitCast(du8, v), du8, static_cast<uint8_t*>(p));
#endif
}

// Asks for kBytes bytes into the L2 cache. They may lie past the end of anything. Not into L1,
// which x needs: what runs far ahead there costs more than it saves.
template <size_t kBytes>
HWY_INLINE void prefetch_to_l2(uintptr_t at) {
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
  TESSERA_UNROLL
  for (size_t i = 0; i < kBytes; i += 64) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a pointer may not lie outside of its object
    __builtin_prefetch(reinterpret_cast<const void*>(at + i), 0, 2);
  }
#else
  (void)at;
#endif
}

// The value of v, which the compiler takes for unknown: it would reorder or merge what makes it,
// and run out of registers.
template <class V>
HWY_INLINE V in_order(V v) {
#if TESSERA_X86_REGISTERS
  asm("" : "+v"(v.raw));
#endif
  return v;
}

// The same of an address, so that what is read there once more is read, and not kept on the stack.
HWY_INLINE const std::byte* read_again(const std::byte* p) {
#if TESSERA_X86_REGISTERS
  asm("" : "+r"(p));
#endif
  return p;
}

// The same as in_order(), and a place that neither a load nor another such value passes: a compiler that loads
// early, as for small cores, would run out of registers.
template <class V>
HWY_INLINE void settle([[maybe_unused]] V& v) {
#if HWY_ARCH_ARM_A64 && HWY_TARGET_IS_NEON && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG)
  asm volatile("" : "+w"(v.raw) : : "memory");
#endif
}

// f16 bits in the low half of each lane -> f32, for targets whose instructions do not: Highway's
// emulation there takes NaN and infinity for numbers. As base/half.h, all values.
template <class D, class V>
HWY_INLINE hn::VFromD<D> widen_f16_bits(D df, V bits) {
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFu));
  const auto shifted = hn::ShiftLeft<13>(magnitude);
  const auto subnormal = hn::BitCast(
      du, hn::Mul(hn::ConvertTo(df, hn::BitCast(di, magnitude)), hn::Set(df, 0x1p-24f)));
  auto value = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x400u)), subnormal,
                              hn::Add(shifted, hn::Set(du, 0x38000000u)));
  value = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7BFFu)),
                         hn::Or(shifted, hn::Set(du, 0x7F800000u)), value);
  return hn::BitCast(df, hn::Or(value, sign));
}

template <class D>
HWY_INLINE hn::VFromD<D> widen_f16(D df, hn::VFromD<hn::Rebind<uint16_t, D>> bits) {
#if TESSERA_F16_CONVERSION
  return hn::PromoteTo(df, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), bits));
#else
  return widen_f16_bits(df, hn::PromoteTo(hn::RebindToUnsigned<D>(), bits));
#endif
}

template <class D>
HWY_INLINE hn::VFromD<D> load_f16(D df, const void* p) {
  return widen_f16(df, load_bytes(hn::Rebind<uint16_t, D>(), p));
}

// 2^(e - 128) of integers e from 0 to 255; that of 0 and of 1 is subnormal.
HWY_INLINE VF power_of_two(VU e) {
  const DU du;
  const VU one = hn::Set(du, 1u);
  const VU normal = hn::ShiftLeft<23>(hn::Sub(e, one));
  const VU subnormal = hn::ShiftLeft<21>(hn::Add(e, one));  // 1 and 2 are 2^-149 * 2^21 and 2^22
  return hn::BitCast(DF(), hn::IfThenElse(hn::Gt(e, one), normal, subnormal));
}

// acc + the sum of four products of codes of W, unsigned bytes (signed ones on a target that has
// TESSERA_SIGNED_DOT), and signed bytes of a, per 32-bit lane. Exact: no intermediate saturates.
template <class D>
HWY_INLINE hn::VFromD<D> dot4(D di, hn::VFromD<hn::RebindToUnsigned<D>> w, hn::VFromD<D> a,
                              hn::VFromD<D> acc) {
#if TESSERA_ONE_LANE  // one lane: no vector of bytes fits it
  const uint32_t wu = hn::GetLane(w);
  const int32_t as = hn::GetLane(a);
  int32_t sum = hn::GetLane(acc);
  for (int shift = 0; shift < 32; shift += 8) {
    sum += static_cast<int32_t>((wu >> shift) & 255u) *
           static_cast<int8_t>(static_cast<uint32_t>(as) >> shift);
  }
  return hn::Set(di, sum);
#elif TESSERA_AVX_VNNI
  (void)di;
  return hn::VFromD<D>{_mm256_dpbusd_avx_epi32(acc.raw, w.raw, a.raw)};
#elif TESSERA_SIGNED_DOT
  (void)di;
  return hn::VFromD<D>(
      vdotq_s32(acc.raw, vreinterpretq_s8_u32(w.raw), vreinterpretq_s8_s32(a.raw)));
#else
  const hn::Repartition<uint8_t, D> du8;
  const hn::Repartition<int8_t, D> di8;
  return hn::SumOfMulQuadAccumulate(di, hn::BitCast(du8, w), hn::BitCast(di8, a), acc);
#endif
}

// The same with one word of a vector of x in all lanes.
template <size_t kWord>
HWY_INLINE VI dot4_word(VU w, VI four, VI acc) {
#if TESSERA_SIGNED_DOT
  return VI(vdotq_laneq_s32(acc.raw, vreinterpretq_s8_u32(w.raw), vreinterpretq_s8_s32(four.raw),
                            static_cast<int>(kWord)));
#else
  return dot4(DI(), w, hn::BroadcastLane<static_cast<int>(kWord)>(four), acc);
#endif
}

#if TESSERA_BY_LANE
// w * one lane of `four`.
template <size_t kLane>
HWY_INLINE VF mul_lane(VF w, VF four) {
  return VF(vmulq_laneq_f32(w.raw, four.raw, static_cast<int>(kLane)));
}
// sum + w * one lane of `four`, rounded once.
template <size_t kLane>
HWY_INLINE VF mul_add_lane(VF w, VF four, VF sum) {
  return VF(vfmaq_laneq_f32(sum.raw, w.raw, four.raw, static_cast<int>(kLane)));
}
#if TESSERA_BF16_DOT
// The same with two products of bf16. Not vbfdotq_laneq_f32, for which Clang 19 takes two
// instructions.
template <size_t kLane>
HWY_INLINE VF mul_add_lane(hn::VFromD<hn::Repartition<hwy::bfloat16_t, DF>> w, VF four, VF sum) {
  asm("bfdot %0.4s, %1.8h, %2.2h[%3]"
      : "+w"(sum.raw)
      : "w"(w.raw), "w"(four.raw), "i"(static_cast<int>(kLane)));
  return sum;
}
#endif
#endif

// f32 -> bf16 in the low half of each lane, as base/half.h defines it. Not Highway's DemoteTo,
// whose instruction on some targets flushes subnormals.
HWY_INLINE VU bf16_bits(VF v) {
  const DU du;
  const VU bits = hn::BitCast(du, v);
  const VU odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const VU rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7FFFu)), odd));
  const VU quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 64u));
  return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
}

// f32 -> f16 in the low half of each lane, as base/half.h defines it.
HWY_INLINE VU f16_bits(VF v) {
  const DU du;
#if TESSERA_F16_CONVERSION
  const hn::Rebind<hwy::float16_t, DF> dh;
  return hn::PromoteTo(du, hn::BitCast(hn::Rebind<uint16_t, DF>(), hn::DemoteTo(dh, v)));
#else
  const DF df;
  const VU bits = hn::BitCast(du, v), magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
  const VU odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1u));
  const VU normal =
      hn::ShiftRight<13>(hn::Add(hn::Add(magnitude, hn::Set(du, 0xFFFu - 0x38000000u)), odd));
  // The spacing of f32 at 1/2 is that of f16's subnormals.
  const VF half = hn::Set(df, 0.5f);
  const VU subnormal =
      hn::Sub(hn::BitCast(du, hn::Add(hn::BitCast(df, magnitude), half)), hn::BitCast(du, half));
  VU out = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x38800000u)), subnormal, normal);
  out = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x477FEFFFu)), hn::Set(du, 0x7C00u), out);
  const VU nan =
      hn::Or(hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 0x3FFu)), hn::Set(du, 0x7E00u));
  out = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), nan, out);
  return hn::Or(out, hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000u)));
#endif
}

// words[j] lane 4 b + i = word j of block b of quarter[i], blocks of 16 bytes: a 4 x kLanes
// transposition in eight shuffles.
HWY_INLINE void transpose_quarters(const VU (&quarter)[4], VU (&words)[4]) {
#if TESSERA_ONE_LANE
  TESSERA_UNROLL
  for (size_t j = 0; j < 4; ++j) words[j] = quarter[j];
#else
  const DU du;
  const hn::Repartition<uint64_t, DU> du64;
  const auto lower01 = hn::BitCast(du64, hn::InterleaveLower(du, quarter[0], quarter[1]));
  const auto upper01 = hn::BitCast(du64, hn::InterleaveUpper(du, quarter[0], quarter[1]));
  const auto lower23 = hn::BitCast(du64, hn::InterleaveLower(du, quarter[2], quarter[3]));
  const auto upper23 = hn::BitCast(du64, hn::InterleaveUpper(du, quarter[2], quarter[3]));
  words[0] = hn::BitCast(du, hn::InterleaveLower(du64, lower01, lower23));
  words[1] = hn::BitCast(du, hn::InterleaveUpper(du64, lower01, lower23));
  words[2] = hn::BitCast(du, hn::InterleaveLower(du64, upper01, upper23));
  words[3] = hn::BitCast(du, hn::InterleaveUpper(du64, upper01, upper23));
#endif
}

// to[i] = all lanes of v[i] combined by `op`, in the same order for each.
template <class D, size_t kCount, class Op>
HWY_INLINE void store_reduced(D d, const hn::VFromD<D> (&v)[kCount], const Op& op,
                              hn::TFromD<D>* to) {
  static_assert(kCount <= 4);
#if TESSERA_ONE_LANE
  (void)d, (void)op;
  for (size_t i = 0; i < kCount; ++i) to[i] = hn::GetLane(v[i]);
#else
  VU quarters[4], words[4];
  TESSERA_UNROLL
  for (size_t i = 0; i < 4; ++i) quarters[i] = hn::BitCast(DU(), v[i % kCount]);
  transpose_quarters(quarters, words);
  const auto word = [&words, d](size_t j) TESSERA_ATTR { return hn::BitCast(d, words[j]); };
  const auto blocks = op(op(word(0), word(1)), op(word(2), word(3)));
  const hn::CappedTag<hn::TFromD<D>, 4> d4;
  hn::Vec<decltype(d4)> all;
  if constexpr (kLanes == 4) {
    all = blocks;
  } else {
    const hn::Half<D> dh;
    const auto half = op(hn::UpperHalf(dh, blocks), hn::LowerHalf(dh, blocks));
    if constexpr (kLanes == 8) {
      all = half;
    } else {
      all = op(hn::UpperHalf(d4, half), hn::LowerHalf(d4, half));
    }
  }
  if constexpr (kCount == 4) {
    hn::StoreU(all, d4, to);
  } else {
    hn::StoreN(all, d4, to, kCount);
  }
#endif
}

// to[i] = the sum of the lanes of v[i].
template <class D, size_t kCount>
HWY_INLINE void store_sums(D d, const hn::VFromD<D> (&v)[kCount], hn::TFromD<D>* to) {
  constexpr size_t kFour = std::min<size_t>(kCount, 4);
  static_assert(kCount % kFour == 0);
  TESSERA_UNROLL
  for (size_t first = 0; first < kCount; first += kFour) {
    hn::VFromD<D> four[kFour];
    TESSERA_UNROLL
    for (size_t i = 0; i < kFour; ++i) four[i] = v[first + i];
    store_reduced(
        d, four, [](auto x, auto y) TESSERA_ATTR { return hn::Add(x, y); }, to + first);
  }
}

#if !TESSERA_ONE_LANE
// The 16 bytes at at(0), at(1), ..: one to each block of a vector.
template <class At>
HWY_INLINE VU load_16_bytes(const At& at) {
  const DU du;
  if constexpr (kLanes == 4) {
    return load_bytes(du, at(0));
  } else {
    const hn::Half<DU> dh;
    if constexpr (kLanes == 8) {
      return hn::Combine(du, load_bytes(dh, at(1)), load_bytes(dh, at(0)));
    } else {
      const hn::Half<decltype(dh)> dq;
      return hn::Combine(du, hn::Combine(dh, load_bytes(dq, at(3)), load_bytes(dq, at(2))),
                         hn::Combine(dh, load_bytes(dq, at(1)), load_bytes(dq, at(0))));
    }
  }
}
#endif

// words[j] lane i = word j of the 16 bytes at rows[i] + offset.
HWY_INLINE void load_transposed(const uint8_t* const* rows, size_t offset, VU (&words)[4]) {
  VU quarter[4];
  TESSERA_UNROLL
  for (size_t i = 0; i < 4; ++i) {
#if TESSERA_ONE_LANE
    quarter[i] = load_bytes(DU(), rows[0] + offset + 4 * i);
#else
    quarter[i] = load_16_bytes([=](size_t b) TESSERA_ATTR { return rows[4 * b + i] + offset; });
#endif
  }
  transpose_quarters(quarter, words);
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_OPS_INL_H_

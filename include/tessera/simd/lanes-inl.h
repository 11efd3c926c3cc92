// SPDX-License-Identifier: MIT
// kLanes consecutive blocks of one row as the lanes of vectors: what a row's dot product reads.
//
// Block j is lane block_lane(j), the order in which one transposition leaves contiguous quarters.
#if defined(TESSERA_SIMD_LANES_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_LANES_INL_H_
#undef TESSERA_SIMD_LANES_INL_H_
#else
#define TESSERA_SIMD_LANES_INL_H_
#endif

#include <array>

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

inline constexpr size_t kQuarterBlocks = kLanes < 4 ? 1 : kLanes / 4;

constexpr size_t block_lane(size_t block) {
  return block % kQuarterBlocks * 4 + block / kQuarterBlocks;
}

#if TESSERA_BYTE_TABLES
// One instruction picks bytes from two vectors. Loads then decide: 64 bytes that cross a cache
// line, as nearly all of these do, take two cycles, and one in a block's place (of 16 bytes, with
// inserts) is slower still. So what holds codes and scales is loaded once.
template <size_t kStride>
class LaneBlocks {
 public:
  HWY_INLINE explicit LaneBlocks(const uint8_t* from) : from_(from) {
    TESSERA_UNROLL
    for (size_t i = 0; i < 4; ++i) {
      first_[i] = load(i, 0);
      if constexpr (!kShort) second_[i] = load(i, kSecond);
    }
  }

  // words[j] lane block_lane(i) = word j of the 16 bytes at kOffset of block i.
  template <size_t kOffset>
  HWY_INLINE void words(VU (&words)[4]) const {
    constexpr size_t kEnd = 3 * kStride + kOffset + 16;  // of a quarter's bytes
    const auto indices = hn::SetTableIndices(D8(), kByteIndices<kOffset>.data());
    VU quarter[4];
    TESSERA_UNROLL
    for (size_t i = 0; i < 4; ++i) {
      V8 first = first_[i], second;
      if constexpr (kShort) {
        second = load(i, kEnd - 64);
      } else if constexpr (kEnd <= kSecond + 64) {
        second = second_[i];
      } else {
        first = load(i, kOffset);
        second = load(i, kEnd - 64);
      }
      quarter[i] = hn::BitCast(DU(), hn::TwoTablesLookupLanes(D8(), first, second, indices));
    }
    transpose_quarters(quarter, words);
  }

  // Lane block_lane(i) = the f16 at kOffset of block i, widened.
  template <size_t kOffset>
  HWY_INLINE VF f16() const {
    const D16 d;
    const auto indices = hn::SetTableIndices(d, kF16Indices<kOffset>.data());
    const auto pick = [&](V8 first, V8 second) TESSERA_ATTR {
      return hn::TwoTablesLookupLanes(d, hn::BitCast(d, first), hn::BitCast(d, second), indices);
    };
    VU half[2];  // of the quarters
    TESSERA_UNROLL
    for (size_t i = 0; i < 2; ++i) {
      if constexpr (kShort) {
        half[i] = hn::BitCast(DU(), pick(first_[2 * i], first_[2 * i + 1]));
      } else {
        half[i] =
            hn::BitCast(DU(), hn::InterleaveLower(d, pick(first_[2 * i], second_[2 * i]),
                                                  pick(first_[2 * i + 1], second_[2 * i + 1])));
      }
    }
    const hn::Rebind<uint16_t, DF> dh;
    const VU all = hn::InterleaveLower(DU(), half[0], half[1]);
    return widen_f16(DF(), hn::LowerHalf(dh, hn::BitCast(d, all)));
  }

 private:
  using D8 = hn::Repartition<uint8_t, DF>;
  using D16 = hn::Repartition<uint16_t, DF>;
  using V8 = hn::VFromD<D8>;
  static constexpr bool kShort = 3 * kStride + 4 <= 64;  // 64 bytes hold a quarter's scales
  static_assert(4 * kStride >= 64);                      // of a quarter, and all are read
  // Where the second 64 bytes of a quarter begin, none of them behind its end.
  static constexpr size_t kSecond = 4 * kStride < 128 ? 4 * kStride - 64 : 64;

  HWY_INLINE V8 load(size_t quarter, size_t offset) const {
    V8 v = hn::LoadU(D8(), from_ + quarter * 4 * kStride + offset);
#if HWY_COMPILER_GCC_ACTUAL
    // GCC would load again for each use: q8_0 52 instead of 42 cycles per kLanes blocks.
    asm("" : "+v"(v.raw));
#endif
    return v;
  }

  template <size_t kOffset>
  static constexpr std::array<uint8_t, 64> byte_indices() {
    constexpr size_t kEnd = 3 * kStride + kOffset + 16;
    constexpr bool kLoaded = !kShort && kEnd <= kSecond + 64;
    constexpr size_t kFirstAt = kShort || kLoaded ? 0 : kOffset;
    constexpr size_t kSecondAt = kLoaded ? kSecond : kEnd - 64;
    std::array<uint8_t, 64> indices{};
    for (size_t i = 0; i < 64; ++i) {
      const size_t at = i / 16 * kStride + kOffset + i % 16;
      indices[i] = static_cast<uint8_t>(at < kFirstAt + 64 ? at - kFirstAt : 64 + at - kSecondAt);
    }
    return indices;
  }
  template <size_t kOffset>
  alignas(64) static constexpr auto kByteIndices = byte_indices<kOffset>();

  // A pick gives the f16 of two quarters if 64 bytes hold those of one, else of one: blocks b = 0
  // to 3 of a quarter in lanes 0, 1, 8, 9 (or of two: 0, 2, 8, 10 and 1, 3, 9, 11).
  template <size_t kOffset>
  static constexpr std::array<uint16_t, 32> f16_indices() {
    constexpr size_t kQuarters = kShort ? 2 : 1;
    std::array<uint16_t, 32> indices{};
    for (size_t i = 0; i < 4 * kQuarters; ++i) {
      const size_t b = i / kQuarters, quarter = i % kQuarters, at = b * kStride + kOffset;
      indices[b / 2 * 8 + b % 2 * kQuarters + quarter] =
          static_cast<uint16_t>(quarter * 32 + (at < 64 ? at : 64 + at - kSecond) / 2);
    }
    return indices;
  }
  template <size_t kOffset>
  alignas(64) static constexpr auto kF16Indices = f16_indices<kOffset>();

  const uint8_t* from_;
  V8 first_[4], second_[4];
};
#else
template <size_t kStride>
class LaneBlocks {
 public:
  HWY_INLINE explicit LaneBlocks(const uint8_t* from) : from_(from) {}

  template <size_t kOffset>
  HWY_INLINE void words(VU (&words)[4]) const {
    VU quarter[4];
    TESSERA_UNROLL
    for (size_t i = 0; i < 4; ++i) {
#if TESSERA_ONE_LANE
      quarter[i] = load_bytes(DU(), from_ + kOffset + 4 * i);
#else
      const uint8_t* from = from_ + i * kQuarterBlocks * kStride + kOffset;
      quarter[i] = load_16_bytes([from](size_t b) TESSERA_ATTR { return from + b * kStride; });
#endif
    }
    transpose_quarters(quarter, words);
  }

  // By way of integers: a load behind narrower stores would wait for them.
  template <size_t kOffset>
  HWY_INLINE VF f16() const {
    const DF df;
    const hn::Rebind<uint16_t, DF> dh;
    uint64_t quads[4] = {};
    TESSERA_UNROLL
    for (size_t i = 0; i < kLanes; ++i) {
      uint16_t f16;
      std::memcpy(&f16, from_ + i * kStride + kOffset, 2);
      const size_t lane = block_lane(i);
      quads[lane / 4] |= static_cast<uint64_t>(f16) << (lane % 4 * 16);
    }
#if TESSERA_ONE_LANE
    return widen_f16(df, hn::Set(dh, static_cast<uint16_t>(quads[0])));
#else
    return widen_f16(df,
                     hn::BitCast(dh, from_quads(hn::Repartition<uint64_t, decltype(dh)>(), quads)));
#endif
  }

 private:
#if !TESSERA_ONE_LANE
  // A template, as no width compiles all three.
  template <class D>
  static HWY_INLINE hn::VFromD<D> from_quads(D du64, const uint64_t (&quads)[4]) {
    if constexpr (hn::MaxLanes(D()) == 1) {
      return hn::Set(du64, quads[0]);
    } else if constexpr (hn::MaxLanes(D()) == 2) {
      return hn::Dup128VecFromValues(du64, quads[0], quads[1]);
    } else {
      const hn::Half<D> dh;
      return hn::Combine(du64, hn::Dup128VecFromValues(dh, quads[2], quads[3]),
                         hn::Dup128VecFromValues(dh, quads[0], quads[1]));
    }
  }
#endif

  const uint8_t* from_;
};
#endif

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_LANES_INL_H_

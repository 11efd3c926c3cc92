// SPDX-License-Identifier: MIT
// q6_K: blocks of 256 six-bit codes in 16 sub-blocks of 16, each with a signed byte for a scale,
// under one f16 scale, ggml type 14, 210 bytes.
//   value[i] = scale * sub_scales[i / 16] * (code[i] - 32)
// Of each 128 values, those from 32 t to 32 t + 31 have, in byte j of the 32 (or 64) that serve
// them,
//   bits 2 t and 2 t + 1 of high[j]:             bits 4 and 5
//   the low or, for t >= 2, the high nibble of nibbles[32 (t % 2) + j]:   the low four
// Decoded only: ggml's encoder is a search.
#ifndef TESSERA_FORMAT_Q6_K_H_
#define TESSERA_FORMAT_Q6_K_H_

#include "tessera/base/half.h"
#include "tessera/format/format.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct Q6_K {
  struct Block {
    uint8_t nibbles[128];
    uint8_t high[64];
    int8_t sub_scales[16];
    uint16_t scale;  // f16
  };
  static constexpr DType kDType = DType::q6_k;
  static constexpr size_t kBlockValues = 256;
  static constexpr size_t kSubValues = 16;
  static constexpr bool kIsBlock = true;
  static constexpr int kOffset = 32;
  static constexpr int kMostCode = 63;
  static constexpr int kMostSubScale = 127;
  static constexpr bool kHasMin = false;
  static constexpr bool kNaNScales = true;
  static constexpr size_t kScaleAt = 208;
  static constexpr size_t kScaleBytes = 2;
  static constexpr size_t kWords = 52;

  static int get_code(const Block& block, size_t i) noexcept {
    const size_t t = i / 32 % 4;
    const int low = block.nibbles[i / 128 * 64 + t % 2 * 32 + i % 32] >> t / 2 * 4 & 15;
    return low | (block.high[i / 128 * 32 + i % 32] >> 2 * t & 3) << 4;
  }
  static void set_code(Block& block, size_t i, int code) noexcept {
    const size_t t = i / 32 % 4, at = t / 2 * 4;
    uint8_t& pair = block.nibbles[i / 128 * 64 + t % 2 * 32 + i % 32];
    uint8_t& bits = block.high[i / 128 * 32 + i % 32];
    pair = static_cast<uint8_t>((pair & ~(15 << at)) | (code & 15) << at);
    bits = static_cast<uint8_t>((bits & ~(3 << 2 * t)) | code >> 4 << 2 * t);
  }
  static SubBlock sub_block(const Block& block, size_t s) noexcept {
    return {to_float(f16_t{block.scale}) * static_cast<float>(block.sub_scales[s]), 0.0f};
  }
  static void set_scales(Block& block, float scale, float /*min*/) noexcept {
    block.scale = to_f16(scale).bits;
  }
  static void set_sub_block(Block& block, size_t s, int scale, int /*min*/) noexcept {
    block.sub_scales[s] = static_cast<int8_t>(scale);
  }

  static void decode(const Block& block, float* values) noexcept {
    decode_block<Q6_K>(block, values);
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(Q6_K::Block) == 210 && SuperBlockFormat<Q6_K>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_Q6_K_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_Q6_K_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_Q6_K_SIMD_
#undef TESSERA_FORMAT_Q6_K_SIMD_
#else
#define TESSERA_FORMAT_Q6_K_SIMD_
#endif

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<Q6_K> {
  static constexpr bool kSignedScales = true;
  static constexpr size_t kQuadOrder[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  static constexpr size_t kNibblesAt = 0, kHighAt = 128;

  static HWY_INLINE VU panel_word(VU word, size_t /*i*/) { return word; }
  template <class Words>
  static HWY_INLINE VU quad(const Words& word, size_t quad) {
    const size_t half = quad / 32, t = quad / 8 % 4;  // of the block; 32 values of it
    const VU nibbles = word(half * 16 + t % 2 * 8 + quad % 8);
    const VU low = hn::And(hn::ShiftRightSame(nibbles, static_cast<int>(t / 2) * 4),
                           hn::Set(DU(), 0x0F0F0F0Fu));
    const VU high = hn::ShiftRightSame(word(32 + half * 8 + quad % 8), static_cast<int>(2 * t));
    return hn::Or(low, hn::ShiftLeft<4>(hn::And(high, hn::Set(DU(), 0x03030303u))));
  }
  template <class Words>
  static HWY_INLINE VI sub_scale(const Words& word, size_t s) {
    const int above = 24 - static_cast<int>(s % 4) * 8;  // bits that are not its own
    return hn::ShiftRight<24>(hn::BitCast(DI(), hn::ShiftLeftSame(word(48 + s / 4), above)));
  }

  /// The 16 scales of a block.
  static HWY_INLINE const uint8_t* sub_bytes(const uint8_t* block) { return block + 192; }
  static constexpr uint8_t scale_byte(size_t block, size_t half) {
    return static_cast<uint8_t>(2 * block + half);
  }

  struct Order {
    static constexpr size_t block_of(size_t bytes, bool high) {
      return bytes / 2 * 4 + bytes % 2 + (high ? 2 : 0);
    }
  };
  static constexpr size_t high_offset(size_t bytes) { return bytes / 2 * 32; }
  static constexpr int high_shift(size_t bytes) { return static_cast<int>(bytes % 2 * 2); }
  static HWY_INLINE VU low(VU nibbles, VU bits) {
    return hn::Or(hn::And(nibbles, hn::Set(DU(), 0x0F0F0F0Fu)),
                  hn::ShiftLeft<4>(hn::And(bits, hn::Set(DU(), 0x03030303u))));
  }
  static HWY_INLINE VU high(VU nibbles, VU bits) {
    return hn::Or(hn::And(hn::ShiftRight<4>(nibbles), hn::Set(DU(), 0x0F0F0F0Fu)),
                  hn::And(bits, hn::Set(DU(), 0x30303030u)));
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_Q6_K_SIMD_
#endif  // TESSERA_SIMD_PASS

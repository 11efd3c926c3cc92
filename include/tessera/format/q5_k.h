// SPDX-License-Identifier: MIT
// q5_K: blocks of 256 five-bit codes in eight sub-blocks of 32 (sub_scales.h), ggml type 13, 176
// bytes.
//   value[i] = scale * scale_code[i / 32] * code[i] - min * min_code[i / 32]
//   bit b of byte j of high:     bit 4 of code 32 b + j
//   nibbles                      the low four bits
// Decoded only: ggml's encoder is a search.
#ifndef TESSERA_FORMAT_Q5_K_H_
#define TESSERA_FORMAT_Q5_K_H_

#include "tessera/format/format.h"
#include "tessera/format/sub_scales.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct Q5_K : BlockOfSubScales {
  struct Block {
    SubScales scales;
    uint8_t high[32];
    uint8_t nibbles[128];
  };
  static constexpr DType kDType = DType::q5_k;
  static constexpr int kMostCode = 31;
  static constexpr size_t kWords = 43;

  static int get_code(const Block& block, size_t i) noexcept {
    return get_nibble(block.nibbles, i) | (block.high[i % 32] >> i / 32 & 1) << 4;
  }
  static void set_code(Block& block, size_t i, int code) noexcept {
    set_nibble(block.nibbles, i, code & 15);
    uint8_t& bits = block.high[i % 32];
    bits = static_cast<uint8_t>((bits & ~(1 << i / 32)) | code >> 4 << i / 32);
  }

  static void decode(const Block& block, float* values) noexcept {
    decode_block<Q5_K>(block, values);
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(Q5_K::Block) == 176 && SuperBlockFormat<Q5_K>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_Q5_K_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_Q5_K_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_Q5_K_SIMD_
#undef TESSERA_FORMAT_Q5_K_SIMD_
#else
#define TESSERA_FORMAT_Q5_K_SIMD_
#endif

#include "tessera/format/sub_scales.h"
#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<Q5_K> : SubScaleWords {
  static constexpr size_t kHighAt = 16, kNibblesAt = 48;

  static HWY_INLINE VU panel_word(VU word, size_t /*i*/) { return word; }
  template <class Words>
  static HWY_INLINE VU quad(const Words& word, size_t quad) {
    const VU nibbles = word(11 + quad / 16 * 8 + quad % 8);
    const VU low = hn::And(hn::ShiftRightSame(nibbles, static_cast<int>(quad / 8 % 2) * 4),
                           hn::Set(DU(), 0x0F0F0F0Fu));
    const VU high = hn::ShiftRightSame(word(3 + quad % 8), static_cast<int>(quad / 8));
    return hn::Or(low, hn::ShiftLeft<4>(hn::And(high, hn::Set(DU(), 0x01010101u))));
  }

  /// Where the high bits of 32 bytes of nibbles are, and by how much they are shifted for low().
  static constexpr size_t high_offset(size_t /*bytes*/) { return 0; }
  static constexpr int high_shift(size_t bytes) { return static_cast<int>(2 * bytes); }
  static HWY_INLINE VU low(VU nibbles, VU bits) {
    return hn::Or(hn::And(nibbles, hn::Set(DU(), 0x0F0F0F0Fu)),
                  hn::ShiftLeft<4>(hn::And(bits, hn::Set(DU(), 0x01010101u))));
  }
  static HWY_INLINE VU high(VU nibbles, VU bits) {
    return hn::Or(hn::And(hn::ShiftRight<4>(nibbles), hn::Set(DU(), 0x0F0F0F0Fu)),
                  hn::ShiftLeft<3>(hn::And(bits, hn::Set(DU(), 0x02020202u))));
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_Q5_K_SIMD_
#endif  // TESSERA_SIMD_PASS

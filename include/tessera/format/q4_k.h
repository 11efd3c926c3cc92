// SPDX-License-Identifier: MIT
// q4_K: blocks of 256 four-bit codes in eight sub-blocks of 32 (sub_scales.h), ggml type 12, 144
// bytes.
//   value[i] = scale * scale_code[i / 32] * code[i] - min * min_code[i / 32]
//   nibbles                      the codes
// Decoded only: ggml's encoder is a search.
#ifndef TESSERA_FORMAT_Q4_K_H_
#define TESSERA_FORMAT_Q4_K_H_

#include "tessera/format/format.h"
#include "tessera/format/sub_scales.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct Q4_K : BlockOfSubScales {
  struct Block {
    SubScales scales;
    uint8_t nibbles[128];
  };
  static constexpr DType kDType = DType::q4_k;
  static constexpr int kMostCode = 15;
  static constexpr size_t kWords = 35;

  static int get_code(const Block& block, size_t i) noexcept {
    return get_nibble(block.nibbles, i);
  }
  static void set_code(Block& block, size_t i, int code) noexcept {
    set_nibble(block.nibbles, i, code);
  }

  static void decode(const Block& block, float* values) noexcept {
    decode_block<Q4_K>(block, values);
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(Q4_K::Block) == 144 && SuperBlockFormat<Q4_K>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_Q4_K_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_Q4_K_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_Q4_K_SIMD_
#undef TESSERA_FORMAT_Q4_K_SIMD_
#else
#define TESSERA_FORMAT_Q4_K_SIMD_
#endif

#include "tessera/format/sub_scales.h"
#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<Q4_K> : SubScaleWords {
  static constexpr size_t kNibblesAt = 16;

  static HWY_INLINE VU panel_word(VU word, size_t /*i*/) { return word; }
  template <class Words>
  static HWY_INLINE VU quad(const Words& word, size_t quad) {
    const VU nibbles = word(3 + quad / 16 * 8 + quad % 8);
    return hn::And(hn::ShiftRightSame(nibbles, static_cast<int>(quad / 8 % 2) * 4),
                   hn::Set(DU(), 0x0F0F0F0Fu));
  }

  /// Codes of 32 bytes of nibbles.
  static HWY_INLINE VU low(VU nibbles) { return hn::And(nibbles, hn::Set(DU(), 0x0F0F0F0Fu)); }
  static HWY_INLINE VU high(VU nibbles) { return low(hn::ShiftRight<4>(nibbles)); }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_Q4_K_SIMD_
#endif  // TESSERA_SIMD_PASS

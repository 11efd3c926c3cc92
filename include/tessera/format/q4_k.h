// SPDX-License-Identifier: MIT
// q4_K: blocks of 256 four-bit codes in eight sub-blocks of 32 (sub_scales.h), ggml type 12, 144
// bytes.
//   value[i] = scale * scale_code[i / 32] * code[i] - min * min_code[i / 32]
//   byte j of nibbles:     | code 64 (j / 32) + 32 + j % 32 | code 64 (j / 32) + j % 32 |
// Decoded only: ggml's encoder is a search.
#ifndef TESSERA_FORMAT_Q4_K_H_
#define TESSERA_FORMAT_Q4_K_H_

#include "tessera/format/format.h"
#include "tessera/format/sub_scales.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct Q4_K {
  struct Block {
    SubScales scales;
    uint8_t nibbles[128];
  };
  static constexpr DType kDType = DType::q4_k;
  static constexpr size_t kBlockValues = 256;
  static constexpr size_t kSubValues = 32;
  static constexpr bool kIsBlock = true;
  static constexpr int kOffset = 0;
  static constexpr int kMostCode = 15;
  static constexpr int kMostSubScale = 63;
  static constexpr bool kHasMin = true;
  static constexpr bool kNaNScales = true;
  static constexpr size_t kScaleAt = 0;
  static constexpr size_t kScaleBytes = 4;
  static constexpr size_t kWords = 35;

  static int get_code(const Block& block, size_t i) noexcept {
    return block.nibbles[i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15;
  }
  static void set_code(Block& block, size_t i, int code) noexcept {
    uint8_t& pair = block.nibbles[i / 64 * 32 + i % 32];
    const size_t at = i / 32 % 2 * 4;
    pair = static_cast<uint8_t>((pair & ~(15 << at)) | code << at);
  }
  static SubBlock sub_block(const Block& block, size_t s) noexcept {
    return block.scales.sub_block(s);
  }
  static void set_scales(Block& block, float scale, float min) noexcept {
    block.scales.set(scale, min);
  }
  static void set_sub_block(Block& block, size_t s, int scale, int min) noexcept {
    block.scales.set_codes(s, scale, min);
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

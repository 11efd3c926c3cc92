// SPDX-License-Identifier: MIT
// q5_0: blocks of 32 five-bit codes under one f16 scale, ggml type 6, 22 bytes.
//   value[i] = scale * (code[i] - 16)
//   bit i of high:     bit 4 of code i
//   byte j of low:     | code j+16 | code j |     their low four bits, in the order of q4_0
// Encoding (ggml quantize_row_q5_0_ref): m = the value of largest magnitude, the first if several;
// scale = m / -16, code = min(31, trunc(v * (1 / scale) + 16.5)).
#ifndef TESSERA_FORMAT_Q5_0_H_
#define TESSERA_FORMAT_Q5_0_H_

#include "tessera/base/half.h"
#include "tessera/format/format.h"
#include "tessera/format/nibble.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct Q5_0 {
  struct Block {
    uint16_t scale;  // f16
    uint8_t high[4];
    uint8_t low[16];
  };
  static constexpr DType kDType = DType::q5_0;
  static constexpr size_t kBlockValues = 32;
  static constexpr bool kIsBlock = true;
  static constexpr int kOffset = 16;
  static constexpr bool kHasMin = false;
  static constexpr size_t kScaleBytes = 2;
  static constexpr size_t kCodeWords = 5;

  static int get_code(const Block& block, size_t i) noexcept {
    return get_nibble(block.low, i) | ((block.high[i / 8] >> i % 8) & 1) << 4;
  }

  static void decode(const Block& block, float* values) noexcept {
    const float scale = to_float(f16_t{block.scale});
    for (size_t i = 0; i < 32; ++i) {
      values[i] = scale * static_cast<float>(get_code(block, i) - kOffset);
    }
  }

  static void encode(const float* values, Block& block) noexcept {
    uint8_t codes[32];
    block.scale = to_f16(encode_around(kOffset, values, codes)).bits;
    set_nibbles(block.low, [&](size_t i) { return codes[i] & 15; });
    for (size_t j = 0; j < 4; ++j) {
      int bits = 0;
      for (size_t i = 0; i < 8; ++i) bits |= codes[8 * j + i] >> 4 << i;
      block.high[j] = static_cast<uint8_t>(bits);
    }
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(Q5_0::Block) == 22 && BlockFormat<Q5_0>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_Q5_0_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_Q5_0_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_Q5_0_SIMD_
#undef TESSERA_FORMAT_Q5_0_SIMD_
#else
#define TESSERA_FORMAT_Q5_0_SIMD_
#endif

#include "tessera/format/nibble.h"
#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// Word 0 holds the high bits, words 1 to 4 the low ones.
template <>
struct SimdOf<Q5_0> {
  static constexpr size_t kQuadOrder[8] = {0, 4, 1, 5, 2, 6, 3, 7};

  // A quad's high bits are stored side by side, but each belongs into a byte of its own. So panels
  // hold them in another order, in which byte i has those of values 4 q + i, and a shift and a mask
  // are all that is left for a quad. Bit 4 q + i of a block has the index q2 q1 q0 i1 i0 in binary;
  // exchanging q1 with i0 and then q2 with i1 makes it i1 i0 q0 q2 q1.
  static HWY_INLINE VU panel_word(VU word, size_t i) {
    return i == 0 ? exchange<14>(exchange<7>(word, 0x00AA00AAu), 0x0000CCCCu) : word;
  }

  template <class Words>
  static HWY_INLINE VU quad(const Words& word, size_t quad) {
    const int bit = static_cast<int>(quad % 2 * 4 + quad / 4 * 2 + quad / 2 % 2);  // q0 q2 q1
    const VU high =
        bit < 4 ? hn::ShiftLeftSame(word(0), 4 - bit) : hn::ShiftRightSame(word(0), bit - 4);
    return hn::Or(NibbleCodes::nibbles(word(1 + quad % 4), quad),
                  hn::And(high, hn::Set(DU(), 0x10101010u)));
  }

 private:
  // Each bit of the mask and the one kDistance above it trade places.
  template <int kDistance>
  static HWY_INLINE VU exchange(VU v, uint32_t mask) {
    const VU differ = hn::And(hn::Xor(v, hn::ShiftRight<kDistance>(v)), hn::Set(DU(), mask));
    return hn::Xor(v, hn::Xor(differ, hn::ShiftLeft<kDistance>(differ)));
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_Q5_0_SIMD_
#endif  // TESSERA_SIMD_PASS

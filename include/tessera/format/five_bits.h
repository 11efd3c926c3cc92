// SPDX-License-Identifier: MIT
// Codes of five bits in blocks of 32: bit i of four bytes is bit 4 of code i, and nibbles behind
// them hold the rest (nibble.h).
#ifndef TESSERA_FORMAT_FIVE_BITS_H_
#define TESSERA_FORMAT_FIVE_BITS_H_

#include "tessera/format/nibble.h"

namespace tessera::inline v0_1 {

inline int get_five_bits(const uint8_t* high, const uint8_t* low, size_t i) noexcept {
  return get_nibble(low, i) | ((high[i / 8] >> i % 8) & 1) << 4;
}

inline void set_five_bits(const uint8_t* codes, uint8_t* high, uint8_t* low) noexcept {
  set_nibbles(low, [codes](size_t i) { return codes[i] & 15; });
  for (size_t j = 0; j < 4; ++j) {
    int bits = 0;
    for (size_t i = 0; i < 8; ++i) bits |= codes[8 * j + i] >> 4 << i;
    high[j] = static_cast<uint8_t>(bits);
  }
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_FIVE_BITS_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_FIVE_BITS_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_FIVE_BITS_SIMD_
#undef TESSERA_FORMAT_FIVE_BITS_SIMD_
#else
#define TESSERA_FORMAT_FIVE_BITS_SIMD_
#endif

#include "tessera/format/nibble.h"
#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// Word 0 holds the high bits, words 1 to 4 the low ones.
struct FiveBitCodes {
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

#endif  // TESSERA_FORMAT_FIVE_BITS_SIMD_
#endif  // TESSERA_SIMD_PASS

// SPDX-License-Identifier: MIT
// What q4_K and q5_K share: four bits of each code,
//   byte j of nibbles   | of code 64 (j / 32) + 32 + j % 32 | of code 64 (j / 32) + j % 32 |
// and eight scales and eight minima of six bits, one of each for 32 values, in 12 bytes, under an
// f16 scale of the scales and one of the minima.
//   scale s, s < 4      | 2 bits of scale s + 4 | scale s |       byte s
//   min s, s < 4        | 2 bits of min s + 4   | min s   |       byte 4 + s
//   s >= 4              | low 4 bits of min s | of scale s |      byte 4 + s
#ifndef TESSERA_FORMAT_SUB_SCALES_H_
#define TESSERA_FORMAT_SUB_SCALES_H_

#include "tessera/base/half.h"
#include "tessera/format/format.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct SubScales {
  uint16_t scale;  // f16
  uint16_t min;    // f16, of what is subtracted
  uint8_t packed[12];

  int scale_code(size_t s) const noexcept {
    return s < 4 ? packed[s] & 63 : (packed[s + 4] & 15) | packed[s - 4] >> 6 << 4;
  }
  int min_code(size_t s) const noexcept {
    return s < 4 ? packed[s + 4] & 63 : packed[s + 4] >> 4 | packed[s] >> 6 << 4;
  }
  void set_codes(size_t s, int scale_code, int min_code) noexcept {
    const auto put = [this](size_t i, int kept, int bits) {
      packed[i] = static_cast<uint8_t>((packed[i] & kept) | bits);
    };
    if (s < 4) {
      put(s, 0xC0, scale_code);
      put(s + 4, 0xC0, min_code);
    } else {
      put(s + 4, 0, (scale_code & 15) | (min_code & 15) << 4);
      put(s - 4, 0x3F, scale_code >> 4 << 6);
      put(s, 0x3F, min_code >> 4 << 6);
    }
  }

  SubBlock sub_block(size_t s) const noexcept {
    return {to_float(f16_t{scale}) * static_cast<float>(scale_code(s)),
            -(to_float(f16_t{min}) * static_cast<float>(min_code(s)))};
  }
  void set(float of_scales, float of_minima) noexcept {
    scale = to_f16(of_scales).bits;
    min = to_f16(-of_minima).bits;
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(SubScales) == 16);

/// A base of formats whose blocks begin with SubScales `scales`.
struct BlockOfSubScales {
  static constexpr size_t kBlockValues = 256;
  static constexpr size_t kSubValues = 32;
  static constexpr bool kIsBlock = true;
  static constexpr int kOffset = 0;
  static constexpr int kMostSubScale = 63;
  static constexpr bool kHasMin = true;
  static constexpr bool kNaNScales = true;
  static constexpr size_t kScaleAt = 0;
  static constexpr size_t kScaleBytes = 4;

  static SubBlock sub_block(const auto& block, size_t s) noexcept {
    return block.scales.sub_block(s);
  }
  static void set_scales(auto& block, float scale, float min) noexcept {
    block.scales.set(scale, min);
  }
  static void set_sub_block(auto& block, size_t s, int scale, int min) noexcept {
    block.scales.set_codes(s, scale, min);
  }

 protected:
  static int get_nibble(const uint8_t* nibbles, size_t i) noexcept {
    return nibbles[i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15;
  }
  static void set_nibble(uint8_t* nibbles, size_t i, int code) noexcept {
    uint8_t& pair = nibbles[i / 64 * 32 + i % 32];
    const size_t at = i / 32 % 2 * 4;
    pair = static_cast<uint8_t>((pair & ~(15 << at)) | code << at);
  }
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_SUB_SCALES_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_SUB_SCALES_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_SUB_SCALES_SIMD_
#undef TESSERA_FORMAT_SUB_SCALES_SIMD_
#else
#define TESSERA_FORMAT_SUB_SCALES_SIMD_
#endif

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

/// Which block of 32 has the low or the high nibbles of each 32 bytes.
struct NeighboursOrder {
  static constexpr size_t block_of(size_t bytes, bool high) { return 2 * bytes + (high ? 1 : 0); }
};

// Words 0 to 2 of a block are the packed bytes.
struct SubScaleWords {
  using Order = NeighboursOrder;
  static constexpr bool kSignedScales = false;
  static constexpr size_t kQuadOrder[8] = {0, 1, 2, 3, 4, 5, 6, 7};

  template <class Words>
  static HWY_INLINE VI sub_scale(const Words& word, size_t s) {
    return code(word(s < 4 ? 0 : 2), word(0), s, 0);
  }
  template <class Words>
  static HWY_INLINE VI sub_min(const Words& word, size_t s) {
    return code(word(s < 4 ? 1 : 2), word(1), s, 4);
  }

  /// Of one block: its eight scales as bytes, and its eight minima.
  static HWY_INLINE void sub_bytes(const uint8_t* block, uint64_t (&bytes)[2]) {
    uint32_t w[3];
    std::memcpy(w, block + 4, sizeof(w));
    const auto joined = [](uint32_t low, uint32_t rest, uint32_t top) {
      const uint32_t high = (rest & 0x0F0F0F0Fu) | (top >> 2 & 0x30303030u);
      return (low & 0x3F3F3F3Fu) | static_cast<uint64_t>(high) << 32;
    };
    bytes[0] = joined(w[0], w[2], w[0]);
    bytes[1] = joined(w[1], w[2] >> 4, w[1]);
  }
  /// Where sub_bytes() has that of values 16 half to 16 half + 15 of block `block` of 32.
  static constexpr uint8_t scale_byte(size_t block, size_t /*half*/) {
    return static_cast<uint8_t>(block);
  }

 private:
  static HWY_INLINE VI code(VU low, VU top, size_t s, int of_min) {
    const int at = static_cast<int>(s % 4) * 8;
    const DU du;
    if (s < 4) return hn::BitCast(DI(), hn::And(hn::ShiftRightSame(low, at), hn::Set(du, 63u)));
    const VU four = hn::And(hn::ShiftRightSame(low, at + of_min), hn::Set(du, 15u));
    const VU two = hn::And(hn::ShiftRightSame(top, at + 2), hn::Set(du, 0x30u));
    return hn::BitCast(DI(), hn::Or(four, two));
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_SUB_SCALES_SIMD_
#endif  // TESSERA_SIMD_PASS

// SPDX-License-Identifier: MIT
// mxfp4: blocks of 32 floats of four bits under a power of two, ggml type 39, 17 bytes.
//   value[i] = 2^(exponent - 128) * (kCodes[nibble[i]] - 12)      twice the float, half the scale
//   byte j of nibbles:     | nibble j+16 | nibble j |
// Encoding (ggml quantize_row_mxfp4_ref): exponent = floor(log2(max|v|)) + 125, with log2 in f32,
// and 0 for a block of zeros; each value takes the nibble whose value is nearest, the first if
// several. An exponent that no byte holds (of a block below 2^-125, or with an infinity) becomes 0,
// for which the reference relies on its compiler.
#ifndef TESSERA_FORMAT_MXFP4_H_
#define TESSERA_FORMAT_MXFP4_H_

#include "tessera/base/half.h"
#include "tessera/format/format.h"
#include "tessera/format/table.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct MXFP4 : BlockOf32 {
  struct Block {
    uint8_t exponent;
    uint8_t nibbles[16];
  };
  static constexpr DType kDType = DType::mxfp4;
  static constexpr int kOffset = 12;
  static constexpr int kMostCode = 24;
  static constexpr bool kHasMin = false;
  static constexpr bool kNaNScales = false;
  // Unsigned, as all codes: twice the float and kOffset. 0 and 8 are zeros.
  static constexpr uint8_t kCodes[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
  static constexpr size_t kScaleBytes = 1;
  static constexpr size_t kWords = 4;

  static int get_code(const Block& block, size_t i) noexcept {
    return kCodes[get_nibble(block.nibbles, i)];
  }
  static SubBlock sub_block(const Block& block, size_t /*s*/) noexcept {
    const uint32_t e = block.exponent;  // 2^-128 and 2^-127 are subnormal
    return {detail::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23), 0.0f};
  }
  /// To the power of two that is not above `scale`, within the range of a byte.
  static void set_scales(Block& block, float scale, float /*min*/) noexcept {
    const uint32_t bits = detail::bit_cast<uint32_t>(scale) & 0x7FFFFFFFu;
    block.exponent = static_cast<uint8_t>(bits < 0x00800000u   ? bits >= 0x00400000u
                                          : bits > 0x7F000000u ? 255
                                                               : (bits >> 23) + 1);
  }

  static void decode(const Block& block, float* values) noexcept {
    decode_block<MXFP4>(block, values);
  }

  static void encode(const float* values, Block& block) noexcept {
    float most = 0.0f;
    for (size_t i = 0; i < 32; ++i) {
      if (most < detail::magnitude(values[i])) most = detail::magnitude(values[i]);
    }
    const int exponent = floor_log2(most) + 125;
    block.exponent = static_cast<uint8_t>(exponent > 0 ? exponent : 0);
    const float scale = sub_block(block, 0).scale;
    set_nibbles(block.nibbles, [&](size_t i) { return nearest(values[i], scale); });
  }

 private:
  // floor(log2(v)) where log2 is rounded to f32, so that the largest floats below a power of two
  // count as that: the more, the further the result is from 0. v is not negative.
  static int floor_log2(float v) noexcept {
    const uint32_t bits = detail::bit_cast<uint32_t>(v);
    const int exponent = static_cast<int>(bits >> 23) - 127;
    if (exponent < -126 || exponent > 127) return -126;  // not a normal number
    constexpr uint8_t kBelow[] = {0, 1, 2, 5, 11, 22, 44};  // floor(2^i * log(2)) floats
    int range = 0;  // log2 of the size of the results below the next integer
    for (int size = exponent > 0 ? exponent : -exponent - 1; size > 1; size /= 2) ++range;
    const uint32_t below = 0x800000u - (bits & 0x7FFFFFu);
    return exponent + (below <= kBelow[range] ? 1 : 0);
  }
  static int nearest(float v, float scale) noexcept {
    int best = 0;
    float least = detail::magnitude(v);
    for (int i = 1; i < 16; ++i) {
      const float value = static_cast<float>(kCodes[i] - kOffset) * scale;  // exact
      const float error = detail::magnitude(value - v);
      if (error < least) {
        least = error;
        best = i;
      }
    }
    return best;
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(MXFP4::Block) == 17 && BlockFormat<MXFP4>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_MXFP4_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_MXFP4_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_MXFP4_SIMD_
#undef TESSERA_FORMAT_MXFP4_SIMD_
#else
#define TESSERA_FORMAT_MXFP4_SIMD_
#endif

#include "tessera/format/table.h"

// No code here that would need the target's attributes.
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<MXFP4> : TableCodes<MXFP4> {};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE

#endif  // TESSERA_FORMAT_MXFP4_SIMD_
#endif  // TESSERA_SIMD_PASS

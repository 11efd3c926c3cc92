// SPDX-License-Identifier: MIT
// iq4_nl: blocks of 32 nibbles under one f16 scale, ggml type 20, 18 bytes. A nibble is the place
// of one of 16 codes, which lie closer together around 0.
//   value[i] = scale * (kCodes[nibble[i]] - 128)
//   byte j of nibbles:     | nibble j+16 | nibble j |
// Encoding (ggml quantize_row_iq4_nl_ref): m = the value of largest magnitude, the first if
// several. Each value takes the code that is nearest to it where m is the least code, the higher
// one if two are; then scale = sum(v^2 * code * v) / sum(v^2 * code^2), summed in f32 in this
// order. Where |m| < 1e-15 the reference leaves nibbles as they were; here they are that of the
// code nearest to 0.
#ifndef TESSERA_FORMAT_IQ4_NL_H_
#define TESSERA_FORMAT_IQ4_NL_H_

#include "tessera/base/half.h"
#include "tessera/format/format.h"
#include "tessera/format/table.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct IQ4_NL : BlockOf32 {
  struct Block {
    uint16_t scale;  // f16
    uint8_t nibbles[16];
  };
  static constexpr DType kDType = DType::iq4_nl;
  static constexpr int kOffset = 128;
  static constexpr int kMostCode = 241;
  static constexpr bool kHasMin = false;
  // Unsigned, as all codes: those of ggml are less by kOffset.
  static constexpr uint8_t kCodes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                         129, 141, 153, 166, 181, 197, 217, 241};
  static constexpr size_t kScaleBytes = 2;
  static constexpr size_t kWords = 4;

  static int get_code(const Block& block, size_t i) noexcept {
    return kCodes[get_nibble(block.nibbles, i)];
  }
  static SubBlock sub_block(const Block& block, size_t /*s*/) noexcept {
    return {to_float(f16_t{block.scale}), 0.0f};
  }
  static void set_scales(Block& block, float scale, float /*min*/) noexcept {
    block.scale = to_f16(scale).bits;
  }

  static void decode(const Block& block, float* values) noexcept {
    decode_block<IQ4_NL>(block, values);
  }

  static void encode(const float* values, Block& block) noexcept {
    float most = 0.0f, signed_most = 0.0f;
    for (size_t i = 0; i < 32; ++i) {
      if (detail::magnitude(values[i]) > most) {
        most = detail::magnitude(values[i]);
        signed_most = values[i];
      }
    }
    uint8_t nibbles[32];
    float with_value = 0.0f, with_code = 0.0f;
    const float inverse = most < 1e-15f ? 0.0f : 1.0f / (signed_most / code_of(0));
    for (size_t i = 0; i < 32; ++i) {
      nibbles[i] = nearest(inverse * values[i]);
      const float code = code_of(nibbles[i]), weighted = values[i] * values[i] * code;
      with_value += detail::rounded_product(weighted, values[i]);
      with_code += detail::rounded_product(weighted, code);
    }
    const bool has_scale = most >= 1e-15f && with_code > 0.0f;
    set_scales(block, has_scale ? with_value / with_code : 0.0f, 0.0f);
    set_nibbles(block.nibbles, [&](size_t i) { return nibbles[i]; });
  }

 private:
  static constexpr float code_of(size_t nibble) noexcept {
    return static_cast<float>(kCodes[nibble] - kOffset);
  }
  // A NaN, which no comparison holds for, takes the way that the reference's search gives it.
  static uint8_t nearest(float v) noexcept {
    if (v <= code_of(0)) return 0;
    if (v >= code_of(15)) return 15;
    uint8_t low = 0, high = 15;
    while (high - low > 1) {
      const auto middle = static_cast<uint8_t>((low + high) / 2);
      (v < code_of(middle) ? high : low) = middle;
    }
    return v - code_of(low) < code_of(high) - v ? low : high;
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(IQ4_NL::Block) == 18 && BlockFormat<IQ4_NL>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_IQ4_NL_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_IQ4_NL_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_IQ4_NL_SIMD_
#undef TESSERA_FORMAT_IQ4_NL_SIMD_
#else
#define TESSERA_FORMAT_IQ4_NL_SIMD_
#endif

#include "tessera/format/table.h"

// No code here that would need the target's attributes.
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<IQ4_NL> : TableCodes<IQ4_NL> {};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE

#endif  // TESSERA_FORMAT_IQ4_NL_SIMD_
#endif  // TESSERA_SIMD_PASS

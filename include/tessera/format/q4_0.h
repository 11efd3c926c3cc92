// SPDX-License-Identifier: MIT
// q4_0: blocks of 32 four-bit codes under one f16 scale, ggml type 2, 18 bytes.
//   value[i] = scale * (code[i] - 8)
//   byte j of codes:   | code j+16 | code j |     high nibble, low nibble; j = 0 .. 15
// Encoding (ggml quantize_row_q4_0_ref): m = the value of largest magnitude, the first if several;
// scale = m / -8, code = min(15, trunc(v * (1 / scale) + 8.5)).
#ifndef TESSERA_FORMAT_Q4_0_H_
#define TESSERA_FORMAT_Q4_0_H_

#include "tessera/base/half.h"
#include "tessera/format/format.h"
#include "tessera/format/nibble.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct Q4_0 : BlockOf32 {
  struct Block {
    uint16_t scale;  // f16
    uint8_t codes[16];
  };
  static constexpr DType kDType = DType::q4_0;
  static constexpr int kOffset = 8;
  static constexpr int kMostCode = 15;
  static constexpr bool kHasMin = false;
  static constexpr size_t kScaleBytes = 2;
  static constexpr size_t kWords = 4;

  static int get_code(const Block& block, size_t i) noexcept { return get_nibble(block.codes, i); }
  static SubBlock sub_block(const Block& block, size_t /*s*/) noexcept {
    return {to_float(f16_t{block.scale}), 0.0f};
  }
  static void set_scales(Block& block, float scale, float /*min*/) noexcept {
    block.scale = to_f16(scale).bits;
  }

  static void decode(const Block& block, float* values) noexcept {
    decode_block<Q4_0>(block, values);
  }

  static void encode(const float* values, Block& block) noexcept {
    uint8_t codes[32];
    set_scales(block, encode_around(kOffset, values, codes), 0.0f);
    set_nibbles(block.codes, [&](size_t i) { return codes[i]; });
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(Q4_0::Block) == 18 && BlockFormat<Q4_0>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_Q4_0_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_Q4_0_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_Q4_0_SIMD_
#undef TESSERA_FORMAT_Q4_0_SIMD_
#else
#define TESSERA_FORMAT_Q4_0_SIMD_
#endif

#include "tessera/format/nibble.h"

// No code here that would need the target's attributes.
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<Q4_0> : NibbleCodes {};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE

#endif  // TESSERA_FORMAT_Q4_0_SIMD_
#endif  // TESSERA_SIMD_PASS

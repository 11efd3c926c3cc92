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
#include "tessera/format/five_bits.h"
#include "tessera/format/format.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct Q5_0 : BlockOf32 {
  struct Block {
    uint16_t scale;  // f16
    uint8_t high[4];
    uint8_t low[16];
  };
  static constexpr DType kDType = DType::q5_0;
  static constexpr int kOffset = 16;
  static constexpr int kMostCode = 31;
  static constexpr bool kHasMin = false;
  static constexpr size_t kScaleBytes = 2;
  static constexpr size_t kWords = 5;

  static int get_code(const Block& block, size_t i) noexcept {
    return get_five_bits(block.high, block.low, i);
  }
  static SubBlock sub_block(const Block& block, size_t /*s*/) noexcept {
    return {to_float(f16_t{block.scale}), 0.0f};
  }
  static void set_scales(Block& block, float scale, float /*min*/) noexcept {
    block.scale = to_f16(scale).bits;
  }

  static void decode(const Block& block, float* values) noexcept {
    decode_block<Q5_0>(block, values);
  }

  static void encode(const float* values, Block& block) noexcept {
    uint8_t codes[32];
    set_scales(block, encode_around(kOffset, values, codes), 0.0f);
    set_five_bits(codes, block.high, block.low);
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

#include "tessera/format/five_bits.h"

// No code here that would need the target's attributes.
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<Q5_0> : FiveBitCodes {};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE

#endif  // TESSERA_FORMAT_Q5_0_SIMD_
#endif  // TESSERA_SIMD_PASS

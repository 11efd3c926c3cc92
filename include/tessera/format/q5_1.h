// SPDX-License-Identifier: MIT
// q5_1: blocks of 32 five-bit codes under an f16 scale and an f16 min, ggml type 7, 24 bytes.
//   value[i] = scale * code[i] + min
//   high and low as in q5_0
// Encoding (ggml quantize_row_q5_1_ref): min and max of the block, scale = (max - min) / 31,
// code = min(31, trunc((v - min) * (1 / scale) + 0.5)).
#ifndef TESSERA_FORMAT_Q5_1_H_
#define TESSERA_FORMAT_Q5_1_H_

#include "tessera/base/half.h"
#include "tessera/format/five_bits.h"
#include "tessera/format/format.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct Q5_1 : BlockOf32 {
  struct Block {
    uint16_t scale;  // f16
    uint16_t min;    // f16
    uint8_t high[4];
    uint8_t low[16];
  };
  static constexpr DType kDType = DType::q5_1;
  static constexpr int kOffset = 0;
  static constexpr int kMostCode = 31;
  static constexpr bool kHasMin = true;
  static constexpr size_t kScaleBytes = 4;
  static constexpr size_t kWords = 5;

  static int get_code(const Block& block, size_t i) noexcept {
    return get_five_bits(block.high, block.low, i);
  }
  static SubBlock sub_block(const Block& block, size_t /*s*/) noexcept {
    return {to_float(f16_t{block.scale}), to_float(f16_t{block.min})};
  }
  static void set_scales(Block& block, float scale, float min) noexcept {
    block.scale = to_f16(scale).bits;
    block.min = to_f16(min).bits;
  }

  static void decode(const Block& block, float* values) noexcept {
    decode_block<Q5_1>(block, values);
  }

  static void encode(const float* values, Block& block) noexcept {
    uint8_t codes[32];
    const SubBlock sub = encode_from_min(kMostCode, values, codes);
    set_scales(block, sub.scale, sub.min);
    set_five_bits(codes, block.high, block.low);
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(Q5_1::Block) == 24 && BlockFormat<Q5_1>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_Q5_1_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_Q5_1_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_Q5_1_SIMD_
#undef TESSERA_FORMAT_Q5_1_SIMD_
#else
#define TESSERA_FORMAT_Q5_1_SIMD_
#endif

#include "tessera/format/five_bits.h"

// No code here that would need the target's attributes.
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<Q5_1> : FiveBitCodes {};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE

#endif  // TESSERA_FORMAT_Q5_1_SIMD_
#endif  // TESSERA_SIMD_PASS

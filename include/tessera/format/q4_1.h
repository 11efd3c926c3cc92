// SPDX-License-Identifier: MIT
// q4_1: blocks of 32 four-bit codes under an f16 scale and an f16 min, ggml type 3, 20 bytes.
//   value[i] = scale * code[i] + min          nibbles in the order of q4_0
// Encoding (ggml quantize_row_q4_1_ref): scale = (max - min) / 15,
// code = min(15, trunc((v - min) * (1 / scale) + 0.5)); max starts from the lowest float.
#ifndef TESSERA_FORMAT_Q4_1_H_
#define TESSERA_FORMAT_Q4_1_H_

#include "tessera/base/half.h"
#include "tessera/format/format.h"
#include "tessera/format/nibble.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct Q4_1 : BlockOf32 {
  struct Block {
    uint16_t scale;  // f16
    uint16_t min;    // f16
    uint8_t codes[16];
  };
  static constexpr DType kDType = DType::q4_1;
  static constexpr int kOffset = 0;
  static constexpr int kMostCode = 15;
  static constexpr bool kHasMin = true;
  static constexpr size_t kScaleBytes = 4;
  static constexpr size_t kWords = 4;

  static int get_code(const Block& block, size_t i) noexcept { return get_nibble(block.codes, i); }
  static SubBlock sub_block(const Block& block, size_t /*s*/) noexcept {
    return {to_float(f16_t{block.scale}), to_float(f16_t{block.min})};
  }
  static void set_scales(Block& block, float scale, float min) noexcept {
    block.scale = to_f16(scale).bits;
    block.min = to_f16(min).bits;
  }

  static void decode(const Block& block, float* values) noexcept {
    decode_block<Q4_1>(block, values);
  }

  static void encode(const float* values, Block& block) noexcept {
    uint8_t codes[32];
    const SubBlock sub = encode_from_min(kMostCode, values, codes);
    set_scales(block, sub.scale, sub.min);
    set_nibbles(block.codes, [&](size_t i) { return codes[i]; });
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(Q4_1::Block) == 20 && BlockFormat<Q4_1>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_Q4_1_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_Q4_1_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_Q4_1_SIMD_
#undef TESSERA_FORMAT_Q4_1_SIMD_
#else
#define TESSERA_FORMAT_Q4_1_SIMD_
#endif

#include "tessera/format/nibble.h"

// No code here that would need the target's attributes.
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<Q4_1> : NibbleCodes {};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE

#endif  // TESSERA_FORMAT_Q4_1_SIMD_
#endif  // TESSERA_SIMD_PASS

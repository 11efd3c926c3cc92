// SPDX-License-Identifier: MIT
// q8_0: blocks of 32 signed bytes under one f16 scale, ggml type 8, 34 bytes.
//   value[i] = scale * codes[i]
// Encoding (ggml quantize_row_q8_0_ref): scale = max|v| / 127, code = round(v * (1 / scale)) with
// halves away from zero; the f32 scale is used for the codes and only then rounded to f16.
#ifndef TESSERA_FORMAT_Q8_0_H_
#define TESSERA_FORMAT_Q8_0_H_

#include "tessera/base/half.h"
#include "tessera/format/format.h"

namespace tessera::inline v0_1 {

TESSERA_PRECISE_BEGIN
struct Q8_0 : BlockOf32 {
  struct Block {
    uint16_t scale;  // f16
    int8_t codes[32];
  };
  static constexpr DType kDType = DType::q8_0;
  static constexpr int kOffset = 128;  // of c + 128, which is what dots of unsigned bytes see for c
  static constexpr int kMostCode = 255;
  static constexpr bool kHasMin = false;
  static constexpr size_t kScaleBytes = 2;
  static constexpr size_t kWords = 8;

  static int get_code(const Block& block, size_t i) noexcept { return block.codes[i] + kOffset; }
  static SubBlock sub_block(const Block& block, size_t /*s*/) noexcept {
    return {to_float(f16_t{block.scale}), 0.0f};
  }
  static void set_scales(Block& block, float scale, float /*min*/) noexcept {
    block.scale = to_f16(scale).bits;
  }

  static void decode(const Block& block, float* values) noexcept {
    decode_block<Q8_0>(block, values);
  }

  static void encode(const float* values, Block& block) noexcept {
    float max = 0.0f;
    for (size_t i = 0; i < 32; ++i) {
      if (max < detail::magnitude(values[i])) max = detail::magnitude(values[i]);
    }
    const float scale = max / 127.0f;
    const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    set_scales(block, scale, 0.0f);
    for (size_t i = 0; i < 32; ++i) block.codes[i] = to_code(values[i] * inverse);
  }

 private:
  // To the nearest, halves away from zero. A value beyond all codes (a scale so small that its
  // inverse is infinite) or NaN gives 0.
  static int8_t to_code(float v) noexcept {
    if (!(detail::magnitude(v) < 127.5f)) return 0;
    const int whole = static_cast<int>(v);
    const float rest = v - static_cast<float>(whole);  // exact
    return static_cast<int8_t>(whole + (rest >= 0.5f) - (rest <= -0.5f));
  }
};
TESSERA_PRECISE_END
static_assert(sizeof(Q8_0::Block) == 34 && BlockFormat<Q8_0>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_Q8_0_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_Q8_0_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_Q8_0_SIMD_
#undef TESSERA_FORMAT_Q8_0_SIMD_
#else
#define TESSERA_FORMAT_Q8_0_SIMD_
#endif

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<Q8_0> {
  static constexpr size_t kQuadOrder[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  static constexpr bool kSigned = TESSERA_SIGNED_DOT || TESSERA_WIDENING_DOT;

  static HWY_INLINE VU panel_word(VU word, size_t /*i*/) {
    return kSigned ? word : hn::Xor(word, hn::Set(DU(), 0x80808080u));
  }
  template <class Words>
  static HWY_INLINE VU quad(const Words& word, size_t quad) {
    return word(quad);
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_Q8_0_SIMD_
#endif  // TESSERA_SIMD_PASS

// SPDX-License-Identifier: MIT
// What ggml's formats of blocks of 32 share. Nibbles, the whole codes of four bits or the low part
// of five: byte j holds that of code j in its low half and of code j + 16 in its high half, so word
// w of 16 bytes holds the quads w (low) and w + 4 (high). And how codes of both sizes are encoded.
#ifndef TESSERA_FORMAT_NIBBLE_H_
#define TESSERA_FORMAT_NIBBLE_H_

#include <cfloat>

#include "tessera/format/format.h"

namespace tessera::inline v0_1 {

inline int get_nibble(const uint8_t* codes, size_t i) noexcept {
  return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4;
}

TESSERA_PRECISE_BEGIN
/// The reference's conversion: truncate, cap at `most`. A value that no byte holds (from an
/// infinite inverse of a tiny scale, or a NaN) becomes 0, as the x86 conversion gives it.
inline uint8_t to_code(float v, int most) noexcept {
  if (!(v > -1.0f && v < 256.0f)) return 0;
  const int code = static_cast<int>(v);
  return static_cast<uint8_t>(code < most ? code : most);
}

/// The reference's codes of values around 0, up to 2 * offset - 1: the value of largest magnitude,
/// the first if several, gets the code 0. Returns the scale.
inline float encode_around(int offset, const float* values, uint8_t* codes) noexcept {
  float max = 0.0f, signed_max = 0.0f;
  for (size_t i = 0; i < 32; ++i) {
    if (max < detail::magnitude(values[i])) {
      max = detail::magnitude(values[i]);
      signed_max = values[i];
    }
  }
  const float scale = signed_max / -static_cast<float>(offset);
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  const float half_above = static_cast<float>(offset) + 0.5f;
  for (size_t i = 0; i < 32; ++i) {
    const float code = detail::rounded_product(values[i], inverse) + half_above;
    codes[i] = to_code(code, 2 * offset - 1);
  }
  return scale;
}
TESSERA_PRECISE_END

// A region of its own: GCC heeds a part of what one says for its first function only.
TESSERA_PRECISE_BEGIN
/// The reference's codes of values from their least one up to `most`.
inline SubBlock encode_from_min(int most, const float* values, uint8_t* codes) noexcept {
  float min = FLT_MAX, max = -FLT_MAX;
  for (size_t i = 0; i < 32; ++i) {
    if (values[i] < min) min = values[i];
    if (values[i] > max) max = values[i];
  }
  const float scale = (max - min) / static_cast<float>(most);
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  for (size_t i = 0; i < 32; ++i) {
    codes[i] = to_code(detail::rounded_product(values[i] - min, inverse) + 0.5f, most);
  }
  return {scale, min};
}
TESSERA_PRECISE_END

template <class CodeOf>
void set_nibbles(uint8_t* codes, const CodeOf& code_of) noexcept {
  for (size_t j = 0; j < 16; ++j) {
    codes[j] = static_cast<uint8_t>(code_of(j) | (code_of(j + 16) << 4));
  }
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_NIBBLE_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_NIBBLE_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_NIBBLE_SIMD_
#undef TESSERA_FORMAT_NIBBLE_SIMD_
#else
#define TESSERA_FORMAT_NIBBLE_SIMD_
#endif

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

struct NibbleCodes {
  // A quad and the one sixteen values on share their words: visited together they load once.
  static constexpr size_t kQuadOrder[8] = {0, 4, 1, 5, 2, 6, 3, 7};

  static HWY_INLINE VU panel_word(VU word, size_t /*i*/) { return word; }
  template <class Words>
  static HWY_INLINE VU quad(const Words& word, size_t quad) {
    return nibbles(word(quad % 4), quad);
  }
  // Of the word that holds them.
  static HWY_INLINE VU nibbles(VU word, size_t quad) {
    return hn::And(quad >= 4 ? hn::ShiftRight<4>(word) : word, hn::Set(DU(), 0x0F0F0F0Fu));
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_NIBBLE_SIMD_
#endif  // TESSERA_SIMD_PASS

// SPDX-License-Identifier: MIT
// ggml's nibble order, shared by its four-bit formats: byte j holds code j in its low half and code
// j + 16 in its high half, so word w of a block holds the quads w (low) and w + 4 (high).
#ifndef TESSERA_FORMAT_NIBBLE_H_
#define TESSERA_FORMAT_NIBBLE_H_

#include "tessera/format/format.h"

namespace tessera::inline v0_1 {

inline int get_nibble(const uint8_t* codes, size_t i) noexcept {
  return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4;
}

TESSERA_PRECISE_BEGIN
/// The reference's conversion: truncate, cap at 15. A value that no byte holds (from an infinite
/// inverse of a tiny scale, or a NaN) becomes 0, as the x86 conversion gives it.
inline uint8_t to_nibble(float v) noexcept {
  if (!(v > -1.0f && v < 256.0f)) return 0;
  const int code = static_cast<int>(v);
  return static_cast<uint8_t>(code < 15 ? code : 15);
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

  static HWY_INLINE VU word_quad(VU word, size_t quad) {
    return hn::And(quad >= 4 ? hn::ShiftRight<4>(word) : word, hn::Set(DU(), 0x0F0F0F0Fu));
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_NIBBLE_SIMD_
#endif  // TESSERA_SIMD_PASS

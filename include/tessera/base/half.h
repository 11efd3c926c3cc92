// SPDX-License-Identifier: MIT
// f16 (IEEE binary16) and bf16 as storage, and their scalar conversions: round to nearest, ties to
// even; NaN stays NaN (made quiet), infinities and subnormals are kept.
#ifndef TESSERA_BASE_HALF_H_
#define TESSERA_BASE_HALF_H_

#include <cstdint>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {

struct f16_t {
  uint16_t bits;
};
struct bf16_t {
  uint16_t bits;
};

constexpr float to_float(f16_t h) noexcept {
  const uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000u) << 16;
  const uint32_t magnitude = h.bits & 0x7FFFu;
  if (magnitude >=
      0x7C00u) {  // infinity or NaN; the quiet bit is set as conversions in hardware do
    const uint32_t payload = magnitude & 0x3FFu;
    return detail::bit_cast<float>(sign | 0x7F800000u | (payload << 13) |
                                   (payload != 0 ? 0x400000u : 0u));
  }
  if (magnitude < 0x400u) {  // zero or subnormal: magnitude * 2^-24, exact in f32
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return detail::bit_cast<float>(sign | detail::bit_cast<uint32_t>(value));
  }
  return detail::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
}

constexpr f16_t to_f16(float value) noexcept {
  const uint32_t bits = detail::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  uint32_t half;
  if (magnitude > 0x7F800000u) {
    half = 0x7E00u | ((magnitude >> 13) & 0x3FFu);
  } else if (magnitude >= 0x477FF000u) {  // 65520 and above round to infinity
    half = 0x7C00u;
  } else if (magnitude >= 0x38800000u) {  // normal: at least 2^-14
    const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
    half = (rounded - 0x38000000u) >> 13;
  } else if (magnitude > 0x33000000u) {  // subnormal: above 2^-25
    const uint32_t exponent = magnitude >> 23;
    const uint32_t significand = (magnitude & 0x7FFFFFu) | 0x800000u;
    const uint32_t shift = 126u - exponent;  // 14 .. 24
    const uint32_t kept = significand >> shift;
    const uint32_t rest = significand & ((1u << shift) - 1u);
    const uint32_t tie = 1u << (shift - 1u);
    half = kept + ((rest > tie || (rest == tie && (kept & 1u) != 0)) ? 1u : 0u);
  } else {
    half = 0;
  }
  return f16_t{static_cast<uint16_t>(sign | half)};
}

constexpr float to_float(bf16_t b) noexcept {
  return detail::bit_cast<float>(static_cast<uint32_t>(b.bits) << 16);
}

constexpr bf16_t to_bf16(float value) noexcept {
  const uint32_t bits = detail::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
    return bf16_t{static_cast<uint16_t>((bits >> 16) | 64u)};
  }
  return bf16_t{static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_BASE_HALF_H_

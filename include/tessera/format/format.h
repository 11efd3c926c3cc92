// SPDX-License-Identifier: MIT
// What a format file must provide.
//
// Plain section, seen once:
//   Block            the exact bytes; sizeof is asserted
//   kDType           run-time name
//   kBlockValues     values a block holds along k (1 for float formats)
//   decode(block, out)   the meaning of the bytes: kBlockValues floats
//   encode(in, block)    the rounding rule, bit-equal to ggml's reference quantizer; a format may
//                        have none, and can then be decoded only
// both between TESSERA_PRECISE_BEGIN and TESSERA_PRECISE_END if they calculate;
// and a block format also says how a value is made of code, scale and min, where a scale and a min
// serve a sub-block of kSubValues values,
//   value = scale * (code - kOffset) + min,
//   kOffset          what an unsigned code is too high by
//   kMostCode        the largest one
//   kHasMin          whether there are minima
//   get_code(block, i), sub_block(block, s)      code i; scale and min of sub-block s
//   set_scales(block, scale, min)                what the block's own scale (and min) shall be
//   kNaNScales       whether those can be NaN or infinite (not where a scale is an exponent only)
//   kScaleAt, kScaleBytes   where they lie: scale (and min) as f16, or an exponent of one byte
//   kWords           32-bit words of the rest of the block, which begins where those end, or ends
//                    where they begin
// and one with sub-blocks of its own also set_sub_block(block, s, scale, min), integers of up to
// kMostSubScale, and set_code(block, i, code).
//
// Per-target section (TESSERA_SIMD_PASS, once per target), how vectors read it:
//   float formats:   load_values(df, p)         Lanes(df) values
//                    panel_value(df, p, even, odd) panel words -> the two values of each
//   block formats:   panel_word(word, i)        word i of a block, a block a lane, as it is stored
//                                               -> as panels hold it, which is once, so that
//                                               quad() has less to do
//                    quad(word, q)              word(i) of panels -> codes 4q .. 4q+3 as unsigned
//                                               bytes; q is a constant once loops are unrolled
//                    kSigned, if there is one   whether they are signed bytes on this target
//                    kQuadOrder                 the quads of 32 codes, those of one word together
#ifndef TESSERA_FORMAT_FORMAT_H_
#define TESSERA_FORMAT_FORMAT_H_

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include "tessera/core/dtype.h"

namespace tessera::inline v0_1 {

static_assert(std::endian::native == std::endian::little,
              "Tessera reads the little-endian words of GGUF files where they lie in memory, so it "
              "does not run on big-endian machines such as this one");

template <class F>
concept Format = requires(const typename F::Block& block, float* values) {
  { F::kDType } -> std::convertible_to<DType>;
  { F::kBlockValues } -> std::convertible_to<size_t>;
  { F::kIsBlock } -> std::convertible_to<bool>;
  F::decode(block, values);
};

/// A format that values can be rounded to.
template <class F>
concept Encodable = Format<F> && requires(const float* values, typename F::Block& block) {
  F::encode(values, block);
};

/// What a scale and a min serve together: value = scale * (code - kOffset) + min.
struct SubBlock {
  float scale = 0;
  float min = 0;
};

template <class F>
concept BlockFormat = Format<F> && F::kIsBlock &&
    requires(const typename F::Block& block, typename F::Block& out) {
  { F::kSubValues } -> std::convertible_to<size_t>;
  { F::kOffset } -> std::convertible_to<int>;
  { F::kMostCode } -> std::convertible_to<int>;
  { F::kHasMin } -> std::convertible_to<bool>;
  { F::kNaNScales } -> std::convertible_to<bool>;
  { F::kScaleAt } -> std::convertible_to<size_t>;
  { F::kScaleBytes } -> std::convertible_to<size_t>;
  { F::kWords } -> std::convertible_to<size_t>;
  { F::get_code(block, size_t{}) } -> std::convertible_to<int>;
  { F::sub_block(block, size_t{}) } -> std::convertible_to<SubBlock>;
  F::set_scales(out, 0.0f, 0.0f);
} &&(F::kScaleAt == 0 || F::kScaleAt == 4 * F::kWords) && F::kScaleBytes + 4 * F::kWords ==
                                                              sizeof(typename F::Block);

/// A block format whose blocks are several sub-blocks, with integers for scales.
template <class F>
concept SuperBlockFormat = BlockFormat<F> && F::kBlockValues == 256 &&
                           requires(typename F::Block& block) {
  { F::kMostSubScale } -> std::convertible_to<int>;
  F::set_sub_block(block, size_t{}, 0, 0);
  F::set_code(block, size_t{}, 0);
};

/// What formats of blocks of 32 codes behind their scale share.
struct BlockOf32 {
  static constexpr size_t kBlockValues = 32;
  static constexpr size_t kSubValues = 32;
  static constexpr bool kIsBlock = true;
  static constexpr bool kNaNScales = true;
  static constexpr size_t kScaleAt = 0;
};

TESSERA_PRECISE_BEGIN
namespace detail {
constexpr float magnitude(float v) noexcept { return v < 0.0f ? -v : v; }

/// x * factor, rounded to f32 before anything else happens to it. A compiler that may contract
/// would fuse the product into a following addition and so change codes that lie on a tie.
inline float rounded_product(float x, float factor) noexcept {
  float product = x * factor;
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__riscv_fdiv) || defined(__PPC__)
  asm volatile("" : "+m"(product));
#endif
  return product;
}
}  // namespace detail

/// The values of a block. A scale and a code have so few bits that their product is exact.
template <class F>
void decode_block(const typename F::Block& block, float* values) noexcept {
  for (size_t first = 0; first < F::kBlockValues; first += F::kSubValues) {
    const SubBlock sub = F::sub_block(block, first / F::kSubValues);
    for (size_t i = first; i < first + F::kSubValues; ++i) {
      values[i] = sub.scale * static_cast<float>(F::get_code(block, i) - F::kOffset);
      if constexpr (F::kHasMin) values[i] += sub.min;
    }
  }
}
TESSERA_PRECISE_END

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_FORMAT_H_

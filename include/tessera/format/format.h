// SPDX-License-Identifier: MIT
// What a format file must provide.
//
// Plain section, seen once:
//   Block            the exact bytes; sizeof is asserted
//   kDType           run-time name
//   kBlockValues     values a block holds along k (1 for float formats)
//   decode(block, out)   the meaning of the bytes: kBlockValues floats
//   encode(in, block)    the rounding rule, bit-equal to ggml's reference quantizer
// both between TESSERA_PRECISE_BEGIN and TESSERA_PRECISE_END if they calculate;
// and a block format also says how a value is made of code, scale and min,
//   value = scale * (code - kOffset) + min,
//   kOffset          what an unsigned code is too high by
//   kHasMin          whether a block stores a min behind its scale
//   kScaleBytes      bytes of scale (and min), f16 each, at the start of a block
//   kCodeWords       32-bit words of packed codes behind them: 32 codes, so also the bits of one
//
// Per-target section (TESSERA_SIMD_PASS, once per target), how vectors read it:
//   float formats:   load_values(df, p)         Lanes(df) values
//                    panel_value(df, p, even, odd) panel words -> the two values of each
//   block formats:   panel_word(word, i)        word i of a block's codes, a block a lane, as it is
//                                               stored -> as panels hold it, which is once, so
//                                               that quad() has less to do
//                    quad(word, q)              word(i) of panels -> codes 4q .. 4q+3 as unsigned
//                                               bytes; q is a constant once loops are unrolled
//                    kSigned, if there is one   whether they are signed bytes on this target
//                    kQuadOrder                 the quads, those of one word together
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
concept Format = requires(const typename F::Block& block, typename F::Block& out, float* values,
                          const float* in) {
  { F::kDType } -> std::convertible_to<DType>;
  { F::kBlockValues } -> std::convertible_to<size_t>;
  { F::kIsBlock } -> std::convertible_to<bool>;
  F::decode(block, values);
  F::encode(in, out);
};

template <class F>
concept BlockFormat = Format<F> && F::kIsBlock && F::kBlockValues == 32 && requires {
  { F::kOffset } -> std::convertible_to<int>;
  { F::kHasMin } -> std::convertible_to<bool>;
  { F::kScaleBytes } -> std::convertible_to<size_t>;
  { F::kCodeWords } -> std::convertible_to<size_t>;
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
TESSERA_PRECISE_END

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_FORMAT_H_

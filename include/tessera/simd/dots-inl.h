// SPDX-License-Identifier: MIT
// Exact dots of a sub-block's codes of W, 32 or 16, with signed bytes of x: in each 32-bit lane,
// quad after quad of codes. Three ways, for what a target can do; all give the same integer.
//
// Where x86 has no instruction for four products, Highway's emulation of one is slower than f32,
// and what is here is faster: 1.3 times for codes of 8 bits, 2.3 times for codes of 4, on Zen 4.
// (bench/sweeps/micro_kernels.tsv) |w| times x with the sign of w, bytes in pairs, was not built:
// psignb is one more instruction for the multipliers' ports, and 16 bits hold no more than two such
// products.
//
// A quad takes kSteps steps; step s multiplies with word s * 8 + quad of x, in the order that
// order_codes() leaves. Sums begin at begin(start) and end with end(sum, start); add() is told how
// many quads came before.
#if defined(TESSERA_SIMD_DOTS_INL_H_) == (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_DOTS_INL_H_
#undef TESSERA_SIMD_DOTS_INL_H_
#else
#define TESSERA_SIMD_DOTS_INL_H_
#endif

#include <type_traits>

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// Dots see codes as unsigned bytes. A format whose stored codes are signed leaves them so on a
// target whose dots see signed ones, and says kSigned; codes of fewer bits than eight are both.
// Then the code of zero is another.
template <class F>
constexpr bool is_signed() {
  if constexpr (requires { SimdOf<F>::kSigned; }) return SimdOf<F>::kSigned;
  return false;
}
template <class F>
inline constexpr int kDotOffset = is_signed<F>() ? F::kOffset - 128 : F::kOffset;

// Of how many quads 16 bits hold the sums of products, a power of two and at most all kQuads of a
// dot; 1 where that does not help. 8 quads * 2 products * 15 * 127 = 30480 < 2^15: for codes of
// four bits they hold a whole dot of 32, for those of five bits half of one, for six bits a
// quarter.
template <class F, size_t kQuads>
constexpr size_t quads_together() {
  if (!kHasBytePairs || kHasQuadDot) return 1;
  size_t quads = kQuads;
  while (quads > 1 && quads * 2 * F::kMostCode * 127 >= 1 << 15) quads /= 2;
  return quads;
}

// Four products of bytes at a time.
struct QuadDots {
  static constexpr size_t kSteps = 1;
  using Sum = VI;

  static HWY_INLINE Sum begin(VI start) { return start; }
  template <size_t>
  static HWY_INLINE VU codes(VU quad) {
    return quad;
  }
  static HWY_INLINE Sum add(VU codes, VI x, Sum sum, size_t /*before*/) {
    return dot4(DI(), codes, x, sum);
  }
  static HWY_INLINE VI end(Sum sum, VI /*start*/) { return sum; }
};

#if !TESSERA_ONE_LANE
// Two products of 16 bits at a time: codes 0 and 2 of each quad, then 1 and 3.
struct PairDots {
  static constexpr size_t kSteps = 2;
  using D16 = hn::Repartition<int16_t, DI>;
  using Sum = VI;

  static HWY_INLINE Sum begin(VI start) { return start; }
  template <size_t kStep>
  static HWY_INLINE VU codes(VU quad) {
    if constexpr (kStep == 0) return hn::And(quad, hn::Set(DU(), 0x00FF00FFu));
    const hn::RebindToUnsigned<D16> du16;
    return hn::BitCast(DU(), hn::ShiftRight<8>(hn::BitCast(du16, quad)));
  }
  static HWY_INLINE Sum add(VU codes, VI x, Sum sum, size_t /*before*/) {
    const D16 d16;
    const VI products = hn::WidenMulPairwiseAdd(DI(), hn::BitCast(d16, codes), hn::BitCast(d16, x));
    return in_order(hn::Add(sum, products));
  }
  static HWY_INLINE VI end(Sum sum, VI /*start*/) { return sum; }
};

// Products of bytes added in pairs, and the pairs of kTogether quads in 16 bits.
template <size_t kTogether, size_t kQuads>
struct ByteDots {
  static_assert(kQuads % kTogether == 0);
  static constexpr size_t kSteps = 1;
  static constexpr bool kIsWhole = kTogether == kQuads;  // 16 bits hold the dot
  using D16 = hn::Repartition<int16_t, DI>;
  struct Sum {
    hn::VFromD<D16> pairs;
    VI quads;
  };

  static HWY_INLINE Sum begin(VI start) { return {hn::Zero(D16()), start}; }
  template <size_t>
  static HWY_INLINE VU codes(VU quad) {
    return quad;
  }
  static HWY_INLINE Sum add(VU codes, VI x, Sum sum, size_t before) {
    const hn::Repartition<uint8_t, DI> du8;
    const hn::Repartition<int8_t, DI> di8;
    const D16 d16;
    auto pairs = hn::SatWidenMulPairwiseAdd(d16, hn::BitCast(du8, codes), hn::BitCast(di8, x));
    if (before % kTogether != 0) pairs = hn::Add(sum.pairs, pairs);
    sum.pairs = in_order(pairs);
    if (!kIsWhole && before % kTogether == kTogether - 1)
      sum.quads = with_pairs(sum.pairs, sum.quads);
    return sum;
  }
  static HWY_INLINE VI end(Sum sum, VI start) {
    return kIsWhole ? with_pairs(sum.pairs, start) : sum.quads;
  }

 private:
  static HWY_INLINE VI with_pairs(hn::VFromD<D16> pairs, VI sum) {
    return hn::Add(hn::WidenMulPairwiseAdd(DI(), pairs, hn::Set(D16(), int16_t{1})), sum);
  }
};

#if TESSERA_WIDENING_DOT
// Products of signed bytes have 16 bits; pairs of them are added to sums of 32, two for each row of
// W until the end.
struct WideningDots {
  static constexpr size_t kSteps = 1;
  struct Sum {
    int32x4_t low, high;  // of rows 0 and 1, of 2 and 3
  };

  static HWY_INLINE Sum begin(VI /*start*/) { return {vdupq_n_s32(0), vdupq_n_s32(0)}; }
  template <size_t>
  static HWY_INLINE VU codes(VU quad) {
    return quad;
  }
  static HWY_INLINE Sum add(VU codes, VI x, Sum sum, size_t /*before*/) {
    const int8x16_t w = vreinterpretq_s8_u32(codes.raw), v = vreinterpretq_s8_s32(x.raw);
    VI low(vpadalq_s16(sum.low, vmull_s8(vget_low_s8(w), vget_low_s8(v))));
    VI high(vpadalq_s16(sum.high, vmull_high_s8(w, v)));
    settle(low);
    settle(high);
    return {low.raw, high.raw};
  }
  static HWY_INLINE VI end(Sum sum, VI start) {
    return hn::Add(VI(vpaddq_s32(sum.low, sum.high)), start);
  }
};

template <class F, size_t kQuads = F::kSubValues / 4>
using DotsOf = WideningDots;
#else
template <class F, size_t kQuads = F::kSubValues / 4>
using DotsOf =
    std::conditional_t<kHasQuadDot, QuadDots,
                       std::conditional_t<quads_together<F, kQuads>() != 1,
                                          ByteDots<quads_together<F, kQuads>(), kQuads>, PairDots>>;
#endif
#else
template <class F, size_t kQuads = F::kSubValues / 4>
using DotsOf = QuadDots;
#endif

// Whether the sum of a dot is more than one vector, while it is computed; and one of the dots that
// take x in the same order, so that their formats share packed x.
template <class Dots>
struct TraitsOfDots {
  static constexpr bool kTakesTwoRegisters = false;
  using Order = Dots;
};
#if !TESSERA_ONE_LANE
template <size_t kTogether, size_t kQuads>
struct TraitsOfDots<ByteDots<kTogether, kQuads>> {
  static constexpr bool kTakesTwoRegisters = kTogether != kQuads;
  using Order = ByteDots<8, 8>;
};
#endif
template <class Dots>
using OrderOf = typename TraitsOfDots<Dots>::Order;

// Between dots and f32 sums, both with what x holds for a block: `scale` and `aux` (pack_x-inl.h).
//
// kCoarse: scales of x are powers of two, 2^e, and scale is 1.5 * 2^(23 + e). Floats from 2^(23 +
// e) to twice that are 2^e apart, so adding an integer to the bits of `scale` adds 2^e times that
// integer: a dot that starts there is the scaled one already. One subtraction instead of a
// conversion and a multiplication, and on Zen 4 it does not take the multiplier's time.
template <bool kCoarse>
inline constexpr float kScaleFactor = kCoarse ? 0x1.8p23f : 1.0f;

// `aux` has what the offset of the codes takes away.
template <class F, bool kCoarse>
HWY_INLINE VI start_dot(VF scale, VI aux) {
  if constexpr (!F::kHasMin && kDotOffset<F> != 0) return aux;
  if constexpr (kCoarse) return hn::BitCast(DI(), scale);
  return hn::Zero(DI());
}

// 64-bit Arm converts integers at half the pace of other steps. A sum that starts from the bits of
// 1.5 * 2^23 is, as a float, that number and the sum while that is below 2^22, so that a
// subtraction does for a conversion. Only where all rows of x start from the same.
inline constexpr float kFloatStart = 0x1.8p23f;
static_assert(32 * 255 * 127 < 1 << 22);
template <class F, bool kCoarse>
inline constexpr bool kStartsAsFloat =
    TESSERA_SIGNED_DOT && !kCoarse && (F::kHasMin || kDotOffset<F> == 0);

// To be asked for before the loop: one register then serves both uses.
HWY_INLINE VF float_start() {
  VF start = hn::Set(DF(), kFloatStart);
  settle(start);
  return start;
}
template <class F>
HWY_INLINE VF float_of_dot(VI dot, [[maybe_unused]] VF float_start) {
  if constexpr (!kStartsAsFloat<F, false>) return hn::ConvertTo(DF(), dot);
  return hn::Sub(hn::BitCast(DF(), dot), float_start);
}

template <bool kCoarse>
HWY_INLINE VF add_dot(VI dot, VF w_scale, VF scale, VF sum) {
  if constexpr (kCoarse) {
    return hn::MulAdd(hn::Sub(hn::BitCast(DF(), dot), scale), w_scale, sum);
  } else {
    return hn::MulAdd(hn::ConvertTo(DF(), dot), hn::Mul(w_scale, scale), sum);
  }
}

// The words of a row's codes, as a dot takes them from x.
template <class Dots>
void order_codes(const int8_t* HWY_RESTRICT codes, int32_t* HWY_RESTRICT words) {
  if constexpr (Dots::kSteps == 1) {
    std::memcpy(words, codes, 32);
  } else {
    const hn::CappedTag<int32_t, 8> d32;
    const hn::Repartition<int16_t, decltype(d32)> d16;
    for (size_t i = 0; i < 8; i += hn::MaxLanes(d32)) {
      const auto quads = hn::BitCast(d16, load_bytes(d32, codes + 4 * i));
      hn::StoreU(hn::BitCast(d32, hn::ShiftRight<8>(hn::ShiftLeft<8>(quads))), d32, words + i);
      hn::StoreU(hn::BitCast(d32, hn::ShiftRight<8>(quads)), d32, words + 8 + i);
    }
  }
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_DOTS_INL_H_

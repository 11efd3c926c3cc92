// SPDX-License-Identifier: MIT
// Few rows of x, weights in place: lanes run along k, each row of W is read once, where it lies, in
// one stream, and never packed. A micro-kernel here is one row of W times C rows of x.
//
// Bits. The order of a sum depends on k alone, not on C, so any split of y gives the same.
#if defined(TESSERA_SIMD_MATVEC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_MATVEC_INL_H_
#undef TESSERA_SIMD_MATVEC_INL_H_
#else
#define TESSERA_SIMD_MATVEC_INL_H_
#endif

#include "tessera/simd/pack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

// C rows of packed x (mr = 1: each row's values in order), `stride` bytes apart.
struct DotArgs {
  const std::byte* w;  // one row
  const std::byte* x;
  size_t x_stride;
  size_t k;
  float* out;  // C sums, out_stride floats apart
  size_t out_stride;
};

// The largest C that is compiled.
inline constexpr size_t kMatvecMaxM = 2;

// Chains of sums that hide the latency of a multiply-add (4 cycles, one or two a cycle).
inline constexpr size_t kChains = 4;

template <size_t C>
HWY_INLINE void store_dots(const VF (&sums)[C][kChains], const DotArgs& a) {
  TESSERA_UNROLL
  for (size_t c = 0; c < C; ++c) {
    const VF sum = hn::Add(hn::Add(sums[c][0], sums[c][1]), hn::Add(sums[c][2], sums[c][3]));
    a.out[c * a.out_stride] = hn::ReduceSum(DF(), sum);
  }
}

template <class F>
struct FmaDot {
  template <size_t C>
  static void run(const DotArgs& a) {
    const DF df;
    VF sums[C][kChains];
    for (auto& row : sums) {
      for (VF& sum : row) sum = hn::Zero(df);
    }
    constexpr size_t kBytes = sizeof(typename F::Block);
    size_t k = 0;
    for (; k + kChains * kLanes <= a.k; k += kChains * kLanes) {
      TESSERA_UNROLL
      for (size_t i = 0; i < kChains; ++i) {
        step<C>(df, SimdOf<F>::load_values(df, a.w + (k + i * kLanes) * kBytes), a, k + i * kLanes,
                i, sums);
      }
    }
    for (; k < a.k; k += kLanes) step<C>(df, load_row_values<F>(a.w, k, a.k), a, k, 0, sums);
    store_dots<C>(sums, a);
  }

 private:
  template <size_t C>
  static HWY_INLINE void step(DF df, VF w, const DotArgs& a, size_t k, size_t chain,
                              VF (&sums)[C][kChains]) {
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const VF x = hn::LoadU(df, reinterpret_cast<const float*>(a.x + c * a.x_stride) + k);
      sums[c][chain] = hn::MulAdd(w, x, sums[c][chain]);
    }
  }
};

#if HWY_NATIVE_DOT_BF16
struct Bf16Dot {
  template <size_t C>
  static void run(const DotArgs& a) {
    const DF df;
    const hn::Repartition<uint16_t, DF> dh;
    VF sums[C][kChains];
    for (auto& row : sums) {
      for (VF& sum : row) sum = hn::Zero(df);
    }
    constexpr size_t kStep = 2 * kLanes;
    size_t k = 0;
    for (; k + kChains * kStep <= a.k; k += kChains * kStep) {
      TESSERA_UNROLL
      for (size_t i = 0; i < kChains; ++i) {
        step<C>(load_bytes(dh, a.w + (k + i * kStep) * 2), a, k + i * kStep, i, sums);
      }
    }
    for (; k < a.k; k += kStep) {
      alignas(64) uint16_t tail[kStep] = {};
      std::memcpy(tail, a.w + k * 2, std::min(kStep, a.k - k) * 2);
      step<C>(hn::Load(dh, tail), a, k, 0, sums);
    }
    store_dots<C>(sums, a);
  }

 private:
  template <size_t C, class V>
  static HWY_INLINE void step(V w, const DotArgs& a, size_t k, size_t chain,
                              VF (&sums)[C][kChains]) {
    const DF df;
    const hn::Repartition<uint16_t, DF> dh;
    const hn::Repartition<hwy::bfloat16_t, DF> db;
    VF unused = hn::Zero(df);
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const auto x = hn::LoadU(dh, reinterpret_cast<const uint16_t*>(a.x + c * a.x_stride) + k);
      sums[c][chain] = hn::ReorderWidenMulAccumulate(df, hn::BitCast(db, w), hn::BitCast(db, x),
                                                     sums[c][chain], unused);
    }
  }
};
#endif  // HWY_NATIVE_DOT_BF16

// One block at a time, its 32 codes in (at most) one vector of 8 words: an exact integer dot, whose
// first lane starts from what the offset or the min contributes.
template <class F>
struct Int8Dot {
  template <size_t C>
  static void run(const DotArgs& a) {
    const hn::CappedTag<float, 8> df;
    using D = decltype(df);
    hn::VFromD<D> sums[C][2];
    for (auto& row : sums) {
      for (auto& sum : row) sum = hn::Zero(df);
    }
    const size_t blocks = a.k / 32;
    size_t b = 0;
    for (; b + 2 <= blocks; b += 2) {
      add_block<C, D, 0>(a, b, sums);
      add_block<C, D, 1>(a, b + 1, sums);
    }
    if (b < blocks) add_block<C, D, 0>(a, b, sums);
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      a.out[c * a.out_stride] = hn::ReduceSum(df, hn::Add(sums[c][0], sums[c][1]));
    }
  }

 private:
  template <size_t C, class D, size_t kChain>
  static HWY_INLINE void add_block(const DotArgs& a, size_t b, hn::VFromD<D> (&sums)[C][2]) {
    const D df;
    const hn::RebindToUnsigned<D> du;
    const hn::RebindToSigned<D> di;
    constexpr size_t kN = hn::MaxLanes(D());
    constexpr size_t kParts = 8 / kN;
    const uint8_t* block = reinterpret_cast<const uint8_t*>(a.w) + b * sizeof(typename F::Block);
    hn::VFromD<decltype(du)> codes[kParts];
    TESSERA_UNROLL
    for (size_t p = 0; p < kParts; ++p) {
      codes[p] = SimdOf<F>::row_codes(du, block + F::kScaleBytes, p * kN);
    }
    const hn::VFromD<D> scale = broadcast_f16(df, block);
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const XBlock<1> x{a.x + c * a.x_stride + b * XAsQ8<F::kOffset, F::kHasMin>::kBlockBytes};
      auto dot = hn::Zero(di);
      if constexpr (!F::kHasMin) dot = first_lane(di, x.template aux<int32_t>(0));
      TESSERA_UNROLL
      for (size_t p = 0; p < kParts; ++p) {
        dot = dot4(di, codes[p], load_bytes(di, x.at + 8 + p * kN * 4), dot);
      }
      const auto both = hn::Mul(scale, hn::Set(df, x.scale(0)));
      auto sum = hn::MulAdd(hn::ConvertTo(df, dot), both, sums[c][kChain]);
      if constexpr (F::kHasMin) {
        sum =
            hn::MulAdd(broadcast_f16(df, block + 2), first_lane(df, x.template aux<float>(0)), sum);
      }
      sums[c][kChain] = sum;
    }
  }

  template <class D>
  static HWY_INLINE hn::VFromD<D> broadcast_f16(D df, const uint8_t* f16) {
    uint16_t bits;
    std::memcpy(&bits, f16, 2);
    return widen_f16(df, hn::Set(hn::Rebind<uint16_t, D>(), bits));
  }

  template <class D, class T>
  static HWY_INLINE hn::VFromD<D> first_lane(D d, T value) {
    return hn::IfThenElseZero(hn::FirstN(d, 1), hn::Set(d, value));
  }
};

}  // namespace tessera::inline v0_1::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_MATVEC_INL_H_

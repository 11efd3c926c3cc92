// SPDX-License-Identifier: MIT
// Few rows of x, weights in place: lanes run along k, each row of W is read once, where it lies, in
// one stream, and never packed. A micro-kernel here is one row of W times C rows of x.
//
// Bits. The order of a sum depends on k alone, not on C nor on ranges, between which sums are kept
// as they are; so any split of y gives the same.
#if defined(TESSERA_SIMD_MATVEC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_MATVEC_INL_H_
#undef TESSERA_SIMD_MATVEC_INL_H_
#else
#define TESSERA_SIMD_MATVEC_INL_H_
#endif

#include "tessera/simd/pack-inl.h"
#include "tessera/simd/pack_x-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

// C rows of packed x (each alone, as pack_x_rows leaves them), x_stride bytes apart.
struct DotArgs {
  const std::byte* w;  // one row
  const std::byte* x;
  size_t x_stride;
  size_t k;
  float* out;  // C sums, out_stride floats apart
  size_t out_stride;
  // Dots with a kDepthStep take k in ranges at multiples of it: values [begin, end), while vectors
  // of sums wait in `partial`, C * kLanes floats, and W is asked for `ahead` bytes ahead.
  size_t begin = 0, end = 0;
  float* partial = nullptr;
  size_t ahead = 0;
};

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
  static constexpr size_t kMaxC = 2;
  static constexpr size_t kDepthStep = 0;

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
  static constexpr size_t kMaxC = 2;
  static constexpr size_t kDepthStep = 0;

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

// A lane is a block: kLanes blocks of a row are transposed, so that eight steps of four products
// give the exact integer dot of each, which starts from what the offset contributes. Scales are
// then vectors too, one multiplication for kLanes blocks, and all of it but the eight steps is
// shared by the C rows of x. Where a row ends within a group of kLanes blocks, its last kLanes are
// read, of which x holds zeros for those that were read before.
//
// Two rows of W at a time would halve the loads of x, but in cache that gains nothing (the vector
// units are the limit) and from memory two streams are half as fast as one.
template <class F>
struct Int8Dot {
  static_assert(F::kCodeWords == 4 || F::kCodeWords == 8);
  static constexpr size_t kMaxC = 6;

  // The hardware's prefetcher follows one stream well, but stumbles over x: Zen 4, 4096 x 4096 from
  // memory, m = 4, q8_0 85 -> 177 Gop/s, q4_0 147 -> 230; less with 8 KiB, none into L1. Only q8_0
  // with m = 1 is better off alone (54 and 50 Gop/s), q4_0 not (95 and 110).
  template <size_t C>
  static constexpr bool kPrefetch = C > 1 || F::kCodeWords < 8;

  static constexpr size_t kDepthStep = 32 * kLanes;

  // How far ahead, in whole rows, if each gives so many values.
  static size_t ahead(size_t w_stride, size_t values) {
    return (16384 / std::max<size_t>(1, values / 32 * kBytes) + 1) * w_stride;
  }

  template <size_t C>
  static void run(const DotArgs& a) {
    VF sums[C];
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      sums[c] = a.begin == 0 ? hn::Zero(DF()) : hn::LoadU(DF(), a.partial + c * kLanes);
    }
    const size_t blocks = a.k / 32, end = a.end / 32;
    const uint8_t* w = reinterpret_cast<const uint8_t*>(a.w);
    const uint8_t* last = w + blocks * kBytes - kGroupBytes;
    uint8_t copy[kGroupBytes];
    if (blocks < kLanes) {
      std::memset(copy, 0, sizeof(copy));
      std::memcpy(copy + kGroupBytes - blocks * kBytes, w, blocks * kBytes);
      last = copy;
    }
    size_t b = a.begin / 32;
    const std::byte* x = a.x + b * X::kBlockBytes;
    w += b * kBytes;
    for (; b < end; b += kLanes, w += kGroupBytes, x += kLanes * X::kBlockBytes) {
      if constexpr (kPrefetch<C>) {
        prefetch_to_l2<kGroupBytes>(reinterpret_cast<uintptr_t>(w) + a.ahead);
      }
      add_blocks<C>(b + kLanes <= blocks ? w : last, x, a.x_stride, sums);
    }
    if (end < blocks) {
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) hn::StoreU(sums[c], DF(), a.partial + c * kLanes);
      return;
    }
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) a.out[c * a.out_stride] = hn::ReduceSum(DF(), sums[c]);
  }

 private:
  using X = XAsQ8<F::kOffset, F::kHasMin>;
  static constexpr size_t kBytes = sizeof(typename F::Block);
  static constexpr size_t kGroupBytes = kLanes * kBytes;

  template <size_t C>
  static HWY_INLINE void add_blocks(const uint8_t* w, const std::byte* x, size_t x_stride,
                                    VF (&sums)[C]) {
    const auto load_x = [x, x_stride](auto d, size_t c, size_t word) HWY_ATTR {
      return load_bytes(d, x + c * x_stride + word * kLanes * 4);
    };
    const DF df;
    const DI di;
    VI dots[C];
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      dots[c] = hn::Zero(di);
      if constexpr (!F::kHasMin) dots[c] = load_x(di, c, 1);
    }
    const LaneBlocks<kBytes> blocks(w);
    VU words[4];
    TESSERA_UNROLL
    for (size_t i = 0; i < 8; ++i) {
      const size_t quad = SimdOf<F>::kQuadOrder[i], word = i * F::kCodeWords / 8;
      if (i == 0 || (F::kCodeWords == 8 && i == 4)) {
        if (i == 0) {
          blocks.template words<F::kScaleBytes>(words);
        } else {
          blocks.template words<F::kScaleBytes + 16>(words);
        }
        TESSERA_UNROLL
        for (VU& v : words) v = hn::Xor(v, hn::Set(DU(), F::kCodeXor));
      }
      const VU codes = SimdOf<F>::word_quad(words[word % 4], quad);
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        dots[c] = dot4(di, codes, load_x(di, c, 2 + quad), dots[c]);
      }
    }
    const VF scale = blocks.template f16<0>();
    VF min = hn::Zero(df);
    if constexpr (F::kHasMin) min = blocks.template f16<2>();
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const VF both = hn::Mul(scale, load_x(df, c, 0));
      sums[c] = hn::MulAdd(hn::ConvertTo(df, dots[c]), both, sums[c]);
      if constexpr (F::kHasMin) sums[c] = hn::MulAdd(min, load_x(df, c, 1), sums[c]);
    }
  }
};

}  // namespace tessera::inline v0_1::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_MATVEC_INL_H_

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

// One row of W and C rows of packed x (each alone, as pack_x_rows leaves them), x_stride bytes
// apart. Values [begin, end) of k; ranges begin at multiples of the dot's kDepthStep, and between
// them the dot's kSums vectors for each row of x wait in `partial`.
struct DotArgs {
  const std::byte* w = nullptr;
  const std::byte* x = nullptr;
  size_t x_stride = 0;
  size_t k = 0;
  size_t begin = 0, end = 0;
  float* partial = nullptr;
  float* out = nullptr;  // C sums, out_stride floats apart
  size_t out_stride = 1;
  uintptr_t ahead = 0;  // where to ask for as many bytes as this range has; 0 for nowhere
};

// f32 multiply-add on values of any float format.
template <class F>
struct FmaStep {
  static constexpr size_t kValues = kLanes;
  static constexpr size_t kBytes = kLanes * sizeof(typename F::Block);

  static HWY_INLINE VF load(const std::byte* w) { return SimdOf<F>::load_values(DF(), w); }
  static HWY_INLINE VF load_tail(const std::byte* row, size_t k, size_t k_end) {
    return load_row_values<F>(row, k, k_end);
  }
  static HWY_INLINE VF add(VF w, const std::byte* x, size_t k, VF sum) {
    return hn::MulAdd(w, load_bytes(DF(), x + k * 4), sum);
  }
};

#if HWY_NATIVE_DOT_BF16
struct Bf16Step {
  static constexpr size_t kValues = 2 * kLanes;
  static constexpr size_t kBytes = 4 * kLanes;

  static HWY_INLINE VU load(const std::byte* w) { return load_bytes(DU(), w); }
  static HWY_INLINE VU load_tail(const std::byte* row, size_t k, size_t k_end) {
    alignas(64) std::byte tail[kBytes] = {};
    if (k < k_end) std::memcpy(tail, row + k * 2, std::min(kBytes, (k_end - k) * 2));
    return load(tail);
  }
  static HWY_INLINE VF add(VU w, const std::byte* x, size_t k, VF sum) {
    const hn::Repartition<hwy::bfloat16_t, DF> db;
    VF unused = hn::Zero(DF());
    return hn::ReorderWidenMulAccumulate(DF(), hn::BitCast(db, w),
                                         hn::BitCast(db, load_bytes(DU(), x + k * 2)), sum, unused);
  }
};
#endif

// Each vector of W is loaded (and widened) once for all C rows of x. Two chains of sums for each:
// with one row of x they hide the latency of a multiply-add at more than twice the speed of memory,
// with eight they fill the registers.
template <class Step>
struct FloatDot {
  static constexpr size_t kMaxC = kRegisters == 32 ? 8 : 4;
  static constexpr size_t kSums = 2;
  static constexpr size_t kDepthStep = kSums * Step::kValues;
  // Pieces of rows are too short for the CPU's own prefetching (f32, m = 4, 20 -> 44 GFLOP/s);
  // whole rows are better left to it (bf16, m = 2, 46 -> 57).
  static constexpr bool kPrefetchWholeRows = false;

  static constexpr size_t row_bytes(size_t values) { return values / Step::kValues * Step::kBytes; }

  template <size_t C>
  static void run(const DotArgs& a) {
    const DF df;
    VF sums[C][kSums];
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      TESSERA_UNROLL
      for (size_t i = 0; i < kSums; ++i) {
        sums[c][i] =
            a.begin == 0 ? hn::Zero(df) : hn::LoadU(df, a.partial + (c * kSums + i) * kLanes);
      }
    }
    uintptr_t ahead = a.ahead;
    const std::byte* w = a.w + a.begin / Step::kValues * Step::kBytes;
    size_t k = a.begin;
    for (; k + kDepthStep <= a.end; k += kDepthStep) {
      if (ahead != 0) {
        prefetch_to_l2<kSums * Step::kBytes>(ahead);
        ahead += kSums * Step::kBytes;
      }
      TESSERA_UNROLL
      for (size_t i = 0; i < kSums; ++i, w += Step::kBytes) {
        add<C>(Step::load(w), a, k + i * Step::kValues, i, sums);
      }
    }
    if (k < a.end) {  // what is past the end are zeros
      TESSERA_UNROLL
      for (size_t i = 0; i < kSums; ++i) {
        const size_t at = k + i * Step::kValues;
        add<C>(Step::load_tail(a.w, at, a.k), a, at, i, sums);
      }
    }
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      if (a.end < a.k) {
        TESSERA_UNROLL
        for (size_t i = 0; i < kSums; ++i) {
          hn::StoreU(sums[c][i], df, a.partial + (c * kSums + i) * kLanes);
        }
      } else {
        a.out[c * a.out_stride] = hn::ReduceSum(df, hn::Add(sums[c][0], sums[c][1]));
      }
    }
  }

 private:
  template <size_t C, class V>
  static HWY_INLINE void add(V w, const DotArgs& a, size_t k, size_t i, VF (&sums)[C][kSums]) {
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      sums[c][i] = Step::add(w, a.x + c * a.x_stride, k, sums[c][i]);
    }
  }
};

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
  static constexpr bool kPrefetchWholeRows = true;

  static constexpr size_t kSums = 1;
  static constexpr size_t kDepthStep = 32 * kLanes;

  static constexpr size_t row_bytes(size_t values) { return values / 32 * kBytes; }

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
    uintptr_t ahead = a.ahead;
    size_t b = a.begin / 32;
    const std::byte* x = a.x + b * X::kBlockBytes;
    w += b * kBytes;
    for (; b < end; b += kLanes, w += kGroupBytes, x += kLanes * X::kBlockBytes) {
      if (kPrefetch<C> && ahead != 0) {
        prefetch_to_l2<kGroupBytes>(ahead);
        ahead += kGroupBytes;
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

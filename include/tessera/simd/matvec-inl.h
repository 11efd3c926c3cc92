// SPDX-License-Identifier: MIT
// Weights in place: lanes run along k, and rows of W are read where they lie and never packed. A
// micro-kernel here is R rows of W times C rows of x.
//
// Bits. The order of a sum depends on k alone, not on R or C nor on ranges, between which sums are
// kept as they are; so any split of y gives the same.
#if defined(TESSERA_SIMD_MATVEC_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_MATVEC_INL_H_
#undef TESSERA_SIMD_MATVEC_INL_H_
#else
#define TESSERA_SIMD_MATVEC_INL_H_
#endif

#include "tessera/simd/pack-inl.h"
#include "tessera/simd/pack_x-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// f32 multiply-add on values of any float format.
template <class F>
struct FmaStep {
  static constexpr size_t kValues = kLanes;
  static constexpr size_t kBytes = kLanes * sizeof(typename F::Block);
  static constexpr size_t kXBytes = 4;

  static constexpr bool kNarrow = kBytes < kLanes * 4;
  static constexpr size_t kFewRows = kNarrow ? 6 : 8;  // of x
  // Rows of W for so many rows of x, as FloatDot says. 4 x 8 sums of f32 do not fit the registers:
  // GCC gains by them all the same, Clang loses. On Emerald Rapids one row of W waits for its own
  // sum, so narrow formats take four. (bench/sweeps/micro_kernels.tsv)
  static constexpr size_t rows(size_t c) {
    if (kTwoWideUnits) return kNarrow ? 4 : c == 1 ? 8 : c <= 3 ? 4 : 2;
    if (kNarrow) return c <= 2 ? 8 : c <= 4 ? 2 : 4;
    return c <= 4 ? 8 : c == 8 && !HWY_COMPILER_CLANG ? 4 : 2;
  }

  static HWY_INLINE VF load(const std::byte* w) { return SimdOf<F>::load_values(DF(), w); }
  static HWY_INLINE VF load_tail(const std::byte* row, size_t k, size_t k_end) {
    return load_row_values<F>(row, k, k_end);
  }
  static HWY_INLINE VF load_x(const std::byte* x, size_t k) { return load_bytes(DF(), x + k * 4); }
  static HWY_INLINE VF add(VF w, VF x, VF sum) { return hn::MulAdd(w, x, sum); }
};

#if TESSERA_BF16_DOT
struct Bf16Step {
  static constexpr size_t kValues = 2 * kLanes;
  static constexpr size_t kBytes = 4 * kLanes;
  static constexpr size_t kXBytes = 2;
  static constexpr size_t kFewRows = 8;
  static constexpr size_t rows(size_t c) { return c <= 4 ? 8 : 2; }

  static HWY_INLINE VU load(const std::byte* w) { return load_bytes(DU(), w); }
  static HWY_INLINE VU load_tail(const std::byte* row, size_t k, size_t k_end) {
    alignas(64) std::byte tail[kBytes] = {};
    if (k < k_end) std::memcpy(tail, row + k * 2, std::min(kBytes, (k_end - k) * 2));
    return load(tail);
  }
  static HWY_INLINE VU load_x(const std::byte* x, size_t k) { return load_bytes(DU(), x + k * 2); }
  static HWY_INLINE VF add(VU w, VU x, VF sum) {
    const hn::Repartition<hwy::bfloat16_t, DF> db;
    VF unused = hn::Zero(DF());
    return hn::ReorderWidenMulAccumulate(DF(), hn::BitCast(db, w), hn::BitCast(db, x), sum, unused);
  }
};
#endif

// R rows of W times C rows of x: each vector of W is loaded (and widened) once for C rows, each of
// x once for R. One chain of sums for each product, whose order thus depends on neither.
//
// Many rows of x: 4 x 6, 10 loads for 24 multiply-adds, and W in L2. One row of W alone would take
// a load for each, and Zen 4 loads one whole vector a cycle.
//
// Few rows of x: W comes from memory, where what matters is how it is asked for. One or two rows of
// x leave time for 8 rows of W, two pages of each and then of the next 8, as the page walks of 8
// streams overlap. From five rows of x on, pieces of 2 KiB of 2 rows of W leave x in L1.
// (bench/sweeps/micro_kernels.tsv)
template <class Step>
struct FloatDot {
  static constexpr size_t kManyRowsOfW = kRegisters == 32 ? 4 : 2;
  static constexpr size_t kMany = kRegisters == 32 ? 6 : 4;
  static constexpr size_t kFew = kRegisters == 32 ? Step::kFewRows : 4;
  static constexpr size_t few_rows(size_t c) {
    return kLanes == 16 ? Step::rows(c) : c <= 2 ? 4 : 2;
  }
  static constexpr size_t kDepthStep = 2 * Step::kValues;
  static constexpr size_t kLeastDepth = 0;
  static constexpr size_t kValues = Step::kValues, kBytes = Step::kBytes;
  static constexpr size_t kXBytes = Step::kValues * Step::kXBytes;
  static constexpr bool kXInL1 = false;

  template <size_t kRows, size_t C>
  static void run(const DotArgs& a) {
    const DF df;
    VF sums[C][kRows];
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      TESSERA_UNROLL
      for (size_t r = 0; r < kRows; ++r) {
        sums[c][r] =
            a.begin == 0 ? hn::Zero(df) : hn::LoadU(df, a.partial + (c * kRows + r) * kLanes);
      }
    }
    const std::byte* w[kRows];  // where there are fewer, the last one again: sums nobody reads
    TESSERA_UNROLL
    for (size_t r = 0; r < kRows; ++r) w[r] = a.w + std::min(r, a.rows - 1) * a.w_stride;
    size_t at = a.begin / kValues * kBytes;
    const uintptr_t early = a.early - at;
    const size_t early_rows = a.early_rows;
    size_t k = a.begin;
    for (; k + kDepthStep <= a.end; k += kDepthStep) {
      for (size_t r = 0; r < early_rows; ++r) {
        prefetch_to_l2<2 * Step::kBytes>(early + r * a.w_stride + at);
      }
      TESSERA_UNROLL
      for (size_t i = 0; i < 2; ++i, at += Step::kBytes) {
        const auto load = [&w, at](size_t r) TESSERA_ATTR { return Step::load(w[r] + at); };
        add<C, kRows>(load, a, k + i * Step::kValues, sums);
      }
    }
    for (; k < a.end; k += Step::kValues) {  // what is past the end are zeros
      const auto load = [&w, k, &a](size_t r)
                            TESSERA_ATTR { return Step::load_tail(w[r], k, a.k); };
      add<C, kRows>(load, a, k, sums);
    }
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      if (a.end == a.k) {
        store_sums(df, sums[c], a.out + c * a.out_stride);
        continue;
      }
      TESSERA_UNROLL
      for (size_t r = 0; r < kRows; ++r) {
        hn::StoreU(sums[c][r], df, a.partial + (c * kRows + r) * kLanes);
      }
    }
  }

 private:
  template <size_t C, size_t kRows, class Load>
  static HWY_INLINE void add(const Load& load, const DotArgs& a, size_t k, VF (&sums)[C][kRows]) {
    decltype(load(0)) w[kRows];
    TESSERA_UNROLL
    for (size_t r = 0; r < kRows; ++r) w[r] = load(r);
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const auto x = Step::load_x(a.x + c * a.x_stride, k);
      TESSERA_UNROLL
      for (size_t r = 0; r < kRows; ++r) sums[c][r] = Step::add(w[r], x, sums[c][r]);
    }
  }
};

// Rows of W, in groups of blocks of which a Group adds the dots with C rows of x to vectors of
// sums. Where a row ends within a group, its last blocks are read, of which x holds zeros for those
// that were read before.
//
// Rows of W follow each other group by group, to read more streams; sharing the loads of x between
// two would gain nothing, as the vector units are the limit.
template <class Group>
struct BlockDot {
  static constexpr size_t kManyRowsOfW = 1, kMany = 6, kFew = 6;
  // One row of x takes 8 rows of W as with floats, a gain of a seventh on small pages, but not of
  // q8_0, which loses on large ones. (bench/sweeps/micro_kernels.tsv)
  static constexpr size_t few_rows(size_t c) {
    return c == 1 && Group::kWords != 8 && !kTwoWideUnits ? 8 : 1;
  }
  static constexpr size_t kBlocks = Group::kBlocks;  // of a group
  static constexpr size_t kValues = Group::kValues;  // of a block
  static constexpr size_t kBytes = Group::kBytes;
  static constexpr size_t kDepthStep = kBlocks * kValues;
  // A row of less than a group would leave lanes empty. Tiles are twice as fast on half a group,
  // with packing, and eight times on an eighth of one. (bench/sweeps/short_rows.tsv)
  static constexpr size_t kLeastDepth = kDepthStep;
  // Long rows gain a third to two thirds. (bench/sweeps/micro_kernels.tsv)
  static constexpr bool kXInL1 = true;
  static constexpr size_t kXBytes = Group::template X<false>::bytes(kValues);

  template <size_t kRows, size_t C>
  static void run(const DotArgs& a) {
    const size_t blocks = a.k / kValues, end = a.end / kValues;
    VF sums[kRows][C];
    const uint8_t* w[kRows];  // where there are fewer, the last one again: sums nobody reads
    const uint8_t* last[kRows];
    for (size_t r = 0; r < kRows; ++r) {
      w[r] = reinterpret_cast<const uint8_t*>(a.w + std::min(r, a.rows - 1) * a.w_stride);
      last[r] = w[r] + (blocks - kBlocks) * kBytes;
      w[r] += a.begin / kValues * kBytes;
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        sums[r][c] =
            a.begin == 0 ? hn::Zero(DF()) : hn::LoadU(DF(), a.partial + (c * kRows + r) * kLanes);
      }
    }
    uintptr_t early = a.early;
    const bool asks = a.early_rows > 0;
    size_t b = a.begin / kValues;
    const std::byte* x = a.x + b * kXBytes;
    for (; b < end; b += kBlocks, early += kGroupBytes, x += kBlocks * kXBytes) {
      for (size_t r = 0; r < kRows; ++r) {
        if (asks) prefetch_to_l2<kGroupBytes>(early + r * a.w_stride);
        Group::template add<C>(b + kBlocks <= blocks ? w[r] : last[r], x, a.x_stride, sums[r]);
        w[r] += kGroupBytes;
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        if (end < blocks) {
          hn::StoreU(sums[r][c], DF(), a.partial + (c * kRows + r) * kLanes);
        } else {
          a.out[c * a.out_stride + r] = hn::ReduceSum(DF(), sums[r][c]);
        }
      }
    }
  }

 private:
  static constexpr size_t kGroupBytes = kBlocks * kBytes;
};

// A lane is a block: kLanes blocks of a row are transposed, so that eight steps of four products
// give the exact integer dot of each, which starts from what the offset contributes. Scales are
// then vectors too, one multiplication for kLanes blocks, and all of it but the eight steps is
// shared by the C rows of x.
template <class F>
struct BlockLanes {
  static_assert(F::kWords >= 4 && F::kWords <= 8 && F::kBlockValues == 32);
  using Dots = DotsOf<F>;
  template <bool kCoarse>
  using X = XAsQ8<OrderOf<Dots>, kCoarse>;
  static constexpr size_t kBlocks = kLanes, kValues = 32, kBytes = sizeof(typename F::Block);
  static constexpr size_t kWords = F::kWords;

  template <size_t C>
  static HWY_INLINE void add(const uint8_t* w, const std::byte* x, size_t x_stride, VF (&sums)[C]) {
    const auto load_x = [x, x_stride](auto d, size_t c, size_t word) TESSERA_ATTR {
      return load_bytes(d, x + c * x_stride + word * kLanes * 4);
    };
    const auto start = [&load_x](size_t c) TESSERA_ATTR {
      return start_dot<F, false>(load_x(DF(), c, 0), load_x(DI(), c, 1));
    };
    const DF df;
    const DI di;
    typename Dots::Sum dots[C];
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) dots[c] = Dots::begin(start(c));
    const LaneBlocks<kBytes> blocks(w);
    VU words[F::kWords];
    const auto word = [&words](size_t j) TESSERA_ATTR { return words[j]; };
    load_words<0>(blocks, words);
    if constexpr (F::kWords % 4 != 0) load_words<F::kWords % 4>(blocks, words);
    TESSERA_UNROLL
    for (size_t i = 0; i < 8; ++i) {
      const size_t quad = SimdOf<F>::kQuadOrder[i];
      if constexpr (F::kWords == 8) {  // the other half, when registers are free
        if (i == 4) load_words<4>(blocks, words);
      }
      const VU codes = SimdOf<F>::quad(word, quad);
      const VU first = Dots::template codes<0>(codes);
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        dots[c] = Dots::add(first, load_x(di, c, 2 + quad), dots[c], i);
      }
      if constexpr (Dots::kSteps == 2) {
        const VU second = Dots::template codes<1>(codes);
        TESSERA_UNROLL
        for (size_t c = 0; c < C; ++c) {
          dots[c] = Dots::add(second, load_x(di, c, 10 + quad), dots[c], i);
        }
      }
    }
    const VF scale = load_scale(blocks);
    VF min = hn::Zero(df);
    if constexpr (F::kHasMin) min = blocks.template f16<2>();
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const VI dot = Dots::end(dots[c], start(c));
      sums[c] = add_dot<false>(dot, scale, load_x(df, c, 0), sums[c]);
      if constexpr (F::kHasMin) sums[c] = hn::MulAdd(min, load_x(df, c, 1), sums[c]);
    }
  }

 private:
  // Words kFirst .. kFirst + 3 of the codes.
  template <size_t kFirst>
  static HWY_INLINE void load_words(const LaneBlocks<kBytes>& blocks, VU (&words)[F::kWords]) {
    VU four[4];
    blocks.template words<kWordsAt<F> + 4 * kFirst>(four);
    TESSERA_UNROLL
    for (size_t j = 0; j < 4; ++j) words[kFirst + j] = SimdOf<F>::panel_word(four[j], kFirst + j);
  }

  static HWY_INLINE VF load_scale(const LaneBlocks<kBytes>& blocks) {
    if constexpr (kScaleFieldBytes<F> == 2) {
      return blocks.template f16<F::kScaleAt>();
    } else {
      VU words[4];
      blocks.template words<F::kScaleAt>(words);
      return power_of_two(hn::And(words[0], hn::Set(DU(), 255u)));
    }
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_MATVEC_INL_H_

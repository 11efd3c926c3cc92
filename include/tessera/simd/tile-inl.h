// SPDX-License-Identifier: MIT
// The micro-kernels: C rows of x times nr rows of W over one range of units of depth, C * nr sums
// in registers. No calls, no branches on shape; any C up to the kernel's mr is compiled, so that no
// row of x is ever padded. Up to kPairC rows of x leave registers free for a pair of panels, P = 2.
//
// Bits. A sum is one f32 accumulator per element that takes its terms in the order of k, and is
// stored and loaded unrounded between ranges: it depends on neither C nor P nor the ranges.
//
// Registers, 32 (16): float tiles C = 12 (6): 24 (12) sums, 2 vectors of W, 1 broadcast or, by
// lane, 3 vectors of x. Integer tiles C = 6 (3): 12 (6) f32 sums and as many i32 sums, 2 vectors of
// codes, 2 scales; where dots have two sums each, C = 4: 8 f32 sums and 16 i32 sums.
//
// over 400 lines: a reader of one tile has what it is made of on the same page.
#if defined(TESSERA_SIMD_TILE_INL_H_) == (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_TILE_INL_H_
#undef TESSERA_SIMD_TILE_INL_H_
#else
#define TESSERA_SIMD_TILE_INL_H_
#endif

#include "tessera/simd/pack-inl.h"
#include "tessera/simd/pack_x-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// Asks for the next early_bytes at `early`. If they are exactly one step's bytes, the loop is
// unrolled: GCC's loop of ten iterations cost q4_1 one branch misprediction a step, a tenth to a
// quarter of its speed. (bench/sweeps/micro_kernels.tsv)
template <size_t kStepBytes>
HWY_INLINE void ask_early(const TileArgs& a, uintptr_t& early) {
  if (a.early_bytes == kStepBytes) {
    prefetch_to_l2<kStepBytes>(early);
    early += kStepBytes;
    return;
  }
  for (size_t i = 0; i < a.early_bytes; i += 64, early += 64) {
    prefetch_to_l2<64>(early);
  }
}

// Where a word of each of C rows of x is, in a panel or in rows as they lie. Three rows share one
// address register: none, one and two row strides fit x86's addressing.
template <size_t C>
struct XWords {
  const std::byte* group[(C + 2) / 3];
  size_t row;

  HWY_INLINE explicit XWords(const TileArgs& a) : row(a.x_row) {
    TESSERA_UNROLL
    for (size_t g = 0; g < (C + 2) / 3; ++g) group[g] = a.x + 3 * g * row;
  }
  HWY_INLINE const std::byte* at(size_t c) const { return group[c / 3] + c % 3 * row; }
  HWY_INLINE void advance(size_t step) {
    TESSERA_UNROLL
    for (size_t g = 0; g < (C + 2) / 3; ++g) group[g] += step;
  }
};

#if TESSERA_BY_LANE
// One word of each of C rows of packed x, which lie side by side: a vector serves four rows, as a
// multiplication takes any of its lanes. The last one begins early where C is no multiple of four.
template <size_t C>
struct XLanes {
  static constexpr size_t kEach = C < 4 ? 1 : 4;
  VF rows[(C + kEach - 1) / kEach];

  static constexpr size_t first(size_t group) { return std::min(group * kEach, C - kEach); }
  static constexpr size_t lane(size_t c) { return c - first(c / kEach); }

  HWY_INLINE explicit XLanes(const std::byte* at) {
    TESSERA_UNROLL
    for (size_t g = 0; g < (C + kEach - 1) / kEach; ++g) {
      if constexpr (kEach == 4) {
        rows[g] = load_bytes(DF(), at + 4 * first(g));
      } else {
        rows[g] = load_copies(DF(), at + 4 * first(g));
      }
    }
  }

  /// sums[c, r] += the word of row c * w[r], which are f32 or pairs of bf16.
  template <class V, size_t R>
  HWY_INLINE void mul_add(const V (&w)[R], VF (&sums)[C][R]) const {
    mul_add_rows(w, sums, std::make_index_sequence<C>());
  }
  /// w times the word of row c, an f32, and the same added to a sum.
  template <size_t c>
  HWY_INLINE VF mul(VF w) const {
    return mul_lane<lane(c)>(w, rows[c / kEach]);
  }
  template <size_t c>
  HWY_INLINE VF mul_add(VF w, VF sum) const {
    return mul_add_lane<lane(c)>(w, rows[c / kEach], sum);
  }

 private:
  template <class V, size_t R, size_t... c>
  HWY_INLINE void mul_add_rows(const V (&w)[R], VF (&sums)[C][R], std::index_sequence<c...>) const {
    (mul_add_row<lane(c)>(w, rows[c / kEach], sums[c]), ...);
  }
  template <size_t kLane, class V, size_t R>
  static HWY_INLINE void mul_add_row(const V (&w)[R], VF four, VF (&sums)[R]) {
    TESSERA_UNROLL
    for (size_t r = 0; r < R; ++r) sums[r] = mul_add_lane<kLane>(w[r], four, sums[r]);
  }
};
#endif

template <size_t C, size_t R>
struct Sums {
  VF v[C][R];

  HWY_INLINE Sums() {}  // a written one has the attributes that vectors may need

  HWY_INLINE void load(const TileArgs& a) {
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      TESSERA_UNROLL
      for (size_t r = 0; r < R; ++r) {
        v[c][r] = a.in != nullptr ? hn::LoadU(DF(), a.in + (c * R + r) * kLanes) : hn::Zero(DF());
      }
    }
  }
  HWY_INLINE void store(const TileArgs& a) const {
    float* row = a.out;
    const size_t stride = a.out_stride;  // as `a` would be read again behind each store
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c, row += stride) {
      TESSERA_UNROLL
      for (size_t r = 0; r < R; ++r) hn::StoreU(v[c][r], DF(), row + r * kLanes);
    }
  }
};

// The most rows of x, of float tiles of mr rows, for which a pair of panels fits the registers.
// What comes from memory then comes in two streams and with fewer instructions a byte, so that more
// of it is under way at once: a gain of a fifth to a half on Zen 4. Four panels are no faster.
// (bench/sweeps/micro_kernels.tsv)
constexpr size_t pair_rows(size_t mr) { return mr / 2 - (kRegisters == 32 ? 0 : 1); }

// f32 multiply-add; panels of any float format, widened as they are loaded.
template <class F, size_t kR = kPanelVectors, size_t kRows = kRegisters == 32 ? 12 : 6>
struct FmaTile {
  static constexpr size_t kMr = kRows, kNr = kR * kLanes;
  static constexpr size_t kStepValues = SimdOf<F>::kWordValues;
  static constexpr size_t kStepBytes = kNr * 4;
  // A format that is widened gains by pairs up to two rows of x only (the same sweep).
  static constexpr size_t kPairRows = kStepValues == 1 ? pair_rows(kMr) : 2;

  template <size_t C, size_t P>
  static void run(const TileArgs& a) {
    const DF df;
    Sums<C, P * kR> sums;
    sums.load(a);
    const std::byte* HWY_RESTRICT w = a.w;
    XWords<C> x(a);
    uintptr_t early = a.early;
    for (size_t i = 0; i < a.steps; ++i) {
      ask_early<kStepBytes>(a, early);
      step<C, P, 0>(df, w, a.w_panel, x, sums);
      x.advance(a.x_step);
      if constexpr (kStepValues == 2) {
        step<C, P, 1>(df, w, a.w_panel, x, sums);
        x.advance(a.x_step);
      }
      w += kStepBytes;
    }
    sums.store(a);
  }

 private:
  template <size_t C, size_t P, size_t kValue>
  static HWY_INLINE void step(DF df, const std::byte* HWY_RESTRICT w, size_t w_panel,
                              const XWords<C>& x, Sums<C, P * kR>& sums) {
    VF row[P * kR];
    TESSERA_UNROLL
    for (size_t r = 0; r < P * kR; ++r) {
      row[r] =
          SimdOf<F>::template panel_value<kValue>(df, w + r / kR * w_panel, kNr, r % kR * kLanes);
    }
#if TESSERA_BY_LANE
    XLanes<C>(x.at(0)).mul_add(row, sums.v);
#else
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const VF column = load_copies(df, x.at(c));
      TESSERA_UNROLL
      for (size_t r = 0; r < P * kR; ++r) sums.v[c][r] = hn::MulAdd(row[r], column, sums.v[c][r]);
    }
#endif
  }
};

#if TESSERA_BF16_DOT
// Pairs of bf16, two products an instruction lane. Of 32 registers, 12 rows of x take 24 for sums,
// W two and x one; 8, 10 and 14 rows are the same on Emerald Rapids, which starts one dot every
// other cycle (bench/sweeps/bf16_tile_rows.tsv).
struct Bf16Tile {
  static constexpr size_t kR = kPanelVectors, kMr = 12, kNr = kR * kLanes;
  static constexpr size_t kStepValues = 2;
  static constexpr size_t kStepBytes = kNr * 4;
  static constexpr size_t kPairRows = pair_rows(kMr);

  template <size_t C, size_t P>
  static void run(const TileArgs& a) {
    const DF df;
    const DU du;
    const hn::Repartition<hwy::bfloat16_t, DF> db;
    Sums<C, P * kR> sums;
    sums.load(a);
    // Second result of the dot where it takes two instructions.
    [[maybe_unused]] VF unused = hn::Zero(df);
    const uint32_t* HWY_RESTRICT w = reinterpret_cast<const uint32_t*>(a.w);
    XWords<C> x(a);
    uintptr_t early = a.early;
    for (size_t i = 0; i < a.steps; ++i, w += kNr, x.advance(a.x_step)) {
      ask_early<kStepBytes>(a, early);
      hn::VFromD<decltype(db)> row[P * kR];
      TESSERA_UNROLL
      for (size_t r = 0; r < P * kR; ++r) {
        const uint32_t* panel = w + r / kR * (a.w_panel / sizeof(uint32_t));
        row[r] = hn::BitCast(db, hn::LoadU(du, panel + r % kR * kLanes));
      }
#if TESSERA_BY_LANE
      XLanes<C>(x.at(0)).mul_add(row, sums.v);
#else
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        uint32_t pair;
        std::memcpy(&pair, x.at(c), sizeof(pair));
        const auto column = hn::BitCast(db, hn::Set(du, pair));
        TESSERA_UNROLL
        for (size_t r = 0; r < P * kR; ++r) {
          sums.v[c][r] = hn::ReorderWidenMulAccumulate(df, row[r], column, sums.v[c][r], unused);
        }
      }
#endif
    }
    sums.store(a);
  }
};
#endif  // TESSERA_BF16_DOT

// One block of 32 values of a panel of C rows, as XAsQ8 wrote it for kSubs sub-blocks of W.
template <size_t C, size_t kSubs>
struct XBlock {
  const std::byte* at;

  HWY_INLINE float scale(size_t c) const { return word<float>(c); }
  /// Of the values that sub-block s multiplies.
  template <class T>
  HWY_INLINE T aux(size_t c, size_t s) const {
    return word<T>((1 + s) * C + c);
  }
  HWY_INLINE int32_t codes(size_t i, size_t c) const {
    return word<int32_t>((1 + kSubs + i) * C + c);
  }
  /// Words 4 i to 4 i + 3 of the codes of all rows, on targets with four lanes.
  HWY_INLINE VI four_codes(size_t i) const {
    return load_bytes(DI(), at + 4 * ((1 + kSubs) * C + 4 * i));
  }

 private:
  template <class T>
  HWY_INLINE T word(size_t i) const {
    T value;
    std::memcpy(&value, at + 4 * i, 4);
    return value;
  }
};

// Blocks: an exact integer dot of a sub-block's codes, scaled into f32 sums. The offset of the
// codes costs nothing: integer sums start from -offset * (sum of x's codes), which packing x has
// computed.
template <class F, bool kCoarse, size_t kR = kPanelVectors, size_t kRows = kInt8Rows>
struct Int8Tile {
  using Dots = DotsOf<F>;
  static constexpr size_t kMr = kRows, kNr = kR * kLanes;
  static constexpr size_t kStepValues = F::kBlockValues;
  static constexpr size_t kStepBytes = kBlockPanelBytes<F, kR>;
  static constexpr size_t kPairRows = 0;  // pairs gain nothing: as many instructions a byte

  template <size_t C, size_t P>
  static void run(const TileArgs& a) {
    static_assert(P == 1);
    Sums<C, kR> sums;
    sums.load(a);
    BlockPanel<F, kR> w{a.w};
    XBlock<C, kSubs> x{a.x};
    uintptr_t early = a.early;
    const size_t steps = a.steps;  // as `a` would be read again behind each settle()
    const VF common = float_start();
    for (size_t i = 0; i < steps; ++i, w.at += kStepBytes) {
      if constexpr (kParts == 1) ask_early<kStepBytes>(a, early);
      for (size_t first = 0; first < kParts; first += kTogether) {
        TESSERA_UNROLL
        for (size_t j = 0; j < kTogether; ++j, x.at += C * kXBytes) {
          const size_t part = first + j;
          if constexpr (kParts > 1) ask_for_part(a, part, early);
          add_sub_block<C, 0>(w, part, x, common, sums);
          if constexpr (kSubs == 2) add_sub_block<C, 1>(w, part, x, common, sums);
        }
      }
    }
    sums.store(a);
  }

 private:
  static constexpr size_t kSubs = kSubBlocks<F>;      // of 32 values
  static constexpr size_t kParts = kStepValues / 32;  // of a block
  // So many of them in one turn of the loop, of which a compiler then knows how far codes are
  // shifted: one at a time is up to 14 % slower, and eight are up to 11 % faster
  // (bench/sweeps/micro_kernels.tsv), but twice as many take 1.5 to 1.8 times the code.
  static constexpr size_t kTogether = kParts == 1 ? 1 : kSubs == 2 ? 4 : 2;
  static constexpr size_t kXBytes = 4 * (1 + kSubs + 8 * Dots::kSteps);  // of a block of a row of x
  static_assert(kSubs <= 2);
  // Vectors of a panel that are done at a time: one if its dots take two registers each.
  static constexpr size_t kVectors = TraitsOfDots<Dots>::kTakesTwoRegisters ? 1 : kR;

  template <size_t C>
  static HWY_INLINE VI start(const XBlock<C, kSubs>& x, size_t c, size_t s, VF common) {
    if constexpr (kStartsAsFloat<F, kCoarse>) return hn::BitCast(DI(), common);
    return start_dot<F, kCoarse>(hn::Set(DF(), x.scale(c)),
                                 hn::Set(DI(), x.template aux<int32_t>(c, s)));
  }

  // A long step asks for its share a part at a time.
  static HWY_INLINE void ask_for_part(const TileArgs& a, size_t part, uintptr_t& early) {
    const size_t lines = (a.early_bytes + 63) / 64;
    for (size_t i = lines * part / kParts; i < lines * (part + 1) / kParts; ++i, early += 64) {
      prefetch_to_l2<64>(early);
    }
  }

  // Sub-block s of part `part`.
  template <size_t C, size_t s>
  static HWY_INLINE void add_sub_block(const BlockPanel<F, kR>& w, size_t part,
                                       const XBlock<C, kSubs>& x, VF common, Sums<C, kR>& sums) {
    TESSERA_UNROLL
    for (size_t first = 0; first < kR; first += kVectors) {
      add_vectors<C, s>(w, part, x, common, first, sums);
    }
  }

  // Of vectors `first` to first + kVectors of the panel.
  template <size_t C, size_t s>
  static HWY_INLINE void add_vectors(const BlockPanel<F, kR>& w, size_t part, XBlock<C, kSubs> x,
                                     VF common, size_t first, Sums<C, kR>& sums) {
    if constexpr (kVectors < kR) x.at = read_again(x.at);
    typename Dots::Sum dots[C][kVectors];
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const VI from = start(x, c, s, common);
      TESSERA_UNROLL
      for (size_t i = 0; i < kVectors; ++i) dots[c][i] = Dots::begin(from);
    }
    add_quads<C, 8 / kSubs * s>(w, part, x, first, dots, std::make_index_sequence<8 / kSubs>());
    TESSERA_UNROLL
    for (size_t i = 0; i < kVectors; ++i) {
      const size_t r = first + i;
      add_scaled<C>(w.scale(r, part * kSubs + s), x, s, common, r, i, dots, sums,
                    std::make_index_sequence<C>());
      if constexpr (F::kHasMin) {
        add_mins<C>(w.min(r, part * kSubs + s), x, s, r, sums, std::make_index_sequence<C>());
      }
    }
  }

  // What the columns of vector r gain by a sub-block: scaled dots, which are dots[c][at], and
  // minima.
  template <size_t C, size_t... c>
  static HWY_INLINE void add_scaled(VF scale, const XBlock<C, kSubs>& x, size_t s, VF common,
                                    size_t r, size_t at,
                                    const typename Dots::Sum (&dots)[C][kVectors],
                                    Sums<C, kR>& sums, std::index_sequence<c...>) {
#if TESSERA_BY_LANE
    if constexpr (!kCoarse) {
      const XLanes<C> scales(x.at);
      ((sums.v[c][r] =
            hn::MulAdd(float_of_dot<F>(Dots::end(dots[c][at], start(x, c, s, common)), common),
                       scales.template mul<c>(scale), sums.v[c][r]),
        settle(sums.v[c][r])),
       ...);
      return;
    }
#endif
    TESSERA_UNROLL
    for (size_t i = 0; i < C; ++i) {
      const VI dot = Dots::end(dots[i][at], start(x, i, s, common));
      sums.v[i][r] = add_dot<kCoarse>(dot, scale, hn::Set(DF(), x.scale(i)), sums.v[i][r]);
      settle(sums.v[i][r]);
    }
  }
  template <size_t C, size_t... c>
  static HWY_INLINE void add_mins(VF min, const XBlock<C, kSubs>& x, size_t s, size_t r,
                                  Sums<C, kR>& sums, std::index_sequence<c...>) {
#if TESSERA_BY_LANE
    const XLanes<C> sums_of_x(x.at + 4 * (1 + s) * C);
    ((sums.v[c][r] = sums_of_x.template mul_add<c>(min, sums.v[c][r]), settle(sums.v[c][r])), ...);
#else
    ((sums.v[c][r] = hn::MulAdd(min, hn::Set(DF(), x.template aux<float>(c, s)), sums.v[c][r]),
      settle(sums.v[c][r])),
     ...);
#endif
  }

  template <size_t C, size_t kFirst, size_t... j>
  static HWY_INLINE void add_quads(const BlockPanel<F, kR>& w, size_t part,
                                   const XBlock<C, kSubs>& x, size_t first,
                                   typename Dots::Sum (&dots)[C][kVectors],
                                   std::index_sequence<j...>) {
    (add_quad<C, SimdOf<F>::kQuadOrder[kFirst + j]>(w, part, x, first, j, dots), ...);
  }

  // The quad that comes after `before` others of the dot.
  template <size_t C, size_t kQuad>
  static HWY_INLINE void add_quad(const BlockPanel<F, kR>& w, size_t part,
                                  const XBlock<C, kSubs>& x, size_t first, size_t before,
                                  typename Dots::Sum (&dots)[C][kVectors]) {
    add_step<C, kQuad, 0>(w, part, x, first, before, dots);
    if constexpr (Dots::kSteps == 2) add_step<C, kQuad, 1>(w, part, x, first, before, dots);
  }

  template <size_t C, size_t kQuad, size_t kStep>
  static HWY_INLINE void add_step(const BlockPanel<F, kR>& w, size_t part,
                                  const XBlock<C, kSubs>& x, size_t first, size_t before,
                                  typename Dots::Sum (&dots)[C][kVectors]) {
    constexpr size_t kXWord = 8 * kStep + kQuad;
    VU codes[kVectors];
    TESSERA_UNROLL
    for (size_t i = 0; i < kVectors; ++i)
      codes[i] = w.template codes<Dots, kStep>(first + i, part * 8 + kQuad);
    if constexpr (TESSERA_SIGNED_DOT) {
      add_rows<C, kXWord>(codes, x, dots, std::make_index_sequence<C>());
    } else {
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        const VI column = hn::Set(DI(), x.codes(kXWord, c));
        TESSERA_UNROLL
        for (size_t i = 0; i < kVectors; ++i) {
          dots[c][i] = Dots::add(codes[i], column, dots[c][i], before);
        }
      }
    }
  }

  // A vector holds four words of x, those of neighbouring rows and then of the next quad.
  template <size_t C, size_t kXWord, size_t... c>
  static HWY_INLINE void add_rows(const VU (&codes)[kVectors], const XBlock<C, kSubs>& x,
                                  typename Dots::Sum (&dots)[C][kVectors],
                                  std::index_sequence<c...>) {
    constexpr size_t kWord = kXWord * C, kFirst = kWord / 4, kLast = (kWord + C - 1) / 4;
    VI four[kLast - kFirst + 1];
    TESSERA_UNROLL
    for (size_t i = kFirst; i <= kLast; ++i) four[i - kFirst] = x.four_codes(i);
    (add_row<(kWord + c) % 4>(codes, four[(kWord + c) / 4 - kFirst], dots[c]), ...);
  }
  template <size_t kLane>
  static HWY_INLINE void add_row(const VU (&codes)[kVectors], VI four,
                                 typename Dots::Sum (&dots)[kVectors]) {
    TESSERA_UNROLL
    for (size_t r = 0; r < kVectors; ++r) {
      dots[r] = dot4_word<kLane>(codes[r], four, dots[r]);
      settle(dots[r]);
    }
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_TILE_INL_H_

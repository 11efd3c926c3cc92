// SPDX-License-Identifier: MIT
// The micro-kernel of blocks on a target whose instruction multiplies matrices of bytes: two rows
// of x, eight values of each, with two rows of W, which are four sums (Arm's smmla). Rows are taken
// in pairs, and so are sums: a vector holds [2, 2] of them. Each sum takes the same terms in the
// same order as in Int8Tile, so it has the same bits.
//
//   x, q8, in pairs    [k / 32] of { f32 scale[rows], aux[rows], i8 codes[4][rows][8] }
#if defined(TESSERA_SIMD_MMLA_TILE_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_MMLA_TILE_INL_H_
#undef TESSERA_SIMD_MMLA_TILE_INL_H_
#else
#define TESSERA_SIMD_MMLA_TILE_INL_H_
#endif

#include "tessera/simd/tile-inl.h"

#if TESSERA_I8MM
TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

struct MmlaDots : QuadDots {
  static constexpr size_t kWordsTogether = 2;  // of codes of a row of x
};

// acc[i, j] + the sum of eight products of x[i] and w[j]: all [2, 8] signed bytes.
HWY_INLINE VI add_2x2(VI x, VI w, VI acc) {
  return VI(vmmlaq_s32(acc.raw, vreinterpretq_s8_s32(x.raw), vreinterpretq_s8_s32(w.raw)));
}

// Two vectors of four columns, of one row each, from or to two of [2, 2]. Its own inverse.
template <class D>
HWY_INLINE void exchange_halves(D d, hn::VFromD<D>& a, hn::VFromD<D>& b) {
  const hn::Repartition<uint64_t, D> du64;
  const auto a64 = hn::BitCast(du64, a), b64 = hn::BitCast(du64, b);
  a = hn::BitCast(d, hn::InterleaveLower(du64, a64, b64));
  b = hn::BitCast(d, hn::InterleaveUpper(du64, a64, b64));
}

// One block of a panel of C rows, for pairs of them. The last one of an odd number is its own
// partner, whose sums are not stored.
template <size_t C, size_t kSubs>
struct XPairs {
  const std::byte* at;

  static constexpr bool is_alone(size_t pair) { return 2 * pair + 1 == C; }

  /// (a, a, b, b) of the scales a and b of a pair, or of what else its rows have one of.
  HWY_INLINE VI each_twice(size_t word, size_t pair) const {
    const std::byte* from = at + 4 * (word * C + 2 * pair);
    if (is_alone(pair)) {
      int32_t value;
      std::memcpy(&value, from, 4);
      return hn::Set(DI(), value);
    }
    const VI two = hn::ResizeBitCast(DI(), load_bytes(hn::Half<DI>(), from));
    return hn::InterleaveLower(DI(), two, two);
  }
  HWY_INLINE VF scale(size_t pair) const { return hn::BitCast(DF(), each_twice(0, pair)); }
  HWY_INLINE VI aux(size_t pair, size_t s) const { return each_twice(1 + s, pair); }
  /// Codes 8 i to 8 i + 7 of both rows.
  HWY_INLINE VI codes(size_t i, size_t pair) const {
    const std::byte* from = at + 4 * (1 + kSubs) * C + 8 * (i * C + 2 * pair);
    if (!is_alone(pair)) return load_bytes(DI(), from);
    uint64_t value;
    std::memcpy(&value, from, 8);
    return hn::BitCast(DI(), hn::Set(hn::Repartition<uint64_t, DI>(), value));
  }
};

// What tiles read where a panel is prepared: a byte a code, and rows in pairs. Of each eight values
// of k there are the vectors that add_2x2() takes, pair of rows after pair.
template <class U>
struct Paired : U {};
template <class U>
struct SimdOf<Paired<U>> : SimdOf<U> {};
template <class F>
inline constexpr bool kIsPaired = false;
template <class U>
inline constexpr bool kIsPaired<Paired<U>> = true;
template <class U>
inline constexpr bool kIsUnpacked<Paired<U>> = true;

// The eight values of k that begin with quad `quad`, of all rows of a panel in pairs.
template <class F, size_t R>
HWY_INLINE void pairs_of_rows(const BlockPanel<F, R>& w, size_t quad, VI (&rows)[2 * R]) {
  TESSERA_UNROLL
  for (size_t r = 0; r < R; ++r) {
    if constexpr (kIsPaired<F>) {
      rows[2 * r] = hn::BitCast(DI(), w.word(2 * r % R, quad + 2 * r / R));
      rows[2 * r + 1] = hn::BitCast(DI(), w.word((2 * r + 1) % R, quad + (2 * r + 1) / R));
    } else {
      const VU low = w.quad(r, quad), high = w.quad(r, quad + 1);
      rows[2 * r] = hn::BitCast(DI(), hn::InterleaveLower(DU(), low, high));
      rows[2 * r + 1] = hn::BitCast(DI(), hn::InterleaveUpper(DU(), low, high));
    }
  }
}

// Blocks of a panel -> the same of a panel of Paired<Unpacked<F>>.
template <class F, size_t R>
void pair_block_panel(const std::byte* panel, size_t blocks, std::byte* to) {
  unpack_panel<F, R>(panel, blocks, to,
                     [](const BlockPanel<F, R>& block, size_t quad, std::byte* words) TESSERA_ATTR {
                       VI rows[2 * R];
                       pairs_of_rows(block, quad, rows);
                       TESSERA_UNROLL
                       for (size_t q = 0; q < 2 * R; ++q) {
                         const VU codes = unpacked_codes<F>(hn::BitCast(DU(), rows[q]));
                         store_bytes(codes, DU(), words + q * kLanes * 4);
                       }
                     });
}

template <class F, bool kCoarse>
struct MmlaTile {
  using Dots = MmlaDots;
  static constexpr size_t kR = kPanelVectors, kMr = 6, kNr = kR * kLanes;
  static constexpr size_t kStepValues = 32;
  static constexpr size_t kStepBytes = kBlockPanelBytes<F, kR>;
  static constexpr size_t kPairRows = 0;
  static_assert(kLanes == 4);

  template <size_t C, size_t P>
  static void run(const TileArgs& a) {
    static_assert(P == 1);
    constexpr size_t kPairs = (C + 1) / 2;
    VF sums[kPairs][2 * kR];  // [rows / 2, columns / 2] of [2, 2]
    load<C>(a, sums);
    BlockPanel<F, kR> w{a.w};
    XPairs<C, kSubs> x{a.x};
    uintptr_t early = a.early;
    const size_t steps = a.steps;  // as `a` would be read again behind each settle()
    const VF common = float_start();
    for (size_t i = 0; i < steps; ++i, w.at += kStepBytes, x.at += C * kXBytes) {
      ask_early<kStepBytes>(a, early);
      TESSERA_UNROLL
      for (size_t s = 0; s < kSubs; ++s) {
        VI dots[kPairs][2 * kR];
        TESSERA_UNROLL
        for (size_t p = 0; p < kPairs; ++p) {
          const VI first = start(x, p, s, common);
          TESSERA_UNROLL
          for (size_t q = 0; q < 2 * kR; ++q) dots[p][q] = first;
        }
        add_eights<C>(w, x, s, dots, std::make_index_sequence<8 / kSubs>());
        TESSERA_UNROLL
        for (size_t r = 0; r < kR; ++r) {
          VF scale[2] = {w.scale(r, s), w.scale(r, s)};
          exchange_halves(DF(), scale[0], scale[1]);
          add_dots<C>(scale, x, common, dots, r, sums);
          if constexpr (F::kHasMin) {
            VF min[2] = {w.min(r, s), w.min(r, s)};
            exchange_halves(DF(), min[0], min[1]);
            add_mins<C>(min, x, r, sums);
          }
        }
      }
    }
    store<C>(sums, a);
  }

 private:
  static constexpr size_t kSubs = kSubBlocks<F>;
  static constexpr size_t kXBytes = 4 * (1 + kSubs + 8);  // of a block of one row of x

  // Of packed x's padding there is none: an odd last row is loaded twice and stored once.
  template <size_t C, size_t kPairs>
  static HWY_INLINE void load(const TileArgs& a, VF (&sums)[kPairs][2 * kR]) {
    TESSERA_UNROLL
    for (size_t p = 0; p < kPairs; ++p) {
      TESSERA_UNROLL
      for (size_t r = 0; r < kR; ++r) {
        VF &first = sums[p][2 * r], &second = sums[p][2 * r + 1];
        first = second = hn::Zero(DF());
        if (a.in == nullptr) continue;
        const float* row = a.in + 2 * p * kNr + r * kLanes;
        first = hn::LoadU(DF(), row);
        second = XPairs<C, kSubs>::is_alone(p) ? first : hn::LoadU(DF(), row + kNr);
        settle(first);  // Clang would load four at once, and then keep those together
        settle(second);
        exchange_halves(DF(), first, second);
      }
    }
  }
  template <size_t C, size_t kPairs>
  static HWY_INLINE void store(VF (&sums)[kPairs][2 * kR], const TileArgs& a) {
    float* row = a.out;
    const size_t stride = a.out_stride;
    TESSERA_UNROLL
    for (size_t p = 0; p < kPairs; ++p, row += 2 * stride) {
      TESSERA_UNROLL
      for (size_t r = 0; r < kR; ++r) {
        VF &first = sums[p][2 * r], &second = sums[p][2 * r + 1];
        exchange_halves(DF(), first, second);
        hn::StoreU(first, DF(), row + r * kLanes);
        if (!XPairs<C, kSubs>::is_alone(p)) hn::StoreU(second, DF(), row + stride + r * kLanes);
      }
    }
  }

  template <size_t C>
  static HWY_INLINE VI start(const XPairs<C, kSubs>& x, size_t pair, size_t s, VF common) {
    if constexpr (kStartsAsFloat<F, kCoarse>) return hn::BitCast(DI(), common);
    return start_dot<F, kCoarse>(x.scale(pair), x.aux(pair, s));
  }

  // Eight values of k are two quads: those that share a quad's words are visited together.
  template <size_t C, size_t kPairs, size_t... j>
  static HWY_INLINE void add_eights(const BlockPanel<F, kR>& w, const XPairs<C, kSubs>& x, size_t s,
                                    VI (&dots)[kPairs][2 * kR], std::index_sequence<j...>) {
    (add_eight<C, SimdOf<F>::kQuadOrder[j]>(w, x, s * (8 / kSubs), dots), ...);
  }
  template <size_t C, size_t kQuad, size_t kPairs>
  static HWY_INLINE void add_eight(const BlockPanel<F, kR>& w, const XPairs<C, kSubs>& x,
                                   size_t first, VI (&dots)[kPairs][2 * kR]) {
    if constexpr (kQuad % 2 == 0) {
      VI rows[2 * kR];
      pairs_of_rows(w, first + kQuad, rows);
      TESSERA_UNROLL
      for (size_t p = 0; p < kPairs; ++p) {
        const VI codes = x.codes((first + kQuad) / 2, p);
        TESSERA_UNROLL
        for (size_t q = 0; q < 2 * kR; ++q) {
          dots[p][q] = add_2x2(codes, rows[q], dots[p][q]);
          settle(dots[p][q]);
        }
      }
    }
  }

  // Of the columns of vector r.
  template <size_t C, size_t kPairs>
  static HWY_INLINE void add_dots(const VF (&w_scale)[2], const XPairs<C, kSubs>& x, VF common,
                                  const VI (&dots)[kPairs][2 * kR], size_t r,
                                  VF (&sums)[kPairs][2 * kR]) {
    TESSERA_UNROLL
    for (size_t p = 0; p < kPairs; ++p) {
      const VF scale = x.scale(p);
      TESSERA_UNROLL
      for (size_t q = 0; q < 2; ++q) {
        VF& sum = sums[p][2 * r + q];
        const VI dot = dots[p][2 * r + q];
        if constexpr (kCoarse) {
          sum = add_dot<true>(dot, w_scale[q], scale, sum);
        } else {
          sum = hn::MulAdd(float_of_dot<F>(dot, common), hn::Mul(w_scale[q], scale), sum);
        }
        settle(sum);
      }
    }
  }
  template <size_t C, size_t kPairs>
  static HWY_INLINE void add_mins(const VF (&min)[2], const XPairs<C, kSubs>& x, size_t r,
                                  VF (&sums)[kPairs][2 * kR]) {
    TESSERA_UNROLL
    for (size_t p = 0; p < kPairs; ++p) {
      const VF aux = hn::BitCast(DF(), x.aux(p, 0));
      TESSERA_UNROLL
      for (size_t q = 0; q < 2; ++q) {
        sums[p][2 * r + q] = hn::MulAdd(min[q], aux, sums[p][2 * r + q]);
        settle(sums[p][2 * r + q]);
      }
    }
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();
#endif  // TESSERA_I8MM

#endif  // TESSERA_SIMD_MMLA_TILE_INL_H_

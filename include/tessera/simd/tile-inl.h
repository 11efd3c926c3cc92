// SPDX-License-Identifier: MIT
// The micro-kernels: C rows of x times nr rows of W over one range of units of depth, C * nr sums
// in registers. No calls, no branches on shape; any C up to the kernel's mr is compiled, so that no
// row of x is ever padded. Up to kPairC rows of x leave registers free for a pair of panels, P = 2.
//
// Bits. A sum is one f32 accumulator per element that takes its terms in the order of k, and is
// stored and loaded unrounded between ranges: it depends on neither C nor P nor the ranges.
//
// Registers, 32 (16): float tiles C = 12 (6): 24 (12) sums, 2 vectors of W, 1 broadcast. Integer
// tiles C = 6 (3): 12 (6) f32 sums and as many i32 sums, 2 vectors of codes, 2 scales.
#if defined(TESSERA_SIMD_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_TILE_INL_H_
#undef TESSERA_SIMD_TILE_INL_H_
#else
#define TESSERA_SIMD_TILE_INL_H_
#endif

#include "tessera/simd/pack-inl.h"
#include "tessera/simd/pack_x-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

// What a tile works on. x points at its rows and w at its panel, at their first unit; sums are rows
// of `out`.
struct TileArgs {
  const std::byte* w;
  size_t w_panel;  // bytes from there to the second panel of a pair
  const std::byte* x;
  size_t x_row, x_step;  // float tiles: bytes between rows, between words of depth
  size_t units;
  const float* in;  // sums to start from, dense rows; null for zero
  float* out;
  size_t out_stride;  // floats
  // What will be read from memory later, and how many bytes of it to ask for with each unit.
  uintptr_t ahead = 0;
  size_t ahead_bytes = 0;
};

// Asks for the next ahead_bytes at `ahead`. Where they are all of a unit, and only there, they are
// no loop: GCC's of ten rounds cost q4_1 a misprediction a unit (Zen 4, 4096 x 4096 from memory,
// median Gop/s, m = 3 227 -> 253, m = 4 222 -> 308, m = 6 281 -> 320).
template <size_t kUnitBytes>
HWY_INLINE void ask_ahead(const TileArgs& a, uintptr_t& ahead) {
  if (a.ahead_bytes == kUnitBytes) {
    prefetch_to_l2<kUnitBytes>(ahead);
    ahead += kUnitBytes;
    return;
  }
  for (size_t i = 0; i < a.ahead_bytes; i += 64, ahead += 64) {
    prefetch_to_l2<64>(ahead);
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

template <size_t C, size_t R>
struct Sums {
  VF v[C][R];

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

// Greatest C of a pair of panels for float tiles of mr rows. What comes from memory then comes in
// two streams and with fewer instructions a byte, so that more of it is under way at once. Zen 4,
// 4096 x 4096 from memory, one panel and a pair, GFLOP/s: bf16 m = 2 37 and 55, m = 4 78 and 106;
// f32 m = 3 30 and 37, m = 4 40 and 48, m = 6 60 and 60. Four panels are no faster.
constexpr size_t pair_c(size_t mr) { return mr / 2 - (kRegisters == 32 ? 0 : 1); }

// Where one tile uses a panel of W, how far ahead it asks for what it reads itself; 0: for the next
// panel. Zen 4, 4096 x 4096 from memory, median GFLOP/s with the next panel and with 4, 8, 16 KiB:
// f32 m = 8 105, 91, 109, 110; bf16 211, 179, 220, 220; q4_1 m = 3 253, -, 265, 263; q8_0 m = 6
// 316, -, 325, 322. Not measured on Sapphire Rapids.
inline constexpr size_t kNearAhead = kSapphireRapids ? 0 : 8 * 1024;

// f32 multiply-add; panels of any float format, widened as they are loaded.
template <class F>
struct FmaTile {
  static constexpr size_t kMr = kRegisters == 32 ? 12 : 6;
  static constexpr size_t kUnitValues = SimdOf<F>::kWordValues;
  static constexpr size_t kWUnitBytes = kNr * 4;
  static constexpr size_t kXUnitBytes = kUnitValues * 4 * kXCopies;
  // With one panel of x: from so many rows on, asking ahead beats the CPU's own prefetching. Zen 4,
  // 4096 x 4096 from memory, without and with, median GFLOP/s: f32 m = 6 57 and 55, m = 8 67 and
  // 89, m = 12 85 and 104; bf16 130 and 133, 146 and 199, 182 and 215; f16 m = 3 48 and 64, m = 8
  // 85 and 96.
  static constexpr size_t kAheadC = kSapphireRapids ? 1 : kUnitValues == 1 ? 6 : 2;
  // Not f16, m = 3 and 4 77 and 86, 75 and 84.
  static constexpr size_t kNearAhead = kUnitValues == 1 ? HWY_NAMESPACE::kNearAhead : 0;
  // f16, as pair_c(): m = 1 19 and 24, m = 2 43 and 48, m = 3 67 and 59. Emerald Rapids, where one
  // panel is asked for early: m = 1 16 and 14; bf16 m = 2 29 and 22.
  static constexpr size_t kPairC = kUnitValues == 1 ? pair_c(kMr) : kSapphireRapids ? 0 : 2;

  template <size_t C, size_t P>
  static void run(const TileArgs& a) {
    const DF df;
    Sums<C, P * kR> sums;
    sums.load(a);
    const std::byte* HWY_RESTRICT w = a.w;
    XWords<C> x(a);
    uintptr_t ahead = a.ahead;
    for (size_t unit = 0; unit < a.units; ++unit) {
      ask_ahead<kWUnitBytes>(a, ahead);
      step<C, P, 0>(df, w, a.w_panel, x, sums);
      x.advance(a.x_step);
      if constexpr (kUnitValues == 2) {
        step<C, P, 1>(df, w, a.w_panel, x, sums);
        x.advance(a.x_step);
      }
      w += kWUnitBytes;
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
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const VF column = load_copies(df, x.at(c));
      TESSERA_UNROLL
      for (size_t r = 0; r < P * kR; ++r) sums.v[c][r] = hn::MulAdd(row[r], column, sums.v[c][r]);
    }
  }
};

#if TESSERA_BF16_DOT
// Pairs of bf16, two products an instruction lane.
struct Bf16Tile {
  static constexpr size_t kMr = 12;
  static constexpr size_t kUnitValues = 2;
  static constexpr size_t kWUnitBytes = kNr * 4;
  static constexpr size_t kXUnitBytes = 4;
  static constexpr size_t kAheadC = 6;  // as FmaTile's
  static constexpr size_t kNearAhead = HWY_NAMESPACE::kNearAhead;
  static constexpr size_t kPairC = pair_c(kMr);

  template <size_t C, size_t P>
  static void run(const TileArgs& a) {
    const DF df;
    const DU du;
    const hn::Repartition<hwy::bfloat16_t, DF> db;
    Sums<C, P * kR> sums;
    sums.load(a);
    VF unused = hn::Zero(df);  // second result of the dot where it takes two instructions
    const uint32_t* HWY_RESTRICT w = reinterpret_cast<const uint32_t*>(a.w);
    XWords<C> x(a);
    uintptr_t ahead = a.ahead;
    for (size_t unit = 0; unit < a.units; ++unit, w += kNr, x.advance(a.x_step)) {
      ask_ahead<kWUnitBytes>(a, ahead);
      hn::VFromD<decltype(db)> row[P * kR];
      TESSERA_UNROLL
      for (size_t r = 0; r < P * kR; ++r) {
        const uint32_t* panel = w + r / kR * (a.w_panel / sizeof(uint32_t));
        row[r] = hn::BitCast(db, hn::LoadU(du, panel + r % kR * kLanes));
      }
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
    }
    sums.store(a);
  }
};
#endif  // TESSERA_BF16_DOT

// Blocks of 32: an exact integer dot of codes, scaled into f32 sums. The offset of the codes costs
// nothing: integer sums start from -offset * (sum of x's codes), which packing x has computed.
template <class F, bool kCoarse>
struct Int8Tile {
  using Dots = DotsOf<F>;
  static constexpr size_t kMr = kRegisters == 32 ? 6 : 3;
  static constexpr size_t kUnitValues = 32;
  static constexpr size_t kWUnitBytes = kBlockPanelBytes<F>;
  static constexpr size_t kXUnitBytes = 4 * (2 + 8 * Dots::kSteps);
  // From this height on (at 216 bytes of 32 rows' unit a row of x) a tile that no other follows
  // computes for longer than it reads, so that asking for the next panel early pays. Zen 4: median
  // of q4_0 m = 3 193 -> 246 Gop/s, m = 4 228 -> 308; q8_0 m = 6 214 -> 262, m = 4 163 -> 153. On
  // Emerald Rapids, whose own prefetching ends with each page, it always does: q4_0 m = 1 43 -> 63,
  // m = 2 76 -> 123; q8_0 m = 2 49 -> 68, m = 4 89 -> 125; q4_1 m = 1 39 -> 54.
  static constexpr size_t kAheadC = kSapphireRapids ? 1 : (kWUnitBytes / kNr * 32 + 215) / 216;

  static constexpr size_t kNearAhead = HWY_NAMESPACE::kNearAhead;

  static constexpr size_t kPairC = 0;  // gains nothing: as many instructions a byte

  template <size_t C, size_t>
  static void run(const TileArgs& a) {
    const DF df;
    Sums<C, kR> sums;
    sums.load(a);
    BlockPanel<F> w{a.w};
    XBlock<C> x{a.x};
    uintptr_t ahead = a.ahead;
    for (size_t unit = 0; unit < a.units; ++unit, w.at += kWUnitBytes, x.at += C * kXUnitBytes) {
      ask_ahead<kWUnitBytes>(a, ahead);
      typename Dots::Sum dots[C][kR];
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        const VI first = start(x, c);
        TESSERA_UNROLL
        for (size_t r = 0; r < kR; ++r) dots[c][r] = Dots::begin(first);
      }
      TESSERA_UNROLL
      for (size_t i = 0; i < F::kCodeWords; ++i) add_word<C>(w, x, i, dots);
      TESSERA_UNROLL
      for (size_t r = 0; r < kR; ++r) {
        const VF scale = w.scale(r);
        TESSERA_UNROLL
        for (size_t c = 0; c < C; ++c) {
          const VI dot = Dots::end(dots[c][r], start(x, c));
          sums.v[c][r] = add_dot<kCoarse>(dot, scale, hn::Set(df, x.scale(c)), sums.v[c][r]);
        }
        if constexpr (F::kHasMin) {
          const VF min = w.min(r);
          TESSERA_UNROLL
          for (size_t c = 0; c < C; ++c) {
            sums.v[c][r] = hn::MulAdd(min, hn::Set(df, x.template aux<float>(c)), sums.v[c][r]);
          }
        }
      }
    }
    sums.store(a);
  }

 private:
  template <size_t C>
  static HWY_INLINE VI start(const XBlock<C>& x, size_t c) {
    return start_dot<kCoarse, F::kHasMin>(hn::Set(DF(), x.scale(c)),
                                          hn::Set(DI(), x.template aux<int32_t>(c)));
  }

  // The quads that one word of each row of W holds.
  template <size_t C>
  static HWY_INLINE void add_word(const BlockPanel<F>& w, const XBlock<C>& x, size_t word,
                                  typename Dots::Sum (&dots)[C][kR]) {
    TESSERA_UNROLL
    for (size_t part = 0; part < 8; part += F::kCodeWords) {
      add_quad<C, 0>(w, x, word, part, dots);
      if constexpr (Dots::kSteps == 2) add_quad<C, 1>(w, x, word, part, dots);
    }
  }

  template <size_t C, size_t kStep>
  static HWY_INLINE void add_quad(const BlockPanel<F>& w, const XBlock<C>& x, size_t word,
                                  size_t part, typename Dots::Sum (&dots)[C][kR]) {
    VU codes[kR];
    TESSERA_UNROLL
    for (size_t r = 0; r < kR; ++r) {
      codes[r] = Dots::template codes<kStep>(SimdOf<F>::word_quad(w.word(r, word), part));
    }
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const VI column = hn::Set(DI(), x.codes(8 * kStep + word + part, c));
      TESSERA_UNROLL
      for (size_t r = 0; r < kR; ++r) dots[c][r] = Dots::add(codes[r], column, dots[c][r]);
    }
  }
};

}  // namespace tessera::inline v0_1::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_TILE_INL_H_

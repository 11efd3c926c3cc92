// SPDX-License-Identifier: MIT
// Weights in place whose blocks are several sub-blocks: lanes are halves of 32 values.
//
// In such a block each 32 bytes hold two times 32 codes, one in their low and one in their high
// nibbles. 16 bytes are a lane: four steps of four products give the exact dots of the low codes
// and then of the high ones with 16 values of x each, so that a lane has one scale wherever scales
// serve 16 values or more. What is 16 bytes wide lies side by side, and is transposed within.
//
//   x, q8, one row     for each set of lanes, low then high: { f32 scale[kLanes], aux[kLanes],
//                      words[4][kLanes] }, in the order of the lanes of W
#if defined(TESSERA_SIMD_SUPER_DOT_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_SUPER_DOT_INL_H_
#undef TESSERA_SIMD_SUPER_DOT_INL_H_
#else
#define TESSERA_SIMD_SUPER_DOT_INL_H_
#endif

#include <array>

#include "tessera/simd/pack-inl.h"
#include "tessera/simd/pack_x-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// Which 16 bytes of nibbles are where. A block has four times 32 bytes, so eight such lanes; a
// vector holds those of two blocks, of one, or of a part of one.
inline constexpr size_t kSuperBlocks = kLanes == 16 ? 2 : 1;    // of a group
inline constexpr size_t kLaneSets = 8 * kSuperBlocks / kLanes;  // vectors of a group
inline constexpr size_t kHalvesOfSet = kLanes == 16 || kLanes == 8 ? 2 : 1;

/// The 32 bytes, counted through the group, and which half of them.
struct LanePlace {
  size_t bytes, half;
};
constexpr LanePlace lane_place(size_t set, size_t lane) {
  if (kLanes == 1) return {set / 2, set % 2};
  const size_t quarter = lane % 4;  // the transposition's
  if (kLanes == 16) return {2 * quarter + lane / 8, lane / 4 % 2};
  return {quarter, kLanes == 8 ? lane / 4 : set};
}

// Quantized blocks of 32 -> a group of halves. For both ways to round, so that it is compiled once.
template <class Order, class Dots>
struct HalvesOfGroup {
  static constexpr size_t kWords = 2 + 4 * Dots::kSteps;  // of 16 values

  /// Blocks from `begin` on, which lie behind so many blocks of zeros.
  static HWY_NOINLINE void place(const Q8Blocks& blocks, const int32_t (&aux)[2][Q8Blocks::kMax],
                                 size_t begin, size_t zeros, std::byte* to) {
    for (size_t set = 0; set < 2 * kLaneSets; ++set) {
      for (size_t lane = 0; lane < kLanes; ++lane) {
        const LanePlace place = lane_place(set / 2, lane);
        const size_t of_32 = place.bytes / 4 * 8 + Order::block_of(place.bytes % 4, set % 2);
        if (of_32 < zeros) continue;
        const size_t b = begin + of_32 - zeros;
        int32_t ordered[8 * Dots::kSteps];
        order_codes<Dots>(blocks.codes[b], ordered);
        std::byte* word = to + (set * kWords * kLanes + lane) * 4;
        const auto put = [&word](const void* from) {
          std::memcpy(word, from, 4);
          word += kLanes * 4;
        };
        put(&blocks.scale[b]);
        put(&aux[place.half][b]);
        for (size_t i = 0; i < 4 * Dots::kSteps; ++i) {
          put(&ordered[i / 4 * 8 + place.half * 4 + i % 4]);
        }
      }
    }
  }
};

// One row of x in the order of SuperLanes<F>, where Order says which block of 32 is where.
template <class Order, class Dots, bool kCoarse>
struct XAsQ8Halves {
  static constexpr PackedX kKind = kCoarse ? PackedX::q8_coarse : PackedX::q8;
  static constexpr size_t kStepValues = 32;
  static constexpr size_t kSingleStepValues = 256 * kSuperBlocks;
  static constexpr size_t kWords = HalvesOfGroup<Order, Dots>::kWords;

  static constexpr size_t bytes(size_t values) { return values / 16 * kWords * 4; }

  // A last, partial group lies at its end, behind zeros.
  static void pack_lanes(const float* values, size_t count, XAux kind, std::byte* to) {
    Q8Blocks blocks;
    quantize_blocks<kCoarse>(values, count / 32, blocks);
    alignas(64) int32_t aux[2][Q8Blocks::kMax];
    sum_halves(blocks, aux[0]);
    for (size_t b = 0; b < Q8Blocks::kMax; b += kLanes) {
      const VF scale = hn::Load(DF(), blocks.scale + b);
      if constexpr (kCoarse) hn::Store(coarse_limit(scale), DF(), blocks.scale + b);
      const VI first = hn::Load(DI(), aux[0] + b);
      const VI rest = hn::Sub(hn::Load(DI(), blocks.sum + b), first);
      hn::Store(make_aux<false>(kind, scale, first), DI(), aux[0] + b);
      hn::Store(make_aux<false>(kind, scale, rest), DI(), aux[1] + b);
    }
    constexpr size_t kGroup = 8 * kSuperBlocks;  // of blocks of 32
    for (size_t end = 0; end < count / 32; to += bytes(kSingleStepValues)) {
      const size_t begin = end;
      end = std::min(begin + kGroup, count / 32);
      const size_t zeros = begin + kGroup - end;
      if (zeros > 0) std::memset(to, 0, bytes(kSingleStepValues));
      HalvesOfGroup<Order, Dots>::place(blocks, aux, begin, zeros, to);
    }
  }
};

template <class F>
struct SuperLanes {
  using Dots = DotsOf<F, 4>;
  template <bool kCoarse>
  using X = XAsQ8Halves<typename SimdOf<F>::Order, OrderOf<Dots>, kCoarse>;
  static constexpr size_t kBlocks = kSuperBlocks, kValues = 256, kBytes = sizeof(typename F::Block);
  static constexpr size_t kWords = F::kWords;

  template <size_t C>
  static HWY_INLINE void add(const uint8_t* w, const std::byte* x, size_t x_stride, VF (&sums)[C]) {
    const Scales scales(w);
    TESSERA_UNROLL
    for (size_t set = 0; set < kLaneSets; ++set) {
      VU nibbles[4], high[4];
      load_nibbles(w, set, nibbles);
      if constexpr (kHasHigh) load_high(w, set, high);
      add_set<C, false>(w, scales, nibbles, high, set, x, x_stride, sums);
      add_set<C, true>(w, scales, nibbles, high, set, x, x_stride, sums);
    }
  }

 private:
  static constexpr bool kHasHigh = requires { SimdOf<F>::kHighAt; };

  template <size_t C, bool kHigh>
  static HWY_INLINE void add_set(const uint8_t* w, const auto& scales, const VU (&nibbles)[4],
                                 const VU (&high)[4], size_t set, const std::byte* x,
                                 size_t x_stride, VF (&sums)[C]) {
    const std::byte* at = x + (2 * set + kHigh) * X<false>::kWords * kLanes * 4;
    const auto load_x = [at, x_stride](auto d, size_t c, size_t word) TESSERA_ATTR {
      return load_bytes(d, at + c * x_stride + word * kLanes * 4);
    };
    const auto start = [&load_x](size_t c) TESSERA_ATTR {
      return start_dot<F, false>(load_x(DF(), c, 0), load_x(DI(), c, 1));
    };
    typename Dots::Sum dots[C];
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) dots[c] = Dots::begin(start(c));
    TESSERA_UNROLL
    for (size_t j = 0; j < 4; ++j) {
      const VU codes = make_codes<kHigh>(nibbles[j], high[j]);
      add_step<C, 0>(codes, load_x, j, dots);
      if constexpr (Dots::kSteps == 2) add_step<C, 1>(codes, load_x, j, dots);
    }
    const VF scale = scales.template scale<kHigh>(w, set);
    VF min = hn::Zero(DF());
    if constexpr (F::kHasMin) min = scales.template min<kHigh>(w, set);
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const VI dot = Dots::end(dots[c], start(c));
      sums[c] = add_dot<false>(dot, scale, load_x(DF(), c, 0), sums[c]);
      if constexpr (F::kHasMin) sums[c] = hn::NegMulAdd(min, load_x(DF(), c, 1), sums[c]);
    }
  }
  template <size_t C, size_t kStep>
  static HWY_INLINE void add_step(VU codes, const auto& load_x, size_t j,
                                  typename Dots::Sum (&dots)[C]) {
    const VU part = Dots::template codes<kStep>(codes);
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      dots[c] = Dots::add(part, load_x(DI(), c, 2 + 4 * kStep + j), dots[c], j);
    }
  }
  template <bool kHigh>
  static HWY_INLINE VU make_codes(VU nibbles, [[maybe_unused]] VU high) {
    if constexpr (kHasHigh) {
      return kHigh ? SimdOf<F>::high(nibbles, high) : SimdOf<F>::low(nibbles, high);
    } else {
      return kHigh ? SimdOf<F>::high(nibbles) : SimdOf<F>::low(nibbles);
    }
  }

  // words[j] = word j of the 16 bytes of each lane.
  static HWY_INLINE void load_nibbles(const uint8_t* w, size_t set, VU (&words)[4]) {
    VU quarter[4];
    TESSERA_UNROLL
    for (size_t i = 0; i < 4; ++i) {
#if TESSERA_ONE_LANE
      const LanePlace place = lane_place(set, 0);
      const size_t in_quarter = 4 * i;
#else
      const LanePlace place = lane_place(set, i);  // of its first lane: the rest lies behind
      const size_t in_quarter = 0;
#endif
      quarter[i] = load_bytes(DU(), w + place.bytes / 4 * kBytes + SimdOf<F>::kNibblesAt +
                                        place.bytes % 4 * 32 + place.half * 16 + in_quarter);
    }
    transpose_quarters(quarter, words);
  }

  // The same of the bits that belong to the nibbles, shifted to where low() and high() want them.
  static HWY_INLINE void load_high(const uint8_t* w, size_t set, VU (&words)[4]) {
    VU quarter[4];
    TESSERA_UNROLL
    for (size_t i = 0; i < 4; ++i) {
#if TESSERA_ONE_LANE
      const LanePlace place = lane_place(set, 0);
      quarter[i] = hn::ShiftRightSame(load_bytes(DU(), high_at(w, place) + 4 * i),
                                      SimdOf<F>::high_shift(place.bytes));
#else
      const LanePlace place = lane_place(set, i);
      if constexpr (kLanes == 16) {  // the bits of 32 bytes serve the next 32, too
        const hn::Half<DU> dh;
        const auto bits = load_bytes(dh, high_at(w, place));
        quarter[i] = hn::Combine(DU(), hn::ShiftRightSame(bits, shift(place.bytes + 1)),
                                 hn::ShiftRightSame(bits, shift(place.bytes)));
      } else {
        quarter[i] = hn::ShiftRightSame(load_bytes(DU(), high_at(w, place)), shift(place.bytes));
      }
#endif
    }
    transpose_quarters(quarter, words);
  }
  static HWY_INLINE const uint8_t* high_at(const uint8_t* w, LanePlace place) {
    return w + place.bytes / 4 * kBytes + SimdOf<F>::kHighAt +
           SimdOf<F>::high_offset(place.bytes % 4) + place.half * 16;
  }
  static constexpr int shift(size_t bytes) { return SimdOf<F>::high_shift(bytes % 4); }

#if TESSERA_ONE_LANE
  struct Scales {
    HWY_INLINE explicit Scales(const uint8_t* /*w*/) {}

    template <bool kHigh>
    HWY_INLINE VF scale(const uint8_t* w, size_t set) const {
      return hn::Set(DF(), sub_block<kHigh>(w, set).scale);
    }
    template <bool kHigh>
    HWY_INLINE VF min(const uint8_t* w, size_t set) const {
      return hn::Set(DF(), -sub_block<kHigh>(w, set).min);
    }
    template <bool kHigh>
    static SubBlock sub_block(const uint8_t* w, size_t set) {
      typename F::Block block;
      std::memcpy(&block, w, sizeof(block));
      const LanePlace place = lane_place(set, 0);
      const size_t first = SimdOf<F>::Order::block_of(place.bytes, kHigh) * 32 + place.half * 16;
      return F::sub_block(block, first / F::kSubValues);
    }
  };
#else
  // The integers of all sub-blocks as bytes, 16 in each quarter of a vector, so that one shuffle
  // brings them to their lanes: where there are minima, a table of the scales of both blocks and
  // one of their minima; else one of the 16 scales of each block.
  struct Scales {
    using D8 = hn::Repartition<uint8_t, DU>;
    using V8 = hn::VFromD<D8>;
    static constexpr size_t kTables = F::kHasMin ? 2 : kSuperBlocks;
    V8 tables[kTables];
    VF scales, minima;  // of the blocks that lanes belong to

    HWY_INLINE explicit Scales(const uint8_t* w) {
      if constexpr (F::kHasMin) {
        uint64_t first[2], last[2];
        SimdOf<F>::sub_bytes(w, first);
        SimdOf<F>::sub_bytes(w + (kSuperBlocks - 1) * kBytes, last);
        TESSERA_UNROLL
        for (size_t i = 0; i < 2; ++i) tables[i] = in_quarters(first[i], last[i]);
      } else {
        TESSERA_UNROLL
        for (size_t b = 0; b < kSuperBlocks; ++b) {
          tables[b] = hn::LoadDup128(D8(), SimdOf<F>::sub_bytes(w + b * kBytes));
        }
      }
      scales = of_blocks(w + F::kScaleAt);
      minima = scales;
      if constexpr (F::kHasMin) minima = of_blocks(w + F::kScaleAt + 2);
    }

    template <bool kHigh>
    HWY_INLINE VF scale(const uint8_t* /*w*/, size_t set) const {
      return hn::Mul(scales, hn::ConvertTo(DF(), pick<kHigh, 0>(set)));
    }
    template <bool kHigh>
    HWY_INLINE VF min(const uint8_t* /*w*/, size_t set) const {
      return hn::Mul(minima, hn::ConvertTo(DF(), pick<kHigh, 1>(set)));
    }

   private:
    static HWY_INLINE V8 in_quarters(uint64_t low, uint64_t high) {
      const hn::Repartition<uint64_t, DU> d64;
      return hn::BitCast(D8(), hn::OddEven(hn::Set(d64, high), hn::Set(d64, low)));
    }

    // An f16 of each block, in all lanes of it: of every four, the first two belong to the first.
    static HWY_INLINE VF of_blocks(const uint8_t* at) {
      uint16_t first, second;
      std::memcpy(&first, at, 2);
      std::memcpy(&second, at + (kSuperBlocks - 1) * kBytes, 2);
      const hn::Rebind<uint16_t, DF> dh;
      const uint64_t four = first * 0x10001ull | (second * 0x10001ull) << 32;
      return widen_f16(DF(),
                       hn::BitCast(dh, hn::Set(hn::Repartition<uint64_t, decltype(dh)>(), four)));
    }

    template <bool kHigh, size_t kTable>
    HWY_INLINE VI pick(size_t set) const {
      V8 picked = look_up<kHigh>(tables[F::kHasMin ? kTable : 0], set, 0);
      if constexpr (kLists == 2) picked = hn::Or(picked, look_up<kHigh>(tables[1], set, 1));
      const VI lanes = hn::BitCast(DI(), picked);
      return SimdOf<F>::kSignedScales ? hn::ShiftRight<24>(lanes) : lanes;
    }
    template <bool kHigh>
    static HWY_INLINE V8 look_up(V8 table, size_t set, size_t list) {
      return hn::TableLookupBytesOr0(table, hn::Load(D8(), kPlaces<kHigh>[set][list].data()));
    }

    // [set][list][byte of the lanes]: where in a table a byte comes from; 0x80 gives 0. A table of
    // one block has a list of its own, as it has nothing for the lanes of others. A signed integer
    // is the highest byte of its lane.
    static constexpr size_t kLists = F::kHasMin ? 1 : kSuperBlocks;
    using Places = std::array<std::array<std::array<uint8_t, 4 * kLanes>, kLists>, kLaneSets>;
    template <bool kHigh>
    static constexpr Places places() {
      Places places{};
      for (size_t set = 0; set < kLaneSets; ++set) {
        for (size_t i = 0; i < kLists * 4 * kLanes; ++i) {
          const size_t list = i / (4 * kLanes), lane = i / 4 % kLanes;
          const LanePlace place = lane_place(set, lane);
          const size_t of = place.bytes / 4;  // which block of the group
          const size_t block = SimdOf<F>::Order::block_of(place.bytes % 4, kHigh);
          const size_t at = SimdOf<F>::scale_byte(block, place.half) + (F::kHasMin ? 8 * of : 0);
          const bool here =
              i % 4 == (SimdOf<F>::kSignedScales ? 3 : 0) && (F::kHasMin || of == list);
          places[set][list][i % (4 * kLanes)] = here ? static_cast<uint8_t>(at) : uint8_t{0x80};
        }
      }
      return places;
    }
    template <bool kHigh>
    alignas(64) static constexpr Places kPlaces = places<kHigh>();
  };
#endif
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_SUPER_DOT_INL_H_

// SPDX-License-Identifier: MIT
// Packing W: rows -> panels of nr rows, in the order in which the micro-kernels read.
//
//   W, float formats   [k / values][nr] words      (f16: [k / 2][2][nr] halves)
//   W, block formats   [k / block] of { scales[nr], mins[nr] if any, words[kWords][nr] }: the
//                      bytes of nr blocks, no more, with words as quad() wants them
#if defined(TESSERA_SIMD_PACK_INL_H_) == (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_PACK_INL_H_
#undef TESSERA_SIMD_PACK_INL_H_
#else
#define TESSERA_SIMD_PACK_INL_H_
#endif

#include <algorithm>

#include "tessera/plan/kernel.h"
#include "tessera/simd/dots-inl.h"
#include "tessera/simd/formats-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// Vectors of rows of W in a panel: with two, each broadcast of x feeds two multiplications, and
// loads (one broadcast and two vectors a step) stay below one a cycle.
inline constexpr size_t kPanelVectors = 2;

// The rows of one group of kLanes lanes. Lanes past the last row repeat it: their columns of y do
// not exist, so what they hold is never stored.
struct RowGroup {
  const uint8_t* row[kLanes];

  HWY_INLINE RowGroup(const std::byte* w, size_t stride, size_t first, size_t end) {
    for (size_t i = 0; i < kLanes; ++i) {
      row[i] = reinterpret_cast<const uint8_t*>(w) + std::min(first + i, end - 1) * stride;
    }
  }
};

// ---------------------------------------------------------------- W, float formats

// A panel of R vectors of rows, of units of one word of each. (A kernel of longer units counts them
// as words before it calls this.)
template <class F, size_t R>
void pack_float_panel(const PackWArgs& a) {
  using S = SimdOf<F>;
  constexpr size_t kNr = R * kLanes, kUnitBytes = kNr * 4;
  const size_t row_end = a.k * sizeof(typename F::Block);  // bytes of a row that exist
  for (size_t r = 0; r < R; ++r) {
    const RowGroup group(a.w, a.row_stride, a.first + r * kLanes, a.end);
    std::byte* to = a.panel;
    size_t unit = a.units.begin;
    VU words[4];
    for (; unit + 4 <= a.units.end && (unit + 4) * 4 <= row_end; unit += 4) {
      load_transposed(group.row, unit * 4, words);
      TESSERA_UNROLL
      for (size_t j = 0; j < 4; ++j, to += kUnitBytes)
        S::store_words(words[j], to, kNr, r * kLanes);
    }
    while (unit < a.units.end) {  // through a copy that may end anywhere, zeros behind it
      uint8_t tail[kLanes][16] = {};
      const uint8_t* rows[kLanes];
      const size_t at = unit * 4;
      for (size_t i = 0; i < kLanes; ++i) {
        std::memcpy(tail[i], group.row[i] + at, std::min<size_t>(16, row_end - at));
        rows[i] = tail[i];
      }
      load_transposed(rows, 0, words);
      for (size_t j = 0; j < 4 && unit < a.units.end; ++j, ++unit, to += kUnitBytes) {
        S::store_words(words[j], to, kNr, r * kLanes);
      }
    }
  }
}

// Units of a panel of a narrow format -> an f32 panel, exactly.
template <class F, size_t R>
void widen_float_panel(const std::byte* panel, size_t units, std::byte* to) {
  const DF df;
  constexpr size_t kNr = R * kLanes;
  float* HWY_RESTRICT out = reinterpret_cast<float*>(to);
  for (size_t unit = 0; unit < units; ++unit, panel += kNr * 4, out += 2 * kNr) {
    TESSERA_UNROLL
    for (size_t r = 0; r < R; ++r) {
      const size_t lane = r * kLanes;
      hn::StoreU(SimdOf<F>::template panel_value<0>(df, panel, kNr, lane), df, out + lane);
      hn::StoreU(SimdOf<F>::template panel_value<1>(df, panel, kNr, lane), df, out + kNr + lane);
    }
  }
}

// f32 stored as [k, n]: the panel's rows are pieces of its rows.
template <size_t R>
void pack_k_major_panel(const PackWArgs& a) {
  constexpr size_t kPanelBytes = R * kLanes * sizeof(float);
  const size_t bytes = (a.end - a.first) * sizeof(float);
  std::byte* panel = a.panel;
  if (bytes == kPanelBytes) {
    const DF df;
    const std::byte* w = a.w + a.units.begin * a.row_stride + a.first * sizeof(float);
    for (size_t k = a.units.begin; k < a.units.end; ++k, panel += kPanelBytes, w += a.row_stride) {
      TESSERA_UNROLL
      for (size_t r = 0; r < R; ++r) {
        store_bytes(load_bytes(df, w + r * kLanes * 4), df, panel + r * kLanes * 4);
      }
    }
    return;
  }
  for (size_t k = a.units.begin; k < a.units.end; ++k, panel += kPanelBytes) {
    std::memcpy(panel, a.w + k * a.row_stride + a.first * sizeof(float), bytes);
    std::memset(panel + bytes, 0, kPanelBytes - bytes);
  }
}

// ---------------------------------------------------------------- W, block formats

template <class F, size_t R>
inline constexpr size_t kBlockPanelBytes = R* kLanes * sizeof(typename F::Block);

// The bytes of scale (and min) come first in a panel, wherever a block has them.
template <class F>
inline constexpr size_t kWordsAt = F::kScaleAt == 0 ? F::kScaleBytes : 0;
template <class F>
inline constexpr size_t kScaleFieldBytes = F::kScaleBytes == 1 ? 1 : 2;

template <class F, size_t R>
void pack_block_panel(const PackWArgs& a) {
  const DU du;
  constexpr size_t kNr = R * kLanes, kField = kScaleFieldBytes<F>;
  constexpr size_t kBlockBytes = sizeof(typename F::Block);
  for (size_t r = 0; r < R; ++r) {
    const RowGroup group(a.w, a.row_stride, a.first + r * kLanes, a.end);
    std::byte* to = a.panel;
    for (size_t b = a.units.begin; b < a.units.end; ++b, to += kBlockPanelBytes<F, R>) {
      const size_t at = b * kBlockBytes;
      for (size_t field = 0; field < F::kScaleBytes; field += kField) {
        std::byte* scales = to + field * kNr + r * kLanes * kField;
        for (size_t i = 0; i < kLanes; ++i)
          std::memcpy(scales + kField * i, group.row[i] + at + F::kScaleAt + field, kField);
      }
      std::byte* words_to = to + F::kScaleBytes * kNr + r * kLanes * 4;
      for (size_t i = 0; i < F::kWords; i += 4) {  // some again where they are not whole fours
        const size_t word = std::min(i, F::kWords - 4);
        VU words[4];
        load_transposed(group.row, at + kWordsAt<F> + word * 4, words);
        TESSERA_UNROLL
        for (size_t j = 0; j < 4; ++j) {
          store_bytes(SimdOf<F>::panel_word(words[j], word + j), du,
                      words_to + (word + j) * kNr * 4);
        }
      }
    }
  }
}

// What a format stores for a block, as a panel holds it, in f32: f16, or the exponent of a power of
// two in a byte, which counts from 2^-128.
template <class F>
HWY_INLINE VF load_block_scale(const std::byte* at) {
  if constexpr (kScaleFieldBytes<F> == 2) return load_f16(DF(), at);
  return power_of_two(hn::PromoteTo(DU(), load_bytes(hn::Rebind<uint8_t, DU>(), at)));
}

template <class F>
inline constexpr size_t kSubBlocks = 32 / F::kSubValues;  // of 32 values, at least one
template <class F>
inline constexpr bool kIsUnpacked = false;

// One block of a block panel, as vector r of a tile reads it.
template <class F, size_t R>
struct BlockPanel {
  static constexpr size_t kNr = R * kLanes;
  const std::byte* at;

  /// Of sub-block s.
  HWY_INLINE VF scale(size_t r, size_t s) const {
    if constexpr (kIsUnpacked<F>) {
      return load_bytes(DF(), at + (s * kNr + r * kLanes) * 4);
    } else {
      const VF scale = load_block_scale<F>(at + r * kLanes * kScaleFieldBytes<F>);
      if constexpr (SuperBlockFormat<F>) {
        return hn::Mul(scale, hn::ConvertTo(DF(), SimdOf<F>::sub_scale(of_row(r), s)));
      }
      return scale;
    }
  }
  HWY_INLINE VF min(size_t r, size_t s) const {
    if constexpr (kIsUnpacked<F>) {
      return load_bytes(DF(), at + ((kSubBlocks<F> + s) * kNr + r * kLanes) * 4);
    } else {
      const VF min = load_f16(DF(), at + (kNr + r * kLanes) * 2);
      if constexpr (SuperBlockFormat<F>) {
        return hn::Neg(hn::Mul(min, hn::ConvertTo(DF(), SimdOf<F>::sub_min(of_row(r), s))));
      }
      return min;
    }
  }
  HWY_INLINE VU word(size_t r, size_t word) const {
    return load_bytes(DU(), at + F::kScaleBytes * kNr + (word * kNr + r * kLanes) * 4);
  }
  HWY_INLINE VU quad(size_t r, size_t quad) const { return SimdOf<F>::quad(of_row(r), quad); }
  /// What step kStep of a dot multiplies.
  template <class Dots, size_t kStep>
  HWY_INLINE VU codes(size_t r, size_t quad) const {
    if constexpr (kIsUnpacked<F>) return word(r, quad * Dots::kSteps + kStep);
    return Dots::template codes<kStep>(this->quad(r, quad));
  }

 private:
  HWY_INLINE auto of_row(size_t r) const {
    return [this, r](size_t i) TESSERA_ATTR { return word(r, i); };
  }
};

// What tiles read where unpacking codes with each use of them would cost too much, 32 values of k
// after 32: scale and min of each of kSubs sub-blocks in f32, and for each quad of codes a word for
// each step of its dot. Formats share what a tile does with it: kHasStart says whether its dots
// start from what an offset takes away. kMost is the largest code, rounded up to that of formats
// that are multiplied alike.
template <bool kMin, size_t kSubs, bool kHasStart, int kMost, size_t kSteps>
struct UnpackedCodes {
  static constexpr size_t kBlockValues = 32, kSubValues = 32 / kSubs;
  static constexpr int kOffset = kHasStart ? 1 : 0;  // a tile asks only whether there is one
  static constexpr int kMostCode = kMost;
  static constexpr bool kHasMin = kMin;
  static constexpr size_t kScaleBytes = kSubs * (kMin ? 8 : 4);
  static constexpr size_t kWords = 8 * kSteps;
  struct Block {
    std::byte bytes[kScaleBytes + 4 * kWords];
  };
};
// Where dots see signed bytes, codes are stored without their offset: all rows of x then start from
// the same sum.
template <class F>
inline constexpr int kTooHigh = TESSERA_SIGNED_DOT && !F::kHasMin ? kDotOffset<F> : 0;
// All bits that a code may have, where it matters how many those are.
template <class F>
constexpr int most_code() {
  int most = 255;
  while (quads_together<F, F::kSubValues / 4>() > 1 && most / 2 >= static_cast<int>(F::kMostCode))
    most /= 2;
  return most;
}
template <class F>
using Unpacked = UnpackedCodes<F::kHasMin, kSubBlocks<F>, kDotOffset<F> != kTooHigh<F>,
                               most_code<F>(), DotsOf<F>::kSteps>;

template <bool kMin, size_t kSubs, bool kHasStart, int kMost, size_t kSteps>
inline constexpr bool kIsUnpacked<UnpackedCodes<kMin, kSubs, kHasStart, kMost, kSteps>> = true;
template <bool kMin, size_t kSubs, bool kHasStart, int kMost, size_t kSteps>
struct SimdOf<UnpackedCodes<kMin, kSubs, kHasStart, kMost, kSteps>> {
  static constexpr size_t kQuadOrder[8] = {0, 1, 2, 3, 4, 5, 6, 7};

  template <class Words>
  static HWY_INLINE VU quad(const Words& word, size_t quad) {
    return word(quad);
  }
};

template <class F>
HWY_INLINE VU unpacked_codes(VU codes) {
#if TESSERA_SIGNED_DOT
  const hn::Repartition<int8_t, DU> d8;
  const auto offset = hn::Set(d8, static_cast<int8_t>(kTooHigh<F>));
  if constexpr (kTooHigh<F> != 0) {
    codes = hn::BitCast(DU(), hn::Sub(hn::BitCast(d8, codes), offset));
  }
#endif
  return codes;
}

// Blocks of a panel -> the same of a panel of Unpacked<F>: words(block, quad, to) writes quads
// `quad` and `quad` + 1 of all rows.
template <class F, size_t R, class Words>
HWY_INLINE void unpack_panel(const std::byte* panel, size_t blocks, std::byte* to,
                             const Words& words) {
  constexpr size_t kNr = R * kLanes, kSubs = kSubBlocks<F>;
  std::byte* HWY_RESTRICT out = to;
  for (size_t b = 0; b < blocks; ++b, panel += kBlockPanelBytes<F, R>) {
    const BlockPanel<F, R> block{panel};
    TESSERA_UNROLL
    for (size_t part = 0; part < F::kBlockValues / 32; ++part) {
      TESSERA_UNROLL
      for (size_t s = 0; s < kSubs; ++s) {
        TESSERA_UNROLL
        for (size_t r = 0; r < R; ++r) {
          std::byte* scale = out + (s * kNr + r * kLanes) * 4;
          store_bytes(block.scale(r, part * kSubs + s), DF(), scale);
          if constexpr (F::kHasMin) {
            store_bytes(block.min(r, part * kSubs + s), DF(), scale + kSubs * kNr * 4);
          }
        }
      }
      TESSERA_UNROLL
      for (size_t quad = 0; quad < 8; quad += 2) {
        constexpr size_t kQuadWords = Unpacked<F>::kWords / 8;
        words(block, part * 8 + quad,
              out + (Unpacked<F>::kScaleBytes + quad * kQuadWords * 4) * kNr);
      }
      out += kBlockPanelBytes<Unpacked<F>, R>;
    }
  }
}

template <class F, size_t R>
void unpack_block_panel(const std::byte* panel, size_t blocks, std::byte* to) {
  using Dots = DotsOf<F>;
  unpack_panel<F, R>(panel, blocks, to,
                     [](const BlockPanel<F, R>& block, size_t quad, std::byte* words) TESSERA_ATTR {
                       TESSERA_UNROLL
                       for (size_t i = 0; i < 2 * R; ++i) {
                         const VU codes = unpacked_codes<F>(block.quad(i % R, quad + i / R));
                         std::byte* word = words + (i / R * Dots::kSteps * R + i % R) * kLanes * 4;
                         store_bytes(Dots::template codes<0>(codes), DU(), word);
                         if constexpr (Dots::kSteps == 2) {
                           store_bytes(Dots::template codes<1>(codes), DU(), word + R * kLanes * 4);
                         }
                       }
                     });
}

// Blocks of a panel -> an f32 panel. Every step is exact, so this is decode().
template <class F, size_t R>
void widen_block_panel(const std::byte* panel, size_t blocks, std::byte* to) {
  const DF df;
  const DU du;
  constexpr size_t kNr = R * kLanes;
  float* HWY_RESTRICT out = reinterpret_cast<float*>(to);
  for (size_t b = 0; b < blocks;
       ++b, panel += kBlockPanelBytes<F, R>, out += F::kBlockValues * kNr) {
    const BlockPanel<F, R> block{panel};
    for (size_t part = 0; part < R * F::kBlockValues / 32; ++part) {  // 32 values of a vector
      const size_t r = part % R, first = part / R * 8;
      TESSERA_UNROLL
      for (size_t quad = first; quad < first + 8; ++quad) {
        const size_t s = quad * 4 / F::kSubValues;
        const VF scale = block.scale(r, s);
        VF min = hn::Zero(df);
        if constexpr (F::kHasMin) min = block.min(r, s);
        VU codes = hn::Xor(block.quad(r, quad), hn::Set(du, is_signed<F>() ? 0x80808080u : 0u));
        TESSERA_UNROLL
        for (size_t i = 0; i < 4; ++i) {
          const VI code = hn::BitCast(DI(), hn::And(codes, hn::Set(du, 255u)));
          const VF v = hn::ConvertTo(df, hn::Sub(code, hn::Set(DI(), F::kOffset)));
          VF value = hn::Mul(v, scale);
          if constexpr (F::kHasMin) value = hn::MulAdd(v, scale, min);
          hn::StoreU(value, df, out + (quad * 4 + i) * kNr + r * kLanes);
          codes = hn::ShiftRight<8>(codes);
        }
      }
    }
  }
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_PACK_INL_H_

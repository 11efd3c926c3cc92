// SPDX-License-Identifier: MIT
// Packing, the only place where data is rearranged: rows of W -> panels of nr rows, rows of x ->
// panels of at most mr rows, in the order in which the micro-kernels read.
//
//   W, float formats   [k / values][nr] words      (f16: [k / 2][2][nr] halves)
//   W, block formats   [k / 32] of { scales[nr], mins[nr] if any, words[kCodeWords][nr] }: the
//                      bytes of nr blocks, no more, with codes made unsigned
//   x, f32             [k][rows] floats
//   x, bf16            [k / 2][rows] pairs
//   x, q8              [k / 32] of { f32 scale[rows], aux[rows], i8 codes[8][rows][4] }
#if defined(TESSERA_SIMD_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_PACK_INL_H_
#undef TESSERA_SIMD_PACK_INL_H_
#else
#define TESSERA_SIMD_PACK_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <limits>

#include "tessera/plan/kernel_table.h"
#include "tessera/simd/formats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

// Two vectors of rows of W a tile: each broadcast of x then feeds two multiplications, and loads
// (one broadcast and two vectors a step) stay below one a cycle.
inline constexpr size_t kR = 2;
inline constexpr size_t kNr = kR * kLanes;

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

// Units [unit_begin, unit_end) of rows [first, min(first + nr, end)) -> one panel.
template <class F>
void pack_float_panel(const PackWArgs& a, size_t first, size_t end, size_t unit_begin,
                      size_t unit_end, std::byte* panel) {
  using S = SimdOf<F>;
  constexpr size_t kUnitBytes = kNr * 4;
  const size_t row_end = a.k * sizeof(typename F::Block);  // bytes of a row that exist
  for (size_t r = 0; r < kR; ++r) {
    const RowGroup group(a.w, a.row_stride, first + r * kLanes, end);
    std::byte* to = panel;
    size_t unit = unit_begin;
    VU words[4];
    for (; unit + 4 <= unit_end && (unit + 4) * 4 <= row_end; unit += 4) {
      load_transposed(group.row, unit * 4, words);
      TESSERA_UNROLL
      for (size_t j = 0; j < 4; ++j, to += kUnitBytes)
        S::store_words(words[j], to, kNr, r * kLanes);
    }
    while (unit < unit_end) {  // through a copy that may end anywhere, zeros behind it
      uint8_t tail[kLanes][16] = {};
      const uint8_t* rows[kLanes];
      const size_t at = unit * 4;
      for (size_t i = 0; i < kLanes; ++i) {
        std::memcpy(tail[i], group.row[i] + at, std::min<size_t>(16, row_end - at));
        rows[i] = tail[i];
      }
      load_transposed(rows, 0, words);
      for (size_t j = 0; j < 4 && unit < unit_end; ++j, ++unit, to += kUnitBytes) {
        S::store_words(words[j], to, kNr, r * kLanes);
      }
    }
  }
}

// Units of a panel of a narrow format -> an f32 panel, exactly.
template <class F>
void widen_float_panel(const std::byte* panel, size_t units, float* HWY_RESTRICT out) {
  const DF df;
  for (size_t unit = 0; unit < units; ++unit, panel += kNr * 4, out += 2 * kNr) {
    TESSERA_UNROLL
    for (size_t r = 0; r < kR; ++r) {
      const size_t lane = r * kLanes;
      hn::StoreU(SimdOf<F>::template panel_value<0>(df, panel, kNr, lane), df, out + lane);
      hn::StoreU(SimdOf<F>::template panel_value<1>(df, panel, kNr, lane), df, out + kNr + lane);
    }
  }
}

// f32 stored as [k, n]: the panel's rows are pieces of its rows.
inline void pack_k_major_panel(const PackWArgs& a, size_t first, size_t end, size_t k_begin,
                               size_t k_end, std::byte* panel) {
  const size_t bytes = std::min(kNr, end - first) * sizeof(float);
  for (size_t k = k_begin; k < k_end; ++k, panel += kNr * sizeof(float)) {
    std::memcpy(panel, a.w + k * a.row_stride + first * sizeof(float), bytes);
    std::memset(panel + bytes, 0, kNr * sizeof(float) - bytes);
  }
}

// ---------------------------------------------------------------- W, block formats

template <class F>
inline constexpr size_t kBlockPanelBytes = kNr * sizeof(typename F::Block);

template <class F>
void pack_block_panel(const PackWArgs& a, size_t first, size_t end, size_t unit_begin,
                      size_t unit_end, std::byte* panel) {
  const DU du;
  constexpr size_t kBlockBytes = sizeof(typename F::Block);
  const VU code_xor = hn::Set(du, F::kCodeXor);
  for (size_t r = 0; r < kR; ++r) {
    const RowGroup group(a.w, a.row_stride, first + r * kLanes, end);
    std::byte* to = panel;
    for (size_t b = unit_begin; b < unit_end; ++b, to += kBlockPanelBytes<F>) {
      const size_t at = b * kBlockBytes;
      for (size_t field = 0; field < F::kScaleBytes; field += 2) {
        std::byte* scales = to + field * kNr + r * kLanes * 2;
        for (size_t i = 0; i < kLanes; ++i)
          std::memcpy(scales + 2 * i, group.row[i] + at + field, 2);
      }
      uint32_t* words_to = reinterpret_cast<uint32_t*>(to + F::kScaleBytes * kNr) + r * kLanes;
      for (size_t word = 0; word + 4 <= F::kCodeWords; word += 4) {
        VU words[4];
        load_transposed(group.row, at + F::kScaleBytes + word * 4, words);
        TESSERA_UNROLL
        for (size_t j = 0; j < 4; ++j) {
          hn::StoreU(hn::Xor(words[j], code_xor), du, words_to + (word + j) * kNr);
        }
      }
      for (size_t word = F::kCodeWords / 4 * 4; word < F::kCodeWords; ++word) {
        for (size_t i = 0; i < kLanes; ++i) {
          std::memcpy(words_to + word * kNr + i, group.row[i] + at + F::kScaleBytes + word * 4, 4);
        }
      }
    }
  }
}

// One block of a block panel, as vector r of a tile reads it.
template <class F>
struct BlockPanel {
  const std::byte* at;

  HWY_INLINE VF scale(size_t r) const { return load_f16(DF(), at + r * kLanes * 2); }
  HWY_INLINE VF min(size_t r) const { return load_f16(DF(), at + (kNr + r * kLanes) * 2); }
  HWY_INLINE VU quad(size_t r, size_t quad) const {
    const uint32_t* words = reinterpret_cast<const uint32_t*>(at + F::kScaleBytes * kNr);
    return SimdOf<F>::panel_quad(words + r * kLanes, kNr, quad);
  }
};

// Blocks of a panel -> an f32 panel. Every step is exact, so this is decode().
template <class F>
void widen_block_panel(const std::byte* panel, size_t blocks, float* HWY_RESTRICT out) {
  const DF df;
  const DU du;
  for (size_t b = 0; b < blocks; ++b, panel += kBlockPanelBytes<F>, out += 32 * kNr) {
    const BlockPanel<F> block{panel};
    for (size_t r = 0; r < kR; ++r) {
      const VF scale = block.scale(r);
      VF min = hn::Zero(df);
      if constexpr (F::kHasMin) min = block.min(r);
      TESSERA_UNROLL
      for (size_t quad = 0; quad < 8; ++quad) {
        VU codes = block.quad(r, quad);
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

// ---------------------------------------------------------------- x

// Values [k, k + kLanes) of one row of a float format as f32; zeros past the end of the row.
template <class F>
HWY_INLINE VF load_row_values(const std::byte* row, size_t k, size_t k_end) {
  constexpr size_t kBytes = sizeof(typename F::Block);
  if (k + kLanes <= k_end) return SimdOf<F>::load_values(DF(), row + k * kBytes);
  alignas(64) std::byte tail[kLanes * kBytes] = {};
  if (k < k_end) std::memcpy(tail, row + k * kBytes, (k_end - k) * kBytes);
  return SimdOf<F>::load_values(DF(), tail);
}

// x passes through f32 in pieces that stay in L1, those of all rows of a panel.
inline constexpr size_t kPiece = 256;

template <class F>
void widen_row(const std::byte* row, size_t k, size_t k_end, float* HWY_RESTRICT values) {
  for (size_t i = 0; i < kPiece; i += kLanes) {
    hn::StoreU(load_row_values<F>(row, k + i, k_end), DF(), values + i);
  }
}

// Values [k, k + kPiece) of row `row` of x, zeros past the end.
inline void load_piece(const PackXArgs& a, size_t row, size_t k, float* HWY_RESTRICT values) {
  if (a.k_major) {
    for (size_t i = 0; i < kPiece; ++i) {
      values[i] = 0.0f;
      if (k + i < a.k) std::memcpy(values + i, a.x + (k + i) * a.row_stride + row * 4, 4);
    }
    return;
  }
  const std::byte* from = a.x + row * a.row_stride;
  switch (a.dtype) {
    case DType::f32:
      return widen_row<F32>(from, k, a.k, values);
    case DType::f16:
      return widen_row<F16>(from, k, a.k, values);
    default:
      return widen_row<BF16>(from, k, a.k, values);
  }
}

// The 16-byte blocks of a vector to every `step`-th word from `to` on.
template <class D>
HWY_INLINE void store_blocks(hn::VFromD<D> v, D d, size_t step, uint32_t* to) {
  if constexpr (hn::MaxLanes(D()) <= 4) {
    hn::StoreU(v, d, to);
  } else {
    const hn::Half<D> dh;
    store_blocks(hn::LowerHalf(dh, v), dh, step, to);
    store_blocks(hn::UpperHalf(dh, v), dh, step, to + hn::MaxLanes(dh) / 4 * step);
  }
}

// The first `count` words of each of `height` rows -> [count][height]. Four rows at a time are
// transposed, the last four again where height is not a multiple of four.
inline void interleave(const std::byte* const* rows, size_t height, size_t count, uint32_t* to) {
  size_t done = 0;
#if HWY_TARGET != HWY_SCALAR
  const DU du;
  for (; height >= 4 && done + kLanes <= count; done += kLanes) {
    for (size_t first = 0; first < height; first += 4) {
      const size_t at = std::min(first, height - 4);
      VU quarter[4], words[4];
      TESSERA_UNROLL
      for (size_t i = 0; i < 4; ++i) quarter[i] = load_bytes(du, rows[at + i] + done * 4);
      transpose_quarters(quarter, words);  // block b of words[j]: word 4 b + j of the four rows
      TESSERA_UNROLL
      for (size_t j = 0; j < 4; ++j) {
        store_blocks(words[j], du, 4 * height, to + (done + j) * height + at);
      }
    }
  }
#endif
  for (; done < count; ++done) {
    for (size_t i = 0; i < height; ++i) {
      std::memcpy(to + done * height + i, rows[i] + done * 4, 4);
    }
  }
}

// How a row of x is packed: values to words, which a panel interleaves. kSame is the format whose
// rows are those words already.
struct XAsF32 {
  static constexpr PackedX kKind = PackedX::f32;
  static constexpr uint16_t kVariant = 0;
  static constexpr size_t kRowValues = 32;  // rows are padded to whole vectors and units

  static constexpr DType kSame = DType::f32;

  static constexpr size_t bytes(size_t values) { return values * 4; }

  static void pack(const float* values, size_t count, std::byte* to) {
    std::memcpy(to, values, count * 4);
  }
};

struct XAsBf16 {
  static constexpr PackedX kKind = PackedX::bf16;
  static constexpr uint16_t kVariant = 0;
  static constexpr size_t kRowValues = 64;

  static constexpr DType kSame = DType::bf16;

  static constexpr size_t bytes(size_t values) { return values * 2; }

  static void pack(const float* values, size_t count, std::byte* to) {
    const DF df;
    const hn::Rebind<uint16_t, DF> dh;
    for (size_t i = 0; i < count; i += kLanes) {
      store_bytes(hn::TruncateTo(dh, bf16_bits(hn::LoadU(df, values + i))), dh, to + i * 2);
    }
  }
};

// The scales of up to kPiece / 32 blocks, max|v| / 127 kept in f32, and what to multiply by.
struct Q8Scales {
  static constexpr size_t kBlocks = kPiece / 32;
  alignas(64) int32_t max_bits[kBlocks > kLanes ? kBlocks : kLanes] = {};
  alignas(64) float scale[kBlocks > kLanes ? kBlocks : kLanes];
  alignas(64) float inverse[kBlocks > kLanes ? kBlocks : kLanes];

  HWY_INLINE Q8Scales(const float* values, size_t blocks) {
    const DF df;
    const DI di;
    for (size_t b = 0; b < blocks; ++b) {
      VI max = hn::Zero(di);  // of magnitudes; as integers NaN > infinity > finite
      for (size_t i = 0; i < 32; i += kLanes) {
        max = hn::Max(max, hn::BitCast(di, hn::Abs(hn::LoadU(df, values + b * 32 + i))));
      }
      max_bits[b] = hn::ReduceMax(di, max);
    }
    const VI infinity = hn::Set(di, 0x7F800000);
    for (size_t b = 0; b < blocks; b += kLanes) {
      const VI max = hn::Load(di, max_bits + b);
      const auto finite = hn::RebindMask(df, hn::Lt(max, infinity));
      const VF d = hn::Div(hn::BitCast(df, max), hn::Set(df, 127.0f));
      // Infinite where d is zero or tiny, NaN where it is: nothing is left of such a block.
      const VF one_over = hn::Div(hn::Set(df, 1.0f), d);
      const auto usable =
          hn::And(finite, hn::RebindMask(df, hn::Lt(hn::BitCast(di, one_over), infinity)));
      hn::Store(hn::IfThenElseZero(usable, one_over), df, inverse + b);
      // A NaN poisons the row, and nothing else.
      const VF nan = hn::Set(df, std::numeric_limits<float>::quiet_NaN());
      hn::Store(hn::IfThenElse(finite, d, nan), df, scale + b);
    }
  }
};

// One block's signed codes, rounded as ggml rounds them; returns their sum.
HWY_INLINE int32_t quantize_block(const float* values, float inverse, std::byte* codes) {
  const DF df;
  const DI di;
  const hn::Rebind<int8_t, DF> di8;
  VI sums = hn::Zero(di);
  for (size_t i = 0; i < 32; i += kLanes) {
    VF v = hn::Mul(hn::LoadU(df, values + i), hn::Set(df, inverse));
    v = hn::IfThenElseZero(hn::Le(hn::Abs(v), hn::Set(df, 127.5f)), v);  // NaN * 0 is NaN
    const VI code = round_half_away(df, v);
    sums = hn::Add(sums, code);
    store_bytes(hn::DemoteTo(di8, code), di8, codes + i);
  }
  return hn::ReduceSum(di, sums);
}

// aux is what the offset or the min of W's format needs: -offset * sum of codes, the value that
// integer sums start from, or scale * sum of codes.
template <int kOffset, bool kHasMin>
struct XAsQ8 {
  static constexpr PackedX kKind = PackedX::q8;
  static constexpr uint16_t kVariant = kHasMin ? 1000 : kOffset;
  static constexpr size_t kRowValues = 32;
  static constexpr size_t kBlockBytes = 40;
  static constexpr DType kSame = DType::q8_1;  // x is never given as blocks

  static constexpr size_t bytes(size_t values) { return values / 32 * kBlockBytes; }

  static void pack(const float* values, size_t count, std::byte* to) {
    const Q8Scales scales(values, count / 32);
    for (size_t b = 0; b < count / 32; ++b, to += kBlockBytes) {
      const float scale = scales.scale[b];
      const int32_t sum = quantize_block(values + b * 32, scales.inverse[b], to + 8);
      uint32_t aux;
      if constexpr (kHasMin) {
        aux = std::bit_cast<uint32_t>(scale * static_cast<float>(sum));
      } else {
        aux = std::bit_cast<uint32_t>(-kOffset * sum);
      }
      std::memcpy(to, &scale, 4);
      std::memcpy(to + 4, &aux, 4);
    }
  }
};

// Values of a packed row, padding included.
template <class X>
constexpr size_t padded_values(size_t k) {
  return (k + X::kRowValues - 1) / X::kRowValues * X::kRowValues;
}

template <class X>
void pack_x(const PackXArgs& a) {
  constexpr size_t kMostRows = 12;
  const Panels panels(a.m, a.mr);
  const size_t k_padded = padded_values<X>(a.k);
  const size_t value_bytes = a.dtype == DType::f32 ? 4 : 2;
  const bool same = a.dtype == X::kSame && !a.k_major;
  alignas(64) float values[kPiece];
  alignas(64) std::byte words[kMostRows][X::bytes(kPiece)];
  const std::byte* rows[kMostRows];
  for (size_t first = a.rows.begin; first < a.rows.end;) {
    const size_t height = panels.rows(panels.panel_of(first)).end - first;
    std::byte* to = a.packed + first * X::bytes(k_padded);
    for (size_t k = 0; k < k_padded; k += kPiece) {
      const size_t count = std::min(kPiece, k_padded - k);
      for (size_t i = 0; i < height; ++i) {
        rows[i] = words[i];
        if (same && k + count <= a.k) {
          rows[i] = a.x + (first + i) * a.row_stride + k * value_bytes;
        } else {
          load_piece(a, first + i, k, values);
          X::pack(values, count, words[i]);
        }
      }
      interleave(rows, height, X::bytes(count) / 4,
                 reinterpret_cast<uint32_t*>(to + height * X::bytes(k)));
    }
    first += height;
  }
}

// One block of 32 values of a panel of C rows, as XAsQ8 wrote it.
template <size_t C>
struct XBlock {
  const std::byte* at;

  HWY_INLINE float scale(size_t c) const { return word<float>(c); }
  template <class T>
  HWY_INLINE T aux(size_t c) const {
    return word<T>(C + c);
  }
  HWY_INLINE int32_t quad(size_t quad, size_t c) const { return word<int32_t>((2 + quad) * C + c); }

 private:
  template <class T>
  HWY_INLINE T word(size_t i) const {
    T value;
    std::memcpy(&value, at + 4 * i, 4);
    return value;
  }
};

}  // namespace tessera::inline v0_1::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_PACK_INL_H_

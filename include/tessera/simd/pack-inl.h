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
//   x, q8, one row     the same with blocks for rows: kLanes blocks a group (matvec-inl.h)
#if defined(TESSERA_SIMD_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_PACK_INL_H_
#undef TESSERA_SIMD_PACK_INL_H_
#else
#define TESSERA_SIMD_PACK_INL_H_
#endif

#include <algorithm>

#include "tessera/plan/kernel_table.h"
#include "tessera/simd/formats-inl.h"
#include "tessera/simd/lanes-inl.h"
#include "tessera/simd/q8-inl.h"

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
    const VU word = hn::LoadU(DU(), words + quad % F::kCodeWords * kNr + r * kLanes);
    return SimdOf<F>::word_quad(word, quad);
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

// x passes through f32 in pieces that stay in L1.
inline constexpr size_t kPiece = 32 * Q8Blocks::kMax;

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

// 4-byte words to every `step`-th place of a panel.
HWY_INLINE void scatter(const void* words, size_t count, size_t step, std::byte* to) {
  if (step == 1) {
    std::memcpy(to, words, count * 4);
    return;
  }
  const std::byte* from = static_cast<const std::byte*>(words);
  for (size_t i = 0; i < count; ++i) std::memcpy(to + i * step * 4, from + i * 4, 4);
}

// Packers of a piece of one row: `to` is the place of its first word in a panel of `step` rows.
struct XAsF32 {
  static constexpr PackedX kKind = PackedX::f32;
  static constexpr uint16_t kVariant = 0;
  static constexpr size_t kRowValues = 32;  // rows are padded to whole vectors and units
  static constexpr size_t kAloneValues = kRowValues;

  static constexpr size_t bytes(size_t values) { return values * 4; }

  static void pack(const float* values, size_t count, size_t step, std::byte* to) {
    scatter(values, count, step, to);
  }
  static void pack_lanes(const float* values, size_t count, std::byte* to) {
    pack(values, count, 1, to);
  }
};

struct XAsBf16 {
  static constexpr PackedX kKind = PackedX::bf16;
  static constexpr uint16_t kVariant = 0;
  static constexpr size_t kRowValues = 64;
  static constexpr size_t kAloneValues = kRowValues;

  static constexpr size_t bytes(size_t values) { return values * 2; }

  static void pack(const float* values, size_t count, size_t step, std::byte* to) {
    const DF df;
    const hn::Rebind<uint16_t, DF> dh;
    alignas(64) uint16_t halves[kPiece];
    for (size_t i = 0; i < count; i += kLanes) {
      hn::StoreU(hn::TruncateTo(dh, bf16_bits(hn::LoadU(df, values + i))), dh, halves + i);
    }
    scatter(halves, count / 2, step, to);
  }
  static void pack_lanes(const float* values, size_t count, std::byte* to) {
    pack(values, count, 1, to);
  }
};

// aux is what the offset or the min of W's format needs: -offset * sum of codes, the value that
// integer sums start from, or scale * sum of codes.
template <int kOffset, bool kHasMin>
struct XAsQ8 {
  static constexpr PackedX kKind = PackedX::q8;
  static constexpr uint16_t kVariant = kHasMin ? 1000 : kOffset;
  static constexpr size_t kRowValues = 32;
  static constexpr size_t kAloneValues = 32 * kLanes;
  static constexpr size_t kBlockBytes = 40;

  static constexpr size_t bytes(size_t values) { return values / 32 * kBlockBytes; }

  static void pack(const float* values, size_t count, size_t step, std::byte* to) {
    Q8Blocks blocks;
    quantize_blocks(values, count / 32, blocks);
    for (size_t b = 0; b < count / 32; ++b) put_block(blocks, b, step, to + b * step * kBlockBytes);
  }

  // One row in groups of kLanes blocks, block i in the place block_lane(i) as if it were a row of a
  // panel. The blocks of a last, partial group lie at its end, behind zeros.
  static void pack_lanes(const float* values, size_t count, std::byte* to) {
    Q8Blocks blocks;
    quantize_blocks(values, count / 32, blocks);
    for (size_t b = 0; b < count / 32; to += kLanes * kBlockBytes) {
      const size_t end = std::min(b + kLanes, count / 32), zeros = b + kLanes - end;
      if (zeros > 0) std::memset(to, 0, kLanes * kBlockBytes);
      for (size_t lane = zeros; b < end; ++b, ++lane) {
        put_block(blocks, b, kLanes, to + block_lane(lane) * 4);
      }
    }
  }

 private:
  static void put_block(const Q8Blocks& blocks, size_t b, size_t step, std::byte* to) {
    uint32_t aux;
    if constexpr (kHasMin) {
      aux = std::bit_cast<uint32_t>(blocks.scale[b] * static_cast<float>(blocks.sum[b]));
    } else {
      aux = std::bit_cast<uint32_t>(-kOffset * blocks.sum[b]);
    }
    std::memcpy(to, &blocks.scale[b], 4);
    std::memcpy(to + step * 4, &aux, 4);
    const int8_t* codes = blocks.codes[b];
    for (size_t i = 0; i < 8; ++i) std::memcpy(to + (2 + i) * step * 4, codes + 4 * i, 4);
  }
};

// Values of a packed row, padding included.
template <class X>
constexpr size_t padded_values(size_t k) {
  return (k + X::kRowValues - 1) / X::kRowValues * X::kRowValues;
}

template <class X>
void pack_x(const PackXArgs& a) {
  const Panels panels(a.m, a.mr);
  const size_t k_padded = padded_values<X>(a.k);
  alignas(64) float values[kPiece];
  for (size_t row = a.rows.begin; row < a.rows.end; ++row) {
    const Range panel = panels.rows(panels.panel_of(row));
    const size_t step = panel.end - panel.begin;
    std::byte* to = a.packed + panel.begin * X::bytes(k_padded) + (row - panel.begin) * 4;
    for (size_t k = 0; k < k_padded; k += kPiece) {
      load_piece(a, row, k, values);
      X::pack(values, std::min(kPiece, k_padded - k), step, to + step * X::bytes(k));
    }
  }
}

// Bytes of a row alone.
template <class X>
constexpr size_t packed_row_bytes(size_t k) {
  return X::bytes((k + X::kAloneValues - 1) / X::kAloneValues * X::kAloneValues);
}

// For matvec: each row alone, in the order that lanes along k take it.
template <class X>
void pack_x_rows(const PackXArgs& a) {
  static_assert(kPiece % X::kAloneValues == 0);
  const size_t k_padded = padded_values<X>(a.k);
  alignas(64) float values[kPiece];
  for (size_t row = a.rows.begin; row < a.rows.end; ++row) {
    std::byte* to = a.packed + row * packed_row_bytes<X>(a.k);
    for (size_t k = 0; k < k_padded; k += kPiece) {
      load_piece(a, row, k, values);
      X::pack_lanes(values, std::min(kPiece, k_padded - k), to + X::bytes(k));
    }
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

// SPDX-License-Identifier: MIT
// Packing x: rows -> panels of at most mr rows, in the order in which the micro-kernels read.
//
// over 400 lines: the layouts of x are read side by side.
//
//   x, f32             [k][rows][kXCopies] floats, the copies equal
//   x, bf16            [k / 2][rows] pairs
//   x, q8              [k / 32] of { f32 scale[rows], aux[sub-blocks of W][rows],
//                      i8 codes[8][rows][4] }, or
//                      i16 codes[16][rows][2] for products of 16 bits (dots-inl.h), or
//                      i8 codes[4][rows][8] for products of matrices (mmla_tile-inl.h)
//   x, q8, one row     the same with blocks for rows: kLanes blocks a group (matvec-inl.h), or
//                      halves of blocks (super_dot-inl.h)
#if defined(TESSERA_SIMD_PACK_X_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_PACK_X_INL_H_
#undef TESSERA_SIMD_PACK_X_INL_H_
#else
#define TESSERA_SIMD_PACK_X_INL_H_
#endif

#include <algorithm>

#include "tessera/plan/geometry.h"
#include "tessera/simd/dots-inl.h"
#include "tessera/simd/formats-inl.h"
#include "tessera/simd/lanes-inl.h"
#include "tessera/simd/q8-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

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
inline constexpr size_t kPiece = 32 * Q8Blocks::kMax;

template <class F>
void widen_row(const std::byte* row, size_t k, size_t k_end, float* HWY_RESTRICT values) {
  for (size_t i = 0; i < kPiece; i += kLanes) {
    hn::StoreU(load_row_values<F>(row, k + i, k_end), DF(), values + i);
  }
}

// Values [k, k + kPiece) of row `row` of x, zeros past the end: in `values`, or in x itself.
inline const float* load_piece(const PackXArgs& a, size_t row, size_t k,
                               float* HWY_RESTRICT values) {
  if (a.k_major) {
    for (size_t i = 0; i < kPiece; ++i) {
      values[i] = 0.0f;
      if (k + i < a.k) std::memcpy(values + i, a.x + (k + i) * a.at.stride + row * 4, 4);
    }
    return values;
  }
  const std::byte* from = a.x + a.at(row);
  if (a.dtype == DType::f32) {
    const std::byte* piece = from + k * sizeof(float);
    const bool aligned = reinterpret_cast<uintptr_t>(piece) % alignof(float) == 0;
    if (k + kPiece <= a.k && aligned) return reinterpret_cast<const float*>(piece);
    widen_row<F32>(from, k, a.k, values);
  } else if (a.dtype == DType::f16) {
    widen_row<F16>(from, k, a.k, values);
  } else {
    widen_row<BF16>(from, k, a.k, values);
  }
  return values;
}

#if !TESSERA_ONE_LANE
// The 16-byte blocks of a vector, the i-th to where(first + i).
template <class D, class Where>
HWY_INLINE void store_blocks(hn::VFromD<D> v, D d, size_t first, const Where& where) {
  if constexpr (hn::MaxLanes(D()) <= 4) {
    hn::StoreU(v, d, where(first));
  } else {
    const hn::Half<D> dh;
    store_blocks(hn::LowerHalf(dh, v), dh, first, where);
    store_blocks(hn::UpperHalf(dh, v), dh, first + hn::MaxLanes(dh) / 4, where);
  }
}

// The same with each word kCopies times, so that a block becomes kCopies blocks.
template <size_t kCopies, class D, class Where>
HWY_INLINE void store_copies(hn::VFromD<D> v, D d, const Where& where) {
  if constexpr (kCopies == 1) {
    store_blocks(v, d, 0, where);
  } else {
    const auto upper = [&where](size_t b) TESSERA_ATTR { return where(b) + 2 * kCopies; };
    store_copies<kCopies / 2>(hn::InterleaveLower(d, v, v), d, where);
    store_copies<kCopies / 2>(hn::InterleaveUpper(d, v, v), d, upper);
  }
}
#endif

// Where word i of a row lies among the groups of a panel: `per` words of each `stride` groups, from
// group `first` on.
struct GroupPlaces {
  size_t first = 0, per = 1, stride = 1;

  HWY_INLINE size_t operator()(size_t i) const { return first + i / per * stride + i % per; }
};

// The first `count` words of each of `height` rows, `height` at a time: those at i of all rows,
// each kCopies times, are group place(i) of `to`. Four rows at a time are transposed, the last four
// again where height is not a multiple of four.
template <size_t kCopies = 1>
HWY_NOINLINE void interleave(const std::byte* const* rows, size_t height, size_t count,
                             uint32_t* to, GroupPlaces place) {
  size_t done = 0;
  if (kCopies == 1 && height == 1) {
    for (; done < count; done += place.per) {
      const size_t words = std::min(place.per, count - done);
      std::memcpy(to + place(done), rows[0] + done * 4, words * 4);
    }
    return;
  }
#if !TESSERA_ONE_LANE
  const DU du;
  size_t offset[kLanes];  // from a vector's first word, the same for each
  for (size_t i = 0; i < kLanes; ++i) offset[i] = (place(i) - place(0)) * height * kCopies;
  for (; height >= 4 && done + kLanes <= count; done += kLanes) {
    uint32_t* group = to + place(done) * height * kCopies;
    for (size_t first = 0; first < height; first += 4) {
      const size_t at = std::min(first, height - 4);
      VU quarter[4], words[4];
      TESSERA_UNROLL
      for (size_t i = 0; i < 4; ++i) quarter[i] = load_bytes(du, rows[at + i] + done * 4);
      transpose_quarters(quarter, words);  // block b of words[j]: word 4 b + j of the four rows
      TESSERA_UNROLL
      for (size_t j = 0; j < 4; ++j) {
        store_copies<kCopies>(words[j], du, [&](size_t b) TESSERA_ATTR {
          return group + offset[4 * b + j] + at * kCopies;
        });
      }
    }
  }
#endif
  for (; done < count; ++done) {
    for (size_t i = 0; i < height; ++i) {
      uint32_t* word = to + (place(done) * height + i) * kCopies;
      for (size_t copy = 0; copy < kCopies; ++copy) std::memcpy(word + copy, rows[i] + done * 4, 4);
    }
  }
}

// The first words of all rows, each of kBytes, then the next ones. Returns where they end.
template <size_t kBytes>
std::byte* gather_words(const std::byte* const* rows, size_t height, size_t bytes,
                        std::byte* panel) {
  for (size_t at = 0; at < bytes; at += kBytes) {
    for (size_t i = 0; i < height; ++i, panel += kBytes) std::memcpy(panel, rows[i] + at, kBytes);
  }
  return panel;
}

// A panel of words: of each row one, kCopies times, then of each row the next.
template <size_t kCopiesOfWord>
struct WordPanel {
  static constexpr size_t kCopies = kCopiesOfWord;
  static constexpr size_t kWordBytes = 4 * kCopies;

  static void interleave_rows(const std::byte* const* rows, size_t height, size_t bytes,
                              std::byte* panel) {
    interleave<kCopies>(rows, height, bytes / 4, reinterpret_cast<uint32_t*>(panel), {});
  }

  /// Panels of one row, of `bytes` each -> a panel of them.
  static void gather(const std::byte* const* rows, size_t height, size_t bytes, std::byte* panel) {
    if constexpr (kCopies == 1) {
      interleave_rows(rows, height, bytes, panel);
    } else {
      gather_words<kWordBytes>(rows, height, bytes, panel);
    }
  }
};

// How a row of x is packed: values to words, bytes() of them, which a panel has kCopies times and
// in the order that interleave_rows() makes; of a row, kWordBytes lie together there. A single row
// has the words once, as they are. Rows are padded to whole steps. Where kBorrows, rows of the
// format kBorrowed are those words already, and tiles can read them where they lie (not by lanes,
// which want the words of all rows side by side).
struct XAsF32 : WordPanel<kXCopies> {
  static constexpr PackedX kKind = PackedX::f32;
  static constexpr size_t kStepValues = 32;  // whole vectors and units
  static constexpr size_t kSingleStepValues = kStepValues;
  static constexpr bool kBorrows = !TESSERA_BY_LANE;
  static constexpr DType kBorrowed = DType::f32;

  static constexpr size_t bytes(size_t values) { return values * 4; }

  static void pack(const float* values, size_t count, std::byte* to) {
    std::memcpy(to, values, count * 4);
  }
  static void pack_lanes(const float* values, size_t count, XAux /*aux*/, std::byte* to) {
    pack(values, count, to);
  }
};

struct XAsBf16 : WordPanel<1> {
  static constexpr PackedX kKind = PackedX::bf16;
  static constexpr size_t kStepValues = 64;
  static constexpr size_t kSingleStepValues = kStepValues;
  static constexpr bool kBorrows = !TESSERA_BY_LANE;
  static constexpr DType kBorrowed = DType::bf16;

  static constexpr size_t bytes(size_t values) { return values * 2; }

  static void pack(const float* values, size_t count, std::byte* to) {
    const DF df;
    const hn::Rebind<uint16_t, DF> dh;
    for (size_t i = 0; i < count; i += kLanes) {
      store_bytes(hn::TruncateTo(dh, bf16_bits(hn::LoadU(df, values + i))), dh, to + i * 2);
    }
  }
  static void pack_lanes(const float* values, size_t count, XAux /*aux*/, std::byte* to) {
    pack(values, count, to);
  }
};

// What XAux says, of blocks with these scales and sums of codes: a float, or an integer that sums
// start from. If coarse, that is added to the bits of the scale (dots-inl.h).
template <bool kCoarse>
HWY_INLINE VI make_aux(XAux aux, VF scale, VI sum) {
  if (aux.has_min) return hn::BitCast(DI(), hn::Mul(scale, hn::ConvertTo(DF(), sum)));
  const VI start = hn::Mul(sum, hn::Set(DI(), -aux.offset));
  if constexpr (!kCoarse) return start;
  const VF packed = hn::Mul(scale, hn::Set(DF(), kScaleFactor<kCoarse>));
  return hn::Add(start, hn::BitCast(DI(), packed));
}

// A power of two, infinite where tiles, which take the bits of its multiple, cannot multiply it.
HWY_INLINE VF coarse_limit(VF scale) {
  return hn::Mul(hn::Mul(scale, hn::Set(DF(), 0x1p23f)), hn::Set(DF(), 0x1p-23f));
}

// Sums of the first half of each block's codes.
HWY_NOINLINE inline void sum_halves(const Q8Blocks& blocks, int32_t* HWY_RESTRICT sums) {
  for (size_t b = 0; b < Q8Blocks::kMax; ++b) {
    int32_t sum = 0;
    for (size_t i = 0; i < 16; ++i) sum += blocks.codes[b][i];
    sums[b] = sum;
  }
}

template <class Dots, bool kCoarse, size_t kSubs = 1>
struct XAsQ8 {
  static constexpr PackedX kKind = kCoarse ? PackedX::q8_coarse : PackedX::q8;
  static constexpr bool kIsCoarse = kCoarse;
  static constexpr bool kBorrows = false;
  static constexpr size_t kStepValues = 32;
  static constexpr size_t kSingleStepValues = 32 * kLanes;
  static constexpr size_t kCopies = 1;
  static constexpr size_t kWordBytes = 4;
  static constexpr size_t kCodeWords = 8 * Dots::kSteps;
  static constexpr size_t kWords = 1 + kSubs + kCodeWords;
  static constexpr size_t kBlockBytes = 4 * kWords;

  static constexpr size_t bytes(size_t values) { return values / 32 * kBlockBytes; }

  // Rows of whole blocks, quantized, to a panel of them.
  static void interleave_blocks(Q8Blocks* rows, size_t height, size_t count, XAux kind,
                                std::byte* panel) {
    const std::byte *scale[kMostPanelRows], *aux[kSubs][kMostPanelRows], *codes[kMostPanelRows];
    alignas(64) int32_t ordered[Dots::kSteps == 1 ? 1 : kMostPanelRows][Q8Blocks::kMax][kCodeWords];
    alignas(64) int32_t second[kSubs == 1 ? 1 : kMostPanelRows][Q8Blocks::kMax];
    for (size_t i = 0; i < height; ++i) {
      prepare<kCoarse>(rows[i], kind, second[kSubs == 1 ? 0 : i]);
      scale[i] = reinterpret_cast<const std::byte*>(rows[i].scale);
      aux[0][i] = reinterpret_cast<const std::byte*>(rows[i].sum);
      if constexpr (kSubs == 2) aux[1][i] = reinterpret_cast<const std::byte*>(second[i]);
      codes[i] = reinterpret_cast<const std::byte*>(rows[i].codes);
      if constexpr (Dots::kSteps > 1) {
        for (size_t b = 0; b < count; ++b) order_codes<Dots>(rows[i].codes[b], ordered[i][b]);
        codes[i] = reinterpret_cast<const std::byte*>(ordered[i]);
      }
    }
    uint32_t* to = reinterpret_cast<uint32_t*>(panel);
    interleave(scale, height, count, to, {0, 1, kWords});
    interleave(aux[0], height, count, to, {1, 1, kWords});
    if constexpr (kSubs == 2) interleave(aux[1], height, count, to, {2, 1, kWords});
    constexpr size_t kFirst = 1 + kSubs;  // word of codes
    if constexpr (requires { Dots::kWordsTogether; }) {
      constexpr size_t kEach = 4 * Dots::kWordsTogether, kParts = 32 / kEach;
      for (size_t b = 0; b < count; ++b) {
        std::byte* words = panel + (b * kWords + kFirst) * height * 4;
        for (size_t part = 0; part < kParts; ++part) {
          for (size_t i = 0; i < height; ++i, words += kEach) {
            std::memcpy(words, codes[i] + b * 32 + part * kEach, kEach);
          }
        }
      }
    } else {
      interleave(codes, height, count * kCodeWords, to, {kFirst, kCodeWords, kWords});
    }
  }

  /// Panels of one row, of `bytes` each -> a panel of them.
  static void gather(const std::byte* const* rows, size_t height, size_t bytes, std::byte* panel) {
    if constexpr (requires { Dots::kWordsTogether; }) {
      constexpr size_t kFront = 4 * (1 + kSubs);
      for (size_t at = 0; at < bytes; at += kBlockBytes) {
        const std::byte *fronts[kMostPanelRows], *codes[kMostPanelRows];
        for (size_t i = 0; i < height; ++i) {
          fronts[i] = rows[i] + at;
          codes[i] = fronts[i] + kFront;
        }
        panel = gather_words<4>(fronts, height, kFront, panel);
        panel = gather_words<4 * Dots::kWordsTogether>(codes, height, 32, panel);
      }
    } else {
      interleave(rows, height, bytes / 4, reinterpret_cast<uint32_t*>(panel), {});
    }
  }

  // One row in groups of kLanes blocks, block i in the place block_lane(i) as if it were a row of a
  // panel. The blocks of a last, partial group lie at its end, behind zeros. Dots of single rows
  // take coarse scales as any others, so that both accuracies share them.
  static void pack_lanes(const float* values, size_t count, XAux aux, std::byte* to) {
    static_assert(kSubs == 1);
    Q8Blocks blocks;
    quantize_blocks<kCoarse>(values, count / 32, blocks);
    prepare<false>(blocks, aux, nullptr);
    for (size_t b = 0; b < count / 32; to += kLanes * kBlockBytes) {
      const size_t end = std::min(b + kLanes, count / 32), zeros = b + kLanes - end;
      if (zeros > 0) std::memset(to, 0, kLanes * kBlockBytes);
      for (size_t lane = zeros; b < end; ++b, ++lane) {
        put_block(blocks, b, kLanes, to + block_lane(lane) * 4);
      }
    }
  }

 private:
  // In place: sums to aux, scales to what is packed. With two sub-blocks, the aux of the second of
  // each block is in `second`.
  template <bool kAsBits>
  static void prepare(Q8Blocks& blocks, XAux aux, [[maybe_unused]] int32_t* second) {
    const DF df;
    const DI di;
    alignas(64) int32_t first[Q8Blocks::kMax];
    if constexpr (kSubs == 2) sum_halves(blocks, first);
    for (size_t b = 0; b < Q8Blocks::kMax; b += kLanes) {
      const VF scale = hn::Load(df, blocks.scale + b);
      VI sum = hn::Load(di, blocks.sum + b);
      if constexpr (kSubs == 2) {
        const VI rest = hn::Sub(sum, hn::Load(di, first + b));
        hn::Store(make_aux<kAsBits>(aux, scale, rest), di, second + b);
        sum = hn::Load(di, first + b);
      }
      hn::Store(make_aux<kAsBits>(aux, scale, sum), di, blocks.sum + b);
      VF packed = hn::Mul(scale, hn::Set(df, kScaleFactor<kAsBits>));
      if constexpr (kCoarse && !kAsBits) packed = coarse_limit(scale);
      hn::Store(packed, df, blocks.scale + b);
    }
  }
  static void put_block(const Q8Blocks& blocks, size_t b, size_t step, std::byte* to) {
    std::memcpy(to, &blocks.scale[b], 4);
    std::memcpy(to + step * 4, &blocks.sum[b], 4);
    int32_t codes[kCodeWords];
    order_codes<Dots>(blocks.codes[b], codes);
    for (size_t i = 0; i < kCodeWords; ++i) std::memcpy(to + (2 + i) * step * 4, codes + i, 4);
  }
};

// Values of a packed row, padding included.
template <class X>
constexpr size_t padded_values(size_t k) {
  return detail::rounded_up(k, X::kStepValues);
}

// `count` values from k on of the rows of one panel -> that part of the panel. Rows of padding are
// zeros.
template <class X>
void pack_panel_piece(const PackXArgs& a, Range rows, size_t padded, size_t k, size_t count,
                      std::byte* panel) {
  alignas(64) float values[kPiece];
  const auto piece = [&](size_t row) -> const float* {
    if (row < rows.end) return load_piece(a, row, k, values);
    std::memset(values, 0, sizeof(values));
    return values;
  };
  if constexpr (requires { X::kIsCoarse; }) {
    Q8Blocks blocks[kMostPanelRows];
    for (size_t i = 0; i < padded; ++i) {
      quantize_blocks<X::kIsCoarse>(piece(rows.begin + i), count / 32, blocks[i]);
    }
    X::interleave_blocks(blocks, padded, count / 32, a.aux, panel);
  } else {
    alignas(64) std::byte words[kMostPanelRows][X::bytes(kPiece)];
    const std::byte* lines[kMostPanelRows];
    const bool as_it_is = a.dtype == X::kBorrowed && !a.k_major && k + count <= a.k;
    for (size_t i = 0; i < padded; ++i) {
      const size_t row = rows.begin + i;
      if (as_it_is && row < rows.end) {
        lines[i] = a.x + a.at(row) + X::bytes(k);
      } else {
        X::pack(piece(row), count, words[i]);
        lines[i] = words[i];
      }
    }
    X::interleave_rows(lines, padded, X::bytes(count), panel);
  }
}

// f32 stored as [k, m]: a panel's words are pieces of its rows, and a few of those rows at a time
// serve all panels.
inline void pack_k_major_x(const PackXArgs& a, const Panels& panels, size_t k_padded) {
  constexpr size_t kRowsOfX = 64;  // whose pages the TLB holds
  for (size_t k = 0; k < k_padded; k += kRowsOfX) {
    const size_t end = std::min(k + kRowsOfX, k_padded), stored = std::min(end, a.k);
    for (size_t p = panels.panel_of(a.rows.begin); panels.rows(p).begin < a.rows.end; ++p) {
      const Range rows = panels.rows(p);
      const size_t height = rows.end - rows.begin, bytes = height * sizeof(float);
      std::byte* to = a.packed + rows.begin * a.row_bytes + k * bytes;
      const std::byte* from = a.x + k * a.at.stride + rows.begin * sizeof(float);
      for (size_t i = k; i < stored; ++i, from += a.at.stride, to += bytes) {
        if (height < 4) {
          for (size_t at = 0; at < bytes; at += 4) std::memcpy(to + at, from + at, 4);
        } else {  // the last four again where they are not whole fours
          for (size_t at = 0; at < bytes; at += 16) {
            const size_t four = std::min(at, bytes - 16);
            std::memcpy(to + four, from + four, 16);
          }
        }
      }
      if (end > stored) std::memset(to, 0, (end - std::max(k, stored)) * bytes);
    }
  }
}

// For tiles: the panels that hold a.rows.
template <class X>
void pack_x(const PackXArgs& a) {
  const Panels panels(a.m, a.mr, a.row_step);
  const size_t k_padded = padded_values<X>(a.k);
  if constexpr (X::kKind == PackedX::f32 && X::kWordBytes == 4) {
    if (a.k_major && a.row_step == 1) return pack_k_major_x(a, panels, k_padded);
  }
  for (size_t p = panels.panel_of(a.rows.begin); panels.rows(p).begin < a.rows.end; ++p) {
    const Range rows = panels.rows(p);
    const size_t padded = panels.padded(rows.end - rows.begin);
    std::byte* panel = a.packed + panels.padded_begin(p) * a.row_bytes;
    for (size_t k = 0; k < k_padded; k += kPiece) {
      pack_panel_piece<X>(a, rows, padded, k, std::min(kPiece, k_padded - k),
                          panel + padded * X::bytes(k) * X::kCopies);
    }
  }
}

// For matvec: each row alone, in the order that lanes along k take it.
template <class X>
void pack_x_rows(const PackXArgs& a) {
  static_assert(kPiece % X::kSingleStepValues == 0);
  const size_t k_padded = padded_values<X>(a.k);
  alignas(64) float values[kPiece];
  for (size_t row = a.rows.begin; row < a.rows.end; ++row) {
    std::byte* to = a.packed + row * a.row_bytes;
    for (size_t k = 0; k < k_padded; k += kPiece) {
      const size_t count = std::min(kPiece, k_padded - k);
      X::pack_lanes(load_piece(a, row, k, values), count, a.aux, to + X::bytes(k));
    }
  }
}

// What the two functions above write.
template <class X>
constexpr XLayout panel_layout(size_t unit_values) {
  XLayout x;
  x.kind = X::kKind;
  x.step_values = X::kStepValues;
  x.step_bytes = X::bytes(X::kStepValues) * X::kCopies;
  x.unit_bytes = x.step_bytes * unit_values / X::kStepValues;
  x.word_bytes = X::kWordBytes;
  x.copies = X::kCopies;
  x.borrows = X::kBorrows;
  if constexpr (X::kBorrows) x.borrowed = X::kBorrowed;
  x.pack = &pack_x<X>;
  x.gather = &X::gather;
  return x;
}
template <class X>
constexpr XLayout single_layout() {
  XLayout x;
  x.kind = X::kKind;
  x.step_values = X::kSingleStepValues;
  x.step_bytes = X::bytes(X::kSingleStepValues);
  x.pack = &pack_x_rows<X>;
  return x;
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_PACK_X_INL_H_

// SPDX-License-Identifier: MIT
// Products of f32 matrices that are read where they lie: few rows of x, or all of it small, so that
// packing W would cost more than it saves.
//
//   y[m, n] = alpha * x[m, k] * W[k, n] + beta * y      rows of W, of n values, lie w_step apart
//
//   for kStridedCols columns of y      whose sums wait in the caller's memory between ranges of k
//    (for each panel of rows of x          if they are many and there is one range)
//     for a range of k                   as many rows of W as the TLB holds pages of
//       for a few vectors of columns       that part of W stays in L1 while x passes
//         for a panel of rows of x           a tile
//
// A tile is C rows of x times R vectors of a row of W, C * R sums in registers. As in tile-inl.h a
// sum takes its terms in the order of k, so its bits depend on nothing else.
#if defined(TESSERA_SIMD_STRIDED_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_STRIDED_INL_H_
#undef TESSERA_SIMD_STRIDED_INL_H_
#else
#define TESSERA_SIMD_STRIDED_INL_H_
#endif

#include <array>
#include <utility>

#include "tessera/plan/geometry.h"
#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// The first `count` values, up to kLanes, from or to an address of any alignment; loaded ones are
// followed by zeros.
HWY_INLINE VF load_first(const std::byte* p, size_t count) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  return hn::LoadN(DF(), reinterpret_cast<const float*>(p), count);
#else
  alignas(64) std::byte copy[kLanes * sizeof(float)] = {};
  std::memcpy(copy, p, count * sizeof(float));
  return load_bytes(DF(), copy);
#endif
}
HWY_INLINE void store_first(VF v, std::byte* p, size_t count) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  hn::StoreN(v, DF(), reinterpret_cast<float*>(p), count);
#else
  alignas(64) std::byte copy[kLanes * sizeof(float)];
  store_bytes(v, DF(), copy);
  std::memcpy(p, copy, count * sizeof(float));
#endif
}

// A tile's share of a product. Between ranges of k, sums are in `sums`, whole vectors of them.
struct StridedTile {
  const std::byte *x, *w;
  size_t x_row, x_step, w_step;  // bytes
  size_t steps;                  // of k
  size_t last_lanes;             // columns of the last vector
  size_t early;                  // bytes from a row of W to what will be read later; 0: nothing
  float* sums;                   // [rows, sums_stride]
  size_t sums_stride;            // floats
  bool first, last;              // of the ranges of k
  std::byte* y;
  size_t y_row;  // bytes
  float alpha, beta;
};

inline constexpr size_t kStridedRows = kRegisters == 32 ? 12 : 6;  // of x in a panel
// Vectors of W for C rows of x: what the registers hold beside those and a value of x. Eight are
// enough for sums that wait four cycles for each other, two at a time.
constexpr size_t strided_vectors(size_t c) {
  const size_t most = (kRegisters == 32 ? 24 : 12) / c;
  return most >= 8 ? 8 : most == 7 ? 6 : most == 5 ? 4 : most;
}
// Those that are compiled.
inline constexpr size_t kStridedWidths[] = {1, 2, 3, 4, 6, 8};

// Whether all columns of vector r exist: of all but the last one, they do.
template <size_t R, bool kPart>
constexpr bool is_whole(size_t r) {
  return !kPart || r + 1 < R;
}

// Finished sums -> y.
template <size_t C, size_t R, bool kPart>
HWY_INLINE void finish_strided(const VF (&sums)[C][R], const StridedTile& a) {
  const DF df;
  const VF alpha = hn::Set(df, a.alpha), beta = hn::Set(df, a.beta);
  const size_t lanes = a.last_lanes;
  std::byte* y = a.y;
  for (size_t c = 0; c < C; ++c, y += a.y_row) {
    TESSERA_UNROLL
    for (size_t r = 0; r < R; ++r) {
      std::byte* to = y + r * kLanes * 4;
      VF v = hn::Mul(sums[c][r], alpha);
      if (a.beta != 0.0f) {
        v = hn::MulAdd(is_whole<R, kPart>(r) ? load_bytes(df, to) : load_first(to, lanes), beta, v);
      }
      if (is_whole<R, kPart>(r)) {
        store_bytes(v, df, to);
      } else {
        store_first(v, to, lanes);
      }
    }
  }
}

template <size_t C, size_t R, bool kPart>
void strided_tile(const StridedTile& a) {
  const DF df;
  VF sums[C][R];
  TESSERA_UNROLL
  for (size_t c = 0; c < C; ++c) {
    TESSERA_UNROLL
    for (size_t r = 0; r < R; ++r) {
      sums[c][r] = a.first ? hn::Zero(df) : hn::LoadU(df, a.sums + c * a.sums_stride + r * kLanes);
    }
  }
  const std::byte* w = a.w;
  const std::byte* x[(C + 2) / 3];  // of three rows each
  TESSERA_UNROLL
  for (size_t g = 0; g < (C + 2) / 3; ++g) x[g] = a.x + 3 * g * a.x_row;
  const size_t x_row = a.x_row, x_step = a.x_step, w_step = a.w_step, lanes = a.last_lanes;
  const size_t early = a.early;
  for (size_t i = 0; i < a.steps; ++i, w += w_step) {
    VF row[R];
    TESSERA_UNROLL
    for (size_t r = 0; r < R; ++r) {
      if (is_whole<R, kPart>(r)) {
        row[r] = load_bytes(df, w + r * kLanes * 4);
      } else {
        row[r] = load_first(w + r * kLanes * 4, lanes);
      }
    }
    if (early != 0) {
      prefetch_to_l2<R * kLanes * 4>(reinterpret_cast<uintptr_t>(w) + early);
    }
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      float value;
      std::memcpy(&value, x[c / 3] + c % 3 * x_row, sizeof(value));
      const VF column = hn::Set(df, value);
      TESSERA_UNROLL
      for (size_t r = 0; r < R; ++r) sums[c][r] = hn::MulAdd(row[r], column, sums[c][r]);
    }
    TESSERA_UNROLL
    for (size_t g = 0; g < (C + 2) / 3; ++g) x[g] += x_step;
  }
  if (!a.last) {
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      TESSERA_UNROLL
      for (size_t r = 0; r < R; ++r) {
        hn::StoreU(sums[c][r], df, a.sums + c * a.sums_stride + r * kLanes);
      }
    }
    return;
  }
  finish_strided<C, R, kPart>(sums, a);
}

// The same of few sums, each of which is four.
template <size_t C, size_t R>
void strided_few(const StridedTile& a) {
  constexpr size_t kChains = 4;
  const DF df;
  VF sums[kChains][C][R];
  TESSERA_UNROLL
  for (size_t i = 0; i < kChains; ++i) {
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      TESSERA_UNROLL
      for (size_t r = 0; r < R; ++r) sums[i][c][r] = hn::Zero(df);
    }
  }
  const auto add = [&a](const std::byte* w, const std::byte* x, VF(&to)[C][R]) TESSERA_ATTR {
    TESSERA_UNROLL
    for (size_t r = 0; r < R; ++r) {
      const std::byte* at = w + r * kLanes * 4;
      const VF row = r + 1 < R ? load_bytes(DF(), at) : load_first(at, a.last_lanes);
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        float value;
        std::memcpy(&value, x + c * a.x_row, sizeof(value));
        to[c][r] = hn::MulAdd(row, hn::Set(DF(), value), to[c][r]);
      }
    }
  };
  const std::byte *w = a.w, *x = a.x;
  size_t k = 0;
  for (; k + kChains <= a.steps; k += kChains) {
    TESSERA_UNROLL
    for (size_t i = 0; i < kChains; ++i, w += a.w_step, x += a.x_step) add(w, x, sums[i]);
  }
  for (; k < a.steps; ++k, w += a.w_step, x += a.x_step) add(w, x, sums[0]);
  TESSERA_UNROLL
  for (size_t c = 0; c < C; ++c) {
    TESSERA_UNROLL
    for (size_t r = 0; r < R; ++r) {
      sums[0][c][r] =
          hn::Add(hn::Add(sums[0][c][r], sums[1][c][r]), hn::Add(sums[2][c][r], sums[3][c][r]));
    }
  }
  finish_strided<C, R, true>(sums[0], a);
}

using StridedFn = void (*)(const StridedTile&);
template <size_t C, bool kPart, size_t... W>
constexpr std::array<StridedFn, sizeof...(W)> strided_widths(std::index_sequence<W...>) {
  constexpr auto tile = []<size_t R>() -> StridedFn {
    if constexpr (R <= strided_vectors(C)) return &strided_tile<C, R, kPart>;
    return nullptr;
  };
  return {tile.template operator()<kStridedWidths[W]>()...};
}
template <bool kPart, size_t... C>
constexpr auto strided_tiles(std::index_sequence<C...>) {
  constexpr size_t kWidths = std::size(kStridedWidths);
  return std::array<std::array<StridedFn, kWidths>, sizeof...(C)>{
      strided_widths<C + 1, kPart>(std::make_index_sequence<kWidths>())...};
}
// [rows of x - 1][index of a width]
template <bool kPart>
inline constexpr auto kStridedTiles =
    strided_tiles<kPart>(std::make_index_sequence<kStridedRows>());

inline constexpr StridedFn kStridedFew[4][4] = {
    {&strided_few<1, 1>, &strided_few<1, 2>, &strided_few<1, 3>, &strided_few<1, 4>},
    {&strided_few<2, 1>, &strided_few<2, 2>},
    {&strided_few<3, 1>},
    {&strided_few<4, 1>}};

// Index of the width by which so many vectors are done in as few, and as even, steps as possible.
HWY_INLINE size_t strided_width(size_t vectors, size_t rows) {
  const size_t steps = detail::steps_of(vectors, strided_vectors(rows));
  const size_t each = detail::steps_of(vectors, steps);
  size_t i = 0;
  while (kStridedWidths[i] < each) ++i;
  return i;
}

// Columns [group.begin, group.end) of y, at most kStridedCols, for these panels of rows.
inline void strided_group(const StridedArgs& a, const Panels& panels, Range rows_of, Range group,
                          StridedTile& tile) {
  const size_t tallest = panels.rows_each + (panels.taller != 0 ? 1 : 0);
  const size_t index = strided_width(detail::steps_of(group.end - group.begin, kLanes), tallest);
  const bool from_memory = a.n * a.k > kStridedCached;
  for (size_t k = 0; k < a.k; k += kStridedDepth) {
    tile.steps = std::min(kStridedDepth, a.k - k);
    tile.first = k == 0;
    tile.last = k + tile.steps == a.k;
    for (size_t col = group.begin, end; col < group.end; col = end) {
      size_t width = index;  // less where the columns end
      while (kStridedWidths[width] > detail::steps_of(group.end - col, kLanes)) --width;
      end = std::min(col + kStridedWidths[width] * kLanes, group.end);
      tile.last_lanes = end - col - (kStridedWidths[width] - 1) * kLanes;
      const bool part = tile.last_lanes != kLanes;
      tile.w = a.w + k * a.w_step + col * sizeof(float);
      // Next are the columns behind these or, behind the last ones, the next range's first.
      const size_t next = end < group.end
                              ? (end - col) * sizeof(float)
                              : kStridedDepth * a.w_step - (col - group.begin) * sizeof(float);
      tile.early = from_memory && rows_of.begin == 0 ? next : 0;
      for (size_t p = rows_of.begin; p < rows_of.end; ++p) {
        const Range rows = panels.rows(p);
        tile.x = a.x + rows.begin * a.x_row + k * a.x_step;
        if (a.sums != nullptr) tile.sums = a.sums + rows.begin * kStridedCols + (col - group.begin);
        tile.y = a.y + rows.begin * a.y_row + col * sizeof(float);
        const size_t height = rows.end - rows.begin;
        (part ? kStridedTiles<true> : kStridedTiles<false>)[height - 1][width](tile);
        tile.early = 0;
      }
    }
  }
}

inline void strided_product(const StridedArgs& a) {
  const Panels panels(a.m, kStridedRows);
  StridedTile tile{};
  tile.x_row = a.x_row;
  tile.x_step = a.x_step;
  tile.w_step = a.w_step;
  tile.sums_stride = kStridedCols;
  tile.y_row = a.y_row;
  tile.alpha = a.alpha;
  tile.beta = a.beta;
  if (a.few_sums) {
    tile.x = a.x;
    tile.w = a.w;
    tile.y = a.y;
    tile.steps = a.k;
    const size_t vectors = detail::steps_of(a.n, kLanes);
    tile.last_lanes = a.n - (vectors - 1) * kLanes;
    kStridedFew[a.m - 1][vectors - 1](tile);
    return;
  }
  // Many rows and one range of k, whose part of W stays in L2: y is written row by row.
  const size_t each = a.k <= kStridedDepth && panels.count > 4 ? 1 : panels.count;
  for (size_t col = 0; col < a.n; col += kStridedCols) {
    const Range group{col, std::min(a.n, col + kStridedCols)};
    for (size_t p = 0; p < panels.count; p += each) {
      strided_group(a, panels, {p, p + each}, group, tile);
    }
  }
}

// The rectangle a.rect of y of a plan whose x and W are read where they lie.
inline void strided_loops(const RunArgs& a) {
  const Plan& plan = *a.plan;
  StridedArgs args;
  const BorrowedX& x = a.borrowed;
  args.x_row = x.k_major ? sizeof(float) : x.row_stride;
  args.x_step = x.k_major ? x.row_stride : sizeof(float);
  args.x = x.rows + a.rect.row_begin * args.x_row;
  args.w = plan.w + a.rect.col_begin * sizeof(float);
  args.w_step = plan.w_stride;
  args.y = static_cast<std::byte*>(a.y.data) + a.rect.row_begin * a.y_at.stride +
           a.rect.col_begin * sizeof(float);
  args.y_row = a.y_at.stride;
  args.m = a.rect.row_end - a.rect.row_begin;
  args.n = a.rect.col_end - a.rect.col_begin;
  args.k = plan.k;
  args.alpha = a.epilogue.scale;
  args.beta = a.epilogue.beta;
  args.few_sums = has_few_sums(a.y.rows, plan.n, kLanes);
  const bool one_range = args.few_sums || args.k <= kStridedDepth;
  args.sums = one_range ? nullptr : reinterpret_cast<float*>(a.worker);
  strided_product(args);
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_STRIDED_INL_H_

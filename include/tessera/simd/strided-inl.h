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
#include "tessera/simd/flat-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// `count` tiles of one shape, below or beside each other, of which each has x, W, sums and y so
// many bytes behind the last one's. Between ranges of k, sums are in `sums`, whole vectors of them.
struct StridedTile {
  const std::byte *x, *w;
  size_t x_row, x_step, w_step;  // bytes
  size_t steps;                  // of k
  size_t last_lanes;             // columns of the last vector
  size_t early;                  // of the first tile: bytes from a row of W to what will be read
                                 // later; 0: nothing
  float* sums;                   // [rows, sums_stride]
  size_t sums_stride;            // floats
  bool first, last;              // of the ranges of k
  std::byte* y;
  size_t y_row;  // bytes
  float alpha, beta;
  size_t count;
  size_t x_next, w_next, sums_next, y_next;
};

inline constexpr size_t kStridedRows = kRegisters == 32 ? 12 : 6;  // of x in a panel
// Vectors of W for C rows of x: what the registers hold beside those and a value of x. Eight are
// enough for sums that wait four cycles for each other, two at a time.
constexpr size_t strided_vectors(size_t c) {
  const size_t most = (kRegisters == 32 ? 24 : 12) / c;
  return most >= 8 ? 8 : most == 7 ? 6 : most == 5 ? 4 : most;
}
// Rows of x for so many vectors of W.
constexpr size_t strided_rows(size_t r) { return (kRegisters == 32 ? 24 : 12) / r; }
// Those that are compiled, and the rows of tiles that are to be wide.
inline constexpr size_t kStridedWidths[] = {1, 2, 3, 4, 6, 8};
inline constexpr size_t kWideRows[] = {std::min(kStridedRows, strided_rows(1)),
                                       std::min(kStridedRows, strided_rows(2)),
                                       strided_rows(3),
                                       strided_rows(4),
                                       strided_rows(6),
                                       strided_rows(8)};
inline constexpr size_t kMostShort = size_t{1} << 20;  // rows, so that they have 32 bits

// Whether all columns of vector r exist: of all but the last one, they do.
template <size_t R, bool kPart>
constexpr bool is_whole(size_t r) {
  return !kPart || r + 1 < R;
}

// Finished sums -> y.
template <size_t C, size_t R, bool kPart>
HWY_INLINE void finish_strided(VF (&sums)[C][R], const StridedTile& a, std::byte* y) {
  const DF df;
  const VF beta = hn::Set(df, a.beta);
  const FirstLanes<> part(a.last_lanes);
  const size_t y_row = a.y_row;
  const bool reads = a.beta != 0.0f;
  if (a.alpha != 1.0f) {
    const VF alpha = hn::Set(df, a.alpha);
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      TESSERA_UNROLL
      for (size_t r = 0; r < R; ++r) sums[c][r] = hn::Mul(sums[c][r], alpha);
    }
  }
  TESSERA_UNROLL
  for (size_t c = 0; c < C; ++c, y += y_row) {
    TESSERA_UNROLL
    for (size_t r = 0; r < R; ++r) {
      std::byte* to = y + r * kLanes * 4;
      VF v = sums[c][r];
      if (reads) {
        v = hn::MulAdd(is_whole<R, kPart>(r) ? load_bytes(df, to) : part.load(to), beta, v);
      }
      if (is_whole<R, kPart>(r)) {
        store_bytes(v, df, to);
      } else {
        part.store(v, to);
      }
    }
  }
}

template <size_t C, size_t R, bool kPart>
void strided_tile(const StridedTile& a) {
  const DF df;
  const std::byte *first_x = a.x, *first_w = a.w;
  std::byte* y = a.y;
  float* to = a.sums;
  size_t early = a.early;
  const size_t x_row = a.x_row, x_step = a.x_step, w_step = a.w_step;
  const FirstLanes<> part(a.last_lanes);
  const size_t steps = a.steps, sums_stride = a.sums_stride;
  const bool last = a.last;
  for (size_t tile = 0; tile < a.count; ++tile) {
    VF sums[C][R];
    if (a.first) {
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        TESSERA_UNROLL
        for (size_t r = 0; r < R; ++r) sums[c][r] = hn::Zero(df);
      }
    } else {
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        TESSERA_UNROLL
        for (size_t r = 0; r < R; ++r) {
          sums[c][r] = hn::LoadU(df, to + c * sums_stride + r * kLanes);
        }
      }
    }
    const std::byte* w = first_w;
    const std::byte* x[(C + 2) / 3];  // of three rows each
    TESSERA_UNROLL
    for (size_t g = 0; g < (C + 2) / 3; ++g) x[g] = first_x + 3 * g * x_row;
    for (size_t i = 0; i < steps; ++i, w += w_step) {
      VF row[R];
      TESSERA_UNROLL
      for (size_t r = 0; r < R; ++r) {
        if (is_whole<R, kPart>(r)) {
          row[r] = load_bytes(df, w + r * kLanes * 4);
        } else {
          row[r] = part.load(w + r * kLanes * 4);
        }
#if HWY_COMPILER_GCC_ACTUAL
        // Where registers hold it beside the sums: GCC would load it again for each row of x.
        if constexpr (C > 1 && C * R + R + 2 <= kRegisters) row[r] = in_order(row[r]);
#endif
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
    if (last) {
      finish_strided<C, R, kPart>(sums, a, y);
    } else {
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        TESSERA_UNROLL
        for (size_t r = 0; r < R; ++r) {
          hn::StoreU(sums[c][r], df, to + c * sums_stride + r * kLanes);
        }
      }
    }
    first_x += a.x_next;
    first_w += a.w_next;
    y += a.y_next;
    to += a.sums_next;
    early = 0;
  }
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
  const FirstLanes<> part(a.last_lanes);
  const size_t x_row = a.x_row;
  const auto add = [&part, x_row](const std::byte* w, const std::byte* x, VF(&to)[C][R])
                       TESSERA_ATTR {
                         TESSERA_UNROLL
                         for (size_t r = 0; r < R; ++r) {
                           const std::byte* at = w + r * kLanes * 4;
                           const VF row = r + 1 < R ? load_bytes(DF(), at) : part.load(at);
                           TESSERA_UNROLL
                           for (size_t c = 0; c < C; ++c) {
                             float value;
                             std::memcpy(&value, x + c * x_row, sizeof(value));
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
  finish_strided<C, R, true>(sums[0], a, a.y);
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

// [vectors]: the index of the widest width of at most so many, and of the least of at least so
// many.
inline constexpr uint8_t kWidthBelow[] = {0, 0, 1, 2, 3, 3, 4, 4, 5};
inline constexpr uint8_t kWidthAbove[] = {0, 0, 1, 2, 3, 4, 4, 5, 5};

// Index of the width by which so many vectors are done in as few, and as even, steps as possible.
HWY_INLINE size_t strided_width(size_t vectors, size_t rows) {
  const size_t most = strided_vectors(rows);
  if (vectors <= most) return kWidthAbove[vectors] - (kStridedWidths[kWidthAbove[vectors]] > most);
  const size_t steps = detail::steps_of(vectors, most);
  return kWidthAbove[detail::steps_of(vectors, steps)];
}

// Tiles of C rows of x and a width, as many as tile.count says.
HWY_INLINE void run_strided(size_t rows, size_t width, const StridedTile& tile) {
  const bool part = tile.last_lanes != kLanes;
  (part ? kStridedTiles<true> : kStridedTiles<false>)[rows - 1][width](tile);
}

// Columns [group.begin, group.end) of y, at most kStridedCols, for these panels of rows.
inline void strided_group(const StridedArgs& a, const Panels& panels, Range rows_of, Range group,
                          StridedTile& tile) {
  const size_t tallest = panels.rows_each + (panels.taller != 0 ? 1 : 0);
  const size_t index = strided_width(detail::steps_of(group.end - group.begin, kLanes), tallest);
  const bool from_memory = a.n * a.k > kStridedCached;
  const size_t depth = a.sums == nullptr ? a.k : kStridedDepth;  // of a range of k
  for (size_t k = 0; k < a.k; k += depth) {
    tile.steps = std::min(depth, a.k - k);
    tile.first = k == 0;
    tile.last = k + tile.steps == a.k;
    for (size_t col = group.begin, end; col < group.end; col = end) {
      size_t width = index;  // less where the columns end
      const size_t vectors = detail::steps_of(group.end - col, kLanes);
      if (kStridedWidths[width] > vectors) width = kWidthBelow[vectors];
      end = std::min(col + kStridedWidths[width] * kLanes, group.end);
      tile.last_lanes = end - col - (kStridedWidths[width] - 1) * kLanes;
      tile.w = a.w + k * a.w_step + col * sizeof(float);
      // Next are the columns behind these or, behind the last ones, the next range's first.
      const size_t next = end < group.end ? (end - col) * sizeof(float)
                                          : depth * a.w_step - (col - group.begin) * sizeof(float);
      tile.early = from_memory && rows_of.begin == 0 ? next : 0;
      for (size_t p = rows_of.begin; p < rows_of.end;) {
        const Range rows = panels.rows(p);
        const size_t height = rows.end - rows.begin;
        tile.count = std::min(rows_of.end, p < panels.taller ? panels.taller : panels.count) - p;
        tile.x_next = height * a.x_row;
        tile.w_next = 0;
        tile.sums_next = a.sums != nullptr ? height * a.sums_stride : 0;
        tile.y_next = height * a.y_row;
        tile.x = a.x + rows.begin * a.x_row + k * a.x_step;
        if (a.sums != nullptr)
          tile.sums = a.sums + rows.begin * a.sums_stride + (col - group.begin);
        tile.y = a.y + rows.begin * a.y_row + col * sizeof(float);
        p += tile.count;
        if (rows_of.end - rows_of.begin == 1 && tile.last_lanes == kLanes) {
          // One panel: its tiles lie side by side.
          const size_t wide = kStridedWidths[width] * kLanes;
          tile.count = (group.end - col) / wide;
          tile.x_next = 0;
          tile.w_next = tile.y_next = wide * sizeof(float);
          tile.sums_next = a.sums != nullptr ? wide : 0;
          end = col + tile.count * wide;
          if (tile.early != 0) {
            tile.count = 1;
            end = col + wide;
          }
        }
        run_strided(height, width, tile);
        tile.early = 0;
      }
    }
  }
}

inline void strided_product(const StridedArgs& a) {
  if (a.k <= kMostFlat && a.n > kFlatVectors * kLanes) return flat_product(a);
  StridedTile tile;
  tile.x = a.x;
  tile.w = a.w;
  tile.y = a.y;
  tile.x_row = a.x_row;
  tile.x_step = a.x_step;
  tile.w_step = a.w_step;
  tile.sums = nullptr;
  tile.sums_stride = a.sums_stride;
  tile.y_row = a.y_row;
  tile.alpha = a.alpha;
  tile.beta = a.beta;
  tile.steps = a.k;
  tile.early = 0;
  const size_t vectors = detail::steps_of(a.n, kLanes);
  if (a.few_sums) {
    tile.last_lanes = a.n - (vectors - 1) * kLanes;
    kStridedFew[a.m - 1][vectors - 1](tile);
    return;
  }
  const bool one_range = a.sums == nullptr;
  // Where all of W stays in L1 while x passes, tiles are wide, so that rows of y are written in
  // long pieces.
  constexpr size_t kWidest = kRegisters == 32 ? 8 : 4;  // of three rows of x
  const size_t width = kWidthBelow[std::min(vectors, kWidest)], widest = kStridedWidths[width];
  const bool wide = one_range && a.n * a.k * sizeof(float) <= kStridedWide;
  const size_t most = wide ? kWideRows[width] : kStridedRows;
  if (wide && widest == vectors && a.m <= kMostShort) {  // all columns in one tile
    const auto m = static_cast<uint32_t>(a.m);           // which is divided faster
    const uint32_t panels = (m + static_cast<uint32_t>(most) - 1) / static_cast<uint32_t>(most);
    const size_t rows = m / panels, taller = m % panels;
    tile.last_lanes = a.n - (vectors - 1) * kLanes;
    tile.first = tile.last = true;
    tile.w_next = tile.sums_next = 0;
    for (size_t higher = taller != 0 ? 1 : 0;; --higher) {
      tile.count = higher != 0 ? taller : panels - taller;
      tile.x_next = (rows + higher) * a.x_row;
      tile.y_next = (rows + higher) * a.y_row;
      run_strided(rows + higher, width, tile);
      if (higher == 0) return;
      tile.x += tile.count * tile.x_next;
      tile.y += tile.count * tile.y_next;
    }
  }
  const Panels panels(a.m, most);
  // Many rows and one range of k, or a small W, whose part of it stays in L2: y is written row by
  // row.
  const bool by_rows = panels.count > 4 || a.n * a.k <= kStridedCached;
  const size_t each = one_range && by_rows && vectors > widest ? 1 : panels.count;
  for (size_t col = 0; col < a.n; col += kStridedCols) {
    const Range group{col, std::min(a.n, col + kStridedCols)};
    for (size_t p = 0; p < panels.count; p += each) {
      strided_group(a, panels, {p, p + each}, group, tile);
    }
  }
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_STRIDED_INL_H_

// SPDX-License-Identifier: MIT
// The loops around the micro-kernels, over one rectangle of y.
//
//   for mc rows of x                x stays in L3
//     for nc rows of W                a few panels: read, packed or widened once per mc
//       for kc units of depth           the block of W, and what fits of x, stay in L2
//         for nr rows of W                one panel, past which x streams
//           for mr rows of x                a tile
//
// This is the order of BLIS with the roles of the matrices swapped: W is the large operand, used
// once per mc, and x the small one that is used again.
//
// Sums between two ranges of depth stay in the worker's memory, tile by tile: in y, whose rows are
// often a power of two apart, they would evict each other. The last range writes straight to y
// where y can hold them (f32, no epilogue, a whole tile); else the epilogue takes them.
#if defined(TESSERA_SIMD_LOOPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_LOOPS_INL_H_
#undef TESSERA_SIMD_LOOPS_INL_H_
#else
#define TESSERA_SIMD_LOOPS_INL_H_
#endif

#include <array>
#include <utility>

#include "tessera/simd/epilogue-inl.h"
#include "tessera/simd/kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

// ---------------------------------------------------------------- matmul

using TileFn = void (*)(const TileArgs&);

template <class Tile, size_t P, size_t... C>
constexpr std::array<TileFn, sizeof...(C)> tiles_of(std::index_sequence<C...>) {
  return {&Tile::template run<C + 1, P>...};
}
template <class Tile>
inline constexpr auto kTiles = tiles_of<Tile, 1>(std::make_index_sequence<Tile::kMr>());
template <class Tile>
inline constexpr auto kPairTiles = tiles_of<Tile, 2>(std::make_index_sequence<Tile::kPairC>());

// Sums that tiles may write to y as they are.
HWY_INLINE bool is_plain(const RunArgs& a) {
  const Epilogue& e = a.epilogue;
  const bool aligned = (reinterpret_cast<uintptr_t>(a.y) | a.y_stride) % sizeof(float) == 0;
  return a.y_dtype == DType::f32 && aligned && e.scale == 1.0f && e.beta == 0.0f &&
         e.bias == nullptr && e.activation == Activation::none;
}

// The worker's memory: panels that tiles read, a panel to widen, partial sums.
struct WorkerMemory {
  std::byte* tile_panels;
  size_t tile_panel_bytes;
  std::byte* packed_panel;
  float* sums;
};

template <class K>
WorkerMemory worker_memory(const RunArgs& a) {
  WorkerMemory worker{a.worker, a.blocking.kc_units * K::kTileUnits * K::Tile::kWUnitBytes, nullptr,
                      nullptr};
  std::byte* end = a.worker;
  if (K::kWidens || !a.w_packed) end += a.blocking.nc / kNr * worker.tile_panel_bytes;
  if (K::kWidens && !a.w_packed) {
    worker.packed_panel = end;
    end += a.blocking.kc_units * K::kPanelUnitBytes;
  }
  worker.sums = reinterpret_cast<float*>(end);
  return worker;
}

// Units of rows [first, first + nr) of W in the order that tiles read, the i-th panel of a block.
template <class K>
const std::byte* tile_panel(const RunArgs& a, const WorkerMemory& worker, size_t i, size_t first,
                            Range units, size_t all_units) {
  if (units.begin == units.end) return nullptr;  // k = 0: there are no bytes
  std::byte* ready = worker.tile_panels + i * worker.tile_panel_bytes;
  const std::byte* panel;
  if (a.w_packed) {
    panel = a.w + (first / kNr * all_units + units.begin) * K::kPanelUnitBytes;
  } else {
    std::byte* to = K::kWidens ? worker.packed_panel : ready;
    const PackWArgs pack{a.w, a.w_stride, a.w_k_major, a.n, a.k, {}, nullptr};
    K::pack_panel(pack, first, std::min(first + kNr, a.n), units, to);
    panel = to;
  }
  if constexpr (K::kWidens) {
    K::widen(panel, units.end - units.begin, ready);
    panel = ready;
  }
  return panel;
}

// What the loops must know of a kernel, so that they are compiled once and not per kernel.
struct LoopKernel {
  const TileFn* tiles;       // [height - 1]
  const TileFn* pair_tiles;  // of two panels of W, for heights up to pair_c
  size_t pair_c;
  const std::byte* (*tile_panel)(const RunArgs&, const WorkerMemory&, size_t i, size_t first,
                                 Range units, size_t all_units);
  size_t tile_units;  // of the tile, in a unit of the loops
  size_t unit_values;
  size_t x_unit_bytes;
  size_t x_word_bytes;  // float tiles: an f32 with its copies, or a pair of bf16
  size_t panel_unit_bytes;
  size_t ahead_unit_bytes;  // the same for a unit of the tile: W that is asked for early
  size_t ahead_c;           // where there is one panel of x, its least height for that,
  size_t near_ahead;        // and the tile's kNearAhead
  bool widens;
};

// A block of W over units [units.begin, units.end), and the panels [panels.begin, panels.end) of x
// that it multiplies.
struct Block {
  const std::byte* w[kMaxNcPanels];
  // Packed W: what to ask for while this panel is used, as many bytes as it has; null for nothing.
  const std::byte* next[kMaxNcPanels];
  Range cols;  // of y
  Range units;
  size_t all_units;
  Range panels;
};

inline void run_tiles(const RunArgs& a, const LoopKernel& kernel, const Panels& panels,
                      size_t x_row_bytes, float* partial_sums, const Block& b) {
  const bool plain = is_plain(a);
  const bool first = b.units.begin == 0, last = b.units.end == b.all_units;
  const size_t first_row = panels.rows(b.panels.begin).begin;
  const size_t block_rows = panels.rows(b.panels.end - 1).end - first_row;
  const size_t tiles = b.panels.end - b.panels.begin;
  const size_t share = (kernel.ahead_unit_bytes / tiles + 63) / 64 * 64;
  TileArgs tile{};
  tile.units = (b.units.end - b.units.begin) * kernel.tile_units;
  const bool few = tiles == 1 && block_rows <= kernel.pair_c;
  for (size_t i = 0, step, col = b.cols.begin / kNr * kNr; col < b.cols.end; i += step) {
    const bool pair = few && col + kNr < b.cols.end;
    step = pair ? 2 : 1;
    const size_t width = step * kNr;
    const Range cols{std::max(col, b.cols.begin), std::min(col + width, b.cols.end)};
    tile.w = b.w[i];
    tile.w_panel = pair ? static_cast<size_t>(b.w[i + 1] - b.w[i]) : 0;
    const std::byte* next = pair ? nullptr : b.next[i];
    for (size_t p = b.panels.begin; p < b.panels.end; ++p) {
      const Range tall = panels.rows(p);
      const size_t height = tall.end - tall.begin;
      const Range rows{std::max(tall.begin, a.rect.row_begin), std::min(tall.end, a.rect.row_end)};
      const bool direct =
          last && plain && cols.end - cols.begin == width && rows.end - rows.begin == height;
      float* sums = partial_sums;
      if (!first || !last) sums += i * kNr * block_rows + (tall.begin - first_row) * width;
      if (a.x_rows != nullptr) {
        tile.x = a.x_rows + tall.begin * a.x_stride + b.units.begin * kernel.x_unit_bytes;
        tile.x_row = a.x_stride;
        tile.x_step = kernel.x_word_bytes;
      } else {
        tile.x =
            a.packed_x + tall.begin * x_row_bytes + b.units.begin * height * kernel.x_unit_bytes;
        tile.x_row = kernel.x_word_bytes;
        tile.x_step = height * kernel.x_word_bytes;
      }
      tile.in = first ? nullptr : sums;
      tile.out = sums;
      tile.out_stride = width;
      if (direct) {
        tile.out = reinterpret_cast<float*>(a.y + tall.begin * a.y_stride) + col;
        tile.out_stride = a.y_stride / sizeof(float);
      }
      // Meanwhile W comes from memory: the next panel, a share with each tile of this one; or,
      // where that is one tile, what it reads itself soon.
      const size_t behind = (p - b.panels.begin) * share;
      const bool more = next != nullptr && behind < kernel.ahead_unit_bytes &&
                        (tiles > 1 || height >= kernel.ahead_c);
      const bool near = tiles == 1 && kernel.near_ahead > 0;
      tile.ahead = near ? reinterpret_cast<uintptr_t>(tile.w) + kernel.near_ahead
                        : reinterpret_cast<uintptr_t>(next) + tile.units * behind;
      tile.ahead_bytes = more ? share : 0;
      (pair ? kernel.pair_tiles : kernel.tiles)[height - 1](tile);
      if (last && !direct) {
        finish(a.epilogue, {sums + (rows.begin - tall.begin) * width + (cols.begin - col), width,
                            a.y, a.y_stride, a.y_dtype, rows, cols});
      }
    }
    col += width;
  }
}

inline void run_loops(const RunArgs& a, const LoopKernel& kernel, size_t x_row_bytes,
                      const WorkerMemory& worker) {
  const Panels panels(a.m, a.mr);
  const size_t units = (a.k + kernel.unit_values - 1) / kernel.unit_values;
  const size_t first_col = a.rect.col_begin / kNr * kNr;
  for (size_t row = a.rect.row_begin; row < a.rect.row_end;) {
    // Panels that hold rows of this mc block; the first and last may reach outside the rectangle.
    const size_t last_row = std::min(a.rect.row_end, row + a.blocking.mc) - 1;
    const Range mc{panels.panel_of(row), panels.panel_of(last_row) + 1};
    for (size_t col = first_col; col < a.rect.col_end; col += a.blocking.nc) {
      const Range nc{std::max(col, a.rect.col_begin),
                     std::min(col + a.blocking.nc, a.rect.col_end)};
      size_t unit = 0;
      do {  // once even if k is 0: the epilogue still has its say
        const Range kc{unit, std::min(units, unit + a.blocking.kc_units)};
        Block block{{}, {}, nc, kc, units, mc};
        size_t count = 0;
        for (size_t first = col; first < nc.end; first += kNr, ++count) {
          block.w[count] = kernel.tile_panel(a, worker, count, first, kc, units);
        }
        for (size_t i = 0; a.w_packed && i < count; ++i) {
          // The next panel of this block; after its last one, the next block's. Widened panels are
          // wanted all at once, when the next block is made.
          const bool same_block = !kernel.widens && i + 1 < count, last_range = kc.end == units;
          const size_t panel =
              same_block ? i + 1 : (kernel.widens ? i : 0) + (last_range ? count : 0);
          const size_t unit_at = same_block ? kc.begin : last_range ? 0 : kc.end;
          block.next[i] = a.w + ((col / kNr + panel) * units + unit_at) * kernel.panel_unit_bytes;
        }
        run_tiles(a, kernel, panels, x_row_bytes, worker.sums, block);
        unit = kc.end;
      } while (unit < units);
    }
    row = panels.rows(mc.end - 1).end;
  }
}

template <class K>
void matmul_rect(const RunArgs& a) {
  if constexpr (requires { typename K::Narrow; }) {
    if (a.m <= a.mr * (a.w_packed ? K::kNarrowPanels : 4))
      return matmul_rect<typename K::Narrow>(a);
  }
  using Tile = typename K::Tile;
  static constexpr LoopKernel kKernel = {kTiles<Tile>.data(),
                                         kPairTiles<Tile>.data(),
                                         Tile::kPairC,
                                         &tile_panel<K>,
                                         K::kTileUnits,
                                         K::kTileUnits * Tile::kUnitValues,
                                         K::kTileUnits * Tile::kXUnitBytes,
                                         4 * K::X::kCopies,
                                         K::kPanelUnitBytes,
                                         K::kAheadUnitBytes,
                                         K::kAheadC,
                                         K::kWidens ? 0 : Tile::kNearAhead,
                                         K::kWidens};
  using X = typename K::X;
  run_loops(a, kKernel, panel_row_bytes<X>(padded_values<X>(a.k)), worker_memory<K>(a));
}

// ---------------------------------------------------------------- matvec

// Columns of y that are computed before the epilogue takes them.
inline constexpr size_t kMatvecCols = 32;
// Rows of W that stay in L2 while groups of rows of x pass and the next ones arrive.
inline constexpr size_t kMatvecBlockBytes = 256 * 1024;
using DotFn = void (*)(const DotArgs&);

// [C - 1]: the micro-kernels for few rows of x, and for groups of many.
template <class Dot, size_t... C>
constexpr std::array<DotFn, sizeof...(C)> few_dots(std::index_sequence<C...>) {
  return {&Dot::template run<Dot::few_rows(C + 1), C + 1>...};
}
template <class Dot, size_t... C>
constexpr std::array<DotFn, sizeof...(C)> many_dots(std::index_sequence<C...>) {
  return {&Dot::template run<Dot::kManyRows, C + 1>...};
}
template <class Dot>
inline constexpr auto kFewDots = few_dots<Dot>(std::make_index_sequence<Dot::kFewC>());
template <class Dot>
inline constexpr auto kManyDots = many_dots<Dot>(std::make_index_sequence<Dot::kManyC>());

// One block of columns for `rows` rows of x from `first` on, in groups: many of them read W from
// L2, and each group asks for its share of the next columns' rows.
template <class K>
void matvec_block(const RunArgs& a, Range rows, Range cols) {
  using Dot = typename K::Dot;
  float sums[Dot::kMaxC * kMatvecCols];
  float partial[kMatvecCols * Dot::kMaxC * kLanes];
  const size_t count = rows.end - rows.begin, width = cols.end - cols.begin;
  const bool few = count <= Dot::kFewC;
  const Panels groups(count, few ? Dot::kFewC : Dot::kManyC);
  DotArgs args;
  args.x_stride = row_alone_bytes<typename K::X>(a.k);
  args.w_stride = a.w_stride;
  args.k = a.k;
  args.out_stride = kMatvecCols;
  for (size_t g = 0; g < groups.count; ++g) {
    const Range group{rows.begin + groups.rows(g).begin, rows.begin + groups.rows(g).end};
    const size_t height = group.end - group.begin;
    const DotFn dot = few ? kFewDots<Dot>[height - 1] : kManyDots<Dot>[height - 1];
    const size_t step = few ? Dot::few_rows(height) : Dot::kManyRows;
    const Range share = split(step, 1, g, groups.count);
    args.x = a.packed_x + group.begin * args.x_stride;
    args.ahead_rows = share.end - share.begin;
    const size_t piece = std::max(Dot::piece(height, few), Dot::kDepthStep);
    args.begin = 0;
    do {  // once even if k is 0
      args.end = std::min(a.k, args.begin + piece);
      // Few rows of x: further rows of W in this range, then in the next one, then of the next
      // columns.
      const size_t bytes = std::max<size_t>(1, Dot::row_bytes(args.end - args.begin));
      const size_t distance = few || Dot::kManyRows == 1
                                  ? std::min(Dot::kAheadBytes / bytes / step * step + step, width)
                                  : width;
      for (size_t j = 0; j < width; j += step) {
        size_t row = j + distance, begin = args.begin;
        if (row >= width && distance < width) {
          if (args.end < a.k) {
            row -= width;
            begin = args.end;
          } else {
            begin = 0;
          }
        }
        args.w = a.w + (cols.begin + j) * a.w_stride;
        args.rows = std::min(step, width - j);
        args.ahead = reinterpret_cast<uintptr_t>(a.w) +
                     (cols.begin + row + share.begin) * a.w_stride + Dot::row_bytes(begin);
        args.out = sums + j;
        args.partial = partial + j * Dot::kMaxC * kLanes;
        dot(args);
      }
      args.begin = args.end;
    } while (args.begin < a.k);
    finish(a.epilogue, {sums, kMatvecCols, a.y, a.y_stride, a.y_dtype, group, cols});
  }
}

template <class K>
void matvec_rect(const RunArgs& a) {
  constexpr size_t kStep = std::max(K::Dot::kManyRows, K::Dot::few_rows(1));
  const size_t fit = kMatvecBlockBytes / std::max<size_t>(1, a.w_stride) / kStep * kStep;
  const size_t width = std::clamp(fit, kStep, kMatvecCols);
  const Panels blocks(a.rect.row_end - a.rect.row_begin, kMatvecMc);
  for (size_t i = 0; i < blocks.count; ++i) {
    const Range rows{a.rect.row_begin + blocks.rows(i).begin,
                     a.rect.row_begin + blocks.rows(i).end};
    for (size_t col = a.rect.col_begin; col < a.rect.col_end; col += width) {
      matvec_block<K>(a, rows, {col, std::min(col + width, a.rect.col_end)});
    }
  }
}

// ---------------------------------------------------------------- panels to keep

template <class K>
void pack_w(const PackWArgs& a) {
  constexpr size_t kUnitValues = K::kTileUnits * K::Tile::kUnitValues;
  const size_t units = (a.k + kUnitValues - 1) / kUnitValues;
  for (size_t first = a.rows.begin; first < a.rows.end; first += kNr) {
    K::pack_panel(a, first, std::min(first + kNr, a.n), {0, units},
                  a.packed + first / kNr * units * K::kPanelUnitBytes);
  }
}

}  // namespace tessera::inline v0_1::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_LOOPS_INL_H_

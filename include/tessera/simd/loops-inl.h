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
#include "tessera/simd/matvec-inl.h"
#include "tessera/simd/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

// ---------------------------------------------------------------- kernels
// A kernel ties together a tile, its matvec, how x is packed and what panels of W hold. Panel units
// are what pack_weights writes; where they are not what the tile reads, widen() makes those. The
// loops count depth in panel units, of kTileUnits units of the tile.

template <class F>
struct FmaKernel {
  using Tile = FmaTile<F>;
  using Dot = FloatDot<FmaStep<F>>;
  using X = XAsF32;
  static constexpr const char* kName = "f32 fma";
  static constexpr size_t kPanelUnitBytes = Tile::kWUnitBytes;
  static constexpr size_t kTileUnits = 1;
  static constexpr bool kWidens = false;
  static constexpr size_t kAheadUnitBytes = Tile::kWUnitBytes, kAheadC = Tile::kAheadC;
  // Zen 4, 4096 x 4096 from memory, matvec and packing, GFLOP/s: m = 4 f32 45 and 25, bf16 100 and
  // 51, f16 67 and 33; m = 8 63 and 41, 130 and 83, 73 and 52; m = 16 67 and 61, 141 and 126, 76
  // and 69.
  static constexpr size_t kMatvecM = 16;

  static void pack_panel(const PackWArgs& a, size_t first, size_t end, Range units, std::byte* to) {
    if (a.k_major) {
      pack_k_major_panel(a, first, end, units.begin, units.end, to);
    } else {
      pack_float_panel<F>(a, first, end, units.begin, units.end, to);
    }
  }
};

// A format narrower than f32: a panel that many tiles use is widened into the worker's memory once;
// for few tiles, Narrow widens as it multiplies. Both are exact. On Zen 4 (f16, 4096 x 4096, packed
// / in place) the two meet near m = 128 (104 and 105 GFLOP/s) / m = 48 (91 and 92).
template <class F>
struct WidenFloatKernel : FmaKernel<F> {
  using Narrow = FmaKernel<F>;
  using Tile = FmaTile<F32>;
  static constexpr size_t kTileUnits = Narrow::Tile::kUnitValues;
  static constexpr bool kWidens = true;
  static constexpr size_t kAheadUnitBytes = 0, kAheadC = 0;

  static void widen(const std::byte* panel, size_t units, std::byte* to) {
    widen_float_panel<F>(panel, units, reinterpret_cast<float*>(to));
  }
};

#if HWY_NATIVE_DOT_BF16
struct Bf16Kernel : FmaKernel<BF16> {
  using Tile = Bf16Tile;
  using Dot = FloatDot<Bf16Step>;
  using X = XAsBf16;
  static constexpr const char* kName = "bf16 dot";
};
#endif

template <class F>
struct Int8Kernel {
  using Tile = Int8Tile<F>;
  using Dot = Int8Dot<F>;
  using X = XAsQ8<F::kOffset, F::kHasMin>;
  static constexpr const char* kName = "int8 dot";
  static constexpr size_t kPanelUnitBytes = Tile::kWUnitBytes;
  static constexpr size_t kTileUnits = 1;
  static constexpr bool kWidens = false;
  static constexpr size_t kAheadUnitBytes = Tile::kWUnitBytes, kAheadC = Tile::kAheadC;
  // Zen 4, 4096 x 4096, matvec and packing: m = 12 q8_0 188 and 157 Gop/s, q4_0 229 and 188, q4_1
  // 224 and 171; m = 24 185 and 216, 230 and 243, 226 and 220.
  static constexpr size_t kMatvecM = 16;

  static void pack_panel(const PackWArgs& a, size_t first, size_t end, Range units, std::byte* to) {
    pack_block_panel<F>(a, first, end, units.begin, units.end, to);
  }
};

// Block formats in f32: the same panels, widened into the worker's memory once per pass.
template <class F>
struct WidenKernel : Int8Kernel<F> {
  using Tile = FmaTile<F32>;
  using X = XAsF32;
  static constexpr const char* kName = "widen to f32, fma";
  static constexpr size_t kTileUnits = 32;
  static constexpr bool kWidens = true;
  static constexpr size_t kAheadUnitBytes = 0, kAheadC = 0;
  static constexpr size_t kMatvecM = 0;

  static void widen(const std::byte* panel, size_t units, std::byte* to) {
    widen_block_panel<F>(panel, units, reinterpret_cast<float*>(to));
  }
};

// ---------------------------------------------------------------- matmul

using TileFn = void (*)(const TileArgs&);

template <class Tile, size_t... C>
constexpr std::array<TileFn, sizeof...(C)> tiles_of(std::index_sequence<C...>) {
  return {&Tile::template run<C + 1>...};
}
template <class Tile>
inline constexpr auto kTiles = tiles_of<Tile>(std::make_index_sequence<Tile::kMr>());

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
  const TileFn* tiles;  // [height - 1]
  const std::byte* (*tile_panel)(const RunArgs&, const WorkerMemory&, size_t i, size_t first,
                                 Range units, size_t all_units);
  size_t tile_units;  // of the tile, in a unit of the loops
  size_t unit_values;
  size_t x_unit_bytes;
  size_t ahead_unit_bytes;  // of packed W that tiles ask for early; 0 for none
  size_t ahead_c;           // where there is one panel of x, its least height for that
};

// A block of W over units [units.begin, units.end), and the panels [panels.begin, panels.end) of x
// that it multiplies.
struct Block {
  const std::byte* w[kMaxNcPanels];
  const std::byte* next;  // ready panels: what follows the last of them
  Range cols;             // of y
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
  size_t i = 0;
  for (size_t col = b.cols.begin / kNr * kNr; col < b.cols.end; col += kNr, ++i) {
    const Range cols{std::max(col, b.cols.begin), std::min(col + kNr, b.cols.end)};
    tile.w = b.w[i];
    const std::byte* next = col + kNr < b.cols.end ? b.w[i + 1] : b.next;
    for (size_t p = b.panels.begin; p < b.panels.end; ++p) {
      const Range tall = panels.rows(p);
      const size_t height = tall.end - tall.begin;
      const Range rows{std::max(tall.begin, a.rect.row_begin), std::min(tall.end, a.rect.row_end)};
      const bool direct =
          last && plain && cols.end - cols.begin == kNr && rows.end - rows.begin == height;
      float* sums = partial_sums;
      if (!first || !last) sums += (i * block_rows + (tall.begin - first_row)) * kNr;
      tile.x = a.packed_x + tall.begin * x_row_bytes + b.units.begin * height * kernel.x_unit_bytes;
      tile.in = first ? nullptr : sums;
      tile.out = sums;
      tile.out_stride = kNr;
      if (direct) {
        tile.out = reinterpret_cast<float*>(a.y + tall.begin * a.y_stride) + col;
        tile.out_stride = a.y_stride / sizeof(float);
      }
      // Meanwhile the next panel of W comes from memory, a share with each tile of this one.
      const size_t behind = (p - b.panels.begin) * share;
      const bool more = next != nullptr && behind < kernel.ahead_unit_bytes &&
                        (tiles > 1 || height >= kernel.ahead_c);
      tile.ahead = more ? next + tile.units * behind : nullptr;
      tile.ahead_bytes = more ? share : 0;
      kernel.tiles[height - 1](tile);
      if (last && !direct) {
        finish(a.epilogue, {sums + (rows.begin - tall.begin) * kNr + (cols.begin - col), kNr, a.y,
                            a.y_stride, a.y_dtype, rows, cols});
      }
    }
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
        Block block{{}, nullptr, nc, kc, units, mc};
        for (size_t first = col, i = 0; first < nc.end; first += kNr, ++i) {
          block.w[i] = kernel.tile_panel(a, worker, i, first, kc, units);
          if (a.w_packed) block.next = kc.end < units ? block.w[0] : block.w[i];
        }
        if (block.next != nullptr) {
          block.next += (kc.end - kc.begin) * kernel.tile_units * kernel.ahead_unit_bytes;
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
    if (a.m <= a.mr * (a.w_packed ? 8 : 4)) return matmul_rect<typename K::Narrow>(a);
  }
  using Tile = typename K::Tile;
  static constexpr LoopKernel kKernel = {kTiles<Tile>.data(),
                                         &tile_panel<K>,
                                         K::kTileUnits,
                                         K::kTileUnits * Tile::kUnitValues,
                                         K::kTileUnits * Tile::kXUnitBytes,
                                         K::kAheadUnitBytes,
                                         K::kAheadC};
  run_loops(a, kKernel, K::X::bytes(padded_values<typename K::X>(a.k)), worker_memory<K>(a));
}

// ---------------------------------------------------------------- matvec

// Columns of y that are computed before the epilogue takes them: rows of W that stay in L2 while
// groups of rows of x pass.
inline constexpr size_t kMatvecCols = 32;
inline constexpr size_t kMatvecMaxM = 16;
using DotFn = void (*)(const DotArgs&);

template <class Dot, size_t... C>
constexpr std::array<DotFn, sizeof...(C)> dots_of(std::index_sequence<C...>) {
  return {&Dot::template run<C + 1>...};
}
template <class Dot>
inline constexpr auto kDots = dots_of<Dot>(std::make_index_sequence<Dot::kMaxC>());

// Ranges of depth, so that x stays in L1 while a row of W passes. Zen 4, k = 11008, m = 8, in
// place: q8_0 87 -> 151 Gop/s, q4_0 144 -> 189. A little too much in one range is better than two.
inline size_t depth_ranges(size_t x_bytes, size_t w_bytes) {
  const size_t bytes = x_bytes + w_bytes;
  return bytes <= 35 * 1024 ? 1 : bytes / (26 * 1024) + 1;
}

// How far ahead of its use W is asked for, in whole rows.
inline constexpr size_t kMatvecAheadBytes = 16384;

template <class K>
void matvec_rect(const RunArgs& a) {
  using Dot = typename K::Dot;
  constexpr size_t kPartial = Dot::kMaxC * Dot::kSums * kLanes;
  float sums[kMatvecMaxM][kMatvecCols] = {};
  float partial[kMatvecCols * kPartial];
  const Range rows{a.rect.row_begin, a.rect.row_end};
  DotArgs args;
  args.x_stride = row_alone_bytes<typename K::X>(a.k);
  args.k = a.k;
  args.out_stride = kMatvecCols;
  const Panels groups(rows.end - rows.begin, Dot::kMaxC);
  for (size_t col = a.rect.col_begin; col < a.rect.col_end; col += kMatvecCols) {
    const Range cols{col, std::min(col + kMatvecCols, a.rect.col_end)};
    for (size_t g = 0; g < groups.count; ++g) {
      const Range group = groups.rows(g);
      const size_t height = group.end - group.begin;
      args.x = a.packed_x + (rows.begin + group.begin) * args.x_stride;
      const size_t count = depth_ranges(height * args.x_stride, a.w_stride);
      const auto depth = [&](size_t i) { return split(a.k, Dot::kDepthStep, i, count); };
      for (size_t i = 0; i < count; ++i) {
        args.begin = depth(i).begin;
        args.end = depth(i).end;
        const size_t piece = std::max<size_t>(1, Dot::row_bytes(args.end - args.begin));
        const size_t rows_ahead = std::min(kMatvecAheadBytes / piece + 1, kMatvecCols);
        for (size_t j = cols.begin; j < cols.end; ++j) {
          // Further rows, then the first ones of the next range, then of the next columns.
          size_t row = j + rows_ahead, range = i;
          if (row >= cols.end && i + 1 < count) {
            row -= cols.end - cols.begin;
            ++range;
          } else if (row >= cols.end) {
            range = 0;
          }
          args.w = a.w + j * a.w_stride;
          args.ahead = reinterpret_cast<uintptr_t>(a.w) + row * a.w_stride +
                       Dot::row_bytes(depth(range).begin);
          if (g > 0 || (count == 1 && !Dot::kPrefetchWholeRows)) args.ahead = 0;
          args.out = &sums[group.begin][j - col];
          args.partial = partial + (j - col) * kPartial;
          kDots<Dot>[height - 1](args);
        }
      }
    }
    finish(a.epilogue, {sums[0], kMatvecCols, a.y, a.y_stride, a.y_dtype, rows, cols});
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

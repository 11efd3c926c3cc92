// SPDX-License-Identifier: MIT
// The five loops around the tiles, over one rectangle of y.
//
//   for mc rows of x
//     for nc rows of W                a few panels of W
//       for kc units of depth           made ready (read, packed or prepared) once for mc rows of x
//         for nr rows of W                one panel of W, which stays in L2 while x passes
//           for mr rows of x                a tile
//
// W is the large operand and is read once for each mc rows of x. plan/geometry.h says which caches
// the three outer sizes are for.
//
// Sums between two ranges of depth stay in the worker's memory, tile by tile: in y, whose rows are
// often a power of two apart, they would evict each other. The last range writes straight to y
// where y can hold them (f32, no epilogue, a whole tile, rows in order); else the epilogue takes
// them.
#if defined(TESSERA_SIMD_LOOPS_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_LOOPS_INL_H_
#undef TESSERA_SIMD_LOOPS_INL_H_
#else
#define TESSERA_SIMD_LOOPS_INL_H_
#endif

#include "tessera/plan/geometry.h"
#include "tessera/simd/epilogue-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// A few panels of W over one range of depth, and the panels of x that they multiply.
struct PanelGroup {
  const std::byte* w[kMaxNcPanels];      // as tiles read them
  const std::byte* later[kMaxNcPanels];  // what is read from memory after each; null: unknown
  size_t count = 0;
  Range cols;        // of y
  Range units;       // of depth
  bool first, last;  // of the ranges of depth
  Range x_panels;    // [begin, end)
  size_t first_row;  // of the first of them,
  size_t rows;       // and of all of them
  bool lone;         // there is one panel of x
  size_t share;      // bytes of W that a tile asks for with each step
};

// What the loops work with: the arguments, and what they need again and again.
struct Loops {
  const RunArgs& a;
  const Plan& plan;
  const Kernel& kernel;
  const Geometry& geometry;
  const TileSet& tiles;
  const Panels x_panels;
  float* sums;  // the worker's
  bool plain;   // tiles may write finished sums to y as they are
  bool prepares;
  size_t step_bytes;  // of a packed panel of W, in one step of a tile

  explicit Loops(const RunArgs& args)
      : a(args),
        plan(*a.plan),
        kernel(*plan.kernel),
        geometry(*a.geometry),
        tiles(tiles_of(kernel, geometry.path)),
        x_panels(a.y.rows, geometry.mr, kernel.row_step),
        sums(reinterpret_cast<float*>(a.worker + geometry.worker.sums)),
        prepares(geometry.path == Path::prepared),
        step_bytes(kernel.panel_unit_bytes / tiles.steps) {
    const Epilogue& e = a.epilogue;
    const bool words = (reinterpret_cast<uintptr_t>(a.y.data) | a.y_at.stride) % sizeof(float) == 0;
    const bool in_rows = a.pairs == nullptr && a.y.rows <= a.y_at.inner && a.gate == nullptr;
    plain = a.y.dtype == DType::f32 && words && in_rows && e.scale == 1.0f && e.beta == 0.0f &&
            e.bias == nullptr && e.activation == Activation::none && e.row_scale == nullptr &&
            e.column_scale == nullptr;
  }
};

// The panel of W that begins at row `first`, over `units`, as the i-th that tiles read: W's own, or
// packed or prepared in the worker's memory.
inline const std::byte* ready_panel(const Loops& l, size_t i, size_t first, Range units) {
  if (units.begin == units.end) return nullptr;  // k = 0: there are no bytes
  const WorkerLayout& worker = l.geometry.worker;
  std::byte* ready = l.a.worker + worker.tile_panels + i * worker.tile_panel_bytes;
  const std::byte* panel;
  if (l.plan.packed) {
    panel =
        l.plan.w + (first / l.kernel.nr * l.plan.units + units.begin) * l.kernel.panel_unit_bytes;
  } else {
    std::byte* to = l.prepares ? l.a.worker + worker.packed_panel : ready;
    const size_t end = std::min(first + l.kernel.nr, l.plan.n);
    l.kernel.pack_panel(
        {l.plan.w, l.plan.w_stride, l.plan.w_k_major, l.plan.k, first, end, units, to});
    panel = to;
  }
  if (!l.prepares) return panel;
  l.tiles.prepare(panel, units.end - units.begin, ready);
  return ready;
}

// Columns [cols.begin, cols.end), whose panels begin at `col`, over `units`, for x_panels.
inline PanelGroup make_panel_group(const Loops& l, size_t col, Range cols, Range units,
                                   Range x_panels) {
  PanelGroup g;
  g.cols = cols;
  g.units = units;
  g.first = units.begin == 0;
  g.last = units.end == l.plan.units;
  g.x_panels = x_panels;
  g.first_row = l.x_panels.rows(x_panels.begin).begin;
  g.rows = l.x_panels.rows(x_panels.end - 1).end - g.first_row;
  g.lone = x_panels.end - x_panels.begin == 1;
  g.share = (l.step_bytes / (x_panels.end - x_panels.begin) + 63) / 64 * 64;
  const size_t nr = l.kernel.nr;
  for (size_t first = col; first < cols.end; first += nr, ++g.count) {
    g.w[g.count] = ready_panel(l, g.count, first, units);
  }
  for (size_t i = 0; i < g.count; ++i) {
    g.later[i] = nullptr;
    if (!l.plan.packed) continue;
    // The next panel of this group; after its last one, the next group's. Panels to be prepared are
    // wanted all at once, when the next group is made.
    const bool same_group = !l.prepares && i + 1 < g.count;
    const size_t panel = same_group ? i + 1 : (l.prepares ? i : 0) + (g.last ? g.count : 0);
    const size_t unit = same_group ? units.begin : g.last ? 0 : units.end;
    g.later[i] = l.plan.w + ((col / nr + panel) * l.plan.units + unit) * l.kernel.panel_unit_bytes;
  }
  return g;
}

// What a tile asks for while it computes, as W comes from memory: its share of what follows its
// panel; or, if it alone uses its panel, what it reads itself soon.
HWY_INLINE void plan_early(const Loops& l, const PanelGroup& g, const std::byte* later, size_t p,
                           size_t height, TileArgs& tile) {
  tile.early_bytes = 0;
  if (later == nullptr) return;
  const size_t before = (p - g.x_panels.begin) * g.share;  // of a step, by earlier tiles
  const Tuning& tuning = *l.plan.tuning;
  if (before >= l.step_bytes) return;
  if (g.lone && height < (l.prepares ? 1 : tuning.early_rows)) return;
  const bool within = g.lone && !l.prepares && tuning.early_bytes > 0;
  tile.early_bytes = g.share;
  tile.early = within ? reinterpret_cast<uintptr_t>(tile.w) + tuning.early_bytes
                      : reinterpret_cast<uintptr_t>(later) + tile.steps * before;
}

// Panels i and, of a pair, i + 1 of W times panel p of x.
HWY_INLINE void run_tile(const Loops& l, const PanelGroup& g, size_t i, size_t col, bool pair,
                         size_t p, TileArgs& tile) {
  const RunArgs& a = l.a;
  const Kernel& kernel = l.kernel;
  const size_t width = pair ? 2 * kernel.nr : kernel.nr;
  const Range tall = l.x_panels.rows(p);
  const size_t height = tall.end - tall.begin, padded = l.x_panels.padded(height);
  const Range rows{std::max(tall.begin, a.rect.row_begin), std::min(tall.end, a.rect.row_end)};
  const Range cols{std::max(col, g.cols.begin), std::min(col + width, g.cols.end)};
  float* sums = l.sums;  // [height, width]
  if (!g.first || !g.last) sums += i * kernel.nr * g.rows + (tall.begin - g.first_row) * width;
  tile.in = g.first ? nullptr : sums;
  tile.out = sums;
  tile.out_stride = width;
  const bool direct =
      g.last && l.plain && cols.end - cols.begin == width && rows.end - rows.begin == height;
  if (direct) {
    tile.out = reinterpret_cast<float*>(y_place(a, tall.begin, col));
    tile.out_stride = a.y_at.stride / sizeof(float);
  }
  const size_t x_unit = g.units.begin * kernel.x.unit_bytes;  // of one row
  if (a.borrowed.rows != nullptr) {
    tile.x = a.borrowed.rows + tall.begin * a.borrowed.row_stride + x_unit;
    tile.x_row = a.borrowed.row_stride;
    tile.x_step = kernel.x.word_bytes;
  } else {
    tile.x = a.packed_x + l.x_panels.padded_begin(p) * l.geometry.x_row_bytes + padded * x_unit;
    tile.x_row = kernel.x.word_bytes;
    tile.x_step = padded * kernel.x.word_bytes;
  }
  plan_early(l, g, pair ? nullptr : g.later[i], p, height, tile);
  (pair ? l.tiles.run_pair : l.tiles.run)[height - 1](tile);
  if (g.last && !direct) {
    finish(a, sums + (rows.begin - tall.begin) * width + (cols.begin - col), width, rows, cols);
  }
}

// The rectangle a.rect of y, by tiles.
inline void tile_loops(const RunArgs& a) {
  const Loops l(a);
  const auto& [mc, kc_units, nc] = l.geometry.blocking;
  const size_t nr = l.kernel.nr, units = l.plan.units;
  TileArgs tile{};
  for (size_t row = a.rect.row_begin; row < a.rect.row_end;) {  // mc rows of x, in whole panels
    const size_t last_row = std::min(a.rect.row_end, row + mc) - 1;
    const Range x_panels{l.x_panels.panel_of(row), l.x_panels.panel_of(last_row) + 1};
    for (size_t first = a.rect.col_begin / nr * nr; first < a.rect.col_end; first += nc) {
      const Range cols{std::max(first, a.rect.col_begin), std::min(first + nc, a.rect.col_end)};
      size_t unit = 0;
      do {  // kc units of depth; once even if k is 0, as the epilogue still has its say
        const Range depth{unit, std::min(units, unit + kc_units)};
        const PanelGroup g = make_panel_group(l, first, cols, depth, x_panels);
        const bool pairs =
            g.lone && g.rows <= std::min(l.tiles.pair_rows, l.plan.tuning->pair_rows);
        tile.steps = (depth.end - depth.begin) * l.tiles.steps;
        for (size_t i = 0; i < g.count;) {  // nr rows of W, or twice as many
          const bool pair = pairs && i + 1 < g.count;
          tile.w = g.w[i];
          tile.w_panel = pair ? static_cast<size_t>(g.w[i + 1] - g.w[i]) : 0;
          for (size_t p = x_panels.begin; p < x_panels.end; ++p) {  // mr rows of x
            run_tile(l, g, i, first + i * nr, pair, p, tile);
          }
          i += pair ? 2 : 1;
        }
        unit = depth.end;
      } while (unit < units);
    }
    row = l.x_panels.rows(x_panels.end - 1).end;
  }
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_LOOPS_INL_H_

// SPDX-License-Identifier: MIT
// A plan and m -> everything about one product that is decided before it runs: the path, how x is
// split into panels, blocking, and where the pieces of scratch memory lie. Pure functions; what
// runs below asks for nothing else. Blocking and path never change which values are added, and
// blocking never a bit.
#ifndef TESSERA_PLAN_GEOMETRY_H_
#define TESSERA_PLAN_GEOMETRY_H_

#include <cstddef>
#include <cstdint>

#include "tessera/core/epilogue.h"
#include "tessera/core/view.h"
#include "tessera/plan/plan.h"

namespace tessera::inline v0_1 {

/// Data cache bytes that one core can count on. The defaults stand in where nothing is known.
struct CacheSizes {
  size_t l1 = size_t{32} << 10;
  size_t l2 = size_t{512} << 10;
  size_t l3 = size_t{8} << 20;
};

/// How a product runs.
enum class Path : uint8_t {
  matvec,    // W is read where it lies, by dots of single rows
  strided,   // x and W are read where they lie, W along n
  direct,    // tiles read packed panels of W
  prepared,  // each packed panel is widened or unpacked once, and tiles read the result
};

/// Scratch memory of one worker: offsets of its pieces, and its size.
struct WorkerLayout {
  size_t tile_panels = 0;       // [nc / nr] panels that tiles read, if they are not W's own
  size_t tile_panel_bytes = 0;  // of each
  size_t packed_panel = 0;      // one packed panel that is being prepared
  size_t sums = 0;              // f32 sums between two ranges of depth, or of one tile
  size_t bytes = 0;             // a multiple of kScratchAlign
};

/// Sizes of scratch memory are multiples of this, so that pieces laid end to end stay aligned.
inline constexpr size_t kScratchAlign = 64;

/// Rows of x at most that matvec takes past the rows of W that are in L2. Neither 64 nor 1024 is
/// better beyond the noise of 16 % (bench/sweeps/matvec_x_rows.tsv).
inline constexpr size_t kMatvecRows = 256;

struct Geometry {
  Path path = Path::matvec;
  size_t mr = 1;           // rows of x at most in a panel
  size_t x_row_bytes = 0;  // of a packed row of x
  size_t x_bytes = 0;      // of all packed rows, padding included
  Blocking blocking;
  WorkerLayout worker;
};

namespace detail {

constexpr size_t rounded_up(size_t size, size_t step) noexcept {
  return steps_of(size, step) * step;
}

}  // namespace detail

/// Panels of x: m rows in as few panels of at most mr rows as possible, as even as can be. Each is
/// padded to a multiple of row_step rows.
struct Panels {
  size_t count;
  size_t rows_each, taller;  // rows of each; the first `taller` panels hold one more
  size_t row_step;

  constexpr Panels(size_t m, size_t mr, size_t step = 1) noexcept
      : count(detail::steps_of(m, mr)),
        rows_each(count == 0 ? 0 : m / count),
        taller(count == 0 ? 0 : m % count),
        row_step(step) {}

  constexpr Range rows(size_t panel) const noexcept {
    const size_t begin = rows_each * panel + (detail::min)(panel, taller);
    return {begin, begin + rows_each + (panel < taller ? 1 : 0)};
  }
  /// The panel that a row lies in.
  constexpr size_t panel_of(size_t row) const noexcept {
    const size_t tall = taller * (rows_each + 1);
    return row < tall ? row / (rows_each + 1) : taller + (row - tall) / rows_each;
  }
  constexpr size_t padded(size_t height) const noexcept {
    return row_step == 1 ? height : detail::rounded_up(height, row_step);
  }
  /// Rows in front of a panel, padding included.
  constexpr size_t padded_begin(size_t panel) const noexcept {
    if (row_step == 1) return rows(panel).begin;
    const size_t tall = (detail::min)(panel, taller);
    return tall * padded(rows_each + 1) + (panel - tall) * padded(rows_each);
  }
};

/// From one single row of x to the next, given its bytes: long rows are an eighth of 4 KiB past a
/// multiple of that, so that eight of them share the sets of an L1 cache evenly. Rows of a power of
/// two bytes would all fall into the same few lines: eight of them multiply a third slower on Zen 4
/// (bench/sweeps/zen4_constants.tsv) and 13 % slower on Emerald Rapids, where 64 bytes do as well
/// as 512 (bench/sweeps/x_row_stride.tsv).
constexpr size_t single_row_stride(size_t bytes) noexcept {
  return bytes < 4096 ? bytes : bytes + (4096 + 512 - bytes % 4096) % 4096;
}

/// Fills in what follows from a plan's kernel, tuning and shape.
constexpr void derive(Plan& p) noexcept {
  const Kernel& kernel = *p.kernel;
  const auto row_bytes = [&p](const XLayout& x) {
    return detail::steps_of(p.k, x.step_values) * x.step_bytes;
  };
  p.units = detail::steps_of(p.k, kernel.unit_values);
  p.panels = detail::steps_of(p.n, kernel.nr);
  p.x_panel_bytes = row_bytes(kernel.x);
  p.matvec_rows = 0;
  p.x_single_bytes = 0;
  if (kernel.matvec == nullptr || p.packed || p.w_k_major || p.k < kernel.dot.least_depth) return;
  // What a micro-kernel of matvec costs beside the products is the more the smaller k is; what
  // packing costs, the smaller m is.
  const Tuning& t = *p.tuning;
  p.matvec_rows = (detail::max)(t.matvec_rows, t.matvec_depth == 0 ? 0 : p.k / t.matvec_depth);
  p.x_single_bytes = single_row_stride(row_bytes(kernel.x_single));
}

/// The nest is mc > nc > kc > nr > mr: a block of nc rows of W over kc units is read (or packed, or
/// prepared) once and used by all mc rows of x. A panel of it (nr rows) and a panel of x that
/// streams past it (mr rows) must fit L2, with kc as deep as that allows, since each range of
/// depth costs a pass over the sums.
///
/// Many rows of x and packed panels: mc is small enough for the mc x kc values of x to stay in L2
/// as well, for a second panel of W. Otherwise one panel of W at a time, as deep as half of L2
/// holds, for as many rows of x as a quarter of L3 holds.
///
/// With a slow L3 and packed panels, ranges of k are so short that a quarter of L2 holds mc rows of
/// x while four panels of W pass by.
///
/// Copies in x and W in place: twice the bytes pass by panels half as wide as elsewhere, too much
/// for L3. So x stays in half of L2, and as many panels of W as there may be use it there.
///
/// Sizes that were chosen between: bench/sweeps/blocking.tsv. On Emerald Rapids nothing changed
/// beyond the noise where many rows begin after 4 to 36 panels of x or never (19 %,
/// bench/sweeps/many_rows.tsv), where the share with a slow L3 is an 8th to a 32nd (15 %,
/// bench/sweeps/slow_l3_share.tsv), and where 1 to 8 panels of W pass by (12 %,
/// bench/sweeps/slow_l3_panels.tsv). The least sizes below count where L2 has less than 0.7 MB.
constexpr Blocking choose_blocking(const Kernel& kernel, const TileSet& tiles, bool slow_l3,
                                   size_t m, size_t k, const CacheSizes& caches,
                                   bool packed) noexcept {
  const size_t mr = kernel.mr, x_unit_bytes = kernel.x.unit_bytes;
  const size_t units = (detail::max)(1, detail::steps_of(k, kernel.unit_values));
  const bool copies = !packed && kernel.x.copies > 1 && m > 12 * mr;
  const bool in_l2 = slow_l3 && packed && m > mr;
  const bool many = packed && m > 12 * mr;
  const bool pairs = packed && m <= mr / 2;  // tiles of two panels
  // A share of L2 for one W panel and one x panel; at least 256 values, so that loops stay long.
  const size_t share = caches.l2 / (copies || in_l2 ? 16 : many ? 4 : 2);
  size_t kc = (detail::max)((detail::max)(1, 256 / kernel.unit_values),
                            share / (tiles.unit_bytes + mr * x_unit_bytes));
  if (kc >= units) {
    kc = units;
  } else {  // even shares, in whole cache lines of f32
    const size_t ranges = detail::steps_of(units, kc);
    kc = (detail::min)(kc, detail::rounded_up(detail::steps_of(units, ranges), 16));
  }
  const size_t row = (detail::max)(1, x_unit_bytes * (packed || copies ? kc : units));
  const size_t x_bytes = copies   ? caches.l2 / 2
                         : in_l2  ? caches.l2 / 4
                         : packed ? caches.l2
                                  : caches.l3 / 4;
  const size_t most = (detail::max)(mr * 4, x_bytes / row);
  // W is read once for each mc rows, so a small rest gets no pass of its own: even shares.
  const size_t passes = (detail::max)(1, m / most + (m % most > most / 2 ? 1 : 0));
  const size_t mc = (m / passes + mr) / mr * mr;
  const size_t panels = copies ? kMaxNcPanels : in_l2 ? 4 : many || pairs ? 2 : 1;
  return {passes == 1 ? (detail::max)(m, 1) : mc, kc, panels * kernel.nr};
}

/// The tiles of a path.
constexpr const TileSet& tiles_of(const Kernel& kernel, Path path) noexcept {
  return path == Path::prepared ? kernel.prepared : kernel.direct;
}

constexpr Path choose_path(const Plan& p, size_t m) noexcept {
  if (m <= p.matvec_rows) return Path::matvec;
  const Kernel& kernel = *p.kernel;
  if (p.w_k_major && p.borrow_x && kernel.strided != nullptr && m <= p.tuning->strided_rows) {
    return Path::strided;
  }
  if (kernel.prepared.run == nullptr) return Path::direct;
  if (kernel.direct.run == nullptr) return Path::prepared;
  const size_t above = p.packed ? p.tuning->prepare_above : p.tuning->prepare_above_in_place;
  return detail::steps_of(m, kernel.mr) > above ? Path::prepared : Path::direct;
}

constexpr WorkerLayout worker_layout(const Plan& p, Path path, size_t m,
                                     const Blocking& b) noexcept {
  const Kernel& kernel = *p.kernel;
  const bool prepares = path == Path::prepared;
  const size_t panels = b.nc / kernel.nr;
  WorkerLayout worker;
  worker.tile_panel_bytes = b.kc_units * tiles_of(kernel, path).unit_bytes;
  size_t end = prepares || !p.packed ? panels * worker.tile_panel_bytes : 0;
  worker.packed_panel = end;
  if (prepares && !p.packed) end += b.kc_units * kernel.panel_unit_bytes;
  worker.sums = end;
  // Partial sums of the panels of x that mc rows touch, or of one tile if k is done in one range.
  const bool one_range = b.kc_units >= p.units;
  const size_t rows = one_range ? kernel.mr : panels * ((detail::min)(b.mc, m) + 2 * kernel.mr);
  end += rows * kernel.nr * sizeof(float);
  worker.bytes = detail::rounded_up(end, kScratchAlign);
  return worker;
}

/// Everything about a product of m rows. Asked-for blocking is cut to the shape.
constexpr Geometry geometry(const Plan& p, size_t m, const CacheSizes& caches) noexcept {
  const Kernel& kernel = *p.kernel;
  Geometry g;
  g.path = choose_path(p, m);
  if (g.path == Path::matvec) {
    g.x_row_bytes = p.x_single_bytes;
    g.x_bytes = m * g.x_row_bytes;
    return g;
  }
  g.mr = kernel.mr;
  if (g.path == Path::strided) {
    g.blocking = {m, kStridedDepth, kStridedCols};
    const bool one_range = has_few_sums(m, p.n, kernel.vector_bytes / sizeof(float));
    if (p.k > kStridedDepth && !one_range) g.worker.bytes = m * kStridedCols * sizeof(float);
    return g;
  }
  g.x_row_bytes = p.x_panel_bytes;
  const Panels panels(m, g.mr, kernel.row_step);
  g.x_bytes = panels.padded_begin(panels.count) * g.x_row_bytes;
  const Blocking own = choose_blocking(kernel, tiles_of(kernel, g.path), p.tuning->slow_l3, m, p.k,
                                       caches, p.packed);
  const Blocking& asked = p.blocking;
  const size_t nc = (asked.nc != 0 ? asked.nc : own.nc) / kernel.nr;
  const size_t w_panels = (detail::min)((detail::min)(nc, p.panels), kMaxNcPanels);
  g.blocking = {
      asked.mc != 0 ? (detail::min)(asked.mc, (detail::max)(m, 1)) : own.mc,
      asked.kc_units != 0 ? (detail::min)(asked.kc_units, (detail::max)(p.units, 1)) : own.kc_units,
      (detail::max)(w_panels, 1) * kernel.nr};
  g.worker = worker_layout(p, g.path, m, g.blocking);
  return g;
}

/// What pack() leaves in front of a packed x that may be lent: where x lies, if tiles are to read
/// it there; else null, and the panels follow.
struct BorrowedX {
  const std::byte* rows = nullptr;
  size_t row_stride = 0;
  bool k_major = false;  // stored as [k, m], for Path::strided
};
inline constexpr size_t kBorrowedXBytes = kScratchAlign;  // so that panels stay aligned

/// Bytes of packed x for m rows, with the address of a lent one.
constexpr size_t packed_x_bytes(const Plan& p, const Geometry& g) noexcept {
  return (p.borrow_x ? kBorrowedXBytes : 0) + detail::rounded_up(g.x_bytes, kScratchAlign);
}

/// Whether tiles may read x where it lies: in whole units and words, once, and at a stride at which
/// the lines that a panel's rows are read from spread over the sets of an L1 cache. Of 64 sets of 8
/// ways, 12 rows that lie 2 KiB apart fill 6 ways of 2 sets, which still fits: x is then
/// read where it lies some 3 % faster than from a copy (bench/sweeps/zen4_constants.tsv,
/// bench/sweeps/borrowed_x_lines.tsv).
inline bool can_borrow(const Plan& p, const Geometry& g, const MatView& x) noexcept {
  const XLayout& layout = p.kernel->x;
  if (!p.borrow_x || g.path == Path::matvec) return false;
  if (g.path == Path::strided) return true;
  if (!layout.borrows || x.dtype != layout.borrowed || layout.copies != 1) return false;
  const bool words = (reinterpret_cast<uintptr_t>(x.data) | x.row_stride) % sizeof(float) == 0;
  if (!words || p.k % p.kernel->unit_values != 0) return false;
  constexpr size_t kSets = 64, kMost = 6;
  uint8_t lines[kSets] = {};
  for (size_t row = 0; row < p.kernel->mr; ++row) {
    if (++lines[row * x.row_stride / 64 % kSets] > kMost) return false;
  }
  return true;
}

/// A row of x and the row of y that its product becomes.
struct RowPair {
  size_t x = 0, y = 0;
};

/// Finished sums of gate: those of row r, column c of y are 4 * c bytes behind data + at(r).
struct GateSums {
  const std::byte* data = nullptr;
  RowPlaces at;
  Gating gating;
};

/// One rectangle of one product: what the loops take.
struct RunArgs {
  const Plan* plan = nullptr;
  const Geometry* geometry = nullptr;
  const std::byte* packed_x = nullptr;  // behind the address of a lent x
  BorrowedX borrowed;                   // rows of x as they lie, instead of packed_x
  MutMatView y;                         // [m, n], f32, f16 or bf16
  RowPlaces y_at;                       // of its rows, instead of its row stride
  Epilogue epilogue;
  Rect rect;  // not empty
  std::byte* worker = nullptr;
  const RowPair* pairs = nullptr;  // [m]: where rows of y are; null: one after the other
  const float* factors = nullptr;  // [m]: what they are multiplied by at last; null: 1
  const GateSums* gate = nullptr;  // what finished sums are the `up` of; null: of nothing
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_GEOMETRY_H_

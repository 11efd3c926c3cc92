// SPDX-License-Identifier: MIT
// The watershed: above, plans and views; below, code compiled once for each instruction set. A
// Kernel is one way to multiply one format of W on one instruction set; nothing else describes it.
//
// Words. A panel of W is nr of its rows, a panel of x up to mr of its rows, in the order in which a
// tile reads them. A unit is the least piece of a panel along k: 1 value, a pair, a block.
#ifndef TESSERA_PLAN_KERNEL_H_
#define TESSERA_PLAN_KERNEL_H_

#include <cstddef>
#include <cstdint>

#include "tessera/core/dtype.h"
#include "tessera/core/partition.h"
#include "tessera/plan/tuning.h"

namespace tessera::inline v0_1 {

/// What a product may round. Accumulation is f32 in any case.
///
/// fast and coarse differ for block formats of W only. They round x in blocks of 32 along k, to a
/// whole multiple of the block's scale: by up to max|x| / 254 with fast, where the scale is
/// max|x| / 127, and max|x| / 127 with coarse, where it is the next power of two. That moves y by
/// at most the sum over blocks of that times the sum of the block's |w|; of random values,
/// by 3.7e-3 and 5.1e-3 of y (root mean square). Limits: coarse takes a magnitude of x above
/// 127 * 2^104 for not finite; q4_1, whose minimum is multiplied by the sum of a block of x, needs
/// magnitudes of x up to 2^122 with fast and coarse, above which y may not be finite.
/// Perplexity of examples/models/holdout.txt, exact, fast and coarse: q8_0 24.675, 24.680, 24.676;
/// q4_0 24.973, 24.973, 24.980; q4_1 24.914, 24.918, 24.915. Zen 4, 512 x 4096 x 4096 packed,
/// Gop/s: q8_0 109, 337, 382; q4_0 107, 338, 380; q4_1 105, 300, 336.
enum class Accuracy : uint8_t {
  fast,    // x is rounded to what the format's dot takes: 8-bit blocks for q*, bf16 for bf16
  exact,   // W is widened to f32 and multiplied in f32; x is not rounded
  coarse,  // as fast, but scales of 8-bit blocks are powers of two, which multiply faster
};

constexpr const char* to_string(Accuracy a) noexcept {
  return a == Accuracy::fast ? "fast" : a == Accuracy::exact ? "exact" : "coarse";
}

/// How x is packed: f32 values, bf16 pairs, or blocks of 32 signed bytes with an f32 scale, that of
/// q8_coarse a power of two.
enum class PackedX : uint8_t { f32, bf16, q8, q8_coarse };

constexpr const char* to_string(PackedX p) noexcept {
  constexpr const char* kNames[] = {"f32", "bf16", "q8", "q8 coarse"};
  return kNames[static_cast<size_t>(p)];
}

/// Rows of x at most in a panel, and of x and W in a micro-kernel of matvec; panels of W at most
/// that are ready at once. What is kept on the stack has this size.
inline constexpr size_t kMostPanelRows = 16;
inline constexpr size_t kMostDotRows = 8;
inline constexpr size_t kMaxNcPanels = 8;  // 2 to 16 are the same: bench/sweeps/max_nc_panels.tsv

// ---- Packing ------------------------------------------------------------------------------------

/// What 8-bit blocks of x hold for W beside scale and codes: scale * sum of codes where W has
/// minima, else -offset * sum of codes.
struct XAux {
  int32_t offset = 0;
  bool has_min = false;

  friend constexpr bool operator==(const XAux&, const XAux&) = default;
};

/// Where rows of x or y are, in bytes: `inner` rows lie a stride apart, and as many again an outer
/// stride further. `start` is the place of row 0, which may lie in front of the memory (and then be
/// a number that wraps around) if only later rows and columns are there.
struct RowPlaces {
  size_t stride = 0;
  size_t inner = ~size_t{0};
  size_t outer_stride = 0;
  size_t start = 0;

  constexpr size_t operator()(size_t row) const noexcept {
    if (row < inner) return start + row * stride;
    return start + row / inner * outer_stride + row % inner * stride;
  }
};

/// Rows [rows.begin, rows.end) of x[m, k], whole panels of them -> packed panels or single rows.
struct PackXArgs {
  const std::byte* x = nullptr;
  RowPlaces at;              // of rows; its stride lies between values of k if k_major
  DType dtype = DType::f32;  // f32, f16 or bf16
  bool k_major = false;      // x is stored as [k, m] (f32 only)
  size_t m = 0, k = 0;
  size_t mr = 1, row_step = 1;
  size_t row_bytes = 0;  // of a packed row
  Range rows;
  std::byte* packed = nullptr;
  XAux aux;
};

/// Rows [first, end) of W[n, k], at most nr, over units [units.begin, units.end) -> one panel.
/// Lanes past the last row hold anything.
struct PackWArgs {
  const std::byte* w = nullptr;
  size_t row_stride = 0;  // bytes; between values of k if k_major
  bool k_major = false;   // W is stored as [k, n] (f32 only)
  size_t k = 0;
  size_t first = 0, end = 0;
  Range units;
  std::byte* panel = nullptr;
};

/// How x is packed for one kind of micro-kernel. Two plans can share packed x if they have the same
/// layout and split of rows.
struct XLayout {
  PackedX kind = PackedX::f32;
  size_t step_values = 1;  // rows are padded to a multiple of this,
  size_t step_bytes = 4;   // which takes so many bytes a row
  size_t unit_bytes = 4;   // of a unit of one row
  size_t word_bytes = 4;   // of one row that lie together in a panel: all copies of a value, a pair
  size_t copies = 1;       // of each value
  bool borrows = false;    // rows of the format `borrowed` can be read as they lie
  DType borrowed = DType::f32;
  XAux aux;
  void (*pack)(const PackXArgs&) = nullptr;  // null: there is no such micro-kernel
  /// Rows that were packed alone, each a panel of one row, of `bytes` -> a panel of them. Of single
  /// rows, null: nothing has to be done.
  void (*gather)(const std::byte* const* rows, size_t height, size_t bytes,
                 std::byte* panel) = nullptr;
};

// ---- Products in place --------------------------------------------------------------------------

/// y[m, n] = alpha * x[m, k] * W[k, n] + beta * y of f32 matrices as they lie: see
/// simd/strided-inl.h. With beta == 0, y is not read.
struct StridedArgs {
  const std::byte* x = nullptr;
  size_t x_row = 0, x_step = 0;  // bytes between rows, between values of k
  const std::byte* w = nullptr;
  size_t w_step = 0;  // bytes between values of k; those of n are side by side
  std::byte* y = nullptr;
  size_t y_row = 0;  // bytes
  size_t m = 0, n = 0, k = 0;
  float alpha = 1.0f, beta = 0.0f;
  float* sums = nullptr;   // [m, sums_stride]; null: k is done in one range
  size_t sums_stride = 0;  // floats, at least kStridedCols or n
  bool w_turned = false;  // W is the other way: w_step between values of n, those of k side by side
  bool y_turned = false;  // y is stored as [n, m], rows y_row apart
  bool few_sums = false;  // has_few_sums of all y, of which this may be a part
};
/// to[c, r] = from[r, c] of f32.
struct TurnArgs {
  const std::byte* from = nullptr;
  size_t from_row = 0;        // bytes
  size_t rows = 0, cols = 0;  // of from
  std::byte* to = nullptr;
  size_t to_row = 0;  // bytes
};
/// Columns whose sums wait together between ranges of k, of so many values
/// (bench/sweeps/strided_depth.tsv).
inline constexpr size_t kStridedCols = 1024;
inline constexpr size_t kStridedDepth = 128;
/// Whether y is so few vectors that a sum of each would wait for itself: each is four sums then, of
/// every fourth value of k, in one range.
constexpr bool has_few_sums(size_t m, size_t n, size_t lanes) noexcept {
  return m <= 4 && n <= (m <= 1 ? 4 : m == 2 ? 2 : 1) * lanes;
}
/// Values of W that are taken for cached, so that asking for them early only takes time
/// (bench/sweeps/strided_cached.tsv).
inline constexpr size_t kStridedCached = size_t{512} << 10;
/// Of W or y that lie the other way, so many values are turned at a time; k, or m, vectors must fit
/// (bench/sweeps/turned_floats.tsv).
inline constexpr size_t kTurnedFloats = 4096;
/// Up to so many steps of k, y of more than so many vectors is computed row by row
/// (bench/sweeps/most_flat.tsv, bench/sweeps/flat_vectors.tsv).
inline constexpr size_t kMostFlat = 4, kFlatVectors = 8;
/// Bytes of a W that stays in L1 while x passes: tiles are then wide
/// (bench/sweeps/strided_wide.tsv).
inline constexpr size_t kStridedWide = size_t{16} << 10;

// ---- Micro-kernels ------------------------------------------------------------------------------

/// What a tile multiplies: rows of x with one panel of W, or with two.
struct TileArgs {
  const std::byte* w;      // [steps, nr], the panel at the first step
  size_t w_panel;          // bytes from there to the second panel of a pair
  const std::byte* x;      // [steps, rows], the panel at the first step; or rows as they lie
  size_t x_row, x_step;    // float tiles: bytes between rows, between a row's words
  size_t steps;            // of depth
  const float* in;         // [rows, nr] sums to start from, dense; null for zeros
  float* out;              // [rows, nr] sums
  size_t out_stride;       // floats
  uintptr_t early = 0;     // what will be read from memory later,
  size_t early_bytes = 0;  // and how many bytes of it to ask for with each step
};
using TileFn = void (*)(const TileArgs&);

/// The tiles that read one kind of panel of W.
struct TileSet {
  const TileFn* run = nullptr;       // [rows of x - 1], up to mr; null: there are none
  const TileFn* run_pair = nullptr;  // the same with two panels of W, up to pair_rows
  size_t pair_rows = 0;
  size_t steps = 1;       // of a tile in a unit
  size_t unit_bytes = 0;  // of a panel that it reads
  /// Makes such a panel of a packed one, exactly; null where that is what tiles read.
  void (*prepare)(const std::byte* panel, size_t units, std::byte* to) = nullptr;
};

/// What a micro-kernel of matvec multiplies: rows of W as they lie with rows of x. Values
/// [begin, end) of k; ranges begin at multiples of depth_step, and between them vectors of sums
/// wait in `partial`.
struct DotArgs {
  const std::byte* w = nullptr;  // [rows, k]
  size_t w_stride = 0;           // bytes
  size_t rows = 1;               // of W that exist, up to the micro-kernel's
  const std::byte* x = nullptr;  // [rows of x, k], single rows
  size_t x_stride = 0;           // bytes
  size_t k = 0;
  size_t begin = 0, end = 0;
  float* partial = nullptr;
  float* out = nullptr;  // [rows of x, rows]
  size_t out_stride = 1;
  uintptr_t early = 0;  // pieces of so many rows, as long as this range, that will be read later
  size_t early_rows = 0;
};
using DotFn = void (*)(const DotArgs&);

/// The micro-kernels of matvec, for few rows of x, which wait for W, and for groups of many.
struct DotSet {
  const DotFn* few = nullptr;         // [rows of x - 1]; null: there are none
  const uint8_t* few_rows = nullptr;  // [rows of x - 1]: rows of W that each takes
  size_t few_count = 0;
  const DotFn* many = nullptr;  // [rows of x - 1]
  size_t many_count = 0;
  size_t many_rows = 1;          // of W
  size_t depth_step = 1;         // ranges of k begin at multiples of this
  size_t least_depth = 0;        // rows of W that are shorter are for tiles
  size_t values = 1, bytes = 4;  // so many values of a row of W are so many bytes
  size_t x_bytes = 4;            // of them in a row of x
  bool in_l1 = false;            // x is kept in L1 for many rows, too
};

struct RunArgs;  // plan/geometry.h

/// One way to multiply one format of W on one instruction set. All functions are noexcept and
/// allocate nothing.
struct Kernel {
  DType w = DType::f32;
  Accuracy accuracy = Accuracy::fast;
  KernelKind kind = KernelKind::f32;
  const char* name = "";  // "int8 dot"
  const char* note = "";  // why nothing faster was taken; empty if nothing is
  size_t vector_bytes = 0;
  size_t mr = 1, nr = 1;
  size_t row_step = 1;          // panels of x are padded to a multiple of this many rows; q8: 1
  size_t unit_values = 1;       // of k
  size_t panel_unit_bytes = 0;  // of a packed panel of W
  XLayout x;                    // panels of x
  XLayout x_single;             // single rows, for matvec
  TileSet direct;               // tiles that read packed panels
  TileSet prepared;             // tiles that read panels made of those
  DotSet dot;
  void (*pack_panel)(const PackWArgs&) = nullptr;
  void (*tiles)(const RunArgs&) = nullptr;   // the loops around the tiles
  void (*matvec)(const RunArgs&) = nullptr;  // the loops around the dots
  // x and W where they lie, W along n; null: not for this format.
  void (*strided)(const RunArgs&) = nullptr;
  void (*strided_product)(const StridedArgs&) = nullptr;
  /// The same by dots, of few values (simd/small_dots-inl.h). One of x and W must lie along k.
  void (*dots_product)(const StridedArgs&) = nullptr;
  void (*turn)(const TurnArgs&) = nullptr;
};

/// Whether what describes a kernel fits together, and arrays on the stack hold it.
constexpr bool is_sound(const Kernel& k) noexcept {
  const bool q8 = k.x.kind == PackedX::q8 || k.x.kind == PackedX::q8_coarse;
  const bool rows = k.mr >= 1 && detail::steps_of(k.mr, k.row_step) * k.row_step <= kMostPanelRows;
  const bool x = k.x.pack != nullptr &&
                 k.x.unit_bytes * k.x.step_values == k.x.step_bytes * k.unit_values &&
                 (k.row_step == 1 || !q8);  // a tile of q8 finds a row by how many it multiplies
  const bool direct = k.direct.run == nullptr ||
                      (k.direct.prepare == nullptr && k.direct.unit_bytes == k.panel_unit_bytes);
  const bool prepared = (k.prepared.run == nullptr) == (k.prepared.prepare == nullptr);
  const bool dots = k.matvec == nullptr || (k.x_single.pack != nullptr && k.dot.few != nullptr);
  return rows && x && direct && prepared && dots && k.pack_panel != nullptr && k.tiles != nullptr &&
         k.panel_unit_bytes > 0 && (k.direct.run != nullptr || k.prepared.run != nullptr);
}

/// Code for one set of instructions. What it does not list is found in the next lower one that is
/// compiled in.
struct InstructionSet {
  const char* name = "";  // "AVX2"
  int rank = 0;           // a higher one is better
  size_t vector_bytes = 0;
  bool (*runs)() = nullptr;  // whether this CPU has it
  const Kernel* kernels = nullptr;
  size_t count = 0;
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_KERNEL_H_

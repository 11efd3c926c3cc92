// SPDX-License-Identifier: MIT
// The watershed: above, plans and views; below, per-target kernels. One KernelEntry is one way to
// multiply one format on one target; a KernelTable is all of them.
#ifndef TESSERA_PLAN_KERNEL_TABLE_H_
#define TESSERA_PLAN_KERNEL_TABLE_H_

#include <cstddef>
#include <cstdint>

#include "tessera/core/dtype.h"
#include "tessera/core/epilogue.h"
#include "tessera/core/partition.h"
#include "tessera/plan/blocking.h"

namespace tessera::inline v0_1 {

/// What a product may round. Accumulation is f32 in any case.
///
/// fast and coarse differ for block formats of W only. They round x in blocks of 32 along k, to a
/// whole multiple of the block's scale: by up to max|x| / 254 with fast, where the scale is
/// max|x| / 127, and max|x| / 127 with coarse, where it is the next power of two. That moves y by
/// at most the sum over blocks of that times the sum of the block's |w|; of random values,
/// by 3.7e-3 and 5.1e-3 of y (root mean square). To coarse, a magnitude of x above 127 * 2^104 is
/// not finite. Perplexity of examples/models/holdout.txt, exact, fast and coarse:
/// q8_0 24.675, 24.680, 24.676; q4_0 24.973, 24.973, 24.980; q4_1 24.914, 24.918, 24.915. Zen 4,
/// 512 x 4096 x 4096 packed, Gop/s: q8_0 109, 337, 382; q4_0 107, 338, 380; q4_1 105, 300, 336.
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

/// Rows [rows.begin, rows.end) of x[m, k] -> packed panels. Row i goes to the panel that
/// panel_of(i) names; heights of panels differ by at most one row and never exceed mr.
struct PackXArgs {
  const std::byte* x = nullptr;
  size_t row_stride = 0;     // bytes; between values of k if k_major
  DType dtype = DType::f32;  // f32, f16 or bf16
  bool k_major = false;      // x is stored as [k, m] (f32 only)
  size_t m = 0, k = 0;
  size_t mr = 1;
  Range rows;
  std::byte* packed = nullptr;
};

/// Rows [rows.begin, rows.end) of W[n, k], multiples of nr but for the last -> panels.
struct PackWArgs {
  const std::byte* w = nullptr;
  size_t row_stride = 0;  // bytes; between values of k if k_major
  bool k_major = false;   // W is stored as [k, n] (f32 only)
  size_t n = 0, k = 0;
  Range rows;
  std::byte* packed = nullptr;
};

/// Rows of x, at most, that matvec takes past the rows of W that are in L2.
inline constexpr size_t kMatvecMc = 256;

/// From one row of x packed for matvec to the next, given its bytes: long rows are an eighth of 4
/// KiB past a multiple of that, so that eight of them share the sets of an L1 cache evenly. Rows of
/// a power of two bytes would all fall into the same few lines. (Zen 4, 8 x 4096 x 4096 in place,
/// GFLOP/s: f32 43 -> 62, bf16 83 -> 124.)
constexpr size_t row_alone_stride(size_t bytes) noexcept {
  return bytes < 4096 ? bytes : bytes + (4096 + 512 - bytes % 4096) % 4096;
}

/// What pack() leaves in front of a packed x that may be borrowed: where x lies, if tiles are to
/// read it there; else null, and the panels follow.
struct BorrowedX {
  const std::byte* rows = nullptr;
  size_t row_stride = 0;
};
inline constexpr size_t kBorrowedXBytes = 64;  // so that panels stay aligned

struct RunArgs {
  const std::byte* w = nullptr;  // rows in place, or panels if packed_w
  size_t w_stride = 0;
  bool w_packed = false;
  bool w_k_major = false;
  size_t m = 0, n = 0, k = 0;
  size_t mr = 1;  // height limit that x was packed with
  const std::byte* packed_x = nullptr;
  const std::byte* x_rows = nullptr;  // x as it lies, instead of packed_x
  size_t x_stride = 0;
  std::byte* y = nullptr;
  size_t y_stride = 0;
  DType y_dtype = DType::f32;  // f32 or bf16
  Epilogue epilogue;
  Rect rect;
  Blocking blocking;
  std::byte* worker = nullptr;
};

/// One (W format, accuracy) on one target. All functions are noexcept and allocate nothing.
struct KernelEntry {
  DType w;
  Accuracy accuracy;
  PackedX x;
  DType x_same;        // tiles read rows of this format as they are; f16: of none
  uint16_t x_variant;  // entries whose packed x is the same bytes share (x, x_variant)
  const char* name;    // "int8 dot"
  const char* note;    // why nothing faster was taken; empty if nothing is
  KernelShape shape;
  size_t panel_unit_bytes;   // of weights packed for keeping; shape.w_unit_bytes is what tiles read
  bool widens;               // tiles read another panel than pack_w writes
  size_t packed_row_values;  // rows of packed x are padded to a multiple of this
  size_t matvec_m;           // weights in place: up to this m, W is read as it lies, by matvec,
  size_t matvec_depth;       // and further rows of x for each so many values of k; 0: no more
  size_t matvec_row_values;  // packed_row_values of pack_x_rows
  void (*pack_x)(const PackXArgs&);
  void (*pack_w)(const PackWArgs&);
  void (*matmul)(const RunArgs&);
  void (*pack_x_rows)(const PackXArgs&);  // for matvec: row by row, mr is not used
  void (*matvec)(const RunArgs&);         // weights in place only
};

struct KernelTable {
  const char* target;
  int64_t bit;  // Highway's HWY_* constant
  size_t (*vector_bytes)();
  const KernelEntry* entries;
  size_t count;
};

/// Panels of x: m rows in as few panels of at most mr rows as possible, as even as can be.
struct Panels {
  size_t count;
  size_t share, extra;  // rows of each; the first `extra` panels hold one more
  constexpr Panels(size_t m, size_t mr) noexcept
      : count(m / mr + (m % mr != 0 ? 1 : 0)),
        share(count == 0 ? 0 : m / count),
        extra(count == 0 ? 0 : m % count) {}
  constexpr Range rows(size_t panel) const noexcept {
    const size_t begin = share * panel + (detail::min)(panel, extra);
    return {begin, begin + share + (panel < extra ? 1 : 0)};
  }
  /// The panel that row i lies in.
  constexpr size_t panel_of(size_t row) const noexcept {
    const size_t tall = extra * (share + 1);
    return row < tall ? row / (share + 1) : extra + (row - tall) / share;
  }
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_KERNEL_TABLE_H_

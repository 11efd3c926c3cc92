// SPDX-License-Identifier: MIT
// Measured choices, apart from the kernels that they steer: a row for each family of CPUs and kind
// of kernel. A row's sweep is bench/sweeps/<name>.tsv, which says on which CPU, with which compiler
// and by which command it was measured. Where matvec ends and tiles begin may change the last bits
// of a product with W in place; no other choice here changes a bit of any result.
#ifndef TESSERA_PLAN_TUNING_H_
#define TESSERA_PLAN_TUNING_H_

#include <cstddef>
#include <cstdint>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {

/// CPUs that share a core and a memory system. Those nobody has measured are `other` and take the
/// rows of Zen 4. No 64-bit Arm was measured: its rows come from a model of its cores.
enum class CpuFamily : uint8_t { other, sapphire_rapids, arm64 };

/// What a kernel multiplies, as far as tuning tells kernels apart.
enum class KernelKind : uint8_t {
  f32,           // f32 multiply-add on f32
  f16,           // the same on f16, widened
  bf16,          // the same on bf16, widened
  bf16_dot,      // an instruction for two products of bf16
  codes_of_8,    // integer dot of 8-bit codes, and of those that are multiplied as such
  codes_of_4,    // integer dot of 4-bit codes
  codes_of_5,    // the same of those that take longer to unpack: of 5 bits, or places in a table
  pairs_of_5,    // the same of 5-bit codes where bytes are multiplied in pairs
  super_blocks,  // integer dot of blocks of 256 codes
  super_blocks_of_4,  // the same of 4-bit ones, which are unpacked faster
  blocks_as_f32       // blocks widened to f32
};

struct Tuning {
  /// In place, matvec multiplies while m <= max(matvec_rows, k / matvec_depth). Depth 0 leaves the
  /// second term out. Never rows of W that are shorter than what a dot takes at once.
  size_t matvec_rows = 16;
  size_t matvec_depth = 0;
  /// With W stored along n, as BLAS's untransposed B, up to so many rows of x are multiplied
  /// without packing (bench/sweeps/strided_rows.tsv).
  size_t strided_rows = 128;
  /// A panel of W that more panels of x than this use is prepared (widened or unpacked) once, when
  /// W is packed (bench/sweeps/prepare_above.tsv: 0 loses up to 22 %, 8 and 16 are the same), and
  /// when it lies in place (bench/sweeps/prepare_above_in_place.tsv: 0, 4 and 16 are the same).
  size_t prepare_above = 0;
  size_t prepare_above_in_place = 4;
  /// Up to so many rows of x, a tile reads two panels of W at once.
  size_t pair_rows = 0;
  /// A tile that alone uses its panel asks for W early if it has at least this many rows of x:
  /// for what lies early_bytes ahead of what it reads or, with 0, for the next panel.
  size_t early_rows = 1;
  size_t early_bytes = 0;
  /// Matvec asks for W early if it has at least this many rows of x, so many bytes ahead. On
  /// Emerald Rapids 64 KiB are up to 20 % slower than 16 (bench/sweeps/dot_early_kib.tsv), on Zen 4
  /// 15 % faster for floats (bench/sweeps/zen4_constants.tsv).
  size_t dot_early_rows = 1;
  size_t dot_early_bytes = size_t{64} << 10;
  /// Few rows of x: matvec reads W in pieces of whole pages; else in pieces that leave x in L1.
  bool page_pieces = true;
  /// L3 is hardly faster than memory, so x is kept in L2.
  bool slow_l3 = false;
};

struct TuningRow {
  CpuFamily cpu;
  KernelKind kind;
  size_t vector_bytes;  // 0: any
  Tuning tuning;
  const char* sweep;
};

namespace detail {
inline constexpr size_t kAny = ~size_t{0};
}

/// The first row that fits is taken.
inline constexpr TuningRow kTuningRows[] = {
    // Sapphire Rapids: a core reads L2, L3 and memory at 140, 30 and 23 GB/s, and its prefetcher
    // ends with each page, so W is always asked for early and x is kept in L2.
    {CpuFamily::sapphire_rapids,
     KernelKind::f32,
     64,
     {.matvec_depth = 80,
      .pair_rows = detail::kAny,
      .dot_early_rows = 2,
      .dot_early_bytes = size_t{16} << 10,
      .page_pieces = false,
      .slow_l3 = true},
     "sapphire_rapids_float"},
    {CpuFamily::sapphire_rapids,
     KernelKind::f16,
     64,
     {.matvec_depth = 80,
      .prepare_above = 8,
      .dot_early_bytes = size_t{16} << 10,
      .page_pieces = false,
      .slow_l3 = true},
     "sapphire_rapids_float"},
    {CpuFamily::sapphire_rapids,
     KernelKind::bf16,
     64,
     {.matvec_depth = 80,
      .prepare_above = 8,
      .dot_early_bytes = size_t{16} << 10,
      .page_pieces = false,
      .slow_l3 = true},
     "sapphire_rapids_float"},
    {CpuFamily::sapphire_rapids,
     KernelKind::codes_of_8,
     64,
     {.dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "sapphire_rapids_blocks"},
    {CpuFamily::sapphire_rapids,
     KernelKind::codes_of_4,
     64,
     {.prepare_above = 8, .dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "sapphire_rapids_blocks"},
    {CpuFamily::sapphire_rapids,
     KernelKind::codes_of_5,
     64,
     {.prepare_above = 4, .dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "codes_of_5"},
    {CpuFamily::sapphire_rapids,
     KernelKind::super_blocks,
     64,
     {.prepare_above = 2, .dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "super_blocks_direct"},
    {CpuFamily::sapphire_rapids,
     KernelKind::super_blocks_of_4,
     64,
     {.prepare_above = 4, .dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "super_blocks_of_4"},
    {CpuFamily::sapphire_rapids,
     KernelKind::blocks_as_f32,
     64,
     {.matvec_rows = 0, .slow_l3 = true},
     "sapphire_rapids_blocks"},

    // The same CPUs with shorter vectors: asking for W early from one row of x on
    // gains up to 2.3 times; how far ahead is all the same. When panels are prepared is of
    // bench/sweeps/pairs_unpacked.tsv.
    {CpuFamily::sapphire_rapids,
     KernelKind::f32,
     0,
     {.pair_rows = detail::kAny, .dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "avx2_early"},
    {CpuFamily::sapphire_rapids,
     KernelKind::f16,
     0,
     {.prepare_above = 8, .pair_rows = 2, .dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "avx2_early"},
    {CpuFamily::sapphire_rapids,
     KernelKind::bf16,
     0,
     {.prepare_above = 8, .pair_rows = 2, .dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "avx2_early"},
    {CpuFamily::sapphire_rapids,
     KernelKind::codes_of_8,
     0,
     {.prepare_above = 4, .dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "avx2_early"},
    {CpuFamily::sapphire_rapids,
     KernelKind::codes_of_4,
     0,
     {.prepare_above = 4, .dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "avx2_early"},
    {CpuFamily::sapphire_rapids,
     KernelKind::codes_of_5,
     0,
     {.prepare_above = 4, .dot_early_bytes = size_t{16} << 10, .slow_l3 = true},
     "avx2_early"},
    {CpuFamily::sapphire_rapids,
     KernelKind::pairs_of_5,
     0,
     {.prepare_above = 2,
      .prepare_above_in_place = 2,
      .dot_early_bytes = size_t{16} << 10,
      .slow_l3 = true},
     "avx2_early"},
    {CpuFamily::sapphire_rapids,
     KernelKind::super_blocks,
     0,
     {.prepare_above = 2,
      .prepare_above_in_place = 2,
      .dot_early_bytes = size_t{16} << 10,
      .slow_l3 = true},
     "avx2_early"},
    {CpuFamily::sapphire_rapids,
     KernelKind::super_blocks_of_4,
     0,
     {.prepare_above = 2,
      .prepare_above_in_place = 2,
      .dot_early_bytes = size_t{16} << 10,
      .slow_l3 = true},
     "avx2_early"},

    // 64-bit Arm: codes are unpacked once where that pays by the model of its cores.
    {CpuFamily::arm64,
     KernelKind::codes_of_8,
     0,
     {.prepare_above = 2, .prepare_above_in_place = 2, .early_rows = 6, .early_bytes = 8192},
     "arm_static"},
    {CpuFamily::arm64,
     KernelKind::codes_of_4,
     0,
     {.prepare_above = 2, .prepare_above_in_place = 2, .early_rows = 3, .early_bytes = 8192},
     "arm_static"},
    {CpuFamily::arm64,
     KernelKind::codes_of_5,
     0,
     {.prepare_above = 2, .prepare_above_in_place = 2, .early_rows = 3, .early_bytes = 8192},
     "arm_static"},
    {CpuFamily::arm64,
     KernelKind::super_blocks,
     0,
     {.prepare_above = 2, .prepare_above_in_place = 2, .early_rows = 3, .early_bytes = 8192},
     "arm_static"},
    {CpuFamily::arm64,
     KernelKind::super_blocks_of_4,
     0,
     {.prepare_above = 2, .prepare_above_in_place = 2, .early_rows = 3, .early_bytes = 8192},
     "arm_static"},

    // Zen 4, and CPUs that nobody has measured. On Zen 4 itself codes of 4, 5 and 8 bits have no
    // prepared panels: that prepare_above is Emerald Rapids' (bench/sweeps/pairs_unpacked.tsv).
    {CpuFamily::other,
     KernelKind::f32,
     64,
     {.matvec_depth = 8, .pair_rows = detail::kAny, .early_rows = 6, .early_bytes = 8192},
     "zen4_float"},
    {CpuFamily::other,
     KernelKind::f32,
     0,
     {.pair_rows = detail::kAny, .early_rows = 6, .early_bytes = 8192},
     "zen4_float"},
    {CpuFamily::other,
     KernelKind::f16,
     64,
     {.matvec_depth = 8, .prepare_above = 2, .pair_rows = 2, .early_rows = 2},
     "zen4_float"},
    {CpuFamily::other,
     KernelKind::f16,
     0,
     {.prepare_above = 8, .pair_rows = 2, .early_rows = 2},
     "zen4_float"},
    {CpuFamily::other,
     KernelKind::bf16,
     64,
     {.matvec_depth = 8, .prepare_above = 8, .pair_rows = 2, .early_rows = 2},
     "zen4_float"},
    {CpuFamily::other,
     KernelKind::bf16,
     0,
     {.prepare_above = 8, .pair_rows = 2, .early_rows = 2},
     "zen4_float"},
    {CpuFamily::other,
     KernelKind::bf16_dot,
     64,
     {.matvec_depth = 32, .pair_rows = detail::kAny, .early_rows = 6, .early_bytes = 8192},
     "zen4_float"},
    {CpuFamily::other,
     KernelKind::bf16_dot,
     0,
     {.pair_rows = detail::kAny, .early_rows = 6, .early_bytes = 8192},
     "zen4_float"},
    {CpuFamily::other,
     KernelKind::codes_of_8,
     0,
     {.prepare_above = 4,
      .early_rows = 6,
      .early_bytes = 8192,
      .dot_early_rows = 2,
      .dot_early_bytes = size_t{16} << 10},
     "zen4_blocks"},
    {CpuFamily::other,
     KernelKind::codes_of_4,
     0,
     {.prepare_above = 4,
      .early_rows = 3,
      .early_bytes = 8192,
      .dot_early_bytes = size_t{16} << 10},
     "zen4_blocks"},
    {CpuFamily::other,
     KernelKind::codes_of_5,
     0,
     {.prepare_above = 4,
      .early_rows = 3,
      .early_bytes = 8192,
      .dot_early_bytes = size_t{16} << 10},
     "zen4_blocks"},
    {CpuFamily::other,
     KernelKind::pairs_of_5,
     0,
     {.prepare_above = 2,
      .prepare_above_in_place = 2,
      .early_rows = 3,
      .early_bytes = 8192,
      .dot_early_bytes = size_t{16} << 10},
     "pairs_of_5"},
    {CpuFamily::other,
     KernelKind::super_blocks,
     0,
     {.prepare_above = 2,
      .prepare_above_in_place = 2,
      .early_rows = 3,
      .early_bytes = 8192,
      .dot_early_bytes = size_t{16} << 10},
     "super_blocks_direct"},
    {CpuFamily::other,
     KernelKind::super_blocks_of_4,
     0,
     {.prepare_above = 2,
      .prepare_above_in_place = 2,
      .early_rows = 3,
      .early_bytes = 8192,
      .dot_early_bytes = size_t{16} << 10},
     "super_blocks_direct"},
    {CpuFamily::other, KernelKind::blocks_as_f32, 0, {.matvec_rows = 0}, "zen4_blocks"},
};

/// The row for a kernel with vectors of so many bytes; a family without a row of its own takes that
/// of `other`.
constexpr const Tuning& tuning_for(CpuFamily cpu, KernelKind kind, size_t vector_bytes) noexcept {
  const TuningRow* found = nullptr;
  for (const TuningRow& row : kTuningRows) {
    if (row.kind != kind || (row.vector_bytes != 0 && row.vector_bytes != vector_bytes)) continue;
    if (row.cpu == cpu) return row.tuning;
    if (found == nullptr && row.cpu == CpuFamily::other) found = &row;
  }
  return found->tuning;  // `other` has a row for each kind
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_TUNING_H_

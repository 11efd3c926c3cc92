// SPDX-License-Identifier: MIT
// Cache sizes and a shape -> how the loops are blocked. Pure functions; blocking never changes a
// bit of the result, only its speed.
#ifndef TESSERA_PLAN_BLOCKING_H_
#define TESSERA_PLAN_BLOCKING_H_

#include <cstddef>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {

/// Data cache bytes that one core can count on. The defaults stand in where nothing is known.
struct CacheSizes {
  size_t l1 = size_t{32} << 10;
  size_t l2 = size_t{512} << 10;
  size_t l3 = size_t{8} << 20;
};

/// Depth is counted in units, the least step of a kernel along k (1 value, a pair, a block of 32).
struct Blocking {
  size_t mc = 0;        // rows of x that share one pass over W
  size_t kc_units = 0;  // units of depth per panel pass
  size_t nc = 0;        // rows of W whose panels are ready at once; a multiple of nr
};

/// Panels of a block of W at most.
inline constexpr size_t kMaxNcPanels = 8;

/// What blocking must know about a kernel.
struct KernelShape {
  size_t mr = 1, nr = 1;
  size_t unit_values = 1;
  size_t w_unit_bytes = 1;  // of a W panel (nr rows)
  size_t x_unit_bytes = 1;  // of one row of packed x, in panels
  size_t x_copies = 1;      // of each value there; rows of x packed alone have one
  bool slow_l3 = false;     // its CPUs read L3 hardly faster than memory
};

/// The nest is mc > nc > kc > nr > mr: a block of nc rows of W over kc units is read (or packed, or
/// widened) once and used by all mc rows of x. A W panel of it (nr rows) and a panel of x that
/// streams past it (mr rows) must fit L2, with kc as deep as that allows, since each range of
/// depth costs a pass over the sums.
///
/// Many rows of x and panels that lie ready: mc is small enough for the mc x kc values of x to stay
/// in L2 as well, for a second W panel. On Zen 4 (f32, 512 x 4096 x 4096, GFLOP/s, best and median
/// of 20 interleaved): mc 144 .. 192, nc 64, kc 1366 112 and 110; mc 512, nc 32, kc 2048 110 and 97
/// (what remains when others use the L3, too); mc 192, kc 256 108 and 105.
/// Else one W panel at a time, as deep as half of L2 holds, for as many rows of x as a quarter of
/// L3 holds: in place mc 512, kc 2048 109 and 108; mc 252 107 and 100; nc 64, kc 1366 107 and 104.
///
/// A slow L3 (slow_l3; on Emerald Rapids a core reads L2, L3 and memory at 140, 30 and 23 GB/s) is
/// no place for x: with panels that lie ready and more than one panel of x, ranges of k are short
/// enough for a quarter of L2 to hold them, and for four W panels to pass by each time. f32, n = k
/// = 4096, mc, kc, nc: m = 32 32 4096 32 124, 32 512 64 144; m = 128 128 4096 32 131, 128 512 128
/// 155; m = 512 264 2048 64 142, 264 512 64 154, 192 688 128 152.
///
/// Many rows of x with copies in it, W in place: twice the bytes come past a W panel half as wide
/// as elsewhere, too much for L3. So x stays in half of L2, and as many W panels as there may be
/// use it there. SSE4, the same shape, on a busy machine, GFLOP/s of CPU time: mc 512, nc 8, kc
/// 4096 22; mc 66, nc 16, kc 2048 39; mc 84, nc 64, kc 832 40.
constexpr Blocking choose_blocking(const KernelShape& s, size_t m, size_t k,
                                   const CacheSizes& caches, bool ready) noexcept {
  const size_t units = (detail::max)(1, k / s.unit_values + (k % s.unit_values != 0 ? 1 : 0));
  const bool copies = !ready && s.x_copies > 1 && m > 12 * s.mr;
  const bool in_l2 = s.slow_l3 && ready && m > s.mr;
  const bool many = ready && m > 12 * s.mr;
  const bool pairs = ready && m <= s.mr / 2;  // tiles of two panels
  // A share of L2 for one W panel and one x panel; at least 256 values, so that loops stay long.
  const size_t share = caches.l2 / (copies || in_l2 ? 16 : many ? 4 : 2);
  size_t kc = (detail::max)((detail::max)(1, 256 / s.unit_values),
                            share / (s.w_unit_bytes + s.mr * s.x_unit_bytes));
  if (kc >= units) {
    kc = units;
  } else {  // even shares, in whole cache lines of f32
    const size_t blocks = (units + kc - 1) / kc;
    kc = (detail::min)(kc, ((units + blocks - 1) / blocks + 15) / 16 * 16);
  }
  const size_t row = (detail::max)(1, s.x_unit_bytes * (ready || copies ? kc : units));
  const size_t x_bytes = copies  ? caches.l2 / 2
                         : in_l2 ? caches.l2 / 4
                         : ready ? caches.l2
                                 : caches.l3 / 4;
  const size_t most = (detail::max)(s.mr * 4, x_bytes / row);
  // W is read once for each block of rows, so a small rest is no block of its own: even shares.
  const size_t blocks = (detail::max)(1, m / most + (m % most > most / 2 ? 1 : 0));
  const size_t mc = (m / blocks + s.mr) / s.mr * s.mr;
  const size_t panels = copies ? kMaxNcPanels : in_l2 ? 4 : many || pairs ? 2 : 1;
  return {blocks == 1 ? (detail::max)(m, 1) : mc, kc, panels * s.nr};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_BLOCKING_H_

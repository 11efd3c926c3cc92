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
};

/// What blocking must know about a kernel.
struct KernelShape {
  size_t mr = 1, nr = 1;
  size_t unit_values = 1;
  size_t w_unit_bytes = 1;  // of a W panel (nr rows)
  size_t x_unit_bytes = 1;  // of one row of packed x
};

/// The nest is mc > nr > kc > mr: a W panel of kc units is read (or packed) once and used by all
/// mc rows of x. So the W panel must stay in L2 beside the x panel that streams past it, and the mc
/// rows of x in L3; kc is as large as that allows, since each block boundary costs a pass over
/// the partial sums.
constexpr Blocking choose_blocking(const KernelShape& s, size_t m, size_t k,
                                   const CacheSizes& caches) noexcept {
  const size_t units = detail::max(1, k / s.unit_values + (k % s.unit_values != 0 ? 1 : 0));
  // Half of L2 for one W panel and one x panel, at least 256 values so that loops stay long.
  const size_t per_unit = s.w_unit_bytes + s.mr * s.x_unit_bytes;
  size_t kc = detail::max(detail::max(1, 256 / s.unit_values), caches.l2 / 2 / per_unit);
  if (kc >= units) {
    kc = units;
  } else {  // even shares, in whole cache lines of f32
    const size_t blocks = (units + kc - 1) / kc;
    kc = detail::min(kc, ((units + blocks - 1) / blocks + 15) / 16 * 16);
  }
  const size_t row = detail::max(1, units * s.x_unit_bytes);
  size_t mc = detail::max(s.mr * 4, caches.l3 / 2 / row / s.mr * s.mr);
  return {detail::min(mc, detail::max(m, 1)), kc};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_BLOCKING_H_

// SPDX-License-Identifier: MIT
// The plan as a plain value: what plan/geometry.h and the kernels read, and nothing else.
#ifndef TESSERA_PLAN_PLAN_H_
#define TESSERA_PLAN_PLAN_H_

#include <cstddef>
#include <type_traits>

#include "tessera/plan/kernel.h"

namespace tessera::inline v0_1 {

/// Depth is counted in units of the kernel.
struct Blocking {
  size_t mc = 0;        // rows of x that share one pass over W
  size_t kc_units = 0;  // units of depth per pass over a panel
  size_t nc = 0;        // rows of W whose panels are ready at once; a multiple of nr
};

/// How to multiply with one W. Owns nothing; W's bytes must outlive it.
struct Plan {
  const InstructionSet* set = nullptr;
  const Kernel* kernel = nullptr;  // null: an empty plan
  const Tuning* tuning = nullptr;
  const std::byte* w = nullptr;  // rows of W, or panels if packed
  size_t w_stride = 0;           // bytes
  size_t n = 0, k = 0;
  DType x_dtype = DType::f32;
  bool packed = false;
  bool w_k_major = false;  // W stored as [k, n], BLAS's untransposed B
  bool borrow_x = false;
  Blocking blocking;  // as asked for; zeros mean automatic
  // What follows from these: see derive().
  size_t units = 0, panels = 0;                  // of depth, and of W's rows
  size_t matvec_rows = 0;                        // rows of x up to which W in place is not packed
  size_t x_panel_bytes = 0, x_single_bytes = 0;  // of a packed row of x, in a panel and single
};
static_assert(std::is_trivially_copyable_v<Plan>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_PLAN_H_

// SPDX-License-Identifier: MIT
// Gated products: the two that a feed-forward layer begins with, in one pass.
//
//   y[m, n] = activation(gate) * up      gate = x * Wg^T + bg, up = x * Wu^T + bu, element by
//   element
//
// Sums of gate stay in a worker's cache until those of up are there, so that only y is written.
//
// Bits. As Matmul's: the same for any parts and, with packed weights, for any m.
#ifndef TESSERA_PLAN_GATED_H_
#define TESSERA_PLAN_GATED_H_

#include <cstddef>
#include <span>

#include "tessera/base/status.h"
#include "tessera/core/epilogue.h"
#include "tessera/core/partition.h"
#include "tessera/core/view.h"
#include "tessera/plan/matmul.h"

namespace tessera::inline v0_1 {

struct GatedEpilogue {
  const float* gate_bias = nullptr;  // [n], null for none
  const float* up_bias = nullptr;    // [n]
  Gating gating = {};
};

/// A plan: immutable, copyable, owns nothing; refers to the bytes of both W. Safe to share between
/// threads.
class GatedMatmul {
 public:
  /// An empty plan: every call on it returns `wrong_plan`.
  GatedMatmul() noexcept = default;

  /// Of two plans for W of one shape, which may be of other formats. Errors: wrong_plan (a plan is
  /// empty or has no weights), shape_mismatch (n, k).
  static Result<GatedMatmul> plan(const Matmul& gate, const Matmul& up) noexcept;

  /// As Matmul's. x is packed once if the plans share packed x (then the pack() of either does for
  /// this one, too), else for each.
  size_t packed_x_bytes(size_t m) const noexcept;
  size_t worker_bytes(size_t m) const noexcept;
  PartCounts parts(size_t m, size_t workers) const noexcept;
  Status check(const MatView& x, const MutMatView& y, const GatedEpilogue& = {}) const noexcept;
  Status pack(const MatView& x, std::span<std::byte> packed_x, Part = {}) const noexcept;

  /// Computes this part of y[m, n]. Errors: those of Matmul::run.
  Status run(std::span<const std::byte> packed_x, const MutMatView& y, std::span<std::byte> worker,
             const GatedEpilogue& = {}, Part = {}) const noexcept;

  const Matmul& gate() const noexcept { return gate_; }
  const Matmul& up() const noexcept { return up_; }

 private:
  GatedMatmul(const Matmul& gate, const Matmul& up) noexcept : gate_(gate), up_(up) {}
  Matmul gate_, up_;
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_GATED_H_

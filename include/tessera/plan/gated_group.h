// SPDX-License-Identifier: MIT
// Gated grouped products: the two that a mixture of experts begins with, in one pass.
//
//   y[pair.y] = factor * activation(gate) * up      for each pair of each group
//   gate = x[pair.x] * Wg[expert]^T + bg[expert], up = x[pair.x] * Wu[expert]^T + bu[expert]
//
// As GatedMatmul, for the groups of GroupedMatmul: rows of x are gathered once for both products,
// and sums of gate stay in a worker's cache.
//
// Bits. As GroupedMatmul's.
#ifndef TESSERA_PLAN_GATED_GROUP_H_
#define TESSERA_PLAN_GATED_GROUP_H_

#include <cstddef>
#include <span>

#include "tessera/base/status.h"
#include "tessera/core/partition.h"
#include "tessera/core/view.h"
#include "tessera/plan/gated.h"
#include "tessera/plan/group.h"

namespace tessera::inline v0_1 {

/// Biases of each expert, [experts, n]: bias_stride floats from one expert's to the next one's; 0:
/// they share them.
struct GatedGroupEpilogue : GatedEpilogue {
  size_t bias_stride = 0;
};

/// A plan: immutable, copyable, owns nothing; refers to the bytes of all experts. Safe to share
/// between threads.
class GatedGroupedMatmul {
 public:
  /// An empty plan: every call on it returns `wrong_plan`.
  GatedGroupedMatmul() noexcept = default;

  /// Of two plans for as many experts of one shape, which may be of other formats. Errors:
  /// wrong_plan (a plan is empty), shape_mismatch (n, k, experts, chosen).
  static Result<GatedGroupedMatmul> plan(const GroupedMatmul& gate,
                                         const GroupedMatmul& up) noexcept;

  /// As GroupedMatmul's. x is packed once if the plans share packed x (then the pack() of either
  /// does for this one, too), else for each.
  size_t packed_x_bytes(size_t tokens) const noexcept;
  size_t worker_bytes(size_t tokens) const noexcept;
  Status pack(const MatView& x, std::span<std::byte> packed_x, Part = {}) const noexcept;

  /// As GroupedMatmul::check, also in what it reads and costs.
  Status check(const MatView& x, std::span<const ExpertRows> groups, const MutMatView& y,
               const GatedGroupEpilogue& = {}) const noexcept;

  /// Computes this part of all groups. Errors: those of GroupedMatmul::run.
  Status run(std::span<const std::byte> packed_x, size_t tokens, std::span<const ExpertRows> groups,
             const MutMatView& y, std::span<std::byte> worker, const GatedGroupEpilogue& = {},
             Part = {}) const noexcept;

  const GroupedMatmul& gate() const noexcept { return gate_; }
  const GroupedMatmul& up() const noexcept { return up_; }

 private:
  GatedGroupedMatmul(const GroupedMatmul& gate, const GroupedMatmul& up) noexcept
      : gate_(gate), up_(up) {}
  GroupedMatmul gate_, up_;
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_GATED_GROUP_H_

// SPDX-License-Identifier: MIT
// Grouped products, for mixtures of experts: one call multiplies scattered rows of x with the
// weights of those experts that they chose.
//
//   y[pair.y] = factor * epilogue(x[pair.x] * W[expert]^T)      for each pair of each group
//
// x is packed once for each token, before it is known which experts it goes to; an expert without
// rows costs nothing; parts cut the whole work, the columns of all experts and, where an expert has
// many rows, those too, so that no thread waits for the one whose expert has the most rows.
//
// Bits. Each row of y has the same bits for any groups, any order and any parts; with packed
// weights, those of Matmul with that expert's weights.
#ifndef TESSERA_PLAN_GROUP_H_
#define TESSERA_PLAN_GROUP_H_

#include <cstddef>
#include <span>

#include "tessera/base/status.h"
#include "tessera/core/epilogue.h"
#include "tessera/core/partition.h"
#include "tessera/core/view.h"
#include "tessera/plan/matmul.h"

namespace tessera::inline v0_1 {

/// The weights of `count` experts, all of one shape and format.
struct Experts {
  MatView first;  // [n, k], where they lie
  size_t count = 0;
  size_t stride = 0;  // bytes from one expert's first row to the next one's
};

/// The rows that one expert multiplies.
struct ExpertRows {
  size_t expert = 0;
  std::span<const RowPair> pairs;
  const float* factors = nullptr;  // [pairs.size()], the gates of the rows; null: 1
};

/// Floats from one expert's bias and column scales to the next one's; 0: they share them.
struct GroupEpilogue : Epilogue {
  size_t bias_stride = 0;
  size_t column_scale_stride = 0;
};

/// The plan as a plain value.
struct GroupPlan {
  Plan plan;  // of the first expert
  size_t experts = 0;
  size_t stride = 0;  // bytes from one expert's weights, or panels, to the next one's
  size_t chosen = 1;  // experts that a token goes to
  // Of a run that takes rows of x as panels, for as many rows as are ever gathered at once.
  size_t worker_bytes = 0;
};

/// A plan: immutable, copyable, owns nothing; refers to the bytes of all experts. Safe to share
/// between threads.
class GroupedMatmul {
 public:
  /// An empty plan: every call on it returns `wrong_plan`.
  GroupedMatmul() noexcept = default;

  /// For tokens that go to `chosen` experts each. Where weights lie in place, that and the number
  /// of tokens decide how x is packed: so many rows an expert are expected, and any other number is
  /// as right. Errors: those of Matmul::plan; group_out_of_range (chosen is 0 or above count).
  /// Cost: some microseconds.
  static Result<GroupedMatmul> plan(const Experts& experts, size_t chosen, DType x_dtype,
                                    const PlanOptions& = {}) noexcept;

  /// Bytes of all experts as panels.
  size_t packed_w_bytes() const noexcept;
  /// As Matmul::pack_weights, for all experts.
  Status pack_weights(std::span<std::byte> panels, Part = {}) const noexcept;
  Result<GroupedMatmul> with_packed(std::span<const std::byte> panels) const noexcept;

  /// Bytes of x packed for so many tokens, whatever they choose; 0 if that would overflow.
  size_t packed_x_bytes(size_t tokens) const noexcept;
  /// Bytes of private memory that each concurrent run() needs for so many tokens, a multiple of
  /// kScratchAlign.
  size_t worker_bytes(size_t tokens) const noexcept;

  /// True if x packed by one plan can be run by the other (gate and up: pack once, run both).
  bool shares_packed_x(const GroupedMatmul& other) const noexcept;

  /// As Matmul::check: what pack() of this x and run() of these groups into this y would refuse,
  /// buffers and parts aside. Reads the lists of groups and their pairs, all of them, and no data;
  /// whoever has no groups yet passes none, and of all errors only those of the lists are left to
  /// run(). Cost: a few comparisons, and one pass over all pairs, as run() makes.
  Status check(const MatView& x, std::span<const ExpertRows> groups, const MutMatView& y,
               const GroupEpilogue& = {}) const noexcept;

  /// As Matmul::pack: x[tokens, k], each row once.
  Status pack(const MatView& x, std::span<std::byte> packed_x, Part = {}) const noexcept;

  /// Computes this part of all groups. `tokens` is x.rows as it was packed. No two pairs may name
  /// the same row of y; rows that no pair names are left as they are. Cost: a pass over all pairs,
  /// and the products. Errors: those of Matmul::run; group_out_of_range (an expert, a row of x or
  /// of y that there is none of), null_data (groups, pairs), size_overflow (groups).
  Status run(std::span<const std::byte> packed_x, size_t tokens, std::span<const ExpertRows> groups,
             const MutMatView& y, std::span<std::byte> worker, const GroupEpilogue& = {},
             Part = {}) const noexcept;

  const GroupPlan& value() const noexcept { return plan_; }

 private:
  explicit GroupedMatmul(const GroupPlan& plan) noexcept : plan_(plan) {}
  GroupPlan plan_;
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_GROUP_H_

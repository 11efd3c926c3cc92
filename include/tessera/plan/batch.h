// SPDX-License-Identifier: MIT
// Batched products: equal products at strides in one call, such as the heads of attention.
//
//   y[i] = epilogue(x[i] * W[i]^T)      for each i < count
//
// The rows of x[i] and y[i] may have two strides, so that all heads that share keys are rows of one
// product, [tokens, heads], and W[i] is read and packed once for them.
//
// Bits. Each product has the bits that Matmul gives it, for any parts.
#ifndef TESSERA_PLAN_BATCH_H_
#define TESSERA_PLAN_BATCH_H_

#include <cstddef>
#include <span>

#include "tessera/base/status.h"
#include "tessera/core/epilogue.h"
#include "tessera/core/partition.h"
#include "tessera/core/view.h"
#include "tessera/plan/matmul.h"

namespace tessera::inline v0_1 {

/// Equal matrices of outer * inner.rows rows each. Row r of the i-th starts at
///   inner.data + i * stride + r / inner.rows * outer_stride + r % inner.rows * inner.row_stride
template <class View>
struct BatchOf {
  View inner;
  size_t stride = 0;  // bytes from one matrix to the next
  size_t outer = 1;
  size_t outer_stride = 0;  // bytes
};
using BatchView = BatchOf<MatView>;
using MutBatchView = BatchOf<MutMatView>;

/// A plan: immutable, copyable, owns nothing; refers to the bytes of all W, which must outlive it.
/// Safe to share between threads.
class BatchedMatmul {
 public:
  /// An empty plan: every call on it returns `wrong_plan`.
  BatchedMatmul() noexcept = default;

  /// `count` products like `first`, each W (or its panels, if `first` is packed) so many bytes
  /// after the one before. Cost: none. Errors: wrong_plan (`first` is empty or has no weights yet),
  /// size_overflow.
  static Result<BatchedMatmul> plan(const Matmul& first, size_t count, size_t w_stride) noexcept;

  /// Bytes of all x packed for m rows each; 0 if that would overflow.
  size_t packed_x_bytes(size_t m) const noexcept;
  /// As Matmul::worker_bytes: a worker computes one product after another.
  size_t worker_bytes(size_t m) const noexcept { return first_.worker_bytes(m); }
  /// As Matmul::parts, for all products.
  PartCounts parts(size_t m, size_t workers) const noexcept;

  /// As Matmul::check: what pack() of this x and run() into this y would refuse, buffers and parts
  /// aside; also x and y of different outer * inner.rows. Reads no data. Cost: some tens of
  /// nanoseconds.
  Status check(const BatchView& x, const MutBatchView& y, const Epilogue& = {}) const noexcept;

  /// As Matmul::pack: one Part over the rows of all x. Where a plan borrows x, only x with one
  /// stride is read where it lies. Errors: those of Matmul::pack.
  Status pack(const BatchView& x, std::span<std::byte> packed_x, Part = {}) const noexcept;

  /// As Matmul::run: one Part over all products and their rectangles, so that one barrier is
  /// enough. No two rows of y may overlap. Errors: those of Matmul::run; stride_too_small also for
  /// several y in one place.
  Status run(std::span<const std::byte> packed_x, const MutBatchView& y,
             std::span<std::byte> worker, const Epilogue& = {}, Part = {}) const noexcept;

  size_t count() const noexcept { return count_; }
  /// The plan of one product.
  const Matmul& first() const noexcept { return first_; }

 private:
  BatchedMatmul(const Matmul& first, size_t count, size_t w_stride) noexcept
      : first_(first), count_(count), w_stride_(w_stride) {}
  Matmul first_;
  size_t count_ = 0, w_stride_ = 0;
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_BATCH_H_

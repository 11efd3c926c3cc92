// SPDX-License-Identifier: MIT
// The product: plan once, then pack x and run as often as you like.
//
//   y[m, n] = epilogue(x[m, k] * W[n, k]^T)      row-major; m tokens, n output features, k depth
//
// Everything that can be refused about the weights is refused by plan(), at load time. pack() and
// run() check views and buffers in a few comparisons, allocate nothing and never throw.
//
// Bits. For a given plan and m, every element of y has the same bits for any number of parts, any
// rectangle, any blocking. With packed weights also for any m: a row of x alone gives the bits it
// gives within a batch. Another target, accuracy or CPU may give other bits.
// NaN and Inf. A row of x that holds one makes its own row of y not finite (before the epilogue)
// and touches no other; one in a row of W, or in a block's scale, touches its own column only.
#ifndef TESSERA_PLAN_MATMUL_H_
#define TESSERA_PLAN_MATMUL_H_

#include <cstddef>
#include <span>

#include "tessera/base/status.h"
#include "tessera/core/epilogue.h"
#include "tessera/core/executor.h"
#include "tessera/core/partition.h"
#include "tessera/core/view.h"
#include "tessera/plan/geometry.h"
#include "tessera/plan/layout_id.h"

namespace tessera::inline v0_1 {

struct PlanOptions {
  Accuracy accuracy = Accuracy::fast;
  const char* target = nullptr;  // a name from targets(); null: default_target()
  Blocking blocking = {};        // zeros: from the cache sizes. For tests and tuning
  /// x stays as it is from pack() to the last run(), so that pack() need not copy it: rows in the
  /// format that tiles multiply (f32, or bf16 for the bf16 dot) are then read where they lie,
  /// unless their stride would have them evict each other from L1, or the target wants them side by
  /// side (SSE, 64-bit Arm). Never changes a bit of the result.
  bool borrow_x = false;
  /// Measured choices; null: those for this CPU. For tests and tuning; must outlive the plan.
  const Tuning* tuning = nullptr;
};

/// What a plan does for a given m, for people and logs.
struct Explanation {
  const char* target = "";        // "AVX3_ZEN4"
  const char* kernel = "";        // "int8 dot"
  const char* w = "";             // format of W
  const char* x = "";             // what x is packed to
  const char* path = "";          // "matvec", "matmul", ", W packed per call", ...
  const char* note = "";          // why a faster path was not taken; empty if none is known
  size_t mr = 0, nr = 0;          // tile
  size_t mc = 0, nc = 0, kc = 0;  // blocking, in rows of x, rows of W and values
  bool packed = false;            // weights are panels (else read where they lie)
  bool borrows_x = false;         // x without gaps between rows is read where it lies
  /// One line of text with all of it.
  StatusText text() const noexcept;
};

/// Into how many parts the two steps of a product are worth cutting.
struct PartCounts {
  size_t pack = 1;
  size_t run = 1;
};

/// Scratch memory of products of up to some number of rows, each piece a multiple of kScratchAlign.
struct ScratchSizes {
  size_t packed_x_bytes = 0;
  size_t worker_bytes = 0;  // of each worker
  size_t bytes = 0;         // of packed x, and behind it all workers
};

/// A plan: immutable, copyable, owns nothing; refers to the bytes of W, which must outlive it.
/// Safe to share between threads.
class Matmul {
 public:
  /// An empty plan: every call on it returns `wrong_plan`.
  Matmul() noexcept = default;
  /// The plan behind a plain value, and that value: for bindings, and for tests with kernels of
  /// their own. A value is good if value() gave it, or derive() was called on it.
  explicit Matmul(const Plan& plan) noexcept : plan_(plan) {}
  const Plan& value() const noexcept { return plan_; }

  /// Plans products with W read where it lies: any alignment, any row stride >= a row's bytes.
  /// x_dtype (f32, f16, bf16) is the format of later x. Cost: well under a microsecond.
  /// An x that an engine keeps as q8_0 or q8_1 is not taken: kernels want other blocks (f32 scales,
  /// rows side by side, sums), so it would be copied in any case. Decode it to f32, q8_0 by
  /// quantize(), and pack that: its codes come out again, as the largest of a block is 127, and
  /// scales up to their last bits. That costs 0.17 ns a value beside 0.32 for packing, less than
  /// 1 % of a product with n = 4096 (Emerald Rapids, W q8_0).
  /// Errors: unsupported_dtype, partial_block, stride_too_small, size_overflow, null_data,
  /// unknown_choice (an accuracy), unknown_target, unavailable_target.
  static Result<Matmul> plan(const MatView& w, DType x_dtype, const PlanOptions& = {}) noexcept;

  /// The same before W exists: of its shape and format. Sizes and pack() are at hand; run() and
  /// pack_weights() want weights, by over() or with_packed().
  static Result<Matmul> plan(const MatShape& w, DType x_dtype, const PlanOptions& = {}) noexcept;
  /// This plan with other weights of its shape, read where they lie. Errors: those of plan(), and
  /// shape_mismatch, unsupported_dtype (not the plan's format).
  Result<Matmul> over(const MatView& w) const noexcept;

  /// Bytes of W as panels: for block formats those of W with n rounded up to the panel height.
  size_t packed_w_bytes() const noexcept;
  /// Rearranges this part of W into `panels` (packed_w_bytes() long; aligned to 4 bytes, best to
  /// 64, in huge pages better still). Parts may run at once. Errors: wrong_plan, part_out_of_range,
  /// buffer_too_small, null_data, misaligned.
  Status pack_weights(std::span<std::byte> panels, Part = {}) const noexcept;
  /// The plan that reads `panels` (filled by pack_weights of all parts of this plan) instead of W,
  /// whose bytes it then no longer needs.
  Result<Matmul> with_packed(std::span<const std::byte> panels) const noexcept;
  /// The same for rows [first, first + rows.rows) of W, wherever they are at the moment: for
  /// loaders that read W piece by piece. The range is of whole panels (multiples of tile_cols()),
  /// or ends with W. Any plan of W's shape and format does. Errors: wrong_plan, shape_mismatch,
  /// unsupported_dtype, stride_too_small, size_overflow, null_data, rect_out_of_range,
  /// partial_block (the range), buffer_too_small, misaligned.
  Status pack_rows(const MatView& rows, size_t first, std::span<std::byte> panels) const noexcept;
  /// Back again, bit by bit: panels -> rows [first, first + rows.rows) of W, any of them, in W's
  /// format. Calls for different rows may run at once. For saving and merging, not for each token:
  /// some 4 ns for each byte. Errors as of pack_rows().
  Status unpack_rows(std::span<const std::byte> panels, size_t first,
                     const MutMatView& rows) const noexcept;
  /// What panels this plan writes and reads. Of an empty plan, zeros.
  LayoutId layout_id() const noexcept;

  /// Bytes of x packed for m rows, a multiple of kScratchAlign; 0 if that would overflow. The
  /// buffer is aligned to 4 bytes, best to kScratchAlign, as is a worker's.
  size_t packed_x_bytes(size_t m) const noexcept;
  /// The same for this x, of which data may be null: no more than kBorrowedXBytes if the plan will
  /// read it where it lies. pack() and run() then want no more either. 0 if pack() would refuse x.
  size_t packed_x_bytes(const MatView& x) const noexcept;
  /// Bytes of private memory that each concurrent run() needs for m rows, a multiple of
  /// kScratchAlign: packed x and the memory of all workers may lie end to end in one piece. Fewer
  /// rows may be blocked otherwise and need more: ask for each m, or for the most of those to come.
  size_t worker_bytes(size_t m) const noexcept;
  /// Both for the most of all m up to most_rows, and all that so many workers need. Error:
  /// wrong_plan, size_overflow (also for more than kMostScratchRows). Cost: some 30 ns for each
  /// row.
  Result<ScratchSizes> scratch(size_t most_rows, size_t workers) const noexcept;
  static constexpr size_t kMostScratchRows = size_t{1} << 20;
  /// True if x packed by one plan can be run by the other (q, k, v: pack once, run three).
  bool shares_packed_x(const Matmul& other) const noexcept;

  /// For m rows and so many workers: no more parts than workers, and fewer where handing a part to
  /// another thread (some 2 us if it is awake) would cost more than it saves. With pack == 1 the
  /// caller packs and needs no barrier. A hint: any other parts give the same bits.
  PartCounts parts(size_t m, size_t workers) const noexcept;
  /// For threads that take parts of run() from a shared counter (SharedParts) or steal them, as
  /// cores of different speed should: eight for each worker, but only as many as columns of y can
  /// be cut into, so that W is read and packed once, and none with fewer than kSmallPartProducts
  /// products, where eight rows and fewer count as eight. In parts or rectangles of so many the
  /// whole costs some 1 % more, of a quarter as many 3 % (bench/sweeps/small_parts.tsv).
  /// parts().run where that is more.
  size_t small_parts(size_t m, size_t workers) const noexcept;
  static constexpr size_t kSmallPartProducts = size_t{2} << 20;

  /// What pack() of this x and run() into this y would refuse, buffers and parts aside; also x and
  /// y of different rows. After an ok, both can only fail for those: so whether to fall back on
  /// other code can be decided alike by all threads, before any of them packs. Reads no data.
  Status check(const MatView& x, const MutMatView& y, const Epilogue& = {}) const noexcept;

  /// Converts or quantizes this part of x[m, k] into `packed_x`. All parts must be done before any
  /// run() begins: the caller's barrier. Parts may run at once.
  /// Errors: shape_mismatch, unsupported_dtype, stride_too_small, size_overflow, null_data,
  /// buffer_too_small, misaligned, part_out_of_range.
  Status pack(const MatView& x, std::span<std::byte> packed_x, Part = {}) const noexcept;

  /// Computes this part of y[m, n] (f32, f16 or bf16), m = y.rows as it was packed. y must not
  /// overlap x or W. Parts may run at once, each with its own `worker` memory. Errors:
  /// unknown_choice (an activation), shape_mismatch, unsupported_dtype, stride_too_small,
  /// size_overflow, null_data, buffer_too_small, misaligned, part_out_of_range.
  Status run(std::span<const std::byte> packed_x, const MutMatView& y, std::span<std::byte> worker,
             const Epilogue& = {}, Part = {}) const noexcept;

  /// The same for one rectangle of y, for engines with task queues. Rectangles at multiples of
  /// tile_rows(m) and tile_cols() waste nothing; others are as right. Error: rect_out_of_range.
  Status run_rect(std::span<const std::byte> packed_x, const MutMatView& y,
                  std::span<std::byte> worker, const Epilogue&, const Rect&) const noexcept;

  size_t n() const noexcept { return plan_.n; }
  size_t k() const noexcept { return plan_.k; }
  size_t tile_rows(size_t m) const noexcept;
  size_t tile_cols() const noexcept;
  Explanation explain(size_t m) const noexcept;

 private:
  Plan plan_;
};

/// y = epilogue(x W^T) in one call: plans, allocates scratch (the only place the library does, with
/// `out_of_memory` if it cannot), packs x and runs on the executor. For a product that is repeated,
/// a plan is faster. Errors: those of plan, pack and run. Thread-safe.
Status matmul(const MutMatView& y, const MatView& x, const MatView& w, const Epilogue& = {},
              Executor = serial(), const PlanOptions& = {}) noexcept;

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_MATMUL_H_

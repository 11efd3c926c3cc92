// SPDX-License-Identifier: MIT
// The product in BLAS argument order, for callers who know that one.
#ifndef TESSERA_BLAS_H_
#define TESSERA_BLAS_H_

#include <cstddef>
#include <cstdint>

#include "tessera/base/status.h"
#include "tessera/core/executor.h"

namespace tessera::inline v0_1 {
struct Kernel;
}

namespace tessera::inline v0_1::blas {

enum class Op : uint8_t { none, transpose };

/// Row-major f32: C[m, n] = alpha * op(A)[m, k] * op(B)[k, n] + beta * C. Leading dimensions count
/// elements between rows as stored: A is [m, k] or, transposed, [k, m]; B is [k, n] or [n, k].
/// As in BLAS, beta == 0 does not read C, and alpha == 0 or k == 0 does not read A or B. C must not
/// overlap A or B. Allocates scratch. Thread-safe.
/// Errors: unknown_choice (an Op), shape_mismatch (a leading dimension too small), size_overflow,
/// null_data, out_of_memory, unknown_target, unavailable_target.
Status gemm(Op op_a, Op op_b, size_t m, size_t n, size_t k, float alpha, const float* a, size_t lda,
            const float* b, size_t ldb, float beta, float* c, size_t ldc,
            Executor = serial()) noexcept;

/// The way that gemm takes with these arguments, in words: which kernel multiplies, and what is
/// turned or copied for it. alpha and beta are not 0 (and operands overlap nothing). A static
/// string.
const char* explain(Op op_a, Op op_b, size_t m, size_t n, size_t k, size_t lda, size_t ldb,
                    size_t ldc) noexcept;

namespace detail {

/// The arguments of gemm.
struct Product {
  Op op_a, op_b;
  size_t m, n, k;
  float alpha;
  const float* a;
  size_t lda;
  const float* b;
  size_t ldb;
  float beta;
  float* c;
  size_t ldc;
};

/// The kernel of gemm, null if there is none. Reading the environment for it takes as long as a
/// small product, so libtessera_cblas does that once. (Copying a Product takes as long, too, so
/// gemm_by changes the caller's.)
const Kernel* gemm_kernel() noexcept;
Status gemm_by(const Kernel*, Product&, const Executor&) noexcept;

}  // namespace detail

}  // namespace tessera::inline v0_1::blas

#endif  // TESSERA_BLAS_H_

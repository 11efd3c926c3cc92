// SPDX-License-Identifier: MIT
// Body of blas.h: op(B) is our W^T, so an untransposed B is W stored along k, which packing reads
// as it is; so is a transposed A.
#ifndef TESSERA_IMPL_BLAS_H_
#define TESSERA_IMPL_BLAS_H_

#include "tessera/blas.h"
#include "tessera/impl/matmul.h"

namespace tessera::inline v0_1::blas {
namespace detail {

inline Status check_op(Op op, const char* name) noexcept {
  if (op == Op::none || op == Op::transpose) return {};
  return v0_1::detail::error(StatusCode::unknown_choice, name, static_cast<uint64_t>(op), 0,
                             "blas::Op");
}

// The stored matrix behind op(X) with `rows` x `cols`, checked; `name` is its leading dimension's.
inline Status stored_view(Op op, size_t rows, size_t cols, const float* data, size_t ld,
                          const char* name, const char* limit, MatView& view) noexcept {
  if (op == Op::transpose) std::swap(rows, cols);
  if (ld < cols) {
    return v0_1::detail::error(StatusCode::shape_mismatch, name, ld, cols, limit);
  }
  if (ld > std::numeric_limits<size_t>::max() / sizeof(float)) {
    return v0_1::detail::error(StatusCode::size_overflow, name, rows, ld);
  }
  view = {data, rows, cols, ld * sizeof(float), DType::f32};
  return {};
}

}  // namespace detail

TESSERA_IMPL Status gemm(Op op_a, Op op_b, size_t m, size_t n, size_t k, float alpha,
                         const float* a, size_t lda, const float* b, size_t ldb, float beta,
                         float* c, size_t ldc, Executor executor) noexcept {
  if (Status s = detail::check_op(op_a, "op_a"); !s.ok()) return s;
  if (Status s = detail::check_op(op_b, "op_b"); !s.ok()) return s;
  MatView av, bv, cv;
  const bool a_turned = op_a == Op::transpose, b_turned = op_b == Op::transpose;
  if (Status s = detail::stored_view(op_a, m, k, a, lda, "lda", a_turned ? "m" : "k", av);
      !s.ok()) {
    return s;
  }
  if (Status s = detail::stored_view(op_b, k, n, b, ldb, "ldb", b_turned ? "k" : "n", bv);
      !s.ok()) {
    return s;
  }
  if (Status s = detail::stored_view(Op::none, m, n, c, ldc, "ldc", "n", cv); !s.ok()) return s;
  if (Status s = check_view(cv, "c"); !s.ok()) return s;
  if (m == 0 || n == 0) return {};
  Epilogue epilogue;
  epilogue.scale = alpha;
  epilogue.beta = beta;
  if (alpha == 0.0f) k = 0;  // A and B are not read
  if (k == 0) {
    av = {nullptr, m, 0, 0, DType::f32};
    bv = {nullptr, n, 0, 0, DType::f32};
  }
  if (Status s = check_view(av, "a"); !s.ok()) return s;
  if (Status s = check_view(bv, "b"); !s.ok()) return s;

  // The plan sees W[n, k] whichever way B is stored.
  const bool w_k_major = !b_turned && k != 0;
  Result<Plan> plan = v0_1::detail::make_plan(MatShape{n, k, DType::f32}, DType::f32, {});
  if (!plan.ok()) return plan.status();
  plan->borrow_x = true;
  *plan = v0_1::detail::over_rows(*plan, bv, w_k_major);
  if (Status s = v0_1::detail::check_rows(*plan, m); !s.ok()) return s;
  const MutMatView y{c, m, n, cv.row_stride, DType::f32};
  return v0_1::detail::run_once(*plan, y, av, a_turned && k != 0, epilogue, executor);
}

}  // namespace tessera::inline v0_1::blas

#endif  // TESSERA_IMPL_BLAS_H_

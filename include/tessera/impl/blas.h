// SPDX-License-Identifier: MIT
// Body of blas.h: op(B) is our W^T, so an untransposed B is W stored along k,
// which packing reads as it is; so is a transposed A.
#ifndef TESSERA_IMPL_BLAS_H_
#define TESSERA_IMPL_BLAS_H_

#include <utility>

#include "tessera/blas.h"
#include "tessera/impl/matmul.h"

namespace tessera::inline v0_1::blas {
namespace detail {

inline Status check_op(Op op, const char* name) noexcept {
  if (op == Op::none || op == Op::transpose) return {};
  return v0_1::detail::error(StatusCode::unknown_choice, name, static_cast<uint64_t>(op), 0,
                             "blas::Op");
}

// The stored matrix behind op(X) with `rows` x `cols`, checked; `name` is its
// leading dimension's.
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

// The kernel of small products, null if there is none (a plan then says why). The best target is
// looked up once, one that the environment names with each call.
static const Kernel* small_kernel() noexcept {
  const auto find = []() -> const Kernel* {
    const Result<const InstructionSet*> set = v0_1::detail::find_set(nullptr);
    if (!set.ok()) return nullptr;
    const Kernel* kernel = v0_1::detail::find_kernel(*set, DType::f32, Accuracy::fast);
    return kernel != nullptr && kernel->strided_product != nullptr ? kernel : nullptr;
  };
  if (v0_1::detail::environment_target() != nullptr) return find();
  static const Kernel* const best = find();
  return best;
}

// Values of k from which few rows are multiplied by dots.
inline constexpr size_t kDotDepth = 32;

// Whether C^T = op(B)^T op(A)^T is computed instead. Of few columns it has few
// rows, for which there are kernels that read the large operand where it lies;
// and what was transposed twice is then not transposed at all. C is turned back
// afterwards, which takes less than the product if each element is a sum of
// many.
constexpr bool turns(bool a_turned, bool b_turned, size_t m, size_t n, size_t k) noexcept {
  constexpr size_t kFew = 16;
  if (n <= kFew && m >= 4 * n && k >= kFew && (a_turned || k > kStridedDepth)) return true;
  if (!a_turned && n <= kMostDotRows && m >= 2 * n && k >= kDotDepth) return true;
  const bool turns_back = m <= kFew && n >= 2 * m;
  return a_turned && b_turned && n <= 64 && k > kStridedDepth && !turns_back;
}

// C[m, n] = alpha * T[n, m]^T + beta * C
inline void add_transposed(const float* t, size_t m, size_t n, float alpha, float beta, float* c,
                           size_t ldc) noexcept {
  for (size_t i = 0; i < m; ++i, c += ldc) {
    for (size_t j = 0; j < n; ++j) {
      const float value = alpha * t[j * m + i];
      c[j] = beta != 0.0f ? value + beta * c[j] : value;
    }
  }
}

// Whether dots multiply few rows of x with B transposed; over short rows they
// are slower than tiles, but for one row of x, for which packing W takes as
// long as the product.
constexpr bool takes_dots(size_t m, size_t n, size_t k) noexcept {
  return k > kStridedDepth || (k >= kDotDepth && m <= kMostDotRows) ||
         (m == 1 && k >= 16 && n >= 64);
}

constexpr Op other(Op op) noexcept { return op == Op::none ? Op::transpose : Op::none; }

// What turns() asks for, of good arguments. (Not a part of gemm(), which small calls pass through.)
TESSERA_IMPL Status turned_gemm(Op op_a, Op op_b, size_t m, size_t n, size_t k, float alpha,
                                const float* a, size_t lda, const float* b, size_t ldb, float beta,
                                float* c, size_t ldc, const Executor& executor) noexcept {
  constexpr size_t kFewValues = 1024;
  float few[kFewValues];
  float* turned = few;
  std::unique_ptr<float[]> many;
  if (m * n > kFewValues) {
    many.reset(new (std::nothrow) float[m * n]);
    turned = many.get();
  }
  if (turned == nullptr) {
    return v0_1::detail::error(StatusCode::out_of_memory, "C transposed", m * n * sizeof(float));
  }
  const Status s =
      gemm(other(op_b), other(op_a), n, m, k, 1.0f, b, ldb, a, lda, 0.0f, turned, m, executor);
  if (s.ok()) add_transposed(turned, m, n, alpha, beta, c, ldc);
  return s;
}

// Whether a vector among the operands has gaps: a row of op(A), or the columns of op(B) and C.
constexpr bool has_gaps(Op op_a, Op op_b, size_t m, size_t n, size_t lda, size_t ldb,
                        size_t ldc) noexcept {
  if (m == 1 && op_a == Op::transpose && lda != 1) return true;
  return n == 1 && ((op_b == Op::none && ldb != 1) || (m > 1 && ldc != 1));
}

// Such a product of good arguments, with copies of these vectors: leading dimensions, which decide
// by which kernel a vector is read, then do not decide about bits.
TESSERA_IMPL Status gemm_without_gaps(Op op_a, Op op_b, size_t m, size_t n, size_t k, float alpha,
                                      const float* a, size_t lda, const float* b, size_t ldb,
                                      float beta, float* c, size_t ldc,
                                      const Executor& executor) noexcept {
  const bool copies_a = m == 1 && op_a == Op::transpose, copies_b = n == 1 && op_b == Op::none;
  const bool copies_c = n == 1;
  const size_t floats = (copies_a ? k : 0) + (copies_b ? k : 0) + (copies_c ? m : 0);
  const std::unique_ptr<float[]> memory(new (std::nothrow) float[floats]);
  if (memory == nullptr) {
    return v0_1::detail::error(StatusCode::out_of_memory, "vectors", floats * sizeof(float));
  }
  float* to = memory.get();
  const auto copy = [&to](const float* from, size_t count, size_t step) {
    float* const begin = to;
    for (size_t i = 0; i < count; ++i) *to++ = from[i * step];
    return begin;
  };
  if (copies_a) a = copy(a, k, std::exchange(lda, 1));
  if (copies_b) b = copy(b, k, std::exchange(ldb, 1));
  if (!copies_c) {
    return gemm(op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, executor);
  }
  float* const y = to;
  if (beta != 0.0f) copy(c, m, ldc);
  const Status s = gemm(op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, y, 1, executor);
  for (size_t i = 0; s.ok() && i < m; ++i) c[i * ldc] = y[i];
  return s;
}

// From so many rows on, all of W is packed ahead of the product.
inline constexpr size_t kPacksWRows = 64;

// Up to so many multiplications, and values of k, a product needs no plan:
// planning takes as long. On one thread, more of them.
inline constexpr size_t kSmallProducts = size_t{64} * 64 * 64, kSmallSerial = size_t{1} << 22;
inline constexpr size_t kSmallDepth = kStridedDepth;
inline constexpr size_t kSmallDots = size_t{1} << 16;    // values of W
inline constexpr size_t kSmallRows = 4096;               // values of x
inline constexpr size_t kSmallPanel = kSmallDepth * 32;  // floats, on the stack

// Whether arguments are right and of ordinary sizes, and A and B are read.
inline bool is_ordinary(Op op_a, Op op_b, size_t m, size_t n, size_t k, float alpha, const float* a,
                        size_t lda, const float* b, size_t ldb, const float* c,
                        size_t ldc) noexcept {
  // With this, every size in bytes fits.
  constexpr size_t kMost = std::numeric_limits<size_t>::max() >> (sizeof(size_t) * 4 + 2);
  if (op_a > Op::transpose || op_b > Op::transpose || alpha == 0.0f) return false;
  if (a == nullptr || b == nullptr || c == nullptr) return false;
  if (std::min({m, n, k}) == 0 || std::max({m, n, k, lda, ldb, ldc}) > kMost) return false;
  return lda >= (op_a == Op::none ? k : m) && ldb >= (op_b == Op::none ? n : k) && ldc >= n;
}

// An ordinary product of few rows with B transposed, by dots alone, if it is
// small.
inline bool small_dots(Op op_a, size_t m, size_t n, size_t k, float alpha, const float* a,
                       size_t lda, const float* b, size_t ldb, float beta, float* c,
                       size_t ldc) noexcept {
  if (m > kMostDotRows || n * k > kSmallDots) return false;
  const Kernel* kernel = small_kernel();
  if (kernel == nullptr || kernel->matvec == nullptr) return false;
  const DotSet& dots = kernel->dot;
  if (m > dots.few_count) return false;
  DotArgs args;
  args.x = reinterpret_cast<const std::byte*>(a);
  args.x_stride = lda * sizeof(float);
  alignas(64) float rows[kSmallRows];
  if (op_a != Op::none || k % dots.values != 0) {  // x side by side, with zeros behind each row
    const size_t padded = v0_1::detail::rounded_up(k, dots.values);
    if (m * padded > kSmallRows) return false;
    const size_t row = op_a == Op::none ? lda : 1, step = op_a == Op::none ? 1 : lda;
    for (size_t i = 0; i < m; ++i) {
      float* to = rows + i * padded;
      for (size_t p = 0; p < k; ++p) to[p] = a[i * row + p * step];
      std::fill(to + k, to + padded, 0.0f);
    }
    args.x = reinterpret_cast<const std::byte*>(rows);
    args.x_stride = padded * sizeof(float);
  }
  args.w_stride = ldb * sizeof(float);
  args.k = args.end = k;
  constexpr size_t kMostWRows = 32;
  float sums[kMostDotRows * kMostWRows];
  args.out = sums;
  args.out_stride = kMostWRows;
  const size_t step = dots.few_rows[m - 1];
  for (size_t first = 0; first < n; first += step) {
    args.w = reinterpret_cast<const std::byte*>(b + first * ldb);
    args.rows = std::min(step, n - first);
    dots.few[m - 1](args);
    for (size_t i = 0; i < m; ++i) {
      float* y = c + i * ldc + first;
      for (size_t j = 0; j < args.rows; ++j) {
        const float value = alpha * sums[i * kMostWRows + j];
        y[j] = beta != 0.0f ? value + beta * y[j] : value;
      }
    }
  }
  return true;
}

// An ordinary product, if it is small; false: it is not.
inline bool small_gemm(Op op_a, Op op_b, size_t m, size_t n, size_t k, float alpha, const float* a,
                       size_t lda, const float* b, size_t ldb, float beta, float* c, size_t ldc,
                       size_t products) noexcept {
  const bool a_turned = op_a == Op::transpose, b_turned = op_b == Op::transpose;
  if (b_turned && takes_dots(m, n, k)) {
    return small_dots(op_a, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  }
  const Kernel* kernel = small_kernel();
  if (kernel == nullptr) return false;
  const bool one_tile = has_few_sums(m, n, kernel->vector_bytes / sizeof(float));
  if ((k > kSmallDepth && (b_turned || !one_tile)) || m * n > products / k) return false;
  StridedArgs args;
  args.x = reinterpret_cast<const std::byte*>(a);
  args.x_row = (a_turned ? 1 : lda) * sizeof(float);
  args.x_step = (a_turned ? lda : 1) * sizeof(float);
  args.y_row = ldc * sizeof(float);
  args.m = m;
  args.k = k;
  args.alpha = alpha;
  args.beta = beta;
  args.few_sums = one_tile;
  const auto* w = reinterpret_cast<const std::byte*>(b);
  auto* y = reinterpret_cast<std::byte*>(c);
  if (!b_turned) {
    args.w = w;
    args.w_step = ldb * sizeof(float);
    args.y = y;
    args.n = n;
    kernel->strided_product(args);
    return true;
  }
  const size_t nr = kernel->nr;
  if (nr * k > kSmallPanel || kernel->unit_values != 1) return false;
  alignas(64) float panel[kSmallPanel];
  args.w = reinterpret_cast<const std::byte*>(panel);
  args.w_step = nr * sizeof(float);
  for (size_t first = 0; first < n; first += nr) {
    const size_t end = std::min(first + nr, n);
    kernel->pack_panel({w,
                        ldb * sizeof(float),
                        false,
                        k,
                        first,
                        end,
                        {0, k},
                        reinterpret_cast<std::byte*>(panel)});
    args.y = y + first * sizeof(float);
    args.n = end - first;
    kernel->strided_product(args);
  }
  return true;
}

}  // namespace detail

TESSERA_IMPL Status gemm(Op op_a, Op op_b, size_t m, size_t n, size_t k, float alpha,
                         const float* a, size_t lda, const float* b, size_t ldb, float beta,
                         float* c, size_t ldc, Executor executor) noexcept {
  bool is_turned = false;
  if (detail::is_ordinary(op_a, op_b, m, n, k, alpha, a, lda, b, ldb, c, ldc)) {
    if (detail::has_gaps(op_a, op_b, m, n, lda, ldb, ldc)) {
      return detail::gemm_without_gaps(op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc,
                                       executor);
    }
    // A vector is stored the same way as a row and as a column.
    if (m == 1 && op_a == Op::transpose && lda == 1) op_a = Op::none, lda = k;
    if (n == 1 && op_b == Op::none && ldb == 1) op_b = Op::transpose, ldb = k;
    if (k == 1 && op_b == Op::transpose && ldb == 1) op_b = Op::none, ldb = n;
    if (n == 1 && ldc == 1 && m > 1) {
      return gemm(detail::other(op_b), detail::other(op_a), n, m, k, alpha, b, ldb, a, lda, beta, c,
                  m, executor);
    }
    is_turned = detail::turns(op_a == Op::transpose, op_b == Op::transpose, m, n, k);
    const size_t small = executor.workers > 1 ? detail::kSmallProducts : detail::kSmallSerial;
    if (!is_turned &&
        detail::small_gemm(op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, small)) {
      return {};
    }
  }
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

  if (is_turned) {
    return detail::turned_gemm(op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, executor);
  }

  // The plan sees W[n, k] whichever way B is stored.
  const bool w_k_major = !b_turned && k != 0;
  Result<Plan> plan = v0_1::detail::make_plan(MatShape{n, k, DType::f32}, DType::f32, {});
  if (!plan.ok()) return plan.status();
  plan->borrow_x = true;
  *plan = v0_1::detail::over_rows(*plan, bv, w_k_major);
  if (!detail::takes_dots(m, n, k)) plan->matvec_rows = 0;
  if (Status s = v0_1::detail::check_rows(*plan, m); !s.ok()) return s;
  const MutMatView y{c, m, n, cv.row_stride, DType::f32};
  const bool packs_w = m >= detail::kPacksWRows && choose_path(*plan, m) != Path::strided;
  return v0_1::detail::run_once(*plan, y, av, a_turned && k != 0, epilogue, executor, packs_w);
}

}  // namespace tessera::inline v0_1::blas

#endif  // TESSERA_IMPL_BLAS_H_

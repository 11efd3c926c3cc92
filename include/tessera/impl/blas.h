// SPDX-License-Identifier: MIT
// Body of blas.h: op(B) is our W^T, so an untransposed B is W stored along k, which packing reads
// as it is; so is a transposed A.
#ifndef TESSERA_IMPL_BLAS_H_
#define TESSERA_IMPL_BLAS_H_

#include <utility>

#include "tessera/blas.h"
#include "tessera/impl/blas_choice.h"
#include "tessera/impl/matmul.h"

namespace tessera::inline v0_1::blas {
namespace detail {

TESSERA_IMPL const Kernel* gemm_kernel() noexcept {
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

// ---- Ways that need no plan ---------------------------------------------------------------------

// `few`: has_few_sums of the whole product, of which this may be a part.
inline void multiply_part(const Kernel& kernel, const Product& p, Way way, bool few) noexcept {
  const bool turned = way == Way::c_in_pieces || way == Way::a_c_in_pieces;  // C^T
  const bool x_along_k = turned ? p.op_b == Op::transpose : p.op_a == Op::none;
  const size_t x_stride = turned ? p.ldb : p.lda;
  // All members at once: GCC clears memory first where some are left out, which takes 12 ns.
  const StridedArgs args{.x = reinterpret_cast<const std::byte*>(turned ? p.b : p.a),
                         .x_row = (x_along_k ? x_stride : 1) * sizeof(float),
                         .x_step = (x_along_k ? 1 : x_stride) * sizeof(float),
                         .w = reinterpret_cast<const std::byte*>(turned ? p.a : p.b),
                         .w_step = (turned ? p.lda : p.ldb) * sizeof(float),
                         .y = reinterpret_cast<std::byte*>(p.c),
                         .y_row = p.ldc * sizeof(float),
                         .m = turned ? p.n : p.m,
                         .n = turned ? p.m : p.n,
                         .k = p.k,
                         .alpha = p.alpha,
                         .beta = p.beta,
                         .sums = nullptr,
                         .sums_stride = 0,
                         .w_turned = way == Way::b_in_pieces || way == Way::a_c_in_pieces ||
                                     (way == Way::dots && p.op_b == Op::transpose),
                         .y_turned = turned,
                         .few_sums = few};
  way == Way::dots ? kernel.dots_product(args) : kernel.strided_product(args);
}

// Rows or columns of C, whichever are more, for each thread: pieces in which all ways add up a sum
// in the same order.
TESSERA_IMPL void multiply_in_parts(const Kernel& kernel, const Product& p, Way way, bool few,
                                    const Executor& executor) noexcept {
  struct Work {
    const Kernel& kernel;
    const Product& p;
    Way way;
    bool few;
    size_t parts;
  } work{kernel, p, way, few, std::min(executor.workers, p.m * p.n * p.k / (kSmallProducts / 2))};
  const auto task = [](void* argument, size_t i) {
    const Work& w = *static_cast<const Work*>(argument);
    Product part = w.p;
    const bool rows = part.m > part.n;
    const Range range = split(rows ? part.m : part.n, 64, i, w.parts);
    if (range.begin == range.end) return;
    if (rows) {
      part.m = range.end - range.begin;
      part.a += range.begin * (part.op_a == Op::none ? part.lda : 1);
      part.c += range.begin * part.ldc;
    } else {
      part.n = range.end - range.begin;
      part.b += range.begin * (part.op_b == Op::none ? 1 : part.ldb);
      part.c += range.begin;
    }
    multiply_part(w.kernel, part, w.way, w.few);
  };
  executor(work.parts, task, &work);
}

// Of any way that needs no plan.
inline void multiply_unplanned(const Kernel& kernel, const Product& p, Way way,
                               const Executor& executor) noexcept {
  const bool turned = way == Way::c_in_pieces || way == Way::a_c_in_pieces;
  const bool few = p.k >= kFewDepth && has_few_sums(turned ? p.n : p.m, turned ? p.m : p.n,
                                                    kernel.vector_bytes / sizeof(float));
  if (executor.workers > 1 && !few && p.m * p.n * p.k > kSmallProducts) {
    return multiply_in_parts(kernel, p, way, few, executor);
  }
  multiply_part(kernel, p, way, few);
}

// ---- Ways that copy -----------------------------------------------------------------------------

// So many floats on the stack if they are few, else in memory; null if there is none. At a multiple
// of 64 bytes, so that no vector lies in two lines of a cache.
class Floats {
 public:
  explicit Floats(size_t count) noexcept {
    if (count <= kFew) return;
    many_.reset(new (std::nothrow) float[count + kLine]);
    const size_t past = reinterpret_cast<uintptr_t>(many_.get()) / sizeof(float) % kLine;
    data_ = many_ == nullptr ? nullptr : many_.get() + (kLine - past) % kLine;
  }
  float* data() const noexcept { return data_; }

 private:
  static constexpr size_t kFew = 1024, kLine = 64 / sizeof(float);
  alignas(64) float few_[kFew];
  std::unique_ptr<float[]> many_;
  float* data_ = few_;
};

// Way::turned.
TESSERA_IMPL Status turned_gemm(const Kernel* kernel, const Product& p,
                                const Executor& executor) noexcept {
  const Floats memory(p.m * p.n);
  const float* t = memory.data();
  if (t == nullptr) {
    return v0_1::detail::error(StatusCode::out_of_memory, "C transposed",
                               p.m * p.n * sizeof(float));
  }
  Product turned = transposed(p, memory.data());
  if (Status s = gemm_by(kernel, turned, executor); !s.ok()) return s;
  float* c = p.c;
  for (size_t i = 0; i < p.m; ++i, c += p.ldc) {
    for (size_t j = 0; j < p.n; ++j) {
      const float value = p.alpha * t[j * p.m + i];
      c[j] = p.beta != 0.0f ? value + p.beta * c[j] : value;
    }
  }
  return {};
}

// An operand [rows, cols], or stored as [cols, rows] if it `turns`, copied to `to` as rows. Returns
// where the copy ends.
inline float* copy_operand(const Kernel& kernel, bool turns, size_t rows, size_t cols,
                           const float*& data, size_t& ld, float* to) noexcept {
  const size_t stride = copy_stride(cols);
  if (turns) {
    kernel.turn({reinterpret_cast<const std::byte*>(data), ld * sizeof(float), cols, rows,
                 reinterpret_cast<std::byte*>(to), stride * sizeof(float)});
  } else {
    for (size_t r = 0; r < rows; ++r) {
      std::memcpy(to + r * stride, data + r * ld, cols * sizeof(float));
    }
  }
  data = to;
  ld = stride;
  return to + rows * stride;
}

// Way::copied and Way::a_turned.
TESSERA_IMPL Status gemm_of_copies(const Kernel& kernel, Product& p, Way way,
                                   const Executor& executor) noexcept {
  const bool across = p.op_a == Op::transpose;  // then to be [m, k], else [k, m]
  const bool copies_a = way == Way::a_turned || across, copies_b = way == Way::copied;
  const size_t a_rows = across ? p.m : p.k, a_cols = across ? p.k : p.m;
  const size_t floats =
      (copies_a ? a_rows * copy_stride(a_cols) : 0) + (copies_b ? p.k * copy_stride(p.n) : 0);
  const Floats memory(floats);
  float* to = memory.data();
  if (to == nullptr) {
    return v0_1::detail::error(StatusCode::out_of_memory, "copies", floats * sizeof(float));
  }
  if (copies_a) {
    to = copy_operand(kernel, true, a_rows, a_cols, p.a, p.lda, to);
    p.op_a = other(p.op_a);
  }
  if (copies_b) {
    copy_operand(kernel, p.op_b == Op::transpose, p.k, p.n, p.b, p.ldb, to);
    p.op_b = Op::none;
  }
  multiply_unplanned(kernel, p, copies_b ? Way::in_place : Way::c_in_pieces, executor);
  return {};
}

// Way::gaps.
TESSERA_IMPL Status gemm_without_gaps(const Kernel* kernel, Product p,
                                      const Executor& executor) noexcept {
  const bool copies_a = p.m == 1 && p.op_a == Op::transpose;
  const bool copies_b = p.n == 1 && p.op_b == Op::none, copies_c = p.n == 1;
  const size_t floats = (copies_a ? p.k : 0) + (copies_b ? p.k : 0) + (copies_c ? p.m : 0);
  const Floats memory(floats);
  if (memory.data() == nullptr) {
    return v0_1::detail::error(StatusCode::out_of_memory, "vectors", floats * sizeof(float));
  }
  float* to = memory.data();
  const auto copy = [&to](const float* from, size_t count, size_t step) {
    float* const begin = to;
    for (size_t i = 0; i < count; ++i) *to++ = from[i * step];
    return begin;
  };
  if (copies_a) p.a = copy(p.a, p.k, std::exchange(p.lda, 1));
  if (copies_b) p.b = copy(p.b, p.k, std::exchange(p.ldb, 1));
  if (!copies_c) return gemm_by(kernel, p, executor);
  float* const c = p.c;
  const size_t ldc = std::exchange(p.ldc, 1);
  const size_t m = p.m;
  float* const y = p.c = to;
  if (p.beta != 0.0f) copy(c, m, ldc);
  const Status s = gemm_by(kernel, p, executor);
  for (size_t i = 0; s.ok() && i < m; ++i) c[i * ldc] = y[i];
  return s;
}

// ---- By a plan, with all checks -----------------------------------------------------------------

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

// From so many rows on, all of W is packed ahead of the product.
inline constexpr size_t kPacksWRows = 64;

// Way::plan, of any arguments.
TESSERA_IMPL Status planned_gemm(const Product& p, const Executor& executor) noexcept {
  if (Status s = check_op(p.op_a, "op_a"); !s.ok()) return s;
  if (Status s = check_op(p.op_b, "op_b"); !s.ok()) return s;
  MatView av, bv, cv;
  const bool a_turned = p.op_a == Op::transpose, b_turned = p.op_b == Op::transpose;
  const size_t m = p.m, n = p.n;
  if (Status s = stored_view(p.op_a, m, p.k, p.a, p.lda, "lda", a_turned ? "m" : "k", av);
      !s.ok()) {
    return s;
  }
  if (Status s = stored_view(p.op_b, p.k, n, p.b, p.ldb, "ldb", b_turned ? "k" : "n", bv);
      !s.ok()) {
    return s;
  }
  if (Status s = stored_view(Op::none, m, n, p.c, p.ldc, "ldc", "n", cv); !s.ok()) return s;
  if (Status s = check_view(cv, "c"); !s.ok()) return s;
  if (m == 0 || n == 0) return {};
  const size_t k = p.alpha == 0.0f ? 0 : p.k;  // A and B are not read
  Epilogue epilogue;
  epilogue.scale = k == 0 ? 0.0f : p.alpha;  // no product, also of an alpha that is NaN or Inf
  epilogue.beta = p.beta;
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
  if (!takes_dots(k)) plan->matvec_rows = 0;
  if (Status s = v0_1::detail::check_rows(*plan, m); !s.ok()) return s;
  const MutMatView y{p.c, m, n, cv.row_stride, DType::f32};
  const bool packs_w = m >= kPacksWRows && choose_path(*plan, m) != Path::strided;
  return v0_1::detail::run_once(*plan, y, av, a_turned && k != 0, epilogue, executor, packs_w);
}

// The way of any product, of which vectors come in the form of without_gaps().
inline Way way_of(const Kernel* kernel, Product& p) noexcept {
  if (kernel == nullptr || !is_ordinary(p)) return Way::plan;
  if (!without_gaps(p)) return Way::gaps;
  return choose_way(*kernel, p.op_a == Op::transpose, p.op_b == Op::transpose, p.m, p.n, p.k,
                    p.ldb);
}

TESSERA_IMPL Status gemm_by(const Kernel* kernel, Product& p, const Executor& executor) noexcept {
  const Way way = way_of(kernel, p);
  switch (way) {
    case Way::in_place:
    case Way::b_in_pieces:
    case Way::c_in_pieces:
    case Way::a_c_in_pieces:
    case Way::dots:
      multiply_unplanned(*kernel, p, way, executor);
      return {};
    case Way::copied:
    case Way::a_turned:
      return gemm_of_copies(*kernel, p, way, executor);
    case Way::turned:
      return turned_gemm(kernel, p, executor);
    case Way::gaps:
      return gemm_without_gaps(kernel, p, executor);
    case Way::plan:
      break;
  }
  return planned_gemm(p, executor);
}

}  // namespace detail

TESSERA_IMPL Status gemm(Op op_a, Op op_b, size_t m, size_t n, size_t k, float alpha,
                         const float* a, size_t lda, const float* b, size_t ldb, float beta,
                         float* c, size_t ldc, Executor executor) noexcept {
  detail::Product p{op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc};
  return detail::gemm_by(detail::gemm_kernel(), p, executor);
}

TESSERA_IMPL const char* explain(Op op_a, Op op_b, size_t m, size_t n, size_t k, size_t lda,
                                 size_t ldb, size_t ldc) noexcept {
  const float a = 0.0f, b = 0.0f;
  float c = 0.0f;
  detail::Product p{op_a, op_b, m, n, k, 1.0f, &a, lda, &b, ldb, 1.0f, &c, ldc};
  return detail::way_name(detail::way_of(detail::gemm_kernel(), p));
}

}  // namespace tessera::inline v0_1::blas

#endif  // TESSERA_IMPL_BLAS_H_

// SPDX-License-Identifier: MIT
// Bodies of tessera/cblas.h: each call is checked, turned into a row-major product, and that is
// blas::gemm or, of 16-bit operands, matmul.
#include "tessera/cblas.h"

#include <algorithm>
#include <atomic>
#include <initializer_list>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "pool.h"
#include "tessera/tessera.h"

namespace tessera::cblas {
namespace {

Executor threads() noexcept {
  static Pool pool;
  return pool.executor();
}

// ---- Arguments and errors -----------------------------------------------------------------------

// A product as a caller of cblas_sgemm writes it; enumerators as numbers, which may be any.
template <class T>
struct Gemm {
  int layout, trans_a, trans_b;
  int m, n, k;
  float alpha;
  const T* a;
  int lda;
  const T* b;
  int ldb;
  float beta;
  float* c;
  int ldc;
};

bool is_layout(int layout) noexcept { return layout == CblasRowMajor || layout == CblasColMajor; }
bool is_trans(int trans) noexcept { return trans >= CblasNoTrans && trans <= CblasConjTrans; }

// Whether lines (rows or columns as stored) of so many elements lie `ld` apart in an address space.
bool is_stored(int lines, int elements, int ld) noexcept {
  constexpr uint64_t kMost = std::numeric_limits<size_t>::max() / 16;
  return ld >= std::max(1, elements) &&
         static_cast<uint64_t>(lines) * static_cast<uint64_t>(ld) <= kMost;
}

bool reads_a_and_b(float alpha, int m, int n, int k) noexcept {
  return alpha != 0.0f && m != 0 && n != 0 && k != 0;
}

// The position of the first wrong argument in cblas_sgemm, or 0.
template <class T>
int wrong_argument(const Gemm<T>& g) noexcept {
  if (!is_layout(g.layout)) return 1;
  if (!is_trans(g.trans_a)) return 2;
  if (!is_trans(g.trans_b)) return 3;
  if (g.m < 0) return 4;
  if (g.n < 0) return 5;
  if (g.k < 0) return 6;
  const bool rows = g.layout == CblasRowMajor;  // a line is a row
  const auto stored = [rows](int trans, int row_count, int col_count, int ld) {
    const bool as_rows = rows == (trans == CblasNoTrans);
    return is_stored(as_rows ? row_count : col_count, as_rows ? col_count : row_count, ld);
  };
  const bool reads = reads_a_and_b(g.alpha, g.m, g.n, g.k);
  if (reads && g.a == nullptr) return 8;
  if (!stored(g.trans_a, g.m, g.k, g.lda)) return 9;
  if (reads && g.b == nullptr) return 10;
  if (!stored(g.trans_b, g.k, g.n, g.ldb)) return 11;
  if (g.c == nullptr && g.m != 0 && g.n != 0) return 13;
  if (!stored(CblasNoTrans, g.m, g.n, g.ldc)) return 14;
  return 0;
}

// To cblas_xerbla, which counts the arguments of a column-major product (tessera/cblas.h); `swaps`
// are pairs of positions that such a product exchanges.
void report(const char* routine, int layout, int position,
            std::initializer_list<std::pair<int, int>> swaps) noexcept {
  RowMajorStrg = layout == CblasRowMajor ? 1 : 0;
  if (layout == CblasRowMajor) {
    for (const auto& [a, b] : swaps) {
      if (position == a || position == b) {
        position = a + b - position;
        break;
      }
    }
  }
  cblas_xerbla(position, routine, "");
}
void report_gemm(const char* routine, int layout, int position) noexcept {
  report(routine, layout, position, {{4, 5}, {9, 11}});
}
void report_gemv(const char* routine, int layout, int position) noexcept {
  report(routine, layout, position, {{3, 4}});
}

// Arguments are right, and there is no result: memory has run out, or TESSERA_TARGET names no
// target.
void report_failure(const char* routine, const Status& status) noexcept {
  cblas_xerbla(0, routine, "%s: %s\n", routine, status.message().c_str());
}
Status no_memory(size_t bytes) noexcept {
  return detail::error(StatusCode::out_of_memory, "copy", bytes);
}

// ---- Products of matrices -----------------------------------------------------------------------

blas::Op op_of(int trans) noexcept {
  return trans == CblasNoTrans ? blas::Op::none : blas::Op::transpose;
}
size_t size_of(int size) noexcept { return static_cast<size_t>(size); }

// A column-major product is the row-major one of C^T = op(B)^T op(A)^T.
template <class T>
Gemm<T> row_major(const Gemm<T>& g) noexcept {
  if (g.layout == CblasRowMajor) return g;
  return {CblasRowMajor, g.trans_b, g.trans_a, g.n,   g.m,    g.k, g.alpha,
          g.b,           g.ldb,     g.a,       g.lda, g.beta, g.c, g.ldc};
}

// TESSERA_TARGET is read once.
Status multiply(blas::detail::Product p, const Executor& executor) noexcept {
  static const Kernel* const kernel = blas::detail::gemm_kernel();
  return blas::detail::gemm_by(kernel, p, executor);
}
// (Not by row_major, and inline: copying the arguments takes as long as a small product.)
[[gnu::always_inline]] inline Status multiply(const Gemm<float>& g,
                                              const Executor& executor) noexcept {
  const blas::Op op_a = op_of(g.trans_a), op_b = op_of(g.trans_b);
  const size_t m = size_of(g.m), n = size_of(g.n), k = size_of(g.k);
  const size_t lda = size_of(g.lda), ldb = size_of(g.ldb), ldc = size_of(g.ldc);
  if (g.layout == CblasRowMajor) {
    return multiply({op_a, op_b, m, n, k, g.alpha, g.a, lda, g.b, ldb, g.beta, g.c, ldc}, executor);
  }
  return multiply({op_b, op_a, n, m, k, g.alpha, g.b, ldb, g.a, lda, g.beta, g.c, ldc}, executor);
}

template <class T>
using Memory = std::unique_ptr<T[]>;
template <class T>
Memory<T> allocate(size_t count) noexcept {
  return Memory<T>(new (std::nothrow) T[std::max<size_t>(count, 1)]);
}

// Rows [rows, depth] of an operand that is stored so, or as columns: [depth, rows], which are
// copied.
template <class T>
struct Rows {
  Memory<T> copy;
  MatView view;

  Status make(bool as_columns, size_t rows, size_t depth, const T* data, size_t ld) noexcept {
    view = {data, rows, depth, ld * sizeof(T), dtype_of<T>()};
    if (!as_columns) return {};
    copy = allocate<T>(rows * depth);
    if (copy == nullptr) return no_memory(rows * depth * sizeof(T));
    constexpr size_t kSquare = 32;  // whose lines stay in L1
    for (size_t first = 0; first < rows; first += kSquare) {
      const size_t end = std::min(first + kSquare, rows);
      for (size_t from = 0; from < depth; from += kSquare) {
        const size_t to = std::min(from + kSquare, depth);
        for (size_t row = first; row < end; ++row) {
          for (size_t p = from; p < to; ++p) copy[row * depth + p] = data[p * ld + row];
        }
      }
    }
    view.data = copy.get();
    view.row_stride = depth * sizeof(T);
    return {};
  }
};

template <class T>
Status multiply(const Gemm<T>& as_called, const Executor& executor) noexcept {
  const Gemm<T> g = row_major(as_called);
  const size_t m = size_of(g.m), n = size_of(g.n), k = size_of(g.k), ldc = size_of(g.ldc);
  if (!reads_a_and_b(g.alpha, g.m, g.n, g.k)) {
    return blas::gemm(blas::Op::none, blas::Op::none, m, n, 0, 0.0f, nullptr, 0, nullptr, n, g.beta,
                      g.c, ldc, executor);
  }
  Rows<T> a, b;
  if (Status s = a.make(g.trans_a != CblasNoTrans, m, k, g.a, size_of(g.lda)); !s.ok()) return s;
  if (Status s = b.make(g.trans_b == CblasNoTrans, n, k, g.b, size_of(g.ldb)); !s.ok()) return s;
  const MutMatView y{g.c, m, n, ldc * sizeof(float), DType::f32};
  return matmul(y, a.view, b.view, {.scale = g.alpha, .beta = g.beta}, executor);
}

template <class T>
[[gnu::always_inline]] inline void gemm(const char* routine, const Gemm<T>& g) noexcept {
  if (const int wrong = wrong_argument(g); wrong != 0) return report_gemm(routine, g.layout, wrong);
  // Small products are for one thread: asking how many there are takes as long as the least ones.
  constexpr int64_t kSmall = 64 * 64 * 64;
  const int64_t sums = int64_t{g.m} * g.n;
  const bool small = sums <= kSmall && sums * g.k <= kSmall;
  const Executor executor = small ? serial() : threads();
  const Status s = multiply(g, executor);
  if (!s.ok()) report_failure(routine, s);
}

template <class T>
const T* as(const uint16_t* bits) noexcept {
  return reinterpret_cast<const T*>(bits);
}

// ---- A matrix and a vector ----------------------------------------------------------------------

struct Gemv {
  int layout, trans;
  int m, n;
  float alpha;
  const float* a;
  int lda;
  const float* x;
  int incx;
  float beta;
  float* y;
  int incy;
};

// The position of the first wrong argument in cblas_sgemv, or 0.
int wrong_argument(const Gemv& g) noexcept {
  if (!is_layout(g.layout)) return 1;
  if (!is_trans(g.trans)) return 2;
  if (g.m < 0) return 3;
  if (g.n < 0) return 4;
  const bool rows = g.layout == CblasRowMajor;
  if (g.a == nullptr && reads_a_and_b(g.alpha, g.m, g.n, 1)) return 6;
  if (!is_stored(rows ? g.m : g.n, rows ? g.n : g.m, g.lda)) return 7;
  if (g.x == nullptr && reads_a_and_b(g.alpha, g.m, g.n, 1)) return 8;
  if (g.incx == 0) return 9;
  if (g.y == nullptr && g.m != 0 && g.n != 0) return 11;
  if (g.incy == 0) return 12;
  return 0;
}

// Element 0 of a vector whose increment may be negative: then it is the last one in memory.
template <class T>
T* first_of(T* v, size_t count, ptrdiff_t inc) noexcept {
  return inc < 0 ? v - (static_cast<ptrdiff_t>(count) - 1) * inc : v;
}

// y[1, n] = x[1, k] * A or A^T, whose rows are stored. Vectors with gaps are copied.
Status multiply(const Gemv& g) noexcept {
  const bool turned = g.trans != CblasNoTrans;
  const size_t k = size_of(turned ? g.m : g.n), n = size_of(turned ? g.n : g.m);
  if (n == 0 || k == 0) return {};
  const blas::Op op = (g.layout == CblasRowMajor) == turned ? blas::Op::none : blas::Op::transpose;
  const float* x = g.x;
  float* y = g.y;
  Memory<float> x_copy, y_copy;
  if (g.incx != 1 && g.alpha != 0.0f) {
    x_copy = allocate<float>(k);
    if (x_copy == nullptr) return no_memory(k * sizeof(float));
    const float* from = first_of(g.x, k, g.incx);
    for (size_t i = 0; i < k; ++i) x_copy[i] = from[static_cast<ptrdiff_t>(i) * g.incx];
    x = x_copy.get();
  }
  float* const to = first_of(g.y, n, g.incy);
  if (g.incy != 1) {
    y_copy = allocate<float>(n);
    if (y_copy == nullptr) return no_memory(n * sizeof(float));
    y = y_copy.get();
    if (g.beta != 0.0f) {
      for (size_t i = 0; i < n; ++i) y[i] = to[static_cast<ptrdiff_t>(i) * g.incy];
    }
  }
  const Status s = multiply(
      {blas::Op::none, op, 1, n, k, g.alpha, x, k, g.a, size_of(g.lda), g.beta, y, n}, threads());
  if (s.ok() && g.incy != 1) {
    for (size_t i = 0; i < n; ++i) to[static_cast<ptrdiff_t>(i) * g.incy] = y[i];
  }
  return s;
}

// ---- Batches ------------------------------------------------------------------------------------

// product(i) gives the i-th of `count` good products. As many as there are threads, or more, take
// one thread each.
template <class Product>
void multiply_all(const char* routine, size_t count, const Product& product) noexcept {
  const Executor all = threads();
  struct Work {
    const char* routine;
    const Product& product;
    Executor each;
  } work{routine, product, count >= all.workers ? serial() : all};
  const auto task = [](void* argument, size_t i) {
    const Work& w = *static_cast<const Work*>(argument);
    if (const Status s = multiply(w.product(i), w.each); !s.ok()) report_failure(w.routine, s);
  };
  (count >= all.workers ? all : serial())(count, task, &work);
}

// Fortran's letter.
int trans_of(const char* letter) noexcept {
  switch (*letter) {
    case 'N':
    case 'n':
      return CblasNoTrans;
    case 'T':
    case 't':
      return CblasTrans;
    case 'C':
    case 'c':
      return CblasConjTrans;
    default:
      return 0;
  }
}

}  // namespace
}  // namespace tessera::cblas

// ---- The names ----------------------------------------------------------------------------------

extern "C" {

using tessera::bf16_t;
using tessera::f16_t;
namespace impl = tessera::cblas;

void cblas_sgemm(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int m,
                 int n, int k, float alpha, const float* a, int lda, const float* b, int ldb,
                 float beta, float* c, int ldc) {
  impl::gemm<float>("cblas_sgemm",
                    {layout, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc});
}

void cblas_sbgemm(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int m,
                  int n, int k, float alpha, const uint16_t* a, int lda, const uint16_t* b, int ldb,
                  float beta, float* c, int ldc) {
  impl::gemm<bf16_t>("cblas_sbgemm", {layout, trans_a, trans_b, m, n, k, alpha, impl::as<bf16_t>(a),
                                      lda, impl::as<bf16_t>(b), ldb, beta, c, ldc});
}

void cblas_gemm_bf16bf16f32(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b,
                            int m, int n, int k, float alpha, const uint16_t* a, int lda,
                            const uint16_t* b, int ldb, float beta, float* c, int ldc) {
  impl::gemm<bf16_t>("cblas_gemm_bf16bf16f32",
                     {layout, trans_a, trans_b, m, n, k, alpha, impl::as<bf16_t>(a), lda,
                      impl::as<bf16_t>(b), ldb, beta, c, ldc});
}

void cblas_gemm_f16f16f32(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b,
                          int m, int n, int k, float alpha, const uint16_t* a, int lda,
                          const uint16_t* b, int ldb, float beta, float* c, int ldc) {
  impl::gemm<f16_t>("cblas_gemm_f16f16f32",
                    {layout, trans_a, trans_b, m, n, k, alpha, impl::as<f16_t>(a), lda,
                     impl::as<f16_t>(b), ldb, beta, c, ldc});
}

void cblas_sgemv(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans, int m, int n, float alpha,
                 const float* a, int lda, const float* x, int incx, float beta, float* y,
                 int incy) {
  const impl::Gemv g{layout, trans, m, n, alpha, a, lda, x, incx, beta, y, incy};
  if (const int wrong = impl::wrong_argument(g); wrong != 0) {
    return impl::report_gemv("cblas_sgemv", layout, wrong);
  }
  if (const auto s = impl::multiply(g); !s.ok()) impl::report_failure("cblas_sgemv", s);
}

void cblas_sgemm_batch(CBLAS_LAYOUT layout, const CBLAS_TRANSPOSE* trans_a,
                       const CBLAS_TRANSPOSE* trans_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float** a, const int* lda, const float** b,
                       const int* ldb, const float* beta, float** c, const int* ldc,
                       int group_count, const int* group_size) {
  constexpr const char* kName = "cblas_sgemm_batch";
  const auto refuse = [layout](int position) { impl::report_gemm(kName, layout, position); };
  if (!impl::is_layout(layout)) return refuse(1);
  if (group_count < 0) return refuse(15);
  if (group_count == 0) return;
  const void* const arrays[] = {trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc};
  for (int i = 0; i < 13; ++i) {
    if (arrays[i] == nullptr) return refuse(i + 2);
  }
  if (group_size == nullptr) return refuse(16);
  const auto product = [=](int group, size_t i) {
    return impl::Gemm<float>{layout,     trans_a[group], trans_b[group], m[group],   n[group],
                             k[group],   alpha[group],   a[i],           lda[group], b[i],
                             ldb[group], beta[group],    c[i],           ldc[group]};
  };
  size_t first = 0;
  for (int group = 0; group < group_count; ++group) {  // nothing is computed if one is wrong
    if (group_size[group] < 0) return refuse(16);
    const size_t count = impl::size_of(group_size[group]);
    for (size_t i = first; i < first + count; ++i) {
      if (const int wrong = impl::wrong_argument(product(group, i)); wrong != 0) {
        return refuse(wrong);
      }
    }
    first += count;
  }
  first = 0;
  for (int group = 0; group < group_count; ++group) {
    const size_t count = impl::size_of(group_size[group]);
    impl::multiply_all(kName, count, [&](size_t i) { return product(group, first + i); });
    first += count;
  }
}

void cblas_sgemm_batch_strided(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans_a,
                               CBLAS_TRANSPOSE trans_b, int m, int n, int k, float alpha,
                               const float* a, int lda, int stride_a, const float* b, int ldb,
                               int stride_b, float beta, float* c, int ldc, int stride_c,
                               int batch_size) {
  constexpr const char* kName = "cblas_sgemm_batch_strided";
  const auto refuse = [layout](int position) { impl::report(kName, layout, position, {{4, 5}}); };
  const impl::Gemm<float> g{layout, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc};
  // Where each argument is when strides stand between.
  constexpr int kPositions[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14, 15, 16};
  if (const int wrong = impl::wrong_argument(g); wrong != 0) return refuse(kPositions[wrong]);
  if (stride_a < 0) return refuse(10);
  if (stride_b < 0) return refuse(13);
  const bool rows = layout == CblasRowMajor;
  const int64_t lines = rows ? m : n, least = lines * ldc;  // of one result
  if (stride_c < 0 || (batch_size > 1 && lines > 0 && least - ldc + (rows ? n : m) > stride_c)) {
    return refuse(17);
  }
  if (batch_size < 0) return refuse(18);
  const auto at = [](auto* p, int stride, size_t i) {
    return p == nullptr ? p : p + i * impl::size_of(stride);
  };
  impl::multiply_all(kName, impl::size_of(batch_size), [&](size_t i) {
    impl::Gemm<float> of = g;
    of.a = at(a, stride_a, i);
    of.b = at(b, stride_b, i);
    of.c = at(c, stride_c, i);
    return of;
  });
}

void sgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k,
            const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
            const float* beta, float* c, const int* ldc) {
  const impl::Gemm<float> g{CblasColMajor,
                            impl::trans_of(trans_a),
                            impl::trans_of(trans_b),
                            *m,
                            *n,
                            *k,
                            *alpha,
                            a,
                            *lda,
                            b,
                            *ldb,
                            *beta,
                            c,
                            *ldc};
  if (const int wrong = impl::wrong_argument(g); wrong != 0) {
    const int position = wrong - 1;  // there is no layout in front
    xerbla_("SGEMM ", &position, size_t{6});
    return;
  }
  if (const auto s = impl::multiply(g, impl::threads()); !s.ok()) {
    impl::report_failure("sgemm_", s);
  }
}

void sgemv_(const char* trans, const int* m, const int* n, const float* alpha, const float* a,
            const int* lda, const float* x, const int* incx, const float* beta, float* y,
            const int* incy) {
  const impl::Gemv g{
      CblasColMajor, impl::trans_of(trans), *m, *n, *alpha, a, *lda, x, *incx, *beta, y, *incy};
  if (const int wrong = impl::wrong_argument(g); wrong != 0) {
    const int position = wrong - 1;
    xerbla_("SGEMV ", &position, size_t{6});
    return;
  }
  if (const auto s = impl::multiply(g); !s.ok()) impl::report_failure("sgemv_", s);
}

}  // extern "C"

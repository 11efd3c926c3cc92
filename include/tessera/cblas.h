/* SPDX-License-Identifier: MIT */
/* The C interface of BLAS, as far as libtessera_cblas has it: products of f32 matrices and of a
 * matrix and a vector, batches of them, and products of bf16 and f16 with sums and results in f32.
 * Names and arguments are those of the reference CBLAS and, for what it lacks, of oneMKL and
 * OpenBLAS; sgemm_ and sgemv_ are Fortran's. A program that includes another cblas.h needs not
 * this one.
 *
 *   C[m, n] = alpha * op(A)[m, k] * op(B)[k, n] + beta * C      op: as it is, or transposed
 *   y = alpha * op(A)[m, n] * x + beta * y
 *
 * Sizes are int and may be 0; leading dimensions and increments count elements. With beta == 0 the
 * result is not read; with alpha == 0, A, B and x are not read. Results overlap nothing.
 *
 * Errors. As everywhere in BLAS, a wrong argument is reported and nothing is computed: CBLAS names
 * call cblas_xerbla with the number of the first wrong one, Fortran's call xerbla_. A program may
 * define both itself; those here print a line to stderr and return. Beside what BLAS refuses, a
 * null pointer to data that would be read or written is refused, and sizes that no address space
 * holds. Where memory runs out, cblas_xerbla gets the number 0 and a text.
 *
 * Threads. All calls are thread-safe. Large products are shared by threads of a pool that the
 * library starts when it first needs them: as many as TESSERA_NUM_THREADS says, or as the process
 * has CPUs. While one call has the pool, other calls compute alone. The number of threads changes
 * no bit of a result. TESSERA_TARGET chooses the instruction set (tessera/plan/targets.h);
 * both are read when they are first needed.
 */
#ifndef TESSERA_CBLAS_H_
#define TESSERA_CBLAS_H_

#include <stdint.h>

#if !defined(TESSERA_CBLAS_EXPORT) /* set where the library is compiled */
#define TESSERA_CBLAS
#elif defined(_WIN32)
#define TESSERA_CBLAS __declspec(dllexport)
#else
#define TESSERA_CBLAS __attribute__((visibility("default")))
#endif

/* NOLINTBEGIN(modernize-use-using,performance-enum-size,readability-identifier-naming) */
#ifdef __cplusplus
extern "C" {
#endif

typedef enum CBLAS_LAYOUT { CblasRowMajor = 101, CblasColMajor = 102 } CBLAS_LAYOUT;
typedef CBLAS_LAYOUT CBLAS_ORDER;
typedef enum CBLAS_TRANSPOSE {
  CblasNoTrans = 111,
  CblasTrans = 112,
  CblasConjTrans = 113 /* of real numbers, the same */
} CBLAS_TRANSPOSE;

/* ---- f32 ---------------------------------------------------------------------------------- */

TESSERA_CBLAS void cblas_sgemm(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans_a,
                               CBLAS_TRANSPOSE trans_b, int m, int n, int k, float alpha,
                               const float* a, int lda, const float* b, int ldb, float beta,
                               float* c, int ldc);
TESSERA_CBLAS void cblas_sgemv(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans, int m, int n,
                               float alpha, const float* a, int lda, const float* x, int incx,
                               float beta, float* y, int incy);

/* Groups of products of one shape each: arrays have an element for each group, and a, b, c one for
 * each product, group after group. No two results may overlap. */
TESSERA_CBLAS void cblas_sgemm_batch(CBLAS_LAYOUT layout, const CBLAS_TRANSPOSE* trans_a,
                                     const CBLAS_TRANSPOSE* trans_b, const int* m, const int* n,
                                     const int* k, const float* alpha, const float** a,
                                     const int* lda, const float** b, const int* ldb,
                                     const float* beta, float** c, const int* ldc, int group_count,
                                     const int* group_size);
/* batch_size products, so many elements apart; a stride of A or B may be 0. */
TESSERA_CBLAS void cblas_sgemm_batch_strided(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans_a,
                                             CBLAS_TRANSPOSE trans_b, int m, int n, int k,
                                             float alpha, const float* a, int lda, int stride_a,
                                             const float* b, int ldb, int stride_b, float beta,
                                             float* c, int ldc, int stride_c, int batch_size);

/* As Fortran calls them: column-major, all by address. */
TESSERA_CBLAS void sgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n,
                          const int* k, const float* alpha, const float* a, const int* lda,
                          const float* b, const int* ldb, const float* beta, float* c,
                          const int* ldc);
TESSERA_CBLAS void sgemv_(const char* trans, const int* m, const int* n, const float* alpha,
                          const float* a, const int* lda, const float* x, const int* incx,
                          const float* beta, float* y, const int* incy);

/* ---- bf16 and f16, as bits; alpha, beta and C are f32 ------------------------------------------
 * An operand that is not stored along k (op(A) transposed in row-major order, op(B) untransposed)
 * is copied first. */

/* OpenBLAS's name. */
TESSERA_CBLAS void cblas_sbgemm(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans_a,
                                CBLAS_TRANSPOSE trans_b, int m, int n, int k, float alpha,
                                const uint16_t* a, int lda, const uint16_t* b, int ldb, float beta,
                                float* c, int ldc);
/* oneMKL's names. */
TESSERA_CBLAS void cblas_gemm_bf16bf16f32(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans_a,
                                          CBLAS_TRANSPOSE trans_b, int m, int n, int k, float alpha,
                                          const uint16_t* a, int lda, const uint16_t* b, int ldb,
                                          float beta, float* c, int ldc);
TESSERA_CBLAS void cblas_gemm_f16f16f32(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE trans_a,
                                        CBLAS_TRANSPOSE trans_b, int m, int n, int k, float alpha,
                                        const uint16_t* a, int lda, const uint16_t* b, int ldb,
                                        float beta, float* c, int ldc);

/* ---- Errors ------------------------------------------------------------------------------- */

/* As the reference CBLAS: `parameter` counts the arguments of the column-major product that a
 * row-major one becomes, and RowMajorStrg, which is written with an error only, says which it was.
 */
TESSERA_CBLAS extern int RowMajorStrg;
TESSERA_CBLAS void cblas_xerbla(int parameter, const char* routine, const char* format, ...);
TESSERA_CBLAS void xerbla_(const char* routine, const int* parameter, ...);

#ifdef __cplusplus
}
#endif
/* NOLINTEND(modernize-use-using,performance-enum-size,readability-identifier-naming) */

#endif /* TESSERA_CBLAS_H_ */

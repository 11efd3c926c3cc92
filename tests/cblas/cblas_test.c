/* SPDX-License-Identifier: MIT */
/* libtessera_cblas from C99: every call against three loops in double, in both layouts, with all
 * transposes, leading dimensions above the least, alpha and beta of 0, sizes of 0, increments of
 * both signs; what BLAS says must not be read or written; and the number of each wrong argument. */
#include "tessera/cblas.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

static int failures = 0;

/* ---- Errors come here. ---- */
static int got_parameter = -1;
static char got_routine[64];

void cblas_xerbla(int parameter, const char* routine, const char* format, ...) {
  (void)format;
  got_parameter = parameter;
  snprintf(got_routine, sizeof got_routine, "%s", routine);
}
void xerbla_(const char* routine, const int* parameter, ...) {
  got_parameter = *parameter;
  snprintf(got_routine, sizeof got_routine, "%.6s", routine);
}

static void expect_nothing(const char* what) {
  if (got_parameter == -1) return;
  printf("%s: reported as argument %d of %s\n", what, got_parameter, got_routine);
  ++failures;
  got_parameter = -1;
}
static void expect(int line, int parameter, const char* routine) {
  if (got_parameter != parameter || strcmp(got_routine, routine) != 0) {
    printf("line %d: got %d of %s, not %d of %s\n", line, got_parameter, got_routine, parameter,
           routine);
    ++failures;
  }
  got_parameter = -1;
  got_routine[0] = 0;
}
#define REFUSED(parameter, routine, call) \
  do {                                    \
    call;                                 \
    expect(__LINE__, parameter, routine); \
  } while (0)

/* ---- Numbers ---- */
static unsigned seed = 20261130u;
static unsigned next(void) {
  seed = seed * 1664525u + 1013904223u;
  return seed >> 8;
}
static float number(void) { return (float)((double)next() / 8388608.0 - 1.0); }

/* Of bf16 and f16: bits in, and what they mean. */
enum type { F32, BF16, F16 };
static unsigned half_bits(enum type type) {
  return type == BF16 ? (next() & 0x80FFu) | 0x3F00u : (next() & 0x83FFu) | 0x3800u;
}
static double value(enum type type, const void* p, size_t i) {
  union {
    unsigned bits;
    float f;
  } u;
  unsigned h;
  if (type == F32) return (double)((const float*)p)[i];
  h = ((const uint16_t*)p)[i];
  if (type == BF16) {
    u.bits = h << 16;
  } else { /* exponent 14: half_bits makes no other */
    u.bits = (h & 0x8000u) << 16 | 126u << 23 | (h & 0x3FFu) << 13;
  }
  return (double)u.f;
}

struct stored {
  void* data;
  size_t lines, length, ld;
};

/* A matrix [rows, cols] as stored: NaN between its lines. */
static struct stored make(enum type type, int as_lines, int rows, int cols, int extra) {
  struct stored s;
  size_t i, j, bytes = type == F32 ? 4 : 2;
  s.lines = (size_t)(as_lines ? rows : cols);
  s.length = (size_t)(as_lines ? cols : rows);
  s.ld = s.length + (size_t)extra;
  if (s.ld == 0) s.ld = 1;
  s.data = malloc(s.lines * s.ld * bytes + 64);
  if (s.data == NULL) exit(2);
  memset(s.data, 0xFF, s.lines * s.ld * bytes);
  for (i = 0; i < s.lines; ++i) {
    for (j = 0; j < s.length; ++j) {
      if (type == F32) {
        ((float*)s.data)[i * s.ld + j] = number();
      } else {
        ((uint16_t*)s.data)[i * s.ld + j] = (uint16_t)half_bits(type);
      }
    }
  }
  return s;
}

struct problem {
  int layout, trans_a, trans_b, m, n, k, extra;
  float alpha, beta;
};

/* The sum of the products that C[i, j] is made of, and of their magnitudes. */
static double sum_of(enum type type, const struct problem* p, const struct stored* a,
                     const struct stored* b, int i, int j, double* magnitude) {
  const int a_lines = (p->layout == CblasRowMajor) == (p->trans_a == CblasNoTrans);
  const int b_lines = (p->layout == CblasRowMajor) == (p->trans_b == CblasNoTrans);
  double sum = 0;
  int q;
  *magnitude = 0;
  for (q = 0; q < p->k; ++q) {
    const size_t at_a = a_lines ? (size_t)i * a->ld + (size_t)q : (size_t)q * a->ld + (size_t)i;
    const size_t at_b = b_lines ? (size_t)q * b->ld + (size_t)j : (size_t)j * b->ld + (size_t)q;
    const double product = value(type, a->data, at_a) * value(type, b->data, at_b);
    sum += product;
    *magnitude += fabs(product);
  }
  return sum;
}

/* Whether `got` is alpha * sum + beta * old. The bound: each of k additions (fused or not: two
 * roundings), and alpha and beta with two more, move a result by 2^-24 of the magnitudes. */
static int is_right(const struct problem* p, int k, float got, double sum, double magnitude,
                    float old) {
  double want = 0, of = 0, bound;
  if (p->alpha != 0.0f) {
    want = (double)p->alpha * sum;
    of = fabs((double)p->alpha) * magnitude;
  }
  if (p->beta != 0.0f) {
    want += (double)p->beta * (double)old;
    of += fabs((double)p->beta * (double)old);
  }
  bound = (2.0 * k + 4.0) * of / 16777216.0 * 1.001;
  return fabs((double)got - want) <= bound;
}

static void describe(const char* name, const struct problem* p) {
  printf("%s layout %d trans %d %d, %d x %d x %d, alpha %g beta %g, ld + %d: ", name, p->layout,
         p->trans_a, p->trans_b, p->m, p->n, p->k, (double)p->alpha, (double)p->beta, p->extra);
}

static void compare(const char* name, enum type type, const struct problem* p,
                    const struct stored* a, const struct stored* b, const struct stored* c,
                    const float* old) {
  const int rows = p->layout == CblasRowMajor;
  const float* got = c->data;
  size_t line, at;
  for (line = 0; line < c->lines; ++line) {
    for (at = 0; at < c->ld; ++at) {
      const size_t i = line * c->ld + at;
      double magnitude, sum;
      if (at >= c->length) {
        if (memcmp(&got[i], &old[i], sizeof(float)) == 0) continue;
        describe(name, p);
        printf("written behind line %d\n", (int)line);
        ++failures;
        return;
      }
      sum = sum_of(type, p, a, b, (int)(rows ? line : at), (int)(rows ? at : line), &magnitude);
      if (is_right(p, p->k, got[i], sum, magnitude, old[i])) continue;
      describe(name, p);
      printf("line %d, element %d is %.9g, sum %.9g\n", (int)line, (int)at, (double)got[i], sum);
      ++failures;
      return;
    }
  }
}

static void check_gemm(const struct problem* p, int door) {
  static const char* const names[] = {"cblas_sgemm", "sgemm_", "cblas_gemm_bf16bf16f32",
                                      "cblas_sbgemm", "cblas_gemm_f16f16f32"};
  const enum type type = door < 2 ? F32 : door == 4 ? F16 : BF16;
  const int rows = p->layout == CblasRowMajor;
  struct stored a = make(type, rows == (p->trans_a == CblasNoTrans), p->m, p->k, p->extra);
  struct stored b = make(type, rows == (p->trans_b == CblasNoTrans), p->k, p->n, 2 * p->extra);
  struct stored c = make(F32, rows, p->m, p->n, 3 * p->extra);
  const size_t count = c.lines * c.ld;
  const int lda = (int)a.ld, ldb = (int)b.ld, ldc = (int)c.ld;
  float* old = malloc(count * sizeof(float) + 64);
  size_t i;
  if (old == NULL) exit(2);
  if (p->beta == 0.0f) {
    for (i = 0; i < count; ++i) ((float*)c.data)[i] = NAN;
  }
  if (count > 0) memcpy(old, c.data, count * sizeof(float));
  switch (door) {
    case 0:
      cblas_sgemm((CBLAS_LAYOUT)p->layout, (CBLAS_TRANSPOSE)p->trans_a, (CBLAS_TRANSPOSE)p->trans_b,
                  p->m, p->n, p->k, p->alpha, a.data, lda, b.data, ldb, p->beta, c.data, ldc);
      break;
    case 1:
      sgemm_(p->trans_a == CblasNoTrans ? "N"
             : p->trans_a == CblasTrans ? "t"
                                        : "C",
             p->trans_b == CblasNoTrans ? "n"
             : p->trans_b == CblasTrans ? "T"
                                        : "c",
             &p->m, &p->n, &p->k, &p->alpha, a.data, &lda, b.data, &ldb, &p->beta, c.data, &ldc);
      break;
    default:
      (door == 2   ? cblas_gemm_bf16bf16f32
       : door == 3 ? cblas_sbgemm
                   : cblas_gemm_f16f16f32)((CBLAS_LAYOUT)p->layout, (CBLAS_TRANSPOSE)p->trans_a,
                                           (CBLAS_TRANSPOSE)p->trans_b, p->m, p->n, p->k, p->alpha,
                                           a.data, lda, b.data, ldb, p->beta, c.data, ldc);
  }
  expect_nothing(names[door]);
  compare(names[door], type, p, &a, &b, &c, old);
  free(a.data);
  free(b.data);
  free(c.data);
  free(old);
}

static void test_gemm(void) {
  static const int sizes[][3] = {
      {1, 1, 1},    {1, 40, 33}, {3, 5, 7}, {5, 1, 70}, {13, 37, 16}, {2, 300, 65}, {300, 3, 19},
      {33, 50, 40}, {0, 3, 4},   {3, 0, 4}, {3, 4, 0},  {17, 64, 1},  {9, 129, 11}, {40, 36, 20}};
  static const float alphas[] = {1.0f, 0.0f, -0.75f}, betas[] = {0.0f, 1.0f, -1.5f};
  struct problem p;
  size_t s, i, j;
  int door;
  for (door = 0; door < 5; ++door) {
    for (p.layout = CblasRowMajor; p.layout <= CblasColMajor; ++p.layout) {
      if (door == 1 && p.layout == CblasRowMajor) continue;
      for (p.trans_a = CblasNoTrans; p.trans_a <= CblasConjTrans; ++p.trans_a) {
        for (p.trans_b = CblasNoTrans; p.trans_b <= CblasConjTrans; ++p.trans_b) {
          if (door != 0 && (p.trans_a == CblasConjTrans) != (p.trans_b == CblasConjTrans)) continue;
          for (s = 0; s < sizeof sizes / sizeof sizes[0]; ++s) {
            p.m = sizes[s][0], p.n = sizes[s][1], p.k = sizes[s][2];
            for (i = 0; i < 3; ++i) {
              for (j = 0; j < 3; ++j) {
                if (door != 0 && (i + j + s) % 3 != 0) continue; /* a third is enough */
                p.alpha = alphas[i], p.beta = betas[j];
                p.extra = (int)(next() % 3);
                check_gemm(&p, door);
              }
            }
          }
        }
      }
    }
  }
}

static void test_gemv(void) {
  static const int sizes[][2] = {{1, 1}, {1, 50}, {50, 1}, {7, 9}, {33, 140}, {140, 33}};
  static const int incs[] = {1, 2, -1, -3};
  static const float betas[] = {0.0f, 1.0f, -1.5f};
  struct problem p = {0};
  size_t s, i, j, b;
  int fortran, element;
  for (fortran = 0; fortran < 2; ++fortran) {
    for (p.layout = CblasRowMajor; p.layout <= CblasColMajor; ++p.layout) {
      if (fortran && p.layout == CblasRowMajor) continue;
      for (p.trans_a = CblasNoTrans; p.trans_a <= CblasConjTrans; ++p.trans_a) {
        for (s = 0; s < sizeof sizes / sizeof sizes[0]; ++s) {
          for (i = 0; i < 4; ++i) {
            for (j = 0; j < 4; ++j) {
              for (b = 0; b < 3; ++b) {
                const int m = sizes[s][0], n = sizes[s][1], incx = incs[i], incy = incs[j];
                const int turned = p.trans_a != CblasNoTrans;
                const int lines = (p.layout == CblasRowMajor) != turned;
                const int length = turned ? n : m, depth = turned ? m : n;
                struct stored a = make(F32, p.layout == CblasRowMajor, m, n, (int)(next() % 3));
                struct stored x = make(F32, 1, depth, 1, abs(incx) - 1);
                struct stored y = make(F32, 1, length, 1, abs(incy) - 1);
                const int lda = (int)a.ld;
                float* old = malloc(y.lines * y.ld * sizeof(float));
                if (old == NULL) exit(2);
                p.m = m, p.n = n, p.alpha = i == 0 && j == 0 ? 0.0f : 0.75f, p.beta = betas[b];
                if (p.beta == 0.0f) {
                  for (element = 0; element < length; ++element) {
                    ((float*)y.data)[(size_t)element * y.ld] = NAN;
                  }
                }
                memcpy(old, y.data, y.lines * y.ld * sizeof(float));
                if (fortran) {
                  sgemv_(turned ? "T" : "N", &m, &n, &p.alpha, a.data, &lda, x.data, &incx, &p.beta,
                         y.data, &incy);
                } else {
                  cblas_sgemv((CBLAS_LAYOUT)p.layout, (CBLAS_TRANSPOSE)p.trans_a, m, n, p.alpha,
                              a.data, lda, x.data, incx, p.beta, y.data, incy);
                }
                expect_nothing("sgemv");
                for (element = 0; element < length; ++element) {
                  double sum = 0, magnitude = 0;
                  const size_t at = (size_t)(incy > 0 ? element : length - 1 - element) * y.ld;
                  int q;
                  for (q = 0; q < depth; ++q) {
                    const size_t in_a = lines ? (size_t)element * a.ld + (size_t)q
                                              : (size_t)q * a.ld + (size_t)element;
                    const size_t in_x = (size_t)(incx > 0 ? q : depth - 1 - q) * x.ld;
                    const double product =
                        (double)((float*)a.data)[in_a] * (double)((float*)x.data)[in_x];
                    sum += product;
                    magnitude += fabs(product);
                  }
                  if (!is_right(&p, depth, ((float*)y.data)[at], sum, magnitude, old[at])) {
                    describe("sgemv", &p);
                    printf("incx %d incy %d, y[%d] is wrong\n", incx, incy, element);
                    ++failures;
                    break;
                  }
                }
                for (element = 0; element < (int)(y.lines * y.ld); ++element) {
                  if ((size_t)element % y.ld != 0 &&
                      memcmp((float*)y.data + element, old + element, sizeof(float)) != 0) {
                    printf("sgemv wrote between the elements of y\n");
                    ++failures;
                    break;
                  }
                }
                free(a.data), free(x.data), free(y.data), free(old);
              }
            }
          }
        }
      }
    }
  }
}

/* Batches give what single calls give, bit by bit. */
static void test_batches(void) {
  enum { kCount = 7, kM = 6, kN = 21, kK = 9 };
  static float a[kCount * kM * kK], b[kCount * kK * kN], c[kCount * kM * kN], d[kCount * kM * kN];
  static float before[kCount * kM * kN];
  const float* as[kCount];
  const float* bs[kCount];
  float* cs[kCount];
  const CBLAS_TRANSPOSE ta[2] = {CblasNoTrans, CblasTrans}, tb[2] = {CblasTrans, CblasNoTrans};
  const int m[2] = {kM, kM - 1}, n[2] = {kN, kN - 2}, k[2] = {kK, kK - 3};
  const float alpha[2] = {1.0f, -2.0f}, beta[2] = {0.5f, 0.0f};
  const int lda[2] = {kK, kM}, ldb[2] = {kK, kN}, ldc[2] = {kN, kN}, size[2] = {3, 4};
  size_t i;
  for (i = 0; i < sizeof a / sizeof a[0]; ++i) a[i] = number();
  for (i = 0; i < sizeof b / sizeof b[0]; ++i) b[i] = number();
  for (i = 0; i < sizeof c / sizeof c[0]; ++i) before[i] = number();
  for (i = 0; i < kCount; ++i) {
    as[i] = a + i * kM * kK, bs[i] = b + i * kK * kN, cs[i] = c + i * kM * kN;
  }
  memcpy(c, before, sizeof c);
  memcpy(d, before, sizeof d);
  cblas_sgemm_batch(CblasRowMajor, ta, tb, m, n, k, alpha, as, lda, bs, ldb, beta, cs, ldc, 2,
                    size);
  expect_nothing("cblas_sgemm_batch");
  for (i = 0; i < kCount; ++i) {
    const int g = i >= 3;
    cblas_sgemm(CblasRowMajor, ta[g], tb[g], m[g], n[g], k[g], alpha[g], as[i], lda[g], bs[i],
                ldb[g], beta[g], d + i * kM * kN, ldc[g]);
  }
  if (memcmp(c, d, sizeof c) != 0) printf("cblas_sgemm_batch differs\n"), ++failures;

  memcpy(c, before, sizeof c);
  memcpy(d, before, sizeof d);
  cblas_sgemm_batch_strided(CblasColMajor, CblasNoTrans, CblasTrans, kM, kN, kK, 0.5f, a, kM,
                            kM * kK, b, kN, kK * kN, 1.0f, c, kM, kM * kN, kCount);
  expect_nothing("cblas_sgemm_batch_strided");
  for (i = 0; i < kCount; ++i) {
    cblas_sgemm(CblasColMajor, CblasNoTrans, CblasTrans, kM, kN, kK, 0.5f, as[i], kM, bs[i], kN,
                1.0f, d + i * kM * kN, kM);
  }
  if (memcmp(c, d, sizeof c) != 0) printf("cblas_sgemm_batch_strided differs\n"), ++failures;

  REFUSED(15, "cblas_sgemm_batch",
          cblas_sgemm_batch(CblasColMajor, ta, tb, m, n, k, alpha, as, lda, bs, ldb, beta, cs, ldc,
                            -1, size));
  REFUSED(8, "cblas_sgemm_batch",
          cblas_sgemm_batch(CblasColMajor, ta, tb, m, n, k, alpha, NULL, lda, bs, ldb, beta, cs,
                            ldc, 2, size));
  REFUSED(18, "cblas_sgemm_batch_strided",
          cblas_sgemm_batch_strided(CblasColMajor, CblasNoTrans, CblasTrans, kM, kN, kK, 0.5f, a,
                                    kM, 0, b, kN, 0, 1.0f, c, kM, kM * kN, -1));
  REFUSED(17, "cblas_sgemm_batch_strided",
          cblas_sgemm_batch_strided(CblasColMajor, CblasNoTrans, CblasTrans, kM, kN, kK, 0.5f, a,
                                    kM, 0, b, kN, 0, 1.0f, c, kM, kM * kN - 1, 2));
  REFUSED(10, "cblas_sgemm_batch_strided",
          cblas_sgemm_batch_strided(CblasColMajor, CblasNoTrans, CblasTrans, kM, kN, kK, 0.5f, a,
                                    kM, -1, b, kN, 0, 1.0f, c, kM, kM * kN, 2));
}

/* With wrong arguments, C must stay as it is: these point to one float each. */
static void test_errors(void) {
  const CBLAS_LAYOUT row = CblasRowMajor, col = CblasColMajor;
  const CBLAS_TRANSPOSE no = CblasNoTrans, yes = CblasTrans;
  const CBLAS_TRANSPOSE none = (CBLAS_TRANSPOSE)77, all = (CBLAS_TRANSPOSE)INT_MAX;
  float a = 1, b = 1, c = 5;
  const float one = 1, zero = 0;
  const int i1 = 1, i2 = 2, i0 = 0, bad = -1, least = INT_MIN, most = INT_MAX;
  const char* const gemm = "cblas_sgemm";
  const char* const gemv = "cblas_sgemv";
#define GEMM(layout, ta, tb, m, n, k, pa, lda, pb, ldb, pc, ldc) \
  cblas_sgemm(layout, ta, tb, m, n, k, 1.0f, pa, lda, pb, ldb, 0.0f, pc, ldc)
#define GEMV(layout, t, m, n, pa, lda, px, incx, py, incy) \
  cblas_sgemv(layout, t, m, n, 1.0f, pa, lda, px, incx, 0.0f, py, incy)
  REFUSED(1, gemm, GEMM((CBLAS_LAYOUT)0, no, no, 1, 1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(2, gemm, GEMM(col, none, no, 1, 1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(3, gemm, GEMM(col, no, all, 1, 1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(4, gemm, GEMM(col, no, no, -1, 1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(5, gemm, GEMM(col, no, no, 1, INT_MIN, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(6, gemm, GEMM(col, no, no, 1, 1, -1, &a, 1, &b, 1, &c, 1));
  REFUSED(9, gemm, GEMM(col, no, no, 2, 1, 1, &a, 1, &b, 1, &c, 2));
  REFUSED(9, gemm, GEMM(col, yes, no, 1, 1, 2, &a, 1, &b, 2, &c, 1));
  REFUSED(9, gemm, GEMM(col, no, no, 0, 0, 0, &a, 0, &b, 1, &c, 1));
  REFUSED(11, gemm, GEMM(col, no, no, 1, 1, 2, &a, 1, &b, 1, &c, 1));
  REFUSED(11, gemm, GEMM(col, no, yes, 1, 2, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(14, gemm, GEMM(col, no, no, 2, 1, 1, &a, 2, &b, 1, &c, 1));
  REFUSED(14, gemm, GEMM(col, no, no, 1, 1, 1, &a, 1, &b, 1, &c, -5));
  /* Row-major: m and n, lda and ldb are told as the column-major product has them. */
  REFUSED(5, gemm, GEMM(row, no, no, -1, 1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(4, gemm, GEMM(row, no, no, 1, -1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(11, gemm, GEMM(row, no, no, 1, 1, 2, &a, 1, &b, 1, &c, 1));
  REFUSED(11, gemm, GEMM(row, yes, no, 2, 1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(9, gemm, GEMM(row, no, no, 1, 2, 1, &a, 1, &b, 1, &c, 2));
  REFUSED(9, gemm, GEMM(row, no, yes, 1, 1, 2, &a, 2, &b, 1, &c, 1));
  REFUSED(14, gemm, GEMM(row, no, no, 1, 2, 1, &a, 1, &b, 2, &c, 1));
  /* Null pointers to data, and sizes that no memory has. */
  REFUSED(8, gemm, GEMM(col, no, no, 1, 1, 1, NULL, 1, &b, 1, &c, 1));
  REFUSED(10, gemm, GEMM(col, no, no, 1, 1, 1, &a, 1, NULL, 1, &c, 1));
  REFUSED(13, gemm, GEMM(col, no, no, 1, 1, 1, &a, 1, &b, 1, NULL, 1));
  REFUSED(9, gemm, GEMM(col, no, no, INT_MAX, 1, INT_MAX, &a, INT_MAX, &b, INT_MAX, &c, INT_MAX));
  REFUSED(14, gemm, GEMM(col, no, no, INT_MAX, INT_MAX, 1, &a, INT_MAX, &b, 1, &c, INT_MAX));
  GEMM(col, no, no, 1, 0, 1, NULL, 1, NULL, 1, NULL, 1);
  expect_nothing("nothing to do");

  REFUSED(1, gemv, GEMV((CBLAS_LAYOUT)103, no, 1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(2, gemv, GEMV(col, none, 1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(3, gemv, GEMV(col, no, -1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(4, gemv, GEMV(row, no, -1, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(4, gemv, GEMV(col, no, 1, -1, &a, 1, &b, 1, &c, 1));
  REFUSED(6, gemv, GEMV(col, no, 1, 1, NULL, 1, &b, 1, &c, 1));
  REFUSED(7, gemv, GEMV(col, no, 2, 1, &a, 1, &b, 1, &c, 1));
  REFUSED(7, gemv, GEMV(row, no, 1, 2, &a, 1, &b, 1, &c, 1));
  REFUSED(8, gemv, GEMV(col, no, 1, 1, &a, 1, NULL, 1, &c, 1));
  REFUSED(9, gemv, GEMV(col, no, 1, 1, &a, 1, &b, 0, &c, 1));
  REFUSED(11, gemv, GEMV(col, no, 1, 1, &a, 1, &b, 1, NULL, 1));
  REFUSED(12, gemv, GEMV(col, no, 1, 1, &a, 1, &b, 1, &c, 0));
  REFUSED(8, "cblas_sbgemm", cblas_sbgemm(col, no, no, 1, 1, 1, one, NULL, 1, NULL, 1, 0, &c, 1));
  REFUSED(14, "cblas_gemm_f16f16f32",
          cblas_gemm_f16f16f32(col, no, no, 2, 1, 1, zero, NULL, 2, NULL, 1, 0, &c, 1));

#define FGEMM(ta, tb, m, n, k, lda, ldb, ldc) \
  sgemm_(ta, tb, &m, &n, &k, &one, &a, &lda, &b, &ldb, &zero, &c, &ldc)
  REFUSED(1, "SGEMM ", FGEMM("x", "N", i1, i1, i1, i1, i1, i1));
  REFUSED(2, "SGEMM ", FGEMM("N", "", i1, i1, i1, i1, i1, i1));
  REFUSED(3, "SGEMM ", FGEMM("N", "N", bad, i1, i1, i1, i1, i1));
  REFUSED(4, "SGEMM ", FGEMM("N", "N", i1, least, i1, i1, i1, i1));
  REFUSED(5, "SGEMM ", FGEMM("N", "N", i1, i1, bad, i1, i1, i1));
  REFUSED(8, "SGEMM ", FGEMM("N", "N", i2, i1, i1, i1, i1, i2));
  REFUSED(10, "SGEMM ", FGEMM("N", "T", i1, i2, i1, i1, i1, i1));
  REFUSED(13, "SGEMM ", FGEMM("N", "N", i1, i1, i1, i1, i1, i0));
  REFUSED(8, "SGEMM ", FGEMM("N", "N", most, i1, most, most, most, most));
#define FGEMV(t, m, n, lda, incx, incy) \
  sgemv_(t, &m, &n, &one, &a, &lda, &b, &incx, &zero, &c, &incy)
  REFUSED(1, "SGEMV ", FGEMV("?", i1, i1, i1, i1, i1));
  REFUSED(2, "SGEMV ", FGEMV("N", bad, i1, i1, i1, i1));
  REFUSED(3, "SGEMV ", FGEMV("N", i1, bad, i1, i1, i1));
  REFUSED(6, "SGEMV ", FGEMV("N", i2, i1, i1, i1, i1));
  REFUSED(8, "SGEMV ", FGEMV("N", i1, i1, i1, i0, i1));
  REFUSED(11, "SGEMV ", FGEMV("N", i1, i1, i1, i1, i0));
  if (c != 5) printf("a refused call wrote C\n"), ++failures;
}

/* Threads change no bit, also those of a child that was forked after the parent's had started. */
static void test_fork(void) {
#if defined(__unix__)
  enum { kSize = 160 };
  static float a[kSize * kSize], c[kSize * kSize], d[kSize * kSize];
  size_t i;
  pid_t child;
  int status = 0;
  for (i = 0; i < sizeof a / sizeof a[0]; ++i) a[i] = number();
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, kSize, kSize, kSize, 1, a, kSize, a, kSize,
              0, c, kSize);
  fflush(stdout);
  child = fork();
  if (child < 0) return;
  if (child == 0) {
    alarm(20);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, kSize, kSize, kSize, 1, a, kSize, a, kSize,
                0, d, kSize);
    exit(memcmp(c, d, sizeof c) == 0 ? 0 : 1);
  }
  waitpid(child, &status, 0);
  if (status != 0) printf("a forked child ended with status %d\n", status), ++failures;
#endif
}

int main(void) {
  test_gemm();
  test_gemv();
  test_batches();
  test_errors();
  test_fork();
  if (failures > 0) printf("%d failures\n", failures);
  return failures > 0 ? 1 : 0;
}

/* SPDX-License-Identifier: MIT */
/* Somebody else's program over libtessera_cblas, by CBLAS's names and Fortran's. */
#include <stdio.h>
#include <tessera/cblas.h>

int main(void) {
  const float a[] = {1, 2, 3, 4, 5, 6};  /* [2, 3] */
  const float b[] = {1, 0, 0, 1, 2, -1}; /* [3, 2] */
  const float want[] = {7, -1, 16, -1};  /* [2, 2] */
  const float one = 1, zero = 0;
  const int two = 2, three = 3;
  float c[4], fortran[4];
  int i;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, 2, 2, 3, 1, a, 3, b, 2, 0, c, 2);
  /* Column-major, the same numbers are C^T = B^T A^T. */
  sgemm_("N", "N", &two, &two, &three, &one, b, &two, a, &three, &zero, fortran, &two);
  for (i = 0; i < 4; ++i) {
    if (c[i] != want[i] || fortran[i] != want[i]) {
      printf("C[%d] is %g and %g, not %g\n", i, (double)c[i], (double)fortran[i], (double)want[i]);
      return 1;
    }
  }
  return 0;
}

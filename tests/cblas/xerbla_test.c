/* SPDX-License-Identifier: MIT */
/* What cblas_xerbla and xerbla_ print where no program defines them: the argument as the caller of
 * a row-major routine wrote it, also of routines that another library has. */
#include "tessera/cblas.h"

#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int row_major, const char* routine, int parameter, int wanted) {
  static const char* const file = "xerbla_test.txt";
  char line[200] = "", right[200];
  FILE* text;
  RowMajorStrg = row_major;
  if (freopen(file, "w", stderr) == NULL) {
    ++failures;
    return;
  }
  cblas_xerbla(parameter, routine, "");
  fflush(stderr);
  text = fopen(file, "r");
  if (text == NULL || fgets(line, sizeof line, text) == NULL) line[0] = '\0';
  if (text != NULL) fclose(text);
  snprintf(right, sizeof right, "Parameter %d to routine %s was incorrect\n", wanted, routine);
  if (strcmp(line, right) == 0) return;
  printf("%s, argument %d: %s", routine, parameter, line);
  ++failures;
}

int main(void) {
  static const struct {
    const char* routine;
    int parameter, row_major;
  } kCases[] = {{"cblas_sgemm", 4, 5}, {"cblas_sgemm", 11, 9}, {"cblas_sgemm", 3, 3},
                {"cblas_sgemv", 3, 4}, {"cblas_sgemv", 5, 5},  {"cblas_sgbmv", 6, 5},
                {"cblas_ssymm", 5, 4}, {"cblas_strmm", 7, 6},  {"cblas_strmm", 4, 4},
                {"cblas_strsm", 6, 7}, {"cblas_strmv", 3, 3},  {"cblas_strmv", 4, 4},
                {"cblas_sger", 8, 6},  {"cblas_sger", 2, 3},   {"cblas_ssyrk", 4, 4},
                {"cblas_cher2", 6, 8}, {"cblas_cher2k", 6, 6}, {"cblas_chpr2", 8, 6}};
  size_t i;
  for (i = 0; i < sizeof kCases / sizeof *kCases; ++i) {
    expect(1, kCases[i].routine, kCases[i].parameter, kCases[i].row_major);
    expect(0, kCases[i].routine, kCases[i].parameter, kCases[i].parameter);
  }
  printf("%d failures\n", failures);
  return failures != 0;
}

/* SPDX-License-Identifier: MIT */
/* A program of somebody else in C: one product, and a refusal. */
#include <stdio.h>

#include "tessera/c_api.h"

int main(void) {
  const float x[] = {1, 2, 3}, w[] = {1, 2, 3, -1, 0, 2};
  float y[2] = {0, 0};
  const tessera_view xv = {x, 1, 3, 12, TESSERA_F32}, wv = {w, 2, 3, 12, TESSERA_F32};
  const tessera_mut_view yv = {y, 1, 2, 8, TESSERA_F32};
  char text[320];
  tessera_status s = tessera_matmul(&yv, &xv, &wv, NULL, NULL, NULL);
  printf("%s: %g %g, version %s\n", tessera_status_text(&s, text, sizeof text), y[0], y[1],
         tessera_version());
  if (s.code != TESSERA_OK || y[0] != 14 || y[1] != 5) return 1;
  s = tessera_matmul(&yv, &xv, NULL, NULL, NULL, NULL);
  printf("%s\n", tessera_status_text(&s, text, sizeof text));
  return s.code == TESSERA_NULL_DATA ? 0 : 1;
}

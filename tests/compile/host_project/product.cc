// SPDX-License-Identifier: MIT
#include "tessera/tessera.h"

float product();

float product() {
  const float x[] = {1.0f, 2.0f, 3.0f};
  float y[1] = {};
  const tessera::Status s = tessera::matmul(tessera::rows_of(y, 1, 1), tessera::rows_of(x, 1, 3),
                                            tessera::rows_of(x, 1, 3));
  return s.ok() ? y[0] : 0.0f;
}

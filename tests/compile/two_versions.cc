// SPDX-License-Identifier: MIT
// Two versions of the library in one program. This file is compiled three times: as main(), and
// with LIBRARY=a and LIBRARY=b, once with a macro that gives the namespace of the version another
// name.
#if defined(LIBRARY)
#include "tessera/impl.h"

#define JOIN_TOKENS(a, b) a##b
#define JOIN(a, b) JOIN_TOKENS(a, b)

/// Whether a product of integers, y[1, 3] = x[1, 4] W[3, 4]^T, is right.
__attribute__((visibility("default"))) bool JOIN(works_in_, LIBRARY)() {
  const float x[] = {1, 2, 3, 4}, w[] = {1, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1};
  float y[3] = {};
  const tessera::Status status = tessera::matmul(
      tessera::rows_of(y, 1, 3), tessera::rows_of(x, 1, 4), tessera::rows_of(w, 3, 4));
  return status.ok() && y[0] == 1 && y[1] == 6 && y[2] == 10;
}
#else
bool works_in_a();
bool works_in_b();
int main() { return works_in_a() && works_in_b() ? 0 : 1; }
#endif

// SPDX-License-Identifier: MIT
#include <cstdio>

#include "tessera/tessera.h"

float product();  // product.cc

int main() {
  const float y = product();
  std::printf("%g on %s\n", static_cast<double>(y), tessera::default_target());
  return y == 14.0f ? 0 : 1;
}

// SPDX-License-Identifier: MIT
#include <iostream>
#include <vector>

#include "tessera/tessera.h"

int main() {
  const std::vector<float> x = {1, 2, 3, 4};        // x[m=2, k=2]: two tokens
  const std::vector<float> w = {1, 0, 0, 1, 1, 1};  // W[n=3, k=2]: three output features
  std::vector<float> y(6);                          // y[m=2, n=3] = x W^T
  const tessera::Status status = tessera::matmul(
      tessera::rows_of(y, 2, 3), tessera::rows_of(x, 2, 2), tessera::rows_of(w, 3, 2));
  std::cout << status.message().c_str() << ':';
  for (float value : y) std::cout << ' ' << value;
  std::cout << '\n';  // ok: 1 2 3 3 4 7
}

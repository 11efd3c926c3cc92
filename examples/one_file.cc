// SPDX-License-Identifier: MIT
// The library as one file, which cmake/amalgamate.py makes, without a build system:
//
//   cmake/amalgamate.py -o tessera_all.h
//   c++ -std=c++20 -O2 -I. -Ihighway examples/one_file.cc highway/hwy/targets.cc
//   highway/hwy/abort.cc
//
// where `highway` is the folder of Highway's sources. Less is compiled, in seconds, with
// -DTESSERA_FORMATS=F32,Q4_0 -DTESSERA_TARGETS=AVX2.
#include <cstddef>
#include <cstdio>
#include <vector>

#define TESSERA_IMPLEMENTATION
#include "tessera_all.h"

// y[m=2, n=3] = x[m=2, k=64] W[n=3, k=64]^T with W in f32 and in q4_0. All values of a row are
// equal, and so exact in q4_0: both products are the same.
int main() {
  constexpr size_t m = 2, n = 3, k = 64;
  std::vector<float> x(m * k), w(n * k), y(m * n), y4(m * n);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(1 + i / k);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(1 + i / k) / 64;

  constexpr size_t stride = k / 32 * 18;  // bytes of a row of q4_0
  std::vector<std::byte> blocks(n * stride);
  const tessera::MatView w4{blocks.data(), n, k, stride, tessera::DType::q4_0};
  tessera::Status status = tessera::quantize(tessera::rows_of(w, n, k),
                                             {blocks.data(), n, k, stride, tessera::DType::q4_0});
  if (status.ok()) {
    status = tessera::matmul(tessera::rows_of(y, m, n), tessera::rows_of(x, m, k),
                             tessera::rows_of(w, n, k));
  }
  if (status.ok()) {
    status = tessera::matmul(tessera::rows_of(y4, m, n), tessera::rows_of(x, m, k), w4);
  }
  std::printf("%s:", status.message().c_str());
  for (float value : y) std::printf(" %g", static_cast<double>(value));
  std::printf(" on %s\n", tessera::default_target());  // ok: 1 2 3 2 4 6 on ...
  return status.ok() && y4 == y ? 0 : 1;
}

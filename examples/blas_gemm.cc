// SPDX-License-Identifier: MIT
// The product in BLAS order: C = alpha op(A) op(B) + beta C, with matrices that are parts of larger
// ones, so that their leading dimensions are more than their widths.
#include <cmath>
#include <iostream>
#include <vector>

#include "tessera/blas.h"

namespace {

using tessera::blas::Op;

constexpr size_t kM = 5, kN = 7, kK = 9;  // C[m, n], op(A)[m, k], op(B)[k, n]
constexpr size_t kLda = 11, kLdb = 12, kLdc = 10;
constexpr float kAlpha = 2.0f, kBeta = -1.0f;

// Where element [row, col] of op(matrix) is stored.
size_t place(Op op, size_t row, size_t col, size_t leading_dimension) {
  return op == Op::transpose ? col * leading_dimension + row : row * leading_dimension + col;
}

bool right(Op op_a, Op op_b) {
  std::vector<float> a(kLda * kLda), b(kLdb * kLdb), c(kM * kLdc, 3.0f);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 8) - 4;
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 6) - 2;
  const tessera::Status status = tessera::blas::gemm(op_a, op_b, kM, kN, kK, kAlpha, a.data(), kLda,
                                                     b.data(), kLdb, kBeta, c.data(), kLdc);
  if (!status.ok()) return false;
  for (size_t row = 0; row < kM; ++row) {
    for (size_t col = 0; col < kLdc; ++col) {
      float wanted = 3.0f;  // of what lies between the rows of C, nothing is touched
      if (col < kN) {
        float sum = 0.0f;
        for (size_t k = 0; k < kK; ++k) {
          sum += a[place(op_a, row, k, kLda)] * b[place(op_b, k, col, kLdb)];
        }
        wanted = kAlpha * sum + kBeta * 3.0f;
      }
      if (std::fabs(c[row * kLdc + col] - wanted) > 1e-4f) return false;
    }
  }
  return true;
}

}  // namespace

int main() {
  for (const Op op_a : {Op::none, Op::transpose}) {
    for (const Op op_b : {Op::none, Op::transpose}) {
      if (!right(op_a, op_b)) return 1;
    }
  }
  std::cout << "ok: all four\n";
}

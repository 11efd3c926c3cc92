// SPDX-License-Identifier: MIT
// Matrices as BLAS stores them, in guarded memory.
#ifndef TESSERA_TESTS_SUPPORT_STORED_H_
#define TESSERA_TESTS_SUPPORT_STORED_H_

#include <cstddef>

#include "support/guarded.h"
#include "tessera/blas.h"

namespace tessera::test {

inline constexpr blas::Op kOps[] = {blas::Op::none, blas::Op::transpose};

/// op(X)[rows, cols] as stored with a leading dimension `extra` above the least, NaN between rows,
/// flush against an unreadable page.
struct Stored {
  size_t ld, count;
  GuardedBuffer memory;
  bool turned;

  Stored(blas::Op op, size_t rows, size_t cols, size_t extra, Placement place = {})
      : ld((op == blas::Op::none ? cols : rows) + extra),
        count(rows == 0 || cols == 0
                  ? 0
                  : ((op == blas::Op::none ? rows : cols) - 1) * ld + ld - extra),
        memory(count * sizeof(float), place),
        turned(op == blas::Op::transpose) {}

  float* data() const { return reinterpret_cast<float*>(memory.data()); }
  float& at(size_t row, size_t col) const {
    return turned ? data()[col * ld + row] : data()[row * ld + col];
  }
};

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_STORED_H_

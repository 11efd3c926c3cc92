// SPDX-License-Identifier: MIT
// What the examples of thread pools multiply, and the check of what came out.
#ifndef TESSERA_EXAMPLES_POOLS_PRODUCT_H_
#define TESSERA_EXAMPLES_POOLS_PRODUCT_H_

#include <cstddef>
#include <cstdio>
#include <span>
#include <vector>

#include "tessera/tessera.h"

/// y[m, n] = x[m, k] W[n, k]^T of small integers, so that every sum is exact.
struct ExampleProduct {
  static constexpr size_t kM = 24, kN = 1000, kK = 256;
  std::vector<float> w = numbers(kN * kK, 7), x = numbers(kM * kK, 5), y;
  tessera::Matmul plan = *tessera::Matmul::plan(tessera::rows_of(w, kN, kK), tessera::DType::f32);

  ExampleProduct() : y(kM * kN) {}
  tessera::MatView x_view() const { return tessera::rows_of(x, kM, kK); }
  tessera::MutMatView y_view() { return tessera::rows_of(y, kM, kN); }

  /// The exit status of an example: 0 if `ok`, and y is right.
  int finish(bool ok) const {
    for (size_t i = 0; i < kM * kN; ++i) {
      float wanted = 0.0f;
      for (size_t k = 0; k < kK; ++k) wanted += x[i / kN * kK + k] * w[i % kN * kK + k];
      ok = ok && y[i] == wanted;
    }
    std::puts(ok ? "ok" : "WRONG");
    return ok ? 0 : 1;
  }

  static std::vector<float> numbers(size_t count, size_t period) {
    std::vector<float> out(count);
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(i % period) - 2;
    return out;
  }
};

/// Scratch memory: aligned to 64 bytes, in whole lines of as many.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : lines_((bytes + 63) / 64) {}
  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(lines_)); }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> lines_;
};

#endif  // TESSERA_EXAMPLES_POOLS_PRODUCT_H_

// SPDX-License-Identifier: MIT
// The oracle: products in double over decoded values, written to be obviously right.
#ifndef TESSERA_TESTS_SUPPORT_REFERENCE_H_
#define TESSERA_TESTS_SUPPORT_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <vector>

#include "support/matrix.h"
#include "tessera/tessera.h"

namespace tessera::test {

/// How a kernel rounds x, from Explanation::x.
inline PackedX packed_x_of(std::string_view name) {
  for (const PackedX x : {PackedX::bf16, PackedX::q8, PackedX::q8_coarse}) {
    if (name == to_string(x)) return x;
  }
  return PackedX::f32;
}

inline bool is_q8(PackedX x) { return x == PackedX::q8 || x == PackedX::q8_coarse; }

/// The least normal power of two that is not below v.
inline float power_of_two_from(float v) {
  int exponent = 0;
  const float fraction = std::frexp(std::max(v, 0x1p-126f), &exponent);
  return std::ldexp(1.0f, fraction == 0.5f ? exponent - 1 : exponent);
}

/// x as it enters the product: itself; rounded to bf16; or in blocks of 32 along k with
/// scale = max|x| / 127 (if coarse, the next power of two) and code = x * (1 / scale) rounded,
/// halves away from zero, all of it in f32.
inline std::vector<double> rounded_x(const Matrix& x, PackedX how) {
  std::vector<double> out = x.value;
  if (how == PackedX::bf16) {
    for (double& v : out) v = static_cast<double>(to_float(to_bf16(static_cast<float>(v))));
  }
  if (!is_q8(how)) return out;
  for (size_t row = 0; row < x.rows; ++row) {
    for (size_t begin = 0; begin < x.cols; begin += 32) {
      double* block = out.data() + row * x.cols + begin;
      float max = 0;
      for (size_t i = 0; i < 32; ++i) max = std::max(max, std::fabs(static_cast<float>(block[i])));
      float scale = max / 127.0f;
      if (how == PackedX::q8_coarse) scale = power_of_two_from(scale);
      const float inverse = 1.0f / scale;
      for (size_t i = 0; i < 32; ++i) {
        const float scaled = static_cast<float>(block[i]) * inverse;
        // A block of zeros, or of values so tiny that the inverse is infinite, is rounded to zeros.
        block[i] = std::isfinite(inverse)
                       ? static_cast<double>(scale) * static_cast<double>(std::roundf(scaled))
                       : 0.0;
      }
    }
  }
  return out;
}

/// x W^T, [m, n], and beside each element what the bound of tolerance.h needs to know of it.
struct Expected {
  size_t m = 0, n = 0, k = 0;
  PackedX x = PackedX::f32;
  std::vector<double> value;      // sum of w * x
  std::vector<double> magnitude;  // sum of |w| * |x|, |w| by the parts in which it enters
  double largest_x = 0, largest_w = 0;
};

inline Expected reference_product(const Matrix& x, const Matrix& w, PackedX how) {
  Expected e{x.rows, w.rows, x.cols, how, {}, {}};
  e.value.resize(e.m * e.n);
  e.magnitude.resize(e.m * e.n);
  const std::vector<double> used_x = rounded_x(x, how);
  const std::vector<double>& magnitude = is_q8(how) ? w.magnitude_q8 : w.magnitude;
  for (size_t i = 0; i < e.m; ++i) {
    for (size_t j = 0; j < e.n; ++j) {
      double sum = 0, sum_of_magnitudes = 0;
      for (size_t p = 0; p < e.k; ++p) {
        sum += used_x[i * e.k + p] * w.value[j * e.k + p];
        sum_of_magnitudes += std::fabs(used_x[i * e.k + p]) * magnitude[j * e.k + p];
      }
      e.value[i * e.n + j] = sum;
      e.magnitude[i * e.n + j] = sum_of_magnitudes;
    }
  }
  for (const double v : used_x) e.largest_x = std::max(e.largest_x, std::fabs(v));
  for (const double v : magnitude) e.largest_w = std::max(e.largest_w, v);
  return e;
}

/// The activations in double.
inline double activate(Activation a, double v) {
  switch (a) {
    case Activation::none:
      return v;
    case Activation::relu:
      return v > 0 || std::isnan(v) ? v : 0.0;
    case Activation::silu:
      return v / (1.0 + std::exp(-v));
    case Activation::gelu: {
      const double z = std::sqrt(2.0 / 3.14159265358979323846) * (v + 0.044715 * v * v * v);
      return v / (1.0 + std::exp(-2.0 * z));
    }
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_REFERENCE_H_

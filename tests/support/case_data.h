// SPDX-License-Identifier: MIT
// What a random case multiplies: x, W, bias and old y, made from its seed.
#ifndef TESSERA_TESTS_SUPPORT_CASE_DATA_H_
#define TESSERA_TESTS_SUPPORT_CASE_DATA_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <limits>
#include <vector>

#include "support/case_products.h"
#include "support/guarded.h"
#include "support/matrix.h"
#include "support/random_case.h"

namespace tessera::test {

/// x[m, k] and W[n, k], finite, beside the same with NaN and Inf where the case wants some, and all
/// of the epilogue.
class CaseData {
 public:
  explicit CaseData(const RandomCase& c)
      : bad_row(c.m),
        bad_col(c.n),
        bias_(c.has_bias ? c.n * sizeof(float) : 0),
        row_scale_(c.has_row_scale ? c.m * sizeof(float) : 0),
        column_scale_(c.has_column_scale ? c.n * sizeof(float) : 0) {
    Rng rng(c.seed);
    fill(c, rng);
    poisoned_x_ = x;
    poisoned_w_ = w;
    if (c.values == Values::poisoned_x) poison_x(rng);
    if (c.values == Values::poisoned_w) poison_w(rng);
    // gemm reads neither A nor B then.
    if (c.door == Door::gemm && c.epilogue.scale == 0) clear_poison();

    const bool exact = c.values == Values::exact || c.values == Values::largest;
    epilogue = c.epilogue;
    if (c.has_bias) {
      epilogue.bias = fill(bias_, c.n, [&] {
        return exact ? static_cast<float>(rng.between(-4000, 4000)) : rng.uniform(-3, 3);
      });
    }
    const auto scale = [&] {
      return exact ? static_cast<float>(2 * rng.between(0, 1) - 1) : rng.uniform(-2, 2);
    };
    if (c.has_row_scale) {  // all products of a batch have the same ones
      std::vector<float> scales(product_rows(c));
      for (float& s : scales) s = scale();
      epilogue.row_scale = fill(row_scale_, c.m, [&scales, row = size_t{0}]() mutable {
        return scales[row++ % scales.size()];
      });
    }
    if (c.has_column_scale) epilogue.column_scale = fill(column_scale_, c.n, scale);
    if (epilogue.beta == 0) return;
    old_y.resize(c.m * c.n);
    for (float& y : old_y) {
      y = exact ? static_cast<float>(rng.between(-127, 127)) * 16.0f  // whatever y is
                : rounded_to(c.setup.y, rng.uniform(-3, 3));
    }
  }

  Matrix x, w;                         // finite
  std::vector<char> bad_row, bad_col;  // of y, by NaN or Inf in x or W
  Epilogue epilogue;
  std::vector<float> old_y;  // [m, n]; empty if beta is 0, where y holds NaN at first

  bool is_poisoned() const { return poisoned_; }
  /// As multiplied.
  const Matrix& used_x() const { return poisoned_x_; }
  const Matrix& used_w() const { return poisoned_w_; }
  const std::vector<float>* old() const { return old_y.empty() ? nullptr : &old_y; }

 private:
  /// Numbers in memory that nobody writes any more.
  template <class Next>
  static const float* fill(GuardedBuffer& buffer, size_t count, Next&& next) {
    for (size_t i = 0; i < count; ++i) {
      const float value = next();
      std::memcpy(buffer.data() + i * sizeof(value), &value, sizeof(value));
    }
    buffer.make_read_only();
    return reinterpret_cast<const float*>(buffer.data());
  }
  void fill(const RandomCase& c, Rng& rng) {
    const Setup& s = c.setup;
    if (c.values == Values::exact || c.values == Values::largest) {
      const bool largest = c.values == Values::largest;
      w = exact_weights(s.w, c.n, c.k, rng, largest);
      x = exact_x(s.x, c.m, c.k, rng, largest);
    } else if (c.values == Values::extreme) {
      constexpr float kSizes[] = {0x1p-22f, 0x1p-16f, 1.0f, 0x1p13f};
      w = random_weights(s.w, c.n, c.k, rng, one_of(rng, kSizes));
      x = extreme_x(s.x, c.m, c.k, rng);
    } else {
      w = random_weights(s.w, c.n, c.k, rng);
      x = random_x(s.x, c.m, c.k, rng);
    }
    if (c.n > 0 && rng.below(4) == 0) {  // a row of zeros: 0 * Inf is no number either
      const Matrix zeros = encode(s.w, 1, c.k, std::vector<float>(c.k));
      std::copy(zeros.bytes.begin(), zeros.bytes.end(), w.row(rng.below(c.n)));
      decode(w);
    }
  }

  /// From the subnormals of f32, where the inverse of a block's scale is infinite, up to the
  /// largest size of these that the format holds.
  static Matrix extreme_x(DType t, size_t rows, size_t cols, Rng& rng) {
    constexpr float kSizes[] = {0x1p-149f, 0x1p-135f, 0x1p-126f, 0x1p-120f,
                                0x1p-24f,  0x1p7f,    0x1p90f};
    constexpr int kMost = 200;
    size_t count = std::size(kSizes);
    while (!std::isfinite(encode(t, 1, 1, {kMost * kSizes[count - 1]}).value[0])) --count;
    const float size = kSizes[rng.below(count)];
    std::vector<float> values(rows * cols);
    for (float& v : values) v = size * static_cast<float>(rng.between(-kMost, kMost));
    return encode(t, rows, cols, values);
  }

  static float not_finite(Rng& rng) {
    constexpr float kInf = std::numeric_limits<float>::infinity();
    constexpr float kAll[] = {std::numeric_limits<float>::quiet_NaN(), kInf, -kInf};
    return one_of(rng, kAll);
  }
  void poison_x(Rng& rng) {
    if (x.rows == 0 || x.cols == 0) return;
    poisoned_ = true;
    for (size_t rows = 1 + rng.below(2); rows > 0; --rows) {
      const size_t row = rng.below(x.rows);
      bad_row[row] = true;
      for (size_t values = 1 + rng.below(3); values > 0; --values) {
        put_value(poisoned_x_, row, rng.below(x.cols), not_finite(rng));
      }
    }
  }
  void poison_w(Rng& rng) {
    const size_t places = places_in_row(w);
    if (w.rows == 0 || places == 0) return;
    poisoned_ = true;
    for (size_t rows = 1 + rng.below(2); rows > 0; --rows) {
      const size_t row = rng.below(w.rows);
      bad_col[row] = true;
      for (size_t values = 1 + rng.below(3); values > 0; --values) {
        put_in_place(poisoned_w_, row, rng.below(places), not_finite(rng));
      }
    }
  }
  void clear_poison() {
    poisoned_ = false;
    std::fill(bad_row.begin(), bad_row.end(), false);
    std::fill(bad_col.begin(), bad_col.end(), false);
  }

  GuardedBuffer bias_, row_scale_, column_scale_;  // flush against unreadable pages
  Matrix poisoned_x_, poisoned_w_;
  bool poisoned_ = false;
};

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_CASE_DATA_H_

// SPDX-License-Identifier: MIT
// The double-precision reference of a problem, at enough places to see each row and column of y for
// each m: whole rows 0 and m - 1, and some columns of every row.
#ifndef TESSERA_BENCH_ORACLE_H_
#define TESSERA_BENCH_ORACLE_H_

#include <cmath>
#include <string>
#include <vector>

#include "problem.h"

namespace bench {

class Oracle {
 public:
  explicit Oracle(const Problem& p) : n_(p.n), chosen_(p.chosen), format_(p.format) {
    const size_t y_rows = p.y_rows(p.max_m());
    std::vector<bool> whole(y_rows, false);
    whole[0] = true;
    for (const size_t m : p.ms) whole[p.y_rows(m) - 1] = true;
    // Rows of y to check, by row of W, as W is decoded by rows.
    std::vector<std::vector<size_t>> rows_of(p.experts * p.n);
    for (size_t i = 0; i < y_rows; ++i) {
      const size_t first = p.expert_of(i) * p.n;
      for (size_t j = 0; whole[i] && j < p.n; ++j) rows_of[first + j].push_back(i);
      for (size_t s = 0; !whole[i] && s < 4; ++s)
        rows_of[first + (i * 7919 + s * 104729) % p.n].push_back(i);
    }
    const std::vector<float> quant = quantum(p);
    std::vector<float> w(p.k);
    const size_t stride = p.w_bytes / rows_of.size();
    for (size_t j = 0; j < rows_of.size(); ++j) {
      if (rows_of[j].empty()) continue;
      decode(p.w + j * stride, p.format, w);
      for (const size_t i : rows_of[j]) checks_.push_back(reference(p, quant, w, i, j % p.n));
    }
  }

  /// What is wrong with y[m, n]; empty if nothing is.
  std::string compare(const float* y, size_t m) const {
    for (const Check& c : checks_) {
      if (c.row >= m * chosen_) continue;
      const size_t at = c.row * n_ + c.col;
      const double got = format_ == DType::i8 ? reinterpret_cast<const int32_t*>(y)[at]
                                              : static_cast<double>(y[at]);
      if (!(std::abs(got - c.value) <= c.bound)) {
        char text[160];
        std::snprintf(text, sizeof(text), "y[%zu, %zu] = %g, not %g within %g", c.row, c.col, got,
                      c.value, c.bound);
        return text;
      }
    }
    return "";
  }

 private:
  struct Check {
    size_t row, col;
    double value, bound;
  };

  static void decode(const std::byte* row, DType format, std::vector<float>& w) {
    if (format == DType::i8) {
      for (size_t l = 0; l < w.size(); ++l) w[l] = static_cast<float>(static_cast<int8_t>(row[l]));
      return;
    }
    const tessera::MatView from{row, 1, w.size(), dense_row_bytes(format, w.size()), format};
    const tessera::Status s = tessera::quantize(from, tessera::rows_of(w, 1, w.size()));
    if (!s.ok()) throw std::runtime_error(s.message().c_str());
  }

  // Half a step of 8-bit blocks for each value of x: what a block format may round off. Others
  // round x in blocks as long as those of W.
  static std::vector<float> quantum(const Problem& p) {
    std::vector<float> q;
    if (!is_blocks(p.format)) return q;
    q.resize(p.max_m() * p.k);
    const size_t block = tessera::dtype_info(p.format).block_values;
    for (size_t b = 0; b < q.size(); b += block) {
      float amax = 0.0f;
      for (size_t l = b; l < b + block; ++l) amax = std::max(amax, std::abs(p.x[l]));
      for (size_t l = b; l < b + block; ++l) q[l] = amax / 254.0f;
    }
    return q;
  }

  // Row i of y, column j. The bound: unit roundoff of x as the format's users round it, plus k
  // roundings of f32 sums, each relative to sum |x w|. (Block scales kept as f16 add 2^-11.)
  static Check reference(const Problem& p, const std::vector<float>& quant,
                         const std::vector<float>& w, size_t i, size_t j) {
    const size_t x_row = i / p.chosen;
    const float* x = p.x + x_row * p.k;
    double value = 0, magnitude = 0, quantized = 0;
    for (size_t l = 0; l < p.k; ++l) {
      const double xl = p.format == DType::bf16
                            ? static_cast<double>(tessera::to_float(p.x_bf16[x_row * p.k + l]))
                            : static_cast<double>(x[l]);
      const double wl = static_cast<double>(w[l]);
      value += xl * wl;
      magnitude += std::abs(xl * wl);
      if (!quant.empty()) quantized += static_cast<double>(quant[x_row * p.k + l]) * std::abs(wl);
    }
    double x_rounding = 0;
    if (p.format == DType::f16) x_rounding = 0x1p-11;
    if (is_blocks(p.format)) x_rounding = 0x1p-10;
    if (p.format == DType::i8) return {i, j, value, 0.0};
    const double sums = static_cast<double>(p.k) * 0x1p-24;
    return {i, j, value, (x_rounding + sums) * magnitude * 1.01 + quantized * 1.01 + 1e-30};
  }

  size_t n_, chosen_;
  DType format_;
  std::vector<Check> checks_;
};

}  // namespace bench

#endif  // TESSERA_BENCH_ORACLE_H_

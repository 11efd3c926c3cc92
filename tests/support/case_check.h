// SPDX-License-Identifier: MIT
// Whether the library does right by a random case: against the oracle, and against itself where two
// ways must give the same bits.
#ifndef TESSERA_TESTS_SUPPORT_CASE_CHECK_H_
#define TESSERA_TESTS_SUPPORT_CASE_CHECK_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "support/case_data.h"
#include "support/case_many.h"
#include "support/case_products.h"
#include "support/case_run.h"
#include "support/random_case.h"
#include "support/reference.h"
#include "support/tolerance.h"
#include "tessera/tessera.h"

namespace tessera::test {

/// Bits that any NaN has in common, as compilers may order the operands of an instruction, and so
/// choose among two NaN, as they like.
inline uint32_t bits_of(float v) {
  return std::isnan(v) ? 0x7FC00000u : detail::bit_cast<uint32_t>(v);
}

/// What each element of y must be.
class CaseOracle {
 public:
  CaseOracle(const RandomCase& c, const CaseData& data)
      : case_(c),
        data_(data),
        shifts_(w_shifts(c)),
        none_(c.door == Door::gemm && c.epilogue.scale == 0),
        product_(c, data, c.setup.accuracy) {
    if (is_gated(c.door)) up_ = Oracle(c, data, c.up_accuracy);
  }

  /// Whether there is a NaN or Inf in what y[row, col] is a product of.
  bool is_bad(size_t row, size_t col) const {
    return data_.bad_row[row] || data_.bad_col[w_row(row, col)] ||
           (is_gated(case_.door) && data_.bad_col[w_row(row, col + 1)]);
  }

  /// Empty, or why y[row, col] is not right.
  std::string check(size_t row, size_t col, float got) {
    if (!is_written(row, col)) {
      const uint32_t before = data_.old_y.empty()
                                  ? GuardedY::untouched_bits(case_.setup.y)
                                  : detail::bit_cast<uint32_t>(data_.old_y[row * case_.n + col]);
      const bool same = detail::bit_cast<uint32_t>(got) == before;
      return same ? "" : complain(row, col, got, "outside of the rectangle");
    }
    if (is_bad(row, col)) return check_poisoned(row, col, got);
    const Bounded want = wanted(row, col);
    if (want.bound == 0) {
      const float exact = static_cast<float>(want.value);
      if (got == rounded_to(case_.setup.y, exact)) return "";
    } else {
      const double fraction = used_fraction(got, want, case_.setup.y);
      if (case_.setup.y == DType::f32) largest_ = std::max(largest_, fraction);
      if (fraction <= 1) return "";
    }
    char text[80];
    std::snprintf(text, sizeof(text), "the oracle says %.9g +- %.3g", want.value, want.bound);
    return complain(row, col, got, text);
  }

  /// The largest used fraction of the bound so far.
  double largest() const { return largest_; }

 private:
  // The products of all rows of x and of W.
  struct Oracle {
    Oracle() = default;
    Oracle(const RandomCase& c, const CaseData& data, Accuracy accuracy) {
      Setup setup = c.setup;
      setup.accuracy = accuracy;
      const Result<Matmul> plan = Matmul::plan(data.w.view(), setup.x, plan_options(setup));
      if (!plan.ok()) return;  // as running it will tell
      expected = reference_product(data.x, data.w, packed_x_of(plan->explain(product_rows(c)).x));
      // Below 2^20, in units of 1/2, sums are exact, and remain so through the epilogue of such a
      // case: of 1/4, below 2^22.
      const auto largest = std::max_element(expected.magnitude.begin(), expected.magnitude.end());
      exact = (c.values == Values::exact || c.values == Values::largest) &&
              (largest == expected.magnitude.end() || *largest < 0x1p20);
    }
    Bounded operator[](size_t i) const {
      return {expected.value[i], exact ? 0 : product_bound(expected, i)};
    }
    Expected expected{};
    bool exact = false;
  };

  // The row of W that column `col` of a row of y is the product with.
  size_t w_row(size_t row, size_t col) const { return (col + shifts_[row]) % case_.n; }

  bool is_written(size_t row, size_t col) const {
    if (case_.cut != Cut::one_rect) return true;
    const Rect& r = case_.work.rects[0];
    return row >= r.row_begin && row < r.row_end && col >= r.col_begin && col < r.col_end;
  }

  // Not finite before the epilogue. An activation may make 0 of -Inf.
  std::string check_poisoned(size_t row, size_t col, float got) const {
    if (!std::isfinite(got)) return "";
    if (is_gated(case_.door) && gating_of(case_).clips) return "";
    if (got == 0 && case_.epilogue.activation != Activation::none) return "";
    return complain(row, col, got, "with a NaN or Inf in its row of x or of W");
  }

  Bounded wanted(size_t row, size_t col) const {
    const size_t n = case_.n, i = row * n + col, place = w_row(row, col);
    const Epilogue& e = data_.epilogue;
    // Experts have biases and scales of their own.
    const size_t column = is_grouped(case_.door) ? place : col;
    const auto bias_at = [&](size_t at) {
      return e.bias != nullptr ? static_cast<double>(e.bias[at % n]) : 0.0;
    };
    Bounded product;
    if (!none_) product = product_[row * n + place];
    const double bias = bias_at(column);
    const double old = data_.old_y.empty() ? 0.0 : static_cast<double>(data_.old_y[i]);
    if (is_gated(case_.door)) {
      const Bounded up = up_[row * n + (place + 1) % n];
      return bounded_gated(gating_of(case_), with_bias(product, bias),
                           with_bias(up, bias_at(column + 1)));
    }
    double scale = 1;
    if (e.row_scale != nullptr) scale *= static_cast<double>(e.row_scale[row]);
    if (e.column_scale != nullptr) scale *= static_cast<double>(e.column_scale[column]);
    if (product_.exact && (e.activation == Activation::none || e.activation == Activation::relu)) {
      const double sum = static_cast<double>(e.scale) * scale * product.value + bias +
                         static_cast<double>(e.beta) * old;
      return {activate(e.activation, sum), 0};
    }
    return bounded_epilogue(e, product, bias, old, scale);
  }

  static std::string complain(size_t row, size_t col, float got, const char* what) {
    char text[160];
    std::snprintf(text, sizeof(text), "y[%zu, %zu] is %.9g, %s", row, col, static_cast<double>(got),
                  what);
    return text;
  }

  const RandomCase& case_;
  const CaseData& data_;
  const std::vector<size_t> shifts_;
  const bool none_;  // the product is not computed
  const Oracle product_;
  Oracle up_;  // of gate, product_ is
  double largest_ = 0;
};

/// Empty, or where two results differ; what skip(row, col) says is not compared.
template <class Skip>
std::string compare_bits(const Output& got, const std::vector<float>& want, size_t n,
                         const char* what, const Skip& skip) {
  if (!got.error.empty()) return got.error + ", " + what;
  for (size_t i = 0; i < want.size(); ++i) {
    if (skip(i / n, i % n) || bits_of(got.y[i]) == bits_of(want[i])) continue;
    char text[200];
    std::snprintf(text, sizeof(text), "y[%zu, %zu] is %.9g but %.9g %s", i / n, i % n,
                  static_cast<double>(want[i]), static_cast<double>(got.y[i]), what);
    return text;
  }
  return "";
}

/// The bits of another way to the same product, and without what is not finite in other rows.
inline std::string check_other_ways(const RandomCase& c, const CaseData& data, const Output& out,
                                    const CaseOracle& oracle) {
  const bool whole = c.cut != Cut::one_rect;
  const auto outside = [&](size_t row, size_t col) {
    if (whole) return false;
    const Rect& r = c.work.rects[0];
    return row < r.row_begin || row >= r.row_end || col < r.col_begin || col >= r.col_end;
  };
  const RandomCase other = another_way(c);
  const Output again = run_case(other, data.used_x(), data.used_w(), data);
  std::string error = compare_bits(again, out.y, c.n, "another way", outside);
  if (!error.empty()) return error + ": " + describe(other);
  if (!data.is_poisoned()) return "";
  const auto poisoned = [&](size_t row, size_t col) {
    return oracle.is_bad(row, col) || outside(row, col);
  };
  const Output clean = run_case(c, data.x, data.w, data);
  return compare_bits(clean, out.y, c.n, "without the NaN and Inf elsewhere", poisoned);
}

/// With packed weights, one row of x has the same bits alone.
inline std::string check_row_alone(const RandomCase& c, const CaseData& data, const Output& out) {
  Rng rng(c.seed + 1);
  const size_t row = rng.below(c.m);
  if (c.cut == Cut::one_rect) return "";
  Matrix alone = empty_matrix(c.setup.x, 1, c.k);
  const std::byte* from = data.used_x().bytes.data() + row * alone.row_bytes;
  std::copy_n(from, alone.row_bytes, alone.bytes.begin());
  const auto row_of = [&](const std::vector<float>& y) {
    const auto begin = y.begin() + static_cast<ptrdiff_t>(row * c.n);
    return std::vector<float>(begin, begin + static_cast<ptrdiff_t>(c.n));
  };
  std::vector<float> old;
  if (data.old() != nullptr) old = row_of(data.old_y);
  const size_t shift = w_shifts(c)[row];
  const Matrix w = moved_up(data.used_w(), shift);
  Epilogue epilogue = data.epilogue;
  if (epilogue.row_scale != nullptr) epilogue.row_scale += row;
  std::vector<float> moved[2];
  const auto move = [&](const float*& list, std::vector<float>& to) {
    if (list == nullptr || !is_grouped(c.door)) return;
    for (size_t i = 0; i < c.n; ++i) to.push_back(list[(i + shift) % c.n]);
    list = or_null(to);
  };
  move(epilogue.bias, moved[0]);
  move(epilogue.column_scale, moved[1]);
  Output got;
  if (is_gated(c.door)) {
    RandomCase one = c;
    one.door = Door::gated_packed;
    one.m = 1;
    one.work = {};
    got = run_gated(one, alone, w, epilogue.bias);
  } else {
    const std::vector<float>* before = old.empty() ? nullptr : &old;
    got = product_of(c, w).run(alone, 1, epilogue, {}, before);
  }
  return compare_bits(got, row_of(out.y), c.n, "in a row alone",
                      [](size_t, size_t) { return false; });
}

/// Where the plan says that another's packed x will do, it does.
inline std::string check_sharer(const RandomCase& c, const CaseData& data) {
  Rng rng(c.seed + 2);
  Setup other = c.setup;
  other.w = one_of(rng, all_formats());
  if (c.k % block_of(other.w) != 0) return "";
  const Product p = product_of(c, data.used_w());
  const Matrix w = random_weights(other.w, 1 + rng.below(2 * c.tile.nr), c.k, rng);
  const Product q(w, w.rows, other, c.layout);
  if (!p.error().empty() || !q.error().empty()) return p.error() + q.error();
  if (!p.plan().shares_packed_x(q.plan())) return "";
  std::string error;
  const PackedInput packed_x(p.plan(), data.used_x(), c.m, c.layout, 1, error, other.borrow_x);
  if (!error.empty()) return error;
  const Output want = q.run(data.used_x(), c.m), got = q.run_packed(packed_x.bytes(), c.m);
  error = compare_bits(got, want.y, w.rows, "with x packed by the other plan",
                       [](size_t, size_t) { return false; });
  return error.empty() ? "" : error + ": " + q.describe(c.m);
}

inline std::string check_quantize(const RandomCase& c, const CaseData& data) {
  std::string error;
  const std::vector<std::byte> got = run_quantize(c, data.w, error);
  if (!can_encode(c.to)) {
    const bool refused = error.find("can be decoded only") != std::string::npos;
    if (!refused) return "a format without an encoder is not refused: " + error;
    const auto is_fill = [](std::byte b) { return b == std::byte{GuardedBuffer::kFill}; };
    return std::all_of(got.begin(), got.end(), is_fill) ? "" : "what is refused was written to";
  }
  if (!error.empty()) return error;
  std::vector<float> values(c.n * c.k);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(data.w.value[i]);
  const Matrix want = encode(c.to, c.n, c.k, values);
  return got == want.bytes ? "" : "the bytes are not those of the format's encoder";
}

/// Empty, or what is wrong.
inline std::string check_case(const RandomCase& c) {
  const CaseData data(c);
  if (c.door == Door::quantize) return check_quantize(c, data);
  const Output out = run_case(c, data.used_x(), data.used_w(), data);
  if (!out.error.empty()) return out.error;
  CaseOracle oracle(c, data);
  for (size_t i = 0; i < out.y.size(); ++i) {
    std::string error = oracle.check(i / c.n, i % c.n, out.y[i]);
    if (!error.empty()) return error;
  }
  bound_report().add(c.setup.w, c.setup.target, c.setup.accuracy, oracle.largest());
  std::string error = check_other_ways(c, data, out, oracle);
  if (error.empty() && is_packed(c.door) && c.m > 0) error = check_row_alone(c, data, out);
  const bool planned = (c.door == Door::in_place || is_packed(c.door)) && is_plain(c.door);
  if (error.empty() && planned && c.seed % 4 == 0) error = check_sharer(c, data);
  return error;
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_CASE_CHECK_H_

// SPDX-License-Identifier: MIT
// How far a result in f32 may be from the oracle: a bound per element, derived, never a rate.
//
// u = 2^-24 is the unit roundoff of f32, gamma(j) = j u / (1 - j u) what j roundings in a row can
// do to a positive value. If a sum is taken in any order, and each term meets at most r roundings
// before it enters and then passes at most d additions, the error is at most
//   gamma(r + d) * (sum of the terms' magnitudes).
// Floats, and blocks widened to f32: the terms are w * x. r = 2: w is rounded once where it is
//   scale * code + min, and the product once where there is no FMA. d <= k - 1, as the first
//   addition is to zero. Lanes and chains only shorten the way of a term.
// bf16 dot: products of two bf16 are exact in f32, and an instruction adds two of them one after
//   the other: the same r and d. It may take subnormal operands for zero and flush subnormal
//   results, so that each of k steps may lose 2^-126 * (|w| + |x| + 1).
// Integer dot: in a sub-block the sum of codes is exact and below 2^24, so exact as f32, and so is
//   scale_w, an f16 or that times an integer. The terms are scale_w * scale_x * integer and, for a
//   format with a min, min * (scale_x * integer): r = 2. Each passes at most 2 additions in 32
//   values (a min, or two sub-blocks of 16), and at the end 1 of chains and 7 of lanes. A vector of
//   lanes holds such an integer in parts, which have the magnitudes of code and offset apart.
// A scale of x that is a power of two takes part exactly: only less is rounded.
// The result of a product or of a sum may be subnormal, which rounds it by up to 2^-150; the term
//   above, 2^-126 a step, covers it too.
// Epilogue: scale * v + bias + beta * y meets at most 4 roundings. A rounding of y to bf16 is
//   monotonous, so y lies between the rounded ends of the interval of the f32 value.
// Activations: relu is exact. The others are v / (1 + e^t): 2 roundings; e^t to 8 u relative; for
//   gelu t = -2 z meets 6 roundings, so e^t changes by |t| * 6 u relative; e^t has the weight
//   e^t / (1 + e^t). Their slopes are at most 1.13. Where t is above 88, e^t is taken for e^88,
//   which is above 2^126: there the result, and what it should be, are between 0 and |v| 2^-126. A
//   subnormal result is rounded by up to 2^-150.
#ifndef TESSERA_TESTS_SUPPORT_TOLERANCE_H_
#define TESSERA_TESTS_SUPPORT_TOLERANCE_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "support/reference.h"
#include "support/targets.h"
#include "tessera/tessera.h"

namespace tessera::test {

inline double gamma(double roundings) {
  const double ju = roundings * 0x1p-24;
  return ju / (1.0 - ju);
}

/// The bound of element `i` of the product, before the epilogue.
inline double product_bound(const Expected& e, size_t i) {
  const double k = static_cast<double>(e.k);
  const double roundings = is_q8(e.x) ? 2 + 2 * (k / 32) + 8 : 2 + k;
  return gamma(roundings) * e.magnitude[i] + k * 0x1p-126 * (e.largest_w + e.largest_x + 1);
}

/// A value in double and how far an f32 result may be from it.
struct Bounded {
  double value = 0, bound = 0;
};

inline Bounded bounded_activation(Activation a, Bounded v) {
  const double value = activate(a, v.value);
  if (a == Activation::none || a == Activation::relu) return {value, v.bound};
  const double t = a == Activation::silu
                       ? -v.value
                       : -1.59576912160573071176 * (v.value + 0.044715 * std::pow(v.value, 3));
  const double weight = t > 700 ? 1.0 : std::exp(t) / (1.0 + std::exp(t));
  const double roundings_of_t = a == Activation::silu ? 0.0 : 6.0;
  const double relative = 2 + weight * (8 + roundings_of_t * std::min(std::fabs(t), 90.0));
  const double huge_t = (std::fabs(v.value) + v.bound) * 0x1p-126;
  return {value, 1.13 * v.bound + gamma(relative) * std::fabs(value) + huge_t + 0x1p-149};
}

/// What the epilogue makes of a product; `bias`, `old_y` and `scale`, that of row and column, are
/// this element's.
inline Bounded bounded_epilogue(const Epilogue& e, Bounded v, double bias, double old_y,
                                double scale = 1.0) {
  scale *= static_cast<double>(e.scale);
  const double scaled = scale * v.value;
  const double old = e.beta != 0.0f ? static_cast<double>(e.beta) * old_y : 0.0;
  const double error = std::fabs(scale) * v.bound;
  const double magnitude = std::fabs(scaled) + error + std::fabs(bias) + std::fabs(old);
  const bool is_plain = scale == 1.0 && e.bias == nullptr && e.beta == 0.0f;
  return bounded_activation(e.activation,
                            {scaled + bias + old, error + (is_plain ? 0 : gamma(6) * magnitude)});
}

/// A product that a bias is added to.
inline Bounded with_bias(Bounded v, double bias) {
  const double magnitude = std::fabs(v.value) + v.bound + std::fabs(bias);
  return {v.value + bias, v.bound == 0 ? 0 : v.bound + gamma(2) * magnitude};
}

inline Bounded bounded_gated(const Gating& g, Bounded gate, Bounded up) {
  const double offset = static_cast<double>(g.offset);
  const double limit =
      g.clips ? static_cast<double>(g.limit) : std::numeric_limits<double>::infinity();
  const double alpha = g.activation == Activation::silu ? static_cast<double>(g.alpha) : 1.0;
  gate = {alpha * std::min(gate.value, limit), alpha * gate.bound};
  if (alpha != 1.0) gate.bound += gamma(2) * std::fabs(gate.value);
  gate = bounded_activation(g.activation, gate);
  gate = {gate.value / alpha, gate.bound / alpha};
  up = {std::clamp(up.value, -limit, limit) + offset, up.bound};
  if (offset != 0.0) up.bound += gamma(2) * (std::fabs(up.value) + up.bound);
  const double value = gate.value * up.value;
  const double error =
      std::fabs(gate.value) * up.bound + std::fabs(up.value) * gate.bound + gate.bound * up.bound;
  if (error == 0) return {value, 0};
  return {value, error + gamma(2) * (std::fabs(value) + error) + 0x1p-149};
}

/// |got - value| / bound; above 1 is a failure. For 16 bits 0 if inside the rounded interval,
/// else 2.
inline double used_fraction(float got, const Bounded& want, DType y) {
  if (y != DType::f32) {  // of f16, the interval may reach to infinity
    const float low = rounded_to(y, static_cast<float>(want.value - want.bound));
    const float high = rounded_to(y, static_cast<float>(want.value + want.bound));
    return got >= low && got <= high ? 0 : 2;
  }
  if (!std::isfinite(got)) {  // right where the value may round to it
    const double end = want.value + std::copysign(want.bound, want.value);
    return got == static_cast<float>(end) ? 0 : 2;
  }
  const double error = std::fabs(static_cast<double>(got) - want.value);
  if (error == 0) return 0;
  return want.bound > 0 ? error / want.bound : 2;
}

/// The largest used fraction of the bound per (format, target, accuracy), printed when the run
/// ends: a drift shows long before it fails.
class BoundReport {
 public:
  void add(DType w, const char* target, Accuracy accuracy, double fraction) {
    for (Line& line : lines_) {
      if (line.w == w && line.accuracy == accuracy && line.target == target) {
        line.fraction = std::max(line.fraction, fraction);
        return;
      }
    }
    lines_.push_back({w, target, accuracy, fraction});
  }
  void print() const {
    if (!lines_.empty()) std::printf("largest used fraction of the derived bound:\n");
    for (const Line& line : lines_) {
      std::printf("  %-5s %-10s %-6s %.4f\n", dtype_name(line.w), line.target.c_str(),
                  to_string(line.accuracy), line.fraction);
    }
  }

 private:
  struct Line {
    DType w;
    std::string target;
    Accuracy accuracy;
    double fraction;
  };
  std::vector<Line> lines_;
};

inline BoundReport& bound_report() {
  static BoundReport report;
  return report;
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_TOLERANCE_H_

// SPDX-License-Identifier: MIT
// What the two files of compile/two_units_a.cc tell each other.
#ifndef TESSERA_TESTS_COMPILE_TWO_UNITS_H_
#define TESSERA_TESTS_COMPILE_TWO_UNITS_H_

#include <vector>

#include "tessera/tessera.h"

/// The library as one file sees it.
struct Unit {
  decltype(&tessera::matmul) matmul;
  const tessera::Target* targets;
  const char* default_target;
};
Unit unit_a();
Unit unit_b();

/// A product by one file's library; empty if it was refused.
inline std::vector<float> product(const Unit& unit, const char* target) {
  std::vector<float> x(7 * 40), w(37 * 40), y(7 * 37);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 29) * 0.1f - 1.0f;
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 31) * 0.1f - 1.5f;
  const tessera::PlanOptions options{tessera::Accuracy::fast, target, {}};
  const tessera::Status s =
      unit.matmul(tessera::rows_of(y, 7, 37), tessera::rows_of(x, 7, 40),
                  tessera::rows_of(w, 37, 40), {}, tessera::serial(), options);
  return s.ok() ? y : std::vector<float>();
}

#endif  // TESSERA_TESTS_COMPILE_TWO_UNITS_H_

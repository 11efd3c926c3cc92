// SPDX-License-Identifier: MIT
// What Catch2 test files share: seeds, one test case per format, and checks of whole products whose
// failure says what re-runs it.
#ifndef TESSERA_TESTS_SUPPORT_SUITE_H_
#define TESSERA_TESTS_SUPPORT_SUITE_H_

#include <catch2/catch_get_random_seed.hpp>
#include <catch2/catch_test_macros.hpp>
#include <bit>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "support/product.h"
#include "support/random.h"
#include "support/reference.h"
#include "support/targets.h"
#include "support/tolerance.h"
#include "tessera/tessera.h"

namespace tessera::test {

/// The seed of every test: fixed in main.cc, settable by --rng-seed, printed by Catch2.
inline Rng suite_rng() { return Rng(Catch::getSeed()); }

// ---- One test case per format -----------------------------------------------------------------

template <void (*kBody)(DType), class... F>
bool register_for_formats(const char* name, const char* tags, TypeList<F...>) {
  const auto one = [&]<class G>(G) {
    const std::string full = std::string(name) + ": " + dtype_name(G::kDType);
    REGISTER_TEST_CASE([] { kBody(G::kDType); }, full, tags);
  };
  (one(F{}), ...);
  return true;
}

/// Defines a test case "<name>: <format>" for each format on the library's list. The body's
/// parameter is the format of W.
#define TESSERA_FORMAT_TEST(function, name, tags)                                       \
  static void function(tessera::DType w_dtype);                                         \
  [[maybe_unused]] static const bool function##_registered =                            \
      tessera::test::register_for_formats<&(function)>(name, tags, tessera::Formats{}); \
  static void function(tessera::DType w_dtype)

// ---- Checks -------------------------------------------------------------------------------------

inline std::string rerun(const Product& p, size_t m) {
  return p.describe(m) + "\nre-run this test case with --rng-seed " +
         std::to_string(Catch::getSeed());
}

inline void check_no_error(const Product& p, size_t m, const Output& out) {
  if (!out.error.empty()) FAIL(out.error << "\n" << rerun(p, m));
}

/// Every element has these very values (of one width [m, n] within the oracle's [.., e.n]).
inline void check_exact(const Product& p, size_t m, const Output& out, const Expected& e) {
  check_no_error(p, m, out);
  const size_t n = p.plan().n();
  for (size_t i = 0; i < m * n; ++i) {
    const float exact = static_cast<float>(e.value[i / n * e.n + i % n]);
    const float want = rounded_to(p.setup().y, exact);
    if (!(out.y[i] == want)) {
      FAIL("y[" << i / n << ", " << i % n << "] is " << out.y[i] << ", exactly " << want << "\n"
                << rerun(p, m));
    }
  }
  SUCCEED();
}

/// Every element lies within the derived bound.
inline void check_bounded(const Product& p, size_t m, const Output& out, const Expected& e,
                          const Epilogue& epilogue = {},
                          const std::vector<float>* old_y = nullptr) {
  check_no_error(p, m, out);
  const size_t n = p.plan().n();
  double largest = 0;
  for (size_t i = 0; i < m * n; ++i) {
    const size_t row = i / n, col = i % n;
    const Bounded product{e.value[row * e.n + col], product_bound(e, row * e.n + col)};
    const double bias = epilogue.bias != nullptr ? static_cast<double>(epilogue.bias[col]) : 0.0;
    const double old = old_y != nullptr ? static_cast<double>((*old_y)[i]) : 0.0;
    const Bounded want = bounded_epilogue(epilogue, product, bias, old);
    const double fraction = used_fraction(out.y[i], want, p.setup().y);
    if (!(fraction <= 1)) {
      FAIL("y[" << row << ", " << col << "] is " << out.y[i] << ", the oracle says " << want.value
                << " +- " << want.bound << "\n"
                << rerun(p, m));
    }
    largest = std::max(largest, fraction);
  }
  if (p.setup().y == DType::f32) {
    bound_report().add(p.setup().w, p.plan().explain(m).target, p.setup().accuracy, largest);
  }
  SUCCEED();
}

/// Two results have the same bits; `what` says what must not matter.
inline void check_same_bits(const Product& p, size_t m, const Output& out,
                            const std::vector<float>& want, const std::string& what) {
  check_no_error(p, m, out);
  const size_t n = p.plan().n();
  const size_t i = first_difference(out.y, want);
  if (i != want.size() || out.y.size() != want.size()) {
    FAIL("y[" << i / n << ", " << i % n << "] is " << out.y[i] << " but was " << want[i] << ": "
              << what << " must not matter\n"
              << rerun(p, m));
  }
  SUCCEED();
}

inline bool is_untouched(float value, DType y) {
  return std::bit_cast<uint32_t>(value) == GuardedY::untouched_bits(y);
}

// ---- Kernels and shapes
// --------------------------------------------------------------------------

/// Every way to multiply a format here: visitor(setup, tile) for each target, accuracy, and weights
/// in place or packed.
template <class Visitor>
void for_each_kernel(DType w, const Visitor& visitor) {
  for_each_target([&](const char* target) {
    for (const Accuracy accuracy : kAccuracies) {
      if (accuracy == Accuracy::coarse && !is_block_format(w)) continue;  // the kernels of fast
      for (const bool packed : {false, true}) {
        Setup setup;
        setup.w = w;
        setup.accuracy = accuracy;
        setup.packed = packed;
        setup.target = target;
        visitor(setup, tile_of(w, target, accuracy));
      }
    }
  });
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_SUITE_H_

// SPDX-License-Identifier: MIT
// plan/matmul.h, "NaN and Inf": one in a row of x makes all of its own row of y not finite and
// changes no bit of another; one in a row of W, or in the scale or min of a block, does that to its
// own column.
#include <limits>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

/// Poisoned elements are not finite, all others have the bits of the clean product.
template <class IsPoisoned>
void check_poison(const Product& p, size_t m, const Output& out, const std::vector<float>& clean,
                  const IsPoisoned& is_poisoned, const std::string& what) {
  check_no_error(p, m, out);
  const size_t n = p.plan().n();
  for (size_t i = 0; i < m * n; ++i) {
    const bool poisoned = is_poisoned(i / n, i % n);
    if (poisoned ? std::isfinite(out.y[i])
                 : std::bit_cast<uint32_t>(out.y[i]) != std::bit_cast<uint32_t>(clean[i])) {
      FAIL("y[" << i / n << ", " << i % n << "] is " << out.y[i] << ", "
                << (poisoned ? "which is finite" : "another than without it") << ", with " << what
                << "\n"
                << rerun(p, m));
    }
  }
  SUCCEED();
}

/// W with one row of zeros: 0 * Inf is no number either.
Matrix weights_with_zeros(DType t, size_t n, size_t k, Rng& rng) {
  Matrix w = random_weights(t, n, k, rng);
  const Matrix zeros = encode(t, 1, k, std::vector<float>(k));
  std::copy(zeros.bytes.begin(), zeros.bytes.end(), w.row(n / 2));
  decode(w);
  return w;
}

TESSERA_FORMAT_TEST(in_x, "NaN and Inf in a row of x", "[nonfinite]") {
  Rng rng = suite_rng();
  for (const size_t k : whole_blocks(w_dtype, {1, 39, 64})) {
    const Matrix w = weights_with_zeros(w_dtype, 70, k, rng);
    for_each_kernel(w_dtype, [&](Setup setup, const Tile& tile) {
      setup.x = kXTypes[rng.below(3)];
      setup.y = kYTypes[rng.below(2)];
      setup.blocking = rng.below(2) == 0 ? Blocking{} : Blocking{0, 1};
      const Matrix x = random_x(setup.x, 29, k, rng);
      const Product p(w, tile.nr + 3, setup);
      for (const size_t m : {size_t{1}, size_t{3}, tile.mr + 2}) {
        const Output clean = p.run(x, m);
        check_no_error(p, m, clean);
        for (size_t col = 0; col < k; ++col) {
          const size_t row = rng.below(m);
          const float value = col % 3 == 0 ? kNaN : col % 3 == 1 ? kInf : -kInf;
          Matrix poisoned = x;
          put_value(poisoned, row, col, value);
          check_poison(
              p, m, p.run(poisoned, m), clean.y, [&](size_t i, size_t) { return i == row; },
              std::to_string(value) + " in x[" + std::to_string(row) + ", " + std::to_string(col) +
                  "]");
        }
      }
    });
  }
}

// Each kind of block in each kind of place: W's value, a block's scale, a block's min.
TESSERA_FORMAT_TEST(in_w, "NaN and Inf in a row of W or a block's scale", "[nonfinite]") {
  Rng rng = suite_rng();
  const size_t k = whole_blocks(w_dtype, 39);
  const Matrix w = weights_with_zeros(w_dtype, 70, k, rng);
  const size_t places = places_in_row(w);
  for_each_kernel(w_dtype, [&](Setup setup, const Tile& tile) {
    setup.y = kYTypes[rng.below(2)];
    setup.blocking = rng.below(2) == 0 ? Blocking{} : Blocking{0, 1};
    const Matrix x = random_x(setup.x, 29, k, rng);
    const size_t n = tile.nr + 3;
    const Product clean_product(w, n, setup);
    for (const size_t m : {size_t{1}, size_t{3}, tile.mr + 2}) {
      const Output clean = clean_product.run(x, m);
      check_no_error(clean_product, m, clean);
      for (size_t place = 0; place < places; ++place) {
        const size_t row = rng.below(n);
        const float value = place % 3 == 0 ? kNaN : place % 3 == 1 ? kInf : -kInf;
        Matrix poisoned = w;
        put_in_place(poisoned, row, place, value);
        const Product p(poisoned, n, setup);
        check_poison(
            p, m, p.run(x, m), clean.y, [&](size_t, size_t j) { return j == row; },
            std::to_string(value) + " in place " + std::to_string(place) + " of row " +
                std::to_string(row) + " of W");
      }
    }
  });
}

// A value that is finite in f32 but not after the rounding of x to bf16 counts as what it becomes;
// the largest ones that stay finite must not poison. What is too large for coarse, matmul_test.cc
// tests.
TESSERA_FORMAT_TEST(largest_x, "the largest finite x poisons nothing", "[nonfinite]") {
  const size_t k = whole_blocks(w_dtype, 32), n = 37;
  const Matrix w = encode(w_dtype, n, k, std::vector<float>(n * k, 0x1p-14f));
  std::vector<float> values(7 * k, 1.0f);
  for (size_t row = 0; row < 7; ++row) values[row * k + row] = 0x1.FEp127f;
  const Matrix x = encode(DType::f32, 7, k, values);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    if (setup.accuracy == Accuracy::coarse) return;
    const Product p(w, n, setup);
    for (const size_t m : {size_t{1}, size_t{7}}) {
      const Output out = p.run(x, m);
      check_bounded(p, m, out, reference_product(x, w, packed_x_of(p.plan().explain(m).x)));
    }
  });
}

// The limits that Accuracy's comment gives: up to them every y is finite and within the bound.
TESSERA_FORMAT_TEST(large_x, "the largest x that each accuracy takes", "[nonfinite]") {
  Rng rng = suite_rng();
  const size_t k = whole_blocks(w_dtype, 64), m = 20;
  const Matrix w = random_weights(w_dtype, 70, k, rng, 0x1p-10f);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile& tile) {
    const float limit = setup.accuracy == Accuracy::coarse ? 127 * 0x1p104f : 0x1p122f;
    const Product p(w, tile.nr + 3, setup);
    for (const float low : {-1.0f, 0.97f}) {  // of both signs, and all near the limit
      std::vector<float> values(m * k);
      for (float& v : values) v = limit * rng.uniform(low, 1);
      const Matrix x = encode(DType::f32, m, k, values);
      const Expected e = reference_product(x, w, packed_x_of(p.plan().explain(m).x));
      check_bounded(p, m, p.run(x, m), e);
    }
  });
}

}  // namespace
}  // namespace tessera::test

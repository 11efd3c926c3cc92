// SPDX-License-Identifier: MIT
// plan/matmul.h: the values of products. Every format, target, accuracy, path (weights in place by
// matvec and by matmul, weights packed) and type of x and y, over shapes around the tile of each
// kernel: once where all sums are exact and the tolerance is 0, once against the derived bound.
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

/// Expected results of one x and W for each way in which a kernel may round x, made when asked for.
class Expectations {
 public:
  Expectations(const Matrix& x, const Matrix& w) : x_(x), w_(w) {}
  const Expected& of(const Product& p, size_t m) {
    const PackedX how = packed_x_of(p.plan().explain(m).x);
    auto& e = by_rounding_[how];
    if (e.m == 0) e = reference_product(x_, w_, how);
    return e;
  }

 private:
  const Matrix& x_;
  const Matrix& w_;
  std::map<PackedX, Expected> by_rounding_;
};

// All kernels' tiles lie below these.
constexpr size_t kMostRows = 29, kMostCols = 70;

std::set<size_t> rows_around(const Tile& t) {
  std::set<size_t> m = {1, 2, 3, 4, 5, 13, t.mr - 1, t.mr, t.mr + 1, 2 * t.mr, 2 * t.mr + 1};
  m.erase(0);
  return m;
}
std::set<size_t> cols_around(const Tile& t) {
  std::set<size_t> n = {1, 2, 3, 17, t.nr - 1, t.nr, t.nr + 1, 2 * t.nr + 1};
  n.erase(0);
  return n;
}

TESSERA_FORMAT_TEST(exact_products, "exact sums in shapes around each tile", "[matmul]") {
  Rng rng = suite_rng();
  const std::vector<size_t> depths = is_block_format(w_dtype)
                                         ? std::vector<size_t>{32, 64, 96, 992}
                                         : std::vector<size_t>{1, 2, 3, 31, 32, 33, 67, 1021};
  for (const size_t k : depths) {
    const Matrix w = exact_weights(w_dtype, kMostCols, k, rng);
    std::map<DType, Matrix> x;  // the same values in each format
    const Rng same = rng;
    for (const DType t : kXTypes) {
      Rng again = same;
      x[t] = exact_x(t, kMostRows, k, again);
    }
    const Expected e = reference_product(x[DType::f32], w, PackedX::f32);
    for (const double magnitude : e.magnitude) REQUIRE(magnitude < 0x1p20);  // in units of 1/4
    for_each_kernel(w_dtype, [&](Setup setup, const Tile& tile) {
      REQUIRE(2 * tile.mr + 1 <= kMostRows);
      REQUIRE(2 * tile.nr + 1 <= kMostCols);
      for (const size_t n : cols_around(tile)) {
        setup.x = kXTypes[rng.below(3)];
        setup.y = kYTypes[rng.below(2)];
        const Product p(w, n, setup);
        for (const size_t m : rows_around(tile)) check_exact(p, m, p.run(x[setup.x], m), e);
      }
    });
  }
}

TESSERA_FORMAT_TEST(exact_types, "exact sums with every type of x and y", "[matmul]") {
  Rng rng = suite_rng();
  const size_t k = is_block_format(w_dtype) ? 64 : 45;
  const Matrix w = exact_weights(w_dtype, kMostCols, k, rng);
  for (const DType x_dtype : kXTypes) {
    const Matrix x = exact_x(x_dtype, kMostRows, k, rng);
    const Expected e = reference_product(x, w, PackedX::f32);
    for_each_kernel(w_dtype, [&](Setup setup, const Tile& tile) {
      setup.x = x_dtype;
      for (const DType y_dtype : kYTypes) {
        setup.y = y_dtype;
        const Product p(w, tile.nr + 3, setup);
        for (const size_t m : {size_t{1}, size_t{4}, tile.mr + 2}) {
          check_exact(p, m, p.run(x, m), e);
        }
      }
    });
  }
}

TESSERA_FORMAT_TEST(exact_batches, "exact sums for every m from 1 to 40", "[matmul]") {
  Rng rng = suite_rng();
  const size_t n = 37, k = is_block_format(w_dtype) ? 64 : 35;
  const Matrix w = exact_weights(w_dtype, n, k, rng), x = exact_x(DType::f32, 40, k, rng);
  const Expected e = reference_product(x, w, PackedX::f32);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    const Product p(w, n, setup);
    for (size_t m = 1; m <= 40; ++m) check_exact(p, m, p.run(x, m), e);
  });
}

// Codes of the largest magnitude, whose products fill the integers that kernels add up in.
TESSERA_FORMAT_TEST(largest_codes, "exact sums of the largest codes", "[matmul]") {
  const size_t n = 6, m = 9, k = is_block_format(w_dtype) ? 64 : 63;
  const float low = w_dtype == DType::q4_0 ? -8 : w_dtype == DType::q4_1 ? 0 : -127;
  const float high = w_dtype == DType::q4_0 ? 7 : w_dtype == DType::q4_1 ? 15 : 127;
  std::vector<float> weights(n * k), values(m * k);
  for (size_t i = 0; i < n * k; ++i) {
    // A block's first value fixes its scale.
    weights[i] = i % k % 32 == 0 || (i % k >> i / k) % 2 != 0 ? low : high;
  }
  for (size_t i = 0; i < m * k; ++i) values[i] = (i % k >> i / k) % 2 != 0 ? -127 : 127;
  const Matrix w = encode(w_dtype, n, k, weights), x = encode(DType::f32, m, k, values);
  const Expected e = reference_product(x, w, PackedX::f32);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    const Product p(w, n, setup);
    for (const size_t rows : {size_t{1}, m}) check_exact(p, rows, p.run(x, rows), e);
  });
}

TESSERA_FORMAT_TEST(rounded_products, "rounded sums within the derived bound", "[matmul]") {
  Rng rng = suite_rng();
  const std::vector<size_t> depths = is_block_format(w_dtype)
                                         ? std::vector<size_t>{32, 64, 320, 2080}
                                         : std::vector<size_t>{1, 5, 17, 66, 331, 2051};
  for (const size_t k : depths) {
    const Matrix w = random_weights(w_dtype, kMostCols, k, rng);
    for (const DType x_dtype : kXTypes) {
      const Matrix x = random_x(x_dtype, kMostRows, k, rng);
      Expectations expected(x, w);
      for_each_kernel(w_dtype, [&](Setup setup, const Tile& tile) {
        setup.x = x_dtype;
        for (const size_t n : {size_t{1}, tile.nr, 2 * tile.nr + 1}) {
          setup.y = kYTypes[rng.below(2)];
          const Product p(w, n, setup);
          for (const size_t m : {size_t{1}, size_t{3}, size_t{5}, 2 * tile.mr + 1}) {
            check_bounded(p, m, p.run(x, m), expected.of(p, m));
          }
        }
      });
    }
  }
}

TESSERA_FORMAT_TEST(depth_tails, "every depth from 1 to 67", "[matmul]") {
  Rng rng = suite_rng();
  const size_t step = dtype_info(w_dtype).block_values;
  for (size_t k = step; k <= std::max<size_t>(67, 5 * step); k += step) {
    const Matrix w = random_weights(w_dtype, kMostCols, k, rng);
    const Matrix x = random_x(DType::f32, 13, k, rng);
    Expectations expected(x, w);
    for_each_kernel(w_dtype, [&](const Setup& setup, const Tile& tile) {
      const Product p(w, tile.nr + 1, setup);
      for (const size_t m : {size_t{1}, size_t{2}, size_t{13}}) {
        check_bounded(p, m, p.run(x, m), expected.of(p, m));
      }
    });
  }
}

TESSERA_FORMAT_TEST(larger_products, "primes and larger shapes within the derived bound",
                    "[matmul]") {
  Rng rng = suite_rng();
  struct Shape {
    size_t m, n, k;
  };
  // The last ones: more rows than matvec takes at once, and depth in several pieces.
  for (const Shape shape :
       {Shape{73, 139, 1217}, Shape{2, 211, 1217}, Shape{131, 37, 1217}, Shape{261, 13, 3331},
        Shape{3, 37, 7001}, Shape{5, 37, 7001}, Shape{19, 6, 33001}}) {
    const size_t m = shape.m, n = shape.n;
    const size_t k = is_block_format(w_dtype) ? shape.k / 32 * 32 : shape.k;
    const Matrix w = random_weights(w_dtype, n, k, rng);
    const Matrix x = random_x(DType::f32, m, k, rng);
    Expectations expected(x, w);
    for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
      const Product p(w, n, setup);
      check_bounded(p, m, p.run(x, m), expected.of(p, m));
    });
  }
}

// f16 subnormals and values close to its largest, as weights and as scales of blocks; x down to the
// subnormals of f32, where the inverse of a block's scale is infinite.
TESSERA_FORMAT_TEST(extreme_values, "tiny and huge values", "[matmul]") {
  Rng rng = suite_rng();
  const size_t n = 19, k = is_block_format(w_dtype) ? 96 : 77;
  for (const float w_size : {0x1p-22f, 0x1p-16f, 1.0f, 0x1p13f}) {
    const Matrix w = random_weights(w_dtype, n, k, rng, w_size);
    for (const float x_size : {0x1p-149f, 0x1p-135f, 0x1p-126f, 0x1p-120f, 0x1p-24f, 0x1p90f}) {
      std::vector<float> values(7 * k);
      for (float& v : values) v = x_size * static_cast<float>(rng.between(-200, 200));
      const Matrix x = encode(DType::f32, 7, k, values);
      Expectations expected(x, w);
      for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
        const Product p(w, n, setup);
        for (const size_t m : {size_t{1}, size_t{7}}) {
          check_bounded(p, m, p.run(x, m), expected.of(p, m));
        }
      });
    }
  }
}

TESSERA_FORMAT_TEST(empty_products, "dimensions of 0", "[matmul]") {
  Rng rng = suite_rng();
  const size_t k = 64;
  const Matrix w = exact_weights(w_dtype, 40, k, rng), x = exact_x(DType::f32, 15, k, rng);
  const Matrix no_depth_w = exact_weights(w_dtype, 40, 0, rng);
  const Matrix no_depth_x = exact_x(DType::f32, 15, 0, rng);
  std::vector<float> bias(40);
  for (float& b : bias) b = static_cast<float>(rng.between(-9, 9));
  Epilogue epilogue;
  epilogue.bias = bias.data();
  for_each_kernel(w_dtype, [&](Setup setup, const Tile&) {
    for (const DType y : kYTypes) {
      setup.y = y;
      const Product no_cols(w, 0, setup), full(w, 40, setup), no_depth(no_depth_w, 40, setup);
      for (const size_t m : {size_t{0}, size_t{1}, size_t{15}}) {
        check_no_error(no_cols, m, no_cols.run(x, m));
      }
      check_no_error(full, 0, full.run(x, 0));
      // Depth 0: y is what the epilogue makes of 0, here the bias.
      for (const size_t m : {size_t{1}, size_t{4}, size_t{15}}) {
        const Output out = no_depth.run(no_depth_x, m, epilogue);
        check_no_error(no_depth, m, out);
        for (size_t i = 0; i < out.y.size(); ++i) {
          if (!(out.y[i] == bias[i % 40])) {
            FAIL("y[" << i / 40 << ", " << i % 40 << "] is " << out.y[i] << ", not the bias "
                      << bias[i % 40] << "\n"
                      << rerun(no_depth, m));
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace tessera::test

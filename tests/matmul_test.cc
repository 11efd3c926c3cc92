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
constexpr size_t kMostRows = 2 * kMostPanelRows + 1, kMostCols = 70;

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
  for (const size_t k : whole_blocks(w_dtype, {1, 2, 3, 31, 32, 33, 67, 1021})) {
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
  const size_t k = whole_blocks(w_dtype, 45);
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
  const size_t n = 37, k = whole_blocks(w_dtype, 35);
  const Matrix w = exact_weights(w_dtype, n, k, rng), x = exact_x(DType::f32, 40, k, rng);
  const Expected e = reference_product(x, w, PackedX::f32);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    const Product p(w, n, setup);
    for (size_t m = 1; m <= 40; ++m) check_exact(p, m, p.run(x, m), e);
  });
}

// Codes of the largest magnitude, whose products fill the integers that kernels add up in.
TESSERA_FORMAT_TEST(largest_codes, "exact sums of the largest codes", "[matmul]") {
  const size_t n = 6, m = 9, k = whole_blocks(w_dtype, 63);
  float low = -127, high = 127;
  visit_format(w_dtype, [&]<class F>(F) {
    if constexpr (F::kIsBlock) {
      low = std::max(low, -static_cast<float>(F::kOffset));  // q8_0's encoder makes no -128
      high = static_cast<float>(F::kMostCode - F::kOffset);
    }
  });
  std::vector<float> weights(n * k), values(m * k);
  for (size_t i = 0; i < n * k; ++i) {
    // A block's first value fixes its scale.
    weights[i] = i % k % 32 == 0 || (i % k >> i / k) % 2 != 0 ? low : high;
  }
  for (size_t i = 0; i < m * k; ++i) values[i] = (i % k >> i / k) % 2 != 0 ? -127 : 127;
  Matrix w = encode(w_dtype, n, k, weights);
  visit_format(w_dtype, [&]<class F>(F) {  // with scales of 1 again, which fit any sum into f32
    if constexpr (SuperBlockFormat<F>) {
      for (size_t at = 0; at < n * k; at += F::kBlockValues) {
        typename F::Block block{};
        F::set_scales(block, 1, 0);
        for (size_t s = 0; s < F::kBlockValues / F::kSubValues; ++s)
          F::set_sub_block(block, s, 1, 0);
        for (size_t i = 0; i < F::kBlockValues; ++i) {
          F::set_code(block, i, F::kOffset + static_cast<int>(weights[at + i]));
        }
        std::memcpy(w.bytes.data() + at / F::kBlockValues * sizeof(block), &block, sizeof(block));
      }
    }
  });
  decode(w);
  const Matrix x = encode(DType::f32, m, k, values);
  const Expected e = reference_product(x, w, PackedX::f32);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    const Product p(w, n, setup);
    for (const size_t rows : {size_t{1}, m}) check_exact(p, rows, p.run(x, rows), e);
  });
}

TESSERA_FORMAT_TEST(rounded_products, "rounded sums within the derived bound", "[matmul]") {
  Rng rng = suite_rng();
  for (const size_t k : whole_blocks(w_dtype, {1, 5, 17, 66, 331, 2051})) {
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

// What the comments at Accuracy promise: how far rounding takes x, for the oracle that kernels are
// compared with, and y from the product itself.
TESSERA_FORMAT_TEST(rounding_of_x, "blocks of x round as far as the accuracy says", "[matmul]") {
  if (!is_block_format(w_dtype)) return;
  Rng rng = suite_rng();
  const size_t n = 37, m = 9, k = whole_blocks(w_dtype, 320);
  const Matrix w = random_weights(w_dtype, n, k, rng), x = random_x(DType::f32, m, k, rng);
  const Expected e = reference_product(x, w, PackedX::f32);
  Expectations expected(x, w);
  for (const PackedX how : {PackedX::q8, PackedX::q8_coarse}) {
    const std::vector<double> rounded = rounded_x(x, how);
    for (size_t i = 0; i < m * k; ++i) {
      double largest = 0x1p-119;  // scales of coarse are normal floats
      for (size_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) {
        largest = std::max(largest, std::fabs(x.value[j]));
      }
      const double share = how == PackedX::q8_coarse ? 1.0 / 127 : 1.0 / 254;
      REQUIRE(std::fabs(rounded[i] - x.value[i]) <= largest * share * (1 + 0x1p-15));
    }
  }
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    if (setup.accuracy == Accuracy::exact) return;
    const Product p(w, n, setup);
    const Output out = p.run(x, m);
    check_no_error(p, m, out);
    const double share = setup.accuracy == Accuracy::coarse ? 1.0 / 127 : 1.0 / 254;
    for (size_t i = 0; i < m * n; ++i) {
      double bound = product_bound(expected.of(p, m), i);
      for (size_t block = 0; block < k; block += 32) {
        double largest = 0, weights = 0;
        for (size_t at = block; at < block + 32; ++at) {
          largest = std::max(largest, std::fabs(x.value[i / n * k + at]));
          weights += std::fabs(w.value[i % n * k + at]);
        }
        // Codes are rounded in f32, whose last place moves ties by 2^-23 of 127 codes.
        bound += largest * weights * share * (1 + 0x1p-15);
      }
      const double error = std::fabs(static_cast<double>(out.y[i]) - e.value[i]);
      if (!(error <= bound)) {
        FAIL("y[" << i / n << ", " << i % n << "] is " << error << " off, more than " << bound
                  << "\n"
                  << rerun(p, m));
      }
    }
    SUCCEED();
  });
}

TESSERA_FORMAT_TEST(coarse_floats, "coarse is fast where W has no blocks", "[matmul]") {
  if (is_block_format(w_dtype)) return;
  Rng rng = suite_rng();
  const Matrix w = random_weights(w_dtype, 37, 67, rng), x = random_x(DType::f32, 9, 67, rng);
  for_each_kernel(w_dtype, [&](Setup setup, const Tile&) {
    if (setup.accuracy == Accuracy::exact) return;
    const Output want = Product(w, 37, setup).run(x, 9);
    setup.accuracy = Accuracy::coarse;
    const Product p(w, 37, setup);
    check_same_bits(p, 9, p.run(x, 9), want.y, "coarse");
  });
}

// The largest scale of x that `coarse` can multiply is 2^104.
TESSERA_FORMAT_TEST(coarse_limit, "coarse takes magnitudes of x up to 127 * 2^104", "[matmul]") {
  if (!is_block_format(w_dtype)) return;
  Rng rng = suite_rng();
  const size_t n = 5, k = whole_blocks(w_dtype, 64);
  const Matrix w = random_weights(w_dtype, n, k, rng, 0x1p-4f);
  std::vector<float> values(2 * k);
  for (float& v : values) v = 0x1p104f * static_cast<float>(rng.between(-127, 127));
  values[3] = 127 * 0x1p104f;
  values[k] = 128 * 0x1p104f;
  const Matrix x = encode(DType::f32, 2, k, values);
  Expectations expected(x, w);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    if (setup.accuracy != Accuracy::coarse) return;
    const Product p(w, n, setup);
    check_bounded(p, 1, p.run(x, 1), expected.of(p, 1));
    const Output out = p.run(x, 2);
    check_no_error(p, 2, out);
    for (size_t i = 0; i < n; ++i) {
      CHECK(std::isfinite(out.y[i]));
      CHECK_FALSE(std::isfinite(out.y[n + i]));
    }
  });
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
    const size_t k = whole_blocks(w_dtype, shape.k);
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
  const size_t n = 19, k = whole_blocks(w_dtype, 77);
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
  const size_t k = whole_blocks(w_dtype, 64);
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

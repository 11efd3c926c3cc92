// SPDX-License-Identifier: MIT
// blas.h: gemm against three loops, with every combination of transpositions, leading dimensions
// above the least, alpha and beta of 0, sizes of 0, and what BLAS says must not be read.
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "support/stored.h"
#include "support/suite.h"
#include "tessera/thread_pool.h"

namespace tessera::test {
namespace {

using blas::gemm;
using blas::Op;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Gemm {
  Op op_a, op_b;
  size_t m, n, k;
  float alpha, beta;
  size_t extra = 0;
};

std::string describe(const Gemm& g) {
  const auto op = [](Op o) { return o == Op::none ? "N" : "T"; };
  return std::string("gemm ") + op(g.op_a) + op(g.op_b) + " m " + std::to_string(g.m) + " n " +
         std::to_string(g.n) + " k " + std::to_string(g.k) + " alpha " + std::to_string(g.alpha) +
         " beta " + std::to_string(g.beta) + " ld + " + std::to_string(g.extra) +
         "\nre-run this test case with --rng-seed " + std::to_string(Catch::getSeed());
}

/// Runs gemm on integers (exact) and compares; returns C as stored.
std::vector<float> check_gemm(const Gemm& g, Rng& rng, Executor executor = serial()) {
  const Stored a(g.op_a, g.m, g.k, g.extra), b(g.op_b, g.k, g.n, 2 * g.extra);
  const Stored c(Op::none, g.m, g.n, 3 * g.extra);
  for (size_t i = 0; i < g.m; ++i) {
    for (size_t p = 0; p < g.k; ++p) a.at(i, p) = static_cast<float>(rng.between(-9, 9));
  }
  for (size_t p = 0; p < g.k; ++p) {
    for (size_t j = 0; j < g.n; ++j) b.at(p, j) = static_cast<float>(rng.between(-9, 9));
  }
  std::vector<double> old(g.m * g.n);
  for (size_t i = 0; i < g.m; ++i) {
    for (size_t j = 0; j < g.n; ++j) {
      old[i * g.n + j] = rng.between(-99, 99);
      // With beta == 0, C is not read: leave it NaN.
      if (g.beta != 0.0f) c.at(i, j) = static_cast<float>(old[i * g.n + j]);
    }
  }
  const Status s = gemm(g.op_a, g.op_b, g.m, g.n, g.k, g.alpha, a.data(), a.ld, b.data(), b.ld,
                        g.beta, c.data(), c.ld, executor);
  if (!s.ok()) FAIL(s.message().c_str() << "\n" << describe(g));
  for (size_t i = 0; i < g.m; ++i) {
    for (size_t j = 0; j < g.n; ++j) {
      double sum = 0;
      for (size_t p = 0; p < g.k; ++p) {
        sum += static_cast<double>(a.at(i, p)) * static_cast<double>(b.at(p, j));
      }
      const double want = static_cast<double>(g.alpha) * sum +
                          static_cast<double>(g.beta) * (g.beta != 0.0f ? old[i * g.n + j] : 0.0);
      if (!(static_cast<double>(c.at(i, j)) == want)) {
        FAIL("C[" << i << ", " << j << "] is " << c.at(i, j) << ", exactly " << want << "\n"
                  << describe(g));
      }
    }
  }
  for (size_t i = 0; i < c.count; ++i) {
    if (i % c.ld >= g.n && std::bit_cast<uint32_t>(c.data()[i]) != 0xFFFFFFFFu) {
      FAIL("C's padding was written in row " << i / c.ld << "\n" << describe(g));
    }
  }
  CHECK(c.memory.slack_untouched());
  return {c.data(), c.data() + c.count};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST_CASE("gemm: every op over many shapes", "[blas]") {
  Rng rng = suite_rng();
  for (const Op op_a : kOps) {
    for (const Op op_b : kOps) {
      for (const size_t m : {1, 2, 4, 5, 12, 13, 31}) {
        for (const size_t n : {1, 3, 16, 32, 33, 71}) {
          for (const size_t k : {1, 2, 17, 64}) {
            check_gemm({op_a, op_b, m, n, k, 1.0f, 0.0f, rng.below(2) * 5}, rng);
          }
        }
      }
    }
  }
}

// Whatever has a way of its own: few rows, few columns, few sums, several ranges of k and groups of
// columns, all of W packed ahead.
TEST_CASE("gemm: sizes on either side of each choice", "[blas]") {
  Rng rng = suite_rng();
  constexpr size_t kSizes[][3] = {
      {1, 1, 300},     {1, 5, 131},    {1, 64, 48},   {2, 31, 130},  {4, 16, 257},
      {3, 17, 129},    {4, 200, 128},  {2, 9, 1000},  {16, 8, 256},  {8, 2, 256},
      {5, 1, 400},     {70, 1, 33},    {200, 2, 40},  {100, 16, 17}, {64, 16, 129},
      {13, 1100, 20},  {7, 1029, 150}, {63, 40, 130}, {64, 33, 160}, {65, 70, 128},
      {130, 70, 40},   {90, 65, 129},  {1, 300, 1},   {300, 1, 1},   {128, 250, 260},
      {129, 250, 260}, {7, 300, 1},    {2, 1029, 2},  {40, 70, 3},   {9, 130, 4},
      {5, 161, 2},     {3, 145, 4},    {11, 131, 5},  {520, 512, 9}, {520, 512, 7}};
  for (const Op op_a : kOps) {
    for (const Op op_b : kOps) {
      for (const auto& [m, n, k] : kSizes) {
        check_gemm({op_a, op_b, m, n, k, 1.0f, 0.0f, 0}, rng);
        check_gemm({op_a, op_b, m, n, k, -2.0f, 1.0f, rng.below(3)}, rng);
      }
    }
  }
}

// Without products there is nothing that alpha could multiply.
TEST_CASE("gemm: k of 0 leaves beta * C, whatever alpha is", "[blas]") {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const size_t size : {size_t{1}, size_t{4}, size_t{40}, size_t{300}}) {
    for (const float alpha : {kNaN, kInf, -kInf, 1.0f, 0.0f}) {
      for (const float beta : {0.0f, 0.5f, 1.0f}) {
        std::vector<float> c(size * size, beta == 0.0f ? kNaN : 2.0f);
        const Status s = blas::gemm(Op::none, Op::transpose, size, size, 0, alpha, nullptr, 1,
                                    nullptr, 1, beta, c.data(), size);
        REQUIRE(s.ok());
        CHECK(std::all_of(c.begin(), c.end(), [beta](float v) { return v == 2.0f * beta; }));
      }
    }
  }
}

// Each way, by sizes that take it on any target with vectors.
TEST_CASE("gemm: every way", "[blas]") {
  Rng rng = suite_rng();
  constexpr Op kN = Op::none, kT = Op::transpose;
  constexpr struct {
    Op op_a, op_b;
    size_t m, n, k, extra;
    const char* way;
  } kCases[] = {{kT, kN, 1, 9, 30, 1, "copies of vectors with gaps"},
                {kN, kN, 9, 1, 30, 1, "copies of vectors with gaps"},
                {kN, kN, 3, 5, 2, 1, "tiles, A and B in place"},
                {kT, kN, 130, 64, 150, 1, "tiles, A and B in place"},
                {kN, kN, 400, 90, 200, 1, "tiles, A and B in place"},
                {kN, kT, 33, 100, 9, 1, "tiles, B turned in pieces"},
                {kT, kN, 300, 2, 9, 1, "tiles of C^T, C turned in pieces"},
                {kT, kT, 60, 1100, 300, 1, "tiles of C^T, C turned in pieces"},
                {kT, kT, 700, 60, 300, 1, "tiles of C^T, C turned in pieces"},
                {kT, kN, 1100, 60, 300, 1, "tiles of C^T, C turned in pieces"},
                {kN, kN, 60, 400, 300, 1, "tiles, A and B in place"},
                {kN, kN, 500, 2, 9, 1, "tiles of C^T, A and C turned in pieces"},
                {kN, kT, 3, 5, 300, 1, "dots"},
                {kN, kN, 5, 3, 700, 1, "dots"},
                {kT, kT, 3, 6, 700, 1, "dots"},
                {kN, kT, 600, 50, 300, 1, "tiles, operands copied"},
                {kN, kT, 600, 600, 20, 1, "tiles, operands copied"},
                {kT, kN, 600, 600, 20, 1, "tiles, operands copied"},
                {kT, kT, 600, 600, 20, 1, "tiles, operands copied"},
                {kN, kN, 300, 1022, 20, 1, "tiles, operands copied"},
                {kN, kT, 50, 600, 300, 1, "tiles of C^T, A turned, C turned in pieces"},
                {kT, kN, 3000, 12, 700, 1, "C^T, turned"},
                {kN, kN, 300, 310, 320, 1, "a plan"}};
  const std::string name = default_target();
  const auto all = targets();
  const auto target =
      std::find_if(all.begin(), all.end(), [&name](const Target& t) { return name == t.name; });
  const bool vectors = target != all.end() && target->vector_bytes > sizeof(float);
  for (const auto& [op_a, op_b, m, n, k, extra, way] : kCases) {
    const size_t lda = (op_a == kN ? k : m) + extra, ldb = (op_b == kN ? n : k) + 2 * extra;
    const char* const taken = blas::explain(op_a, op_b, m, n, k, lda, ldb, n + 3 * extra);
    const Gemm g{op_a, op_b, m, n, k, -2.0f, 0.0f, extra};
    INFO(describe(g));
    if (vectors) CHECK(std::string(taken) == way);
    check_gemm(g, rng);
    check_gemm({op_a, op_b, m, n, k, 0.5f, -1.0f, extra}, rng);
  }
  CHECK(std::string(blas::explain(kN, kN, 0, 1, 1, 1, 1, 1)) == "a plan");
}

// Sizes around those of a vector, of what is turned at once and of a tile, where last pieces begin.
TEST_CASE("gemm: small sizes of all kinds", "[blas]") {
  Rng rng = suite_rng();
  for (int i = 0; i < 3000; ++i) {
    const auto size = [&rng](size_t most) { return 1 + rng.below(1 + rng.below(most)); };
    const Op op_a = rng.below(2) != 0 ? Op::none : Op::transpose;
    const Op op_b = rng.below(2) != 0 ? Op::none : Op::transpose;
    const float beta = rng.below(2) != 0 ? 0.0f : -1.0f;
    check_gemm({op_a, op_b, size(70), size(70), size(300), 2.0f, beta, rng.below(2)}, rng);
  }
}

TEST_CASE("gemm: alpha and beta", "[blas]") {
  Rng rng = suite_rng();
  for (const Op op_a : kOps) {
    for (const Op op_b : kOps) {
      for (const float alpha : {0.0f, 1.0f, -2.0f, 0.5f}) {
        for (const float beta : {0.0f, 1.0f, -0.5f, 4.0f}) {
          for (const size_t m : {1, 3, 19}) {
            check_gemm({op_a, op_b, m, 37, 23, alpha, beta, 0}, rng);
            check_gemm({op_a, op_b, m, 37, 23, alpha, beta, 3}, rng);
          }
        }
      }
    }
  }
}

TEST_CASE("gemm: sizes of 0", "[blas]") {
  Rng rng = suite_rng();
  for (const Op op_a : kOps) {
    for (const Op op_b : kOps) {
      for (const size_t m : {0, 1, 13}) {
        for (const size_t n : {0, 1, 40}) {
          for (const size_t k : {0, 9}) {
            for (const float beta : {0.0f, 2.0f}) {
              check_gemm({op_a, op_b, m, n, k, 1.0f, beta, 0}, rng);
              check_gemm({op_a, op_b, m, n, k, 1.0f, beta, 4}, rng);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("gemm: alpha 0 or k 0 reads neither A nor B", "[blas]") {
  for (const Op op_a : kOps) {
    for (const Op op_b : kOps) {
      for (const size_t m : {1, 4, 5, 19}) {
        const size_t n = 37, k = 8;
        std::vector<float> nan(m * k + k * n, kNaN), c(m * n, 3.0f);
        const size_t lda = op_a == Op::none ? k : m, ldb = op_b == Op::none ? n : k;
        INFO("m " << m);
        // NaN in A and B, then no A and B at all.
        CHECK(gemm(op_a, op_b, m, n, k, 0.0f, nan.data(), lda, nan.data(), ldb, 2.0f, c.data(), n)
                  .ok());
        CHECK(c == std::vector<float>(m * n, 6.0f));
        CHECK(gemm(op_a, op_b, m, n, k, 0.0f, nullptr, lda, nullptr, ldb, 0.5f, c.data(), n).ok());
        CHECK(c == std::vector<float>(m * n, 3.0f));
        CHECK(gemm(op_a, op_b, m, n, 0, 1.0f, nullptr, lda, nullptr, ldb, 3.0f, c.data(), n).ok());
        CHECK(c == std::vector<float>(m * n, 9.0f));
        // And beta 0 does not read C.
        std::fill(c.begin(), c.end(), kNaN);
        CHECK(gemm(op_a, op_b, m, n, k, 0.0f, nullptr, lda, nullptr, ldb, 0.0f, c.data(), n).ok());
        CHECK(c == std::vector<float>(m * n, 0.0f));
      }
    }
  }
}

TEST_CASE("gemm: threads give the same bits", "[blas][threads]") {
  ThreadPool pool(3);
  for (const Op op_a : kOps) {
    for (const Op op_b : kOps) {
      for (const size_t m : {1, 100}) {
        const Gemm g{op_a, op_b, m, 75, 700, 1.0f, 1.0f, 1};
        Rng rng = suite_rng(), again = suite_rng();
        CHECK(same_bits(check_gemm(g, rng), check_gemm(g, again, pool.executor())));
      }
    }
  }
}

// Products that one thread computes without a plan, and several with one.
TEST_CASE("gemm: threads give the same bits of sums that round", "[blas][threads]") {
  ThreadPool pool(3);
  Rng rng = suite_rng();
  constexpr size_t kSizes[][3] = {{1, 900, 120},  {2, 4000, 100}, {9, 800, 128}, {12, 1500, 20},
                                  {40, 300, 100}, {150, 200, 90}, {600, 3, 700}, {100, 110, 127},
                                  {3, 16, 90000}, {64, 300, 300}, {1, 400, 900}, {400, 90, 200},
                                  {50, 600, 300}, {7, 500, 300},  {500, 7, 300}, {900, 4, 90},
                                  {4, 900, 90}};
  for (const Op op_a : kOps) {
    for (const Op op_b : kOps) {
      for (const auto& [m, n, k] : kSizes) {
        const Stored a(op_a, m, k, 0), b(op_b, k, n, 1);
        for (size_t i = 0; i < m * k; ++i) a.at(i / k, i % k) = rng.uniform(-1, 1);
        for (size_t i = 0; i < n * k; ++i) b.at(i % k, i / k) = rng.uniform(-1, 1);
        std::vector<float> one(m * n), three(m * n);
        REQUIRE(
            gemm(op_a, op_b, m, n, k, 0.3f, a.data(), a.ld, b.data(), b.ld, 0, one.data(), n).ok());
        REQUIRE(gemm(op_a, op_b, m, n, k, 0.3f, a.data(), a.ld, b.data(), b.ld, 0, three.data(), n,
                     pool.executor())
                    .ok());
        INFO(describe({op_a, op_b, m, n, k, 0.3f, 0.0f, 0}));
        CHECK(same_bits(one, three));
      }
    }
  }
}

// Values that round: the bound of tolerance.h, with alpha and beta as the epilogue.
TEST_CASE("gemm: rounded sums within the derived bound", "[blas]") {
  Rng rng = suite_rng();
  for (const Op op_a : kOps) {
    for (const Op op_b : kOps) {
      for (const size_t m : {2, 35}) {
        const size_t n = 51, k = 700;
        const Matrix x = random_weights(DType::f32, m, k, rng);
        const Matrix w = random_weights(DType::f32, n, k, rng);  // op(B) is its transpose
        const Expected e = reference_product(x, w, PackedX::f32);
        const Stored a(op_a, m, k, 1), b(op_b, k, n, 2), c(Op::none, m, n, 3);
        for (size_t i = 0; i < m * k; ++i) a.at(i / k, i % k) = static_cast<float>(x.value[i]);
        for (size_t i = 0; i < n * k; ++i) b.at(i % k, i / k) = static_cast<float>(w.value[i]);
        for (size_t i = 0; i < m * n; ++i) c.at(i / n, i % n) = 0.25f;
        REQUIRE(
            gemm(op_a, op_b, m, n, k, 0.3f, a.data(), a.ld, b.data(), b.ld, -0.7f, c.data(), c.ld)
                .ok());
        const Epilogue epilogue{0.3f, -0.7f, nullptr, Activation::none};
        for (size_t i = 0; i < m * n; ++i) {
          const Bounded want =
              bounded_epilogue(epilogue, {e.value[i], product_bound(e, i)}, 0.0, 0.25);
          if (!(used_fraction(c.at(i / n, i % n), want, DType::f32) <= 1)) {
            FAIL("C[" << i / n << ", " << i % n << "] is " << c.at(i / n, i % n) << ", not "
                      << want.value << " +- " << want.bound << "\n"
                      << describe({op_a, op_b, m, n, k, 0.3f, -0.7f, 1}));
          }
        }
        SUCCEED();
      }
    }
  }
}

}  // namespace
}  // namespace tessera::test

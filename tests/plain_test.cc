// SPDX-License-Identifier: MIT
// A test program of C++ alone, for builds without exceptions and run-time type information:
// products with exact sums over all formats, targets, accuracies, paths and types at a few shapes,
// some of them within the derived bound, parts and rectangles, and refusals. Prints what failed and
// how to get there; the exit code is 0 if nothing did.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/product.h"
#include "support/random.h"
#include "support/reference.h"
#include "support/targets.h"
#include "support/tolerance.h"
#include "tessera/tessera.h"

namespace tessera::test {
namespace {

constexpr uint64_t kSeed = 20240817;
size_t passed = 0, failed = 0;

void check(bool ok, const std::string& what) {
  ++(ok ? passed : failed);
  if (!ok)
    std::printf("FAILED: %s (seed %llu)\n", what.c_str(), static_cast<unsigned long long>(kSeed));
}

bool is_exact(const Output& out, DType y, size_t m, size_t n, const Expected& e) {
  if (!out.error.empty()) return false;
  for (size_t i = 0; i < m * n; ++i) {
    const float exact = static_cast<float>(e.value[i / n * e.n + i % n]);
    if (!(out.y[i] == rounded_to(y, exact))) return false;
  }
  return true;
}

bool is_bounded(const Output& out, DType y, size_t m, size_t n, const Expected& e) {
  if (!out.error.empty()) return false;
  for (size_t i = 0; i < m * n; ++i) {
    const size_t at = i / n * e.n + i % n;
    if (!(used_fraction(out.y[i], {e.value[at], product_bound(e, at)}, y) <= 1)) return false;
  }
  return true;
}

template <class Visitor>
void for_each_kernel(DType w, const Visitor& visitor) {
  for_each_target([&](const char* target) {
    for (const Accuracy accuracy : kAccuracies) {
      for (const bool packed : {false, true}) {
        visitor(Setup{w, DType::f32, DType::f32, accuracy, packed, target, {}});
      }
    }
  });
}

void exact_products(DType w_dtype) {
  Rng rng(kSeed);
  for (const size_t k : whole_blocks(w_dtype, {1, 37, 512})) {
    const Matrix w = exact_weights(w_dtype, 70, k, rng);
    for (const DType x_dtype : kXTypes) {
      const Matrix x = exact_x(x_dtype, 27, k, rng);
      const Expected e = reference_product(x, w, PackedX::f32);
      for_each_kernel(w_dtype, [&](Setup setup) {
        setup.x = x_dtype;
        for (const DType y_dtype : kYTypes) {
          setup.y = y_dtype;
          for (const size_t n : {33, 1, 70}) {
            if (n != 33 && x_dtype != DType::f32) continue;  // x is packed alike for any n
            const Product p(w, n, setup);
            for (const size_t m : {1, 4, 5, 13, 27}) {
              const Output out = p.run(x, m);
              check(is_exact(out, y_dtype, m, n, e), p.describe(m) + " " + out.error);
            }
            const Output parts = p.run(x, 27, {}, {3, 5});
            check(is_exact(parts, y_dtype, 27, n, e), "in parts: " + p.describe(27));
            const Work rects{1, 1, {{0, 5, 0, n}, {5, 27, 0, n / 2}, {5, 27, n / 2, n}}};
            const Output pieces = p.run(x, 27, {}, rects);
            check(is_exact(pieces, y_dtype, 27, n, e), "in rectangles: " + p.describe(27));
          }
        }
      });
    }
  }
}

void rounded_products(DType w_dtype) {
  Rng rng(kSeed);
  const size_t n = 45, k = whole_blocks(w_dtype, 331);
  const Matrix w = random_weights(w_dtype, n, k, rng), x = random_x(DType::f32, 17, k, rng);
  for_each_kernel(w_dtype, [&](const Setup& setup) {
    const Product p(w, n, setup);
    for (const size_t m : {1, 17}) {
      const Expected e = reference_product(x, w, packed_x_of(p.plan().explain(m).x));
      const Output out = p.run(x, m);
      check(is_bounded(out, setup.y, m, n, e), "bound: " + p.describe(m) + " " + out.error);
    }
  });
}

void one_calls(DType w_dtype) {
  Rng rng(kSeed);
  const size_t k = whole_blocks(w_dtype, 64);
  const Matrix w = exact_weights(w_dtype, 40, k, rng), x = exact_x(DType::f32, 9, k, rng);
  const Expected e = reference_product(x, w, PackedX::f32);
  Output out;
  out.y.resize(9 * 40);
  Status s = matmul(rows_of(out.y, 9, 40), x.view(), w.view());
  check(s.ok() && is_exact(out, DType::f32, 9, 40, e),
        std::string("matmul ") + dtype_name(w_dtype));

  // To the format and back through quantize gives the very same rows.
  std::vector<float> values(40 * k);
  std::vector<std::byte> bytes(w.bytes.size());
  s = quantize(w.view(), rows_of(values, 40, k));
  bool same = s.ok();
  for (size_t i = 0; i < values.size(); ++i)
    same = same && values[i] == static_cast<float>(w.value[i]);
  check(same, std::string("quantize from ") + dtype_name(w_dtype));
  if (!can_encode(w_dtype)) return;
  s = quantize(rows_of(values, 40, k), {bytes.data(), 40, k, w.row_bytes, w_dtype});
  const Matrix again = encode(w_dtype, 40, k, values);
  check(s.ok() && bytes == again.bytes, std::string("quantize to ") + dtype_name(w_dtype));
}

void gemm() {
  Rng rng(kSeed);
  using blas::Op;
  const size_t m = 11, n = 37, k = 19;
  for (const Op op_a : {Op::none, Op::transpose}) {
    for (const Op op_b : {Op::none, Op::transpose}) {
      std::vector<float> a(m * k), b(k * n), c(m * n, 3.0f);
      for (float& v : a) v = static_cast<float>(rng.between(-9, 9));
      for (float& v : b) v = static_cast<float>(rng.between(-9, 9));
      const bool a_turned = op_a == Op::transpose, b_turned = op_b == Op::transpose;
      const Status s = blas::gemm(op_a, op_b, m, n, k, 2.0f, a.data(), a_turned ? m : k, b.data(),
                                  b_turned ? k : n, -1.0f, c.data(), n);
      bool same = s.ok();
      for (size_t i = 0; i < m * n; ++i) {
        float sum = 0;
        for (size_t p = 0; p < k; ++p) {
          sum += a[a_turned ? p * m + i / n : i / n * k + p] *
                 b[b_turned ? i % n * k + p : p * n + i % n];
        }
        same = same && c[i] == 2.0f * sum - 3.0f;
      }
      check(same, std::string("gemm ") + (a_turned ? "T" : "N") + (b_turned ? "T" : "N"));
    }
  }
}

void refusals() {
  const std::vector<float> data(1000);
  const auto text = [](const Status& s) { return std::string(s.message().c_str()); };
  check(text(Matmul::plan({data.data(), 2, 172, 1000, DType::q4_0}, DType::f32).status()) ==
            "w.cols = 172 is not a multiple of 32, the block of q4_0",
        "the text of partial_block");
  check(Matmul::plan({nullptr, 2, 32, 128, DType::f32}, DType::f32).status().code ==
            StatusCode::null_data,
        "null_data");
  check(Matmul::plan({data.data(), 2, 32, 128, DType::f32}, DType::f32, {Accuracy::fast, "no", {}})
                .status()
                .code == StatusCode::unknown_target,
        "unknown_target");
  check(Matmul().pack({data.data(), 2, 32, 128, DType::f32}, {}).code == StatusCode::wrong_plan,
        "wrong_plan");
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  // An emulated CPU is known, so what it should run is too.
  if (const char* best = std::getenv("TESSERA_TEST_BEST")) {
    check(tessera::default_target() == std::string(best),
          std::string("the best target is ") + tessera::default_target() + ", not " + best);
  }
  for_each_format([](tessera::DType w) {
    exact_products(w);
    rounded_products(w);
    one_calls(w);
  });
  gemm();
  refusals();
  std::printf("%zu passed, %zu failed\n", passed, failed);
  return failed == 0 && passed != 0 ? 0 : 1;
}

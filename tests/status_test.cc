// SPDX-License-Identifier: MIT
// base/status.h: each StatusCode provoked through the public API, with its exact text. (The
// targets' two: targets_test.cc; out_of_memory: allocation_test.cc.) Also what a refused call
// leaves alone, sizes that overflow, and Result.
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

constexpr size_t kMost = std::numeric_limits<size_t>::max();

void check_status(const Status& s, StatusCode code, const std::string& text) {
  CHECK(s.code == code);
  CHECK(s.message().c_str() == text);
  CHECK_FALSE(s.ok());
}

/// A small valid product: W q4_0 [40, 64], x [3, 64], y [3, 40].
struct Small {
  std::vector<float> x = std::vector<float>(3 * 64, 1.0f);
  std::vector<float> y = std::vector<float>(3 * 40, 7.0f);
  Matrix w = encode(DType::q4_0, 40, 64, std::vector<float>(40 * 64, 1.0f));
  Matmul plan = *Matmul::plan(w.view(), DType::f32);
  std::vector<std::byte> packed_x = std::vector<std::byte>(plan.packed_x_bytes(3));
  std::vector<std::byte> worker = std::vector<std::byte>(plan.worker_bytes(3));

  MatView x_view() const { return rows_of(x, 3, 64); }
  MutMatView y_view() { return rows_of(y, 3, 40); }
  Status run(const MutMatView& to) { return plan.run(packed_x, to, worker); }
};

TEST_CASE("status: the small product of these tests is in order", "[status]") {
  Small s;
  CHECK(s.plan.pack(s.x_view(), s.packed_x).ok());
  const Status run = s.run(s.y_view());
  CHECK(run.ok());
  CHECK(run.message().c_str() == std::string("ok"));
  CHECK(s.y == std::vector<float>(3 * 40, 64.0f));
}

TEST_CASE("status: null_data", "[status]") {
  Small s;
  MatView w = s.w.view(), x = s.x_view();
  w.data = x.data = nullptr;
  check_status(Matmul::plan(w, DType::f32).status(), StatusCode::null_data,
               "w has no data but 1440 bytes");
  check_status(s.plan.pack(x, s.packed_x), StatusCode::null_data, "x has no data but 768 bytes");
  MutMatView y = s.y_view();
  y.data = nullptr;
  check_status(s.run(y), StatusCode::null_data, "y has no data but 480 bytes");
  check_status(s.plan.run_rect(s.packed_x, y, s.worker, {}, {0, 1, 0, 1}), StatusCode::null_data,
               "y has no data but 480 bytes");
  check_status(matmul(y, s.x_view(), s.w.view()), StatusCode::null_data,
               "y has no data but 480 bytes");
  check_status(matmul(s.y_view(), x, s.w.view()), StatusCode::null_data,
               "x has no data but 768 bytes");
  check_status(quantize(x, s.y_view()), StatusCode::null_data, "src has no data but 768 bytes");
  check_status(quantize(s.x_view(), y), StatusCode::null_data, "dst has no data but 480 bytes");
  const float one = 1.0f;
  float c = 1.0f;
  using blas::Op;
  check_status(blas::gemm(Op::none, Op::none, 1, 1, 2, 1, nullptr, 2, &one, 1, 0, &c, 1),
               StatusCode::null_data, "a has no data but 8 bytes");
  check_status(blas::gemm(Op::none, Op::none, 1, 1, 2, 1, &one, 2, nullptr, 1, 0, &c, 1),
               StatusCode::null_data, "b has no data but 8 bytes");
  check_status(blas::gemm(Op::none, Op::none, 1, 1, 1, 1, &one, 1, &one, 1, 0, nullptr, 1),
               StatusCode::null_data, "c has no data but 4 bytes");
}

TEST_CASE("status: shape_mismatch", "[status]") {
  Small s;
  MatView x = s.x_view();
  x.cols = 32;
  check_status(s.plan.pack(x, s.packed_x), StatusCode::shape_mismatch,
               "x.cols = 32, but w.cols = 64");
  check_status(matmul(s.y_view(), x, s.w.view()), StatusCode::shape_mismatch,
               "x.cols = 32, but w.cols = 64");
  MutMatView y = s.y_view();
  y.cols = 39;
  check_status(s.run(y), StatusCode::shape_mismatch, "y.cols = 39, but w.rows = 40");
  check_status(s.plan.run_rect(s.packed_x, y, s.worker, {}, {0, 1, 0, 1}),
               StatusCode::shape_mismatch, "y.cols = 39, but w.rows = 40");
  check_status(matmul(y, s.x_view(), s.w.view()), StatusCode::shape_mismatch,
               "y.cols = 39, but w.rows = 40");
  y = s.y_view();
  y.rows = 2;
  check_status(matmul(y, s.x_view(), s.w.view()), StatusCode::shape_mismatch,
               "y.rows = 2, but x.rows = 3");
  check_status(quantize(s.x_view(), rows_of(s.y, 2, 60)), StatusCode::shape_mismatch,
               "dst.rows = 2, but src.rows = 3");
  check_status(quantize(s.x_view(), rows_of(s.y, 3, 32)), StatusCode::shape_mismatch,
               "dst.cols = 32, but src.cols = 64");
}

TEST_CASE("status: gemm's leading dimensions", "[status]") {
  std::vector<float> a(100), b(100), c(100, 7.0f);
  using blas::Op;
  const auto gemm = [&](Op op_a, Op op_b, size_t lda, size_t ldb, size_t ldc) {
    return blas::gemm(op_a, op_b, 3, 4, 5, 1.0f, a.data(), lda, b.data(), ldb, 0.0f, c.data(), ldc);
  };
  const auto code = StatusCode::shape_mismatch;
  // Each names its argument, its value, and what it must at least be.
  check_status(gemm(Op::none, Op::none, 4, 4, 4), code, "lda = 4, but k = 5");
  check_status(gemm(Op::transpose, Op::none, 2, 4, 4), code, "lda = 2, but m = 3");
  check_status(gemm(Op::none, Op::none, 5, 3, 4), code, "ldb = 3, but n = 4");
  check_status(gemm(Op::none, Op::transpose, 5, 4, 4), code, "ldb = 4, but k = 5");
  check_status(gemm(Op::none, Op::none, 5, 4, 3), code, "ldc = 3, but n = 4");
  CHECK(c == std::vector<float>(100, 7.0f));
}

TEST_CASE("status: partial_block", "[status]") {
  const std::vector<float> data(1000);
  check_status(Matmul::plan({data.data(), 2, 172, 1000, DType::q4_0}, DType::f32).status(),
               StatusCode::partial_block,
               "w.cols = 172 is not a multiple of 32, the block of q4_0");
  check_status(row_bytes(DType::q8_0, 33).status(), StatusCode::partial_block,
               "k = 33 is not a multiple of 32, the block of q8_0");
  std::vector<std::byte> out(1000);
  check_status(quantize(rows_of(data, 2, 48), {out.data(), 2, 48, 100, DType::q4_1}),
               StatusCode::partial_block,
               "dst.cols = 48 is not a multiple of 32, the block of q4_1");
  for_each_format([&](DType t) {
    for (const size_t k : {1, 31, 33, 172}) {
      const Result<Matmul> plan = Matmul::plan({data.data(), 1, k, 4000, t}, DType::f32);
      CHECK(plan.ok() == !is_block_format(t));
    }
  });
}

TEST_CASE("status: stride_too_small", "[status]") {
  Small s;
  MatView w = s.w.view(), x = s.x_view();
  MutMatView y = s.y_view();
  w.row_stride = 35;
  x.row_stride = 255;
  y.row_stride = 0;
  check_status(Matmul::plan(w, DType::f32).status(), StatusCode::stride_too_small,
               "w.row_stride = 35 bytes is less than the 36 bytes of a row of q4_0");
  check_status(s.plan.pack(x, s.packed_x), StatusCode::stride_too_small,
               "x.row_stride = 255 bytes is less than the 256 bytes of a row of f32");
  check_status(s.run(y), StatusCode::stride_too_small,
               "y.row_stride = 0 bytes is less than the 160 bytes of a row of f32");
  check_status(quantize(x, s.y_view()), StatusCode::stride_too_small,
               "src.row_stride = 255 bytes is less than the 256 bytes of a row of f32");
}

TEST_CASE("status: size_overflow", "[status]") {
  Small s;
  const float* data = s.x.data();
  check_status(Matmul::plan({data, kMost / 100, 32, 200, DType::q4_0}, DType::f32).status(),
               StatusCode::size_overflow,
               "w: 184467440737095516 rows of 200 bytes do not fit the address space");
  const size_t cols = kMost / 32 * 32;  // more bytes than an address has
  check_status(Matmul::plan({data, 1, cols, 0, DType::q8_0}, DType::f32).status(),
               StatusCode::size_overflow,
               "w: 576460752303423487 rows of 34 bytes do not fit the address space");
  check_status(row_bytes(DType::f32, kMost).status(), StatusCode::size_overflow,
               "row: 18446744073709551615 rows of 4 bytes do not fit the address space");
  MatView x = s.x_view();
  x.rows = kMost / 256;
  check_status(s.plan.pack(x, s.packed_x), StatusCode::size_overflow,
               "x: 72057594037927935 rows of 256 bytes do not fit the address space");
  MutMatView y = s.y_view();
  y.rows = kMost / 160;
  check_status(s.run(y), StatusCode::size_overflow,
               "y: 115292150460684697 rows of 160 bytes do not fit the address space");
  using blas::Op;
  float c = 0;
  CHECK(blas::gemm(Op::none, Op::none, 2, 1, 1, 1, data, kMost, data, 1, 0, &c, 1).code ==
        StatusCode::size_overflow);
  CHECK(blas::gemm(Op::none, Op::none, kMost / 8, 1, 1, 1, data, 8, data, 1, 0, &c, 1).code ==
        StatusCode::size_overflow);
  CHECK(blas::gemm(Op::none, Op::none, kMost / 4, kMost / 4, 0, 1, data, 8, data, kMost / 4, 0, &c,
                   kMost / 4)
            .code == StatusCode::size_overflow);
}

// Views that fit an address while what they are packed to does not.
TEST_CASE("status: sizes that overflow only when packed", "[status]") {
  const std::vector<uint16_t> data(64);
  const Result<Matmul> plan = Matmul::plan({data.data(), 2, 2, 4, DType::bf16}, DType::bf16);
  REQUIRE(plan.ok());
  const size_t row = plan->packed_x_bytes(100) / 100, m = size_t{1} << 60;
  REQUIRE(row >= 16);  // or m rows of it fit
  CHECK(plan->packed_x_bytes(m) == 0);
  CHECK(plan->packed_x_bytes(kMost) == 0);
  std::vector<std::byte> packed_x(4096);
  const std::string text = "packed x: 1152921504606846976 rows of " + std::to_string(row) +
                           " bytes do not fit the address space";
  check_status(plan->pack({data.data(), m, 2, 4, DType::bf16}, packed_x), StatusCode::size_overflow,
               text);
  float y[2] = {};
  check_status(plan->run(packed_x, {y, m, 2, 8, DType::f32}, packed_x), StatusCode::size_overflow,
               "y: 1152921504606846976 rows of 8 bytes do not fit the address space");
  bf16_t narrow[2] = {};
  check_status(plan->run(packed_x, {narrow, m, 2, 4, DType::bf16}, packed_x),
               StatusCode::size_overflow, text);

  // 2^63 bytes of W, which panels of whole words would double.
  const Result<Matmul> most = Matmul::plan({data.data(), kMost / 4, 1, 2, DType::bf16}, DType::f32);
  if (most.ok()) {
    CHECK(most->packed_w_bytes() >= kMost / 4 * 2);
    CHECK_FALSE(PackedWeights::pack(*most).ok());
  } else {
    CHECK(most.status().code == StatusCode::size_overflow);
  }
}

TEST_CASE("status: blocking beyond the shape asks for no more memory", "[status]") {
  Small s;
  for_each_format([&](DType t) {
    const Matrix w = encode(t, 40, 256, std::vector<float>(40 * 256, 1.0f));
    for (const Accuracy accuracy : kAccuracies) {
      const auto worker_bytes = [&](Blocking b) {
        const Result<Matmul> plan = Matmul::plan(w.view(), DType::f32, {accuracy, nullptr, b});
        REQUIRE(plan.ok());
        return plan->worker_bytes(30);
      };
      CHECK(worker_bytes({kMost, kMost}) == worker_bytes({30, 256}));
      CHECK(worker_bytes({size_t{1} << 61, 1}) == worker_bytes({30, 1}));
    }
  });
}

TEST_CASE("status: unsupported_dtype", "[status]") {
  Small s;
  MatView w = s.w.view(), x = s.x_view();
  w.dtype = DType::i32;
  check_status(Matmul::plan(w, DType::f32).status(), StatusCode::unsupported_dtype,
               "w is i32 (ggml type 26), which is not among the formats of this library");
  w.dtype = static_cast<DType>(200);
  check_status(Matmul::plan(w, DType::f32).status(), StatusCode::unsupported_dtype,
               "w is unknown (ggml type 200), which is not among the formats of this library");
  check_status(Matmul::plan(s.w.view(), DType::q8_0).status(), StatusCode::unsupported_dtype,
               "x is q8_0 (ggml type 8), which is not f32, f16 or bf16");
  x.dtype = DType::f16;
  check_status(s.plan.pack(x, s.packed_x), StatusCode::unsupported_dtype,
               "x is f16 (ggml type 1), which is not the format that the plan was made for");
  MutMatView y = s.y_view();
  y.dtype = DType::q8_0;
  check_status(s.run(y), StatusCode::unsupported_dtype,
               "y is q8_0 (ggml type 8), which is not f32, f16 or bf16");
  check_status(matmul(y, s.x_view(), s.w.view()), StatusCode::unsupported_dtype,
               "y is q8_0 (ggml type 8), which is not f32, f16 or bf16");
  x.dtype = DType::q3_k;
  check_status(quantize(x, s.y_view()), StatusCode::unsupported_dtype,
               "src is q3_K (ggml type 11), which is not among the formats of this library");
  y.dtype = DType::iq4_xs;
  check_status(quantize(s.x_view(), y), StatusCode::unsupported_dtype,
               "dst is iq4_xs (ggml type 23), which is not among the formats of this library");
  std::vector<float> of_256(256);
  std::vector<std::byte> bytes(144);
  check_status(quantize(rows_of(of_256, 1, 256), {bytes.data(), 1, 256, 144, DType::q4_k}),
               StatusCode::unsupported_dtype,
               "dst is q4_K (ggml type 12), which can be decoded only");
  check_status(row_bytes(DType::i32, 4).status(), StatusCode::unsupported_dtype,
               "format is i32 (ggml type 26), which is not among the formats of this library");
  check_status(dtype_from_ggml(17).status(), StatusCode::unsupported_dtype,
               "type is iq2_xs (ggml type 17), which is not among the formats of this library");
  check_status(dtype_from_ggml(65536).status(), StatusCode::unsupported_dtype,
               "type is unknown (ggml type 65536), which is not among the formats of this library");
}

// A choice that no enumerator names is refused through every door, and nothing is written.
TEST_CASE("status: unknown_choice", "[status]") {
  Small s;
  const StatusCode code = StatusCode::unknown_choice;
  for (const int value : {3, 7, 255}) {
    PlanOptions options;
    options.accuracy = static_cast<Accuracy>(value);
    const std::string text = "accuracy = " + std::to_string(value) + " is no value of Accuracy";
    check_status(Matmul::plan(s.w.view(), DType::f32, options).status(), code, text);
    check_status(matmul(s.y_view(), s.x_view(), s.w.view(), {}, serial(), options), code, text);
  }
  REQUIRE(s.plan.pack(s.x_view(), s.packed_x).ok());
  for (const int value : {4, 9, 255}) {
    Epilogue e;
    e.activation = static_cast<Activation>(value);
    const std::string text = "activation = " + std::to_string(value) + " is no value of Activation";
    check_status(matmul(s.y_view(), s.x_view(), s.w.view(), e), code, text);
    check_status(s.plan.run(s.packed_x, s.y_view(), s.worker, e), code, text);
    check_status(s.plan.run_rect(s.packed_x, s.y_view(), s.worker, e, {0, 1, 0, 1}), code, text);
  }
  const float one = 1.0f;
  float c = 7.0f;
  const auto op = static_cast<blas::Op>(2);
  check_status(blas::gemm(op, blas::Op::none, 1, 1, 1, 1, &one, 1, &one, 1, 0, &c, 1), code,
               "op_a = 2 is no value of blas::Op");
  check_status(blas::gemm(blas::Op::none, op, 1, 1, 1, 1, &one, 1, &one, 1, 0, &c, 1), code,
               "op_b = 2 is no value of blas::Op");
  CHECK(c == 7.0f);
  CHECK(s.y == std::vector<float>(3 * 40, 7.0f));
}

TEST_CASE("status: a buffer without data that has a size", "[status]") {
  Small s;
  const std::span<std::byte> none(static_cast<std::byte*>(nullptr), size_t{1} << 20);
  const StatusCode code = StatusCode::null_data;
  const std::string bytes = " has no data but 1048576 bytes";
  check_status(s.plan.pack(s.x_view(), none), code, "packed_x" + bytes);
  check_status(s.plan.pack_weights(none), code, "panels" + bytes);
  check_status(s.plan.with_packed(none).status(), code, "panels" + bytes);
  check_status(s.plan.run(none, s.y_view(), s.worker), code, "packed_x" + bytes);
  check_status(s.plan.run(s.packed_x, s.y_view(), none), code, "worker" + bytes);
  check_status(s.plan.run_rect(s.packed_x, s.y_view(), none, {}, {0, 1, 0, 1}), code,
               "worker" + bytes);
  CHECK(s.y == std::vector<float>(3 * 40, 7.0f));
}

TEST_CASE("status: a row too deep to be packed", "[status]") {
  const float data = 0;
  for_each_format([&](DType t) {
    for_each_target([&](const char* target) {
      for (int log_k = 40; log_k < 64; ++log_k) {
        for (const Accuracy accuracy : kAccuracies) {
          const size_t k = size_t{1} << log_k;
          const Result<Matmul> plan =
              Matmul::plan({&data, 1, k, 0, t}, DType::f32, {accuracy, target, {}});
          if (!plan.ok()) {
            CHECK(plan.status().code == StatusCode::size_overflow);
            continue;
          }
          // What it is to be packed to is counted without wrapping.
          CHECK(plan->packed_w_bytes() >= *row_bytes(t, k));
          CHECK(plan->packed_x_bytes(1) >= k);
          CHECK(plan->worker_bytes(1) < size_t{1} << 62);
          CHECK(plan->worker_bytes(size_t{1} << 52) < size_t{1} << 63);
        }
      }
    });
  });
}

TEST_CASE("status: more workers than there can be", "[status]") {
  Small s;
  Executor executor;
  executor.workers = kMost;
  CHECK(PackedWeights::pack(s.plan, executor).ok());
  CHECK(matmul(s.y_view(), s.x_view(), s.w.view(), {}, executor).ok());
  const size_t m = 300, n = 300, k = 300;  // enough work for several
  const std::vector<float> a(m * k, 1.0f), b(n * k, 1.0f);
  std::vector<float> c(m * n);
  CHECK(matmul(rows_of(c, m, n), rows_of(a, m, k), rows_of(b, n, k), {}, executor).ok());
  CHECK(c == std::vector<float>(m * n, 300.0f));
  using blas::Op;
  CHECK(
      blas::gemm(Op::none, Op::none, m, n, k, 1, a.data(), k, b.data(), n, 0, c.data(), n, executor)
          .ok());
  CHECK(c == std::vector<float>(m * n, 300.0f));
}

TEST_CASE("status: buffer_too_small", "[status]") {
  Small s;
  for_each_target([&](const char* target) {
    const Matmul plan = *Matmul::plan(s.w.view(), DType::f32, {Accuracy::fast, target, {}});
    const size_t m = 20;
    const std::vector<float> x(m * 64, 1.0f);
    std::vector<float> y(m * 40, 7.0f);
    std::vector<std::byte> packed_x(plan.packed_x_bytes(m)), worker(plan.worker_bytes(m));
    std::vector<std::byte> panels(plan.packed_w_bytes());
    REQUIRE(worker.size() > 0);
    const auto text = [](const char* name, size_t bytes) {
      return std::string(name) + " has " + std::to_string(bytes - 1) + " bytes, needs " +
             std::to_string(bytes);
    };
    const auto less = [](std::vector<std::byte>& v) { return std::span(v).first(v.size() - 1); };
    check_status(plan.pack(rows_of(x, m, 64), less(packed_x)), StatusCode::buffer_too_small,
                 text("packed_x", packed_x.size()));
    REQUIRE(plan.pack(rows_of(x, m, 64), packed_x).ok());
    check_status(plan.run(less(packed_x), rows_of(y, m, 40), worker), StatusCode::buffer_too_small,
                 text("packed_x", packed_x.size()));
    check_status(plan.run(packed_x, rows_of(y, m, 40), less(worker)), StatusCode::buffer_too_small,
                 text("worker", worker.size()));
    check_status(plan.run_rect(packed_x, rows_of(y, m, 40), less(worker), {}, {0, 1, 0, 1}),
                 StatusCode::buffer_too_small, text("worker", worker.size()));
    check_status(plan.pack_weights(less(panels)), StatusCode::buffer_too_small,
                 text("panels", panels.size()));
    check_status(plan.with_packed(less(panels)).status(), StatusCode::buffer_too_small,
                 text("panels", panels.size()));
    CHECK(y == std::vector<float>(m * 40, 7.0f));
  });
}

TEST_CASE("status: misaligned", "[status]") {
  Small s;
  const size_t panel_bytes = s.plan.packed_w_bytes();
  std::vector<uint64_t> words(panel_bytes + s.packed_x.size() + s.worker.size());  // enough for all
  const auto at = [&](size_t offset) {
    return std::as_writable_bytes(std::span(words)).subspan(offset);
  };
  for (const size_t off : {1, 2, 3, 5}) {
    const auto text = [&](const char* name) {
      return std::string(name) + " starts " + std::to_string(off % 4) +
             " bytes past a multiple of 4";
    };
    const StatusCode code = StatusCode::misaligned;
    check_status(s.plan.pack(s.x_view(), at(off)), code, text("packed_x"));
    check_status(s.plan.run(at(off), s.y_view(), s.worker), code, text("packed_x"));
    check_status(s.plan.pack_weights(at(off)), code, text("panels"));
    check_status(s.plan.with_packed(at(off)).status(), code, text("panels"));
    const Matmul packed = *s.plan.with_packed(at(0));  // needs a worker for any m
    REQUIRE(packed.worker_bytes(3) > 0);
    check_status(packed.run(at(0), s.y_view(), at(off)), code, text("worker"));
    check_status(packed.run_rect(at(0), s.y_view(), at(off), {}, {0, 1, 0, 1}), code,
                 text("worker"));
  }
  CHECK(s.plan.pack(s.x_view(), at(4)).ok());
  CHECK(s.plan.pack_weights(at(4)).ok());
  CHECK(s.y == std::vector<float>(3 * 40, 7.0f));
}

TEST_CASE("status: part_out_of_range", "[status]") {
  Small s;
  std::vector<std::byte> panels(s.plan.packed_w_bytes());
  for (const auto& [part, text] : std::vector<std::pair<Part, std::string>>{
           {{3, 3}, "part index 3 is outside a count of 3"},
           {{0, 0}, "part index 0 is outside a count of 0"},
           {{7, 2}, "part index 7 is outside a count of 2"}}) {
    const StatusCode code = StatusCode::part_out_of_range;
    check_status(s.plan.pack(s.x_view(), s.packed_x, part), code, text);
    check_status(s.plan.run(s.packed_x, s.y_view(), s.worker, {}, part), code, text);
    check_status(s.plan.pack_weights(panels, part), code, text);
    check_status(quantize(s.x_view(), rows_of(s.x, 3, 64), part), code, text);
  }
  CHECK(s.y == std::vector<float>(3 * 40, 7.0f));
}

TEST_CASE("status: rect_out_of_range", "[status]") {
  Small s;
  REQUIRE(s.plan.pack(s.x_view(), s.packed_x).ok());
  const auto run = [&](const Rect& r) {
    return s.plan.run_rect(s.packed_x, s.y_view(), s.worker, {}, r);
  };
  check_status(run({0, 4, 0, 40}), StatusCode::rect_out_of_range, "rect.row_end reaches to 4 of 3");
  check_status(run({0, 3, 0, 41}), StatusCode::rect_out_of_range,
               "rect.col_end reaches to 41 of 40");
  check_status(run({0, kMost, 0, 1}), StatusCode::rect_out_of_range,
               "rect.row_end reaches to 18446744073709551615 of 3");
  CHECK(s.y == std::vector<float>(3 * 40, 7.0f));
  // Empty ones inside y are fine, and do nothing.
  CHECK(run({2, 2, 0, 40}).ok());
  CHECK(run({3, 1, 0, 40}).ok());
  CHECK(run({0, 3, 40, 40}).ok());
  CHECK(s.y == std::vector<float>(3 * 40, 7.0f));
}

TEST_CASE("status: wrong_plan", "[status]") {
  Small s;
  const Matmul none;
  const std::string text = "the plan is empty: it was not made by Matmul::plan";
  const StatusCode code = StatusCode::wrong_plan;
  check_status(none.pack(s.x_view(), s.packed_x), code, text);
  check_status(none.run(s.packed_x, s.y_view(), s.worker), code, text);
  check_status(none.run_rect(s.packed_x, s.y_view(), s.worker, {}, {0, 1, 0, 1}), code, text);
  check_status(none.pack_weights(s.worker), code, text);
  check_status(none.with_packed(s.worker).status(), code, text);
  check_status(PackedWeights::pack(none).status(), code, text);

  std::vector<std::byte> panels(s.plan.packed_w_bytes());
  REQUIRE(s.plan.pack_weights(panels).ok());
  const Matmul packed = *s.plan.with_packed(panels);
  const std::string packed_text = "the weights of this plan are packed already";
  check_status(packed.pack_weights(panels), code, packed_text);
  check_status(PackedWeights::pack(packed).status(), code, packed_text);
}

TEST_CASE("status: Result holds a value or a status", "[status]") {
  const Result<size_t> good = row_bytes(DType::f32, 3);
  CHECK(good.ok());
  CHECK(static_cast<bool>(good));
  CHECK(*good == 12);
  CHECK(good.value() == 12);
  CHECK(good.status().ok());
  Result<size_t> bad = row_bytes(DType::q4_0, 3);
  CHECK_FALSE(bad.ok());
  CHECK_FALSE(static_cast<bool>(bad));
  CHECK(bad.value() == 0);
  CHECK(bad.status().code == StatusCode::partial_block);
  STATIC_REQUIRE(std::is_trivially_copyable_v<Status>);
}

TEST_CASE("status: texts are never cut in a number", "[status]") {
  Status s;
  s.code = StatusCode::stride_too_small;
  s.subject = "x";
  s.detail = "iq2_xxs";
  s.got = s.want = std::numeric_limits<uint64_t>::max();
  CHECK(s.message().c_str() ==
        std::string("x.row_stride = 18446744073709551615 bytes is less than the "
                    "18446744073709551615 bytes of a row of iq2_xxs"));
  const StatusText text = s.message();
  CHECK(std::strlen(text.c_str()) < sizeof(text.text));
}

}  // namespace
}  // namespace tessera::test

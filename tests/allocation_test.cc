// SPDX-License-Identifier: MIT
// Memory that the library asks for: none in plan, pack and run; scratch in the one-call functions
// and panels in PackedWeights, of which each failure is a status. Counts the program's allocations
// by replacing operator new, so this file has a program of its own.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

#include "support/suite.h"

namespace {

struct Allocations {
  bool fail = false;
  size_t count = 0, largest_alignment = 0, bytes = 0;

  void* take(size_t size, size_t alignment) noexcept {
    if (fail) return nullptr;
    ++count;
    bytes += size;
    largest_alignment = std::max(largest_alignment, alignment);
    const size_t whole = (std::max<size_t>(size, 1) + alignment - 1) / alignment * alignment;
    return std::aligned_alloc(alignment, whole);
  }
  void* take_or_throw(size_t size, size_t alignment) {
    void* memory = take(size, alignment);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }
};
Allocations allocations;
constexpr size_t kPlain = alignof(std::max_align_t);

}  // namespace

void* operator new(size_t size) { return allocations.take_or_throw(size, kPlain); }
void* operator new[](size_t size) { return allocations.take_or_throw(size, kPlain); }
void* operator new(size_t size, std::align_val_t alignment) {
  return allocations.take_or_throw(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return allocations.take_or_throw(size, static_cast<size_t>(alignment));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return allocations.take(size, kPlain);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return allocations.take(size, kPlain);
}
void* operator new(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocations.take(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocations.take(size, static_cast<size_t>(alignment));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace tessera::test {
namespace {

TESSERA_FORMAT_TEST(nothing_allocated, "plan and pack and run allocate nothing", "[allocation]") {
  Rng rng = suite_rng();
  const size_t m = 14, n = 50, k = whole_blocks(w_dtype, 64);
  const Matrix w = random_weights(w_dtype, n, k, rng), x = random_x(DType::f32, m, k, rng);
  std::vector<float> y(m * n);
  for_each_target([&](const char* target) {
    for (const Accuracy accuracy : kAccuracies) {
      for (const size_t rows : {size_t{1}, m}) {
        MatView some = x.view();
        some.rows = rows;
        const Result<Matmul> sized = Matmul::plan(w.view(), DType::f32, {accuracy, target, {}});
        REQUIRE(sized.ok());
        std::vector<std::byte> panels(sized->packed_w_bytes());
        for (const bool packed : {false, true}) {
          const Matmul like = packed ? sized->with_packed(panels).value() : *sized;
          std::vector<std::byte> packed_x(like.packed_x_bytes(rows));
          std::vector<std::byte> worker(like.worker_bytes(rows));
          const size_t before = allocations.count;
          Result<Matmul> plan = Matmul::plan(w.view(), DType::f32, {accuracy, target, {}});
          bool ok = plan.ok();
          if (packed) {
            ok = ok && plan->pack_weights(panels).ok();
            plan = plan->with_packed(panels);
          }
          ok = ok && plan->pack(some, packed_x).ok();
          ok = ok && plan->run(packed_x, rows_of(y, rows, n), worker).ok();
          ok = ok && plan->explain(rows).text().text[0] != '\0';
          const size_t after = allocations.count;
          INFO(target << (packed ? " packed" : " in place") << " m " << rows);
          CHECK(ok);
          CHECK(after == before);
        }
      }
    }
  });
}

TEST_CASE("scratch that cannot be had is a status", "[allocation][status]") {
  std::vector<float> x(7 * 32, 1.0f), w(40 * 32, 1.0f), y(7 * 40, 5.0f);
  const auto refuse = [](const auto& call) {
    allocations.fail = true;
    const Status s = call();
    allocations.fail = false;
    return s;
  };
  const Status product =
      refuse([&] { return matmul(rows_of(y, 7, 40), rows_of(x, 7, 32), rows_of(w, 40, 32)); });
  CHECK(product.code == StatusCode::out_of_memory);
  const std::string wanted =
      "could not allocate " + std::to_string(product.got) + " bytes for scratch";
  CHECK(product.message().c_str() == wanted);
  CHECK(product.got >= 7 * 32 * 4);
  CHECK(product.got < size_t{1} << 24);

  // Too large to be multiplied without a plan; and with a B that is copied, C being large.
  const size_t n = 600;
  const std::vector<float> a(n * n, 1.0f);
  for (const size_t k : {n, size_t{20}}) {
    std::vector<float> c(n * n, 5.0f);
    const Status gemm = refuse([&] {
      return blas::gemm(blas::Op::none, blas::Op::transpose, n, n, k, 1.0f, a.data(), k, a.data(),
                        k, 0.0f, c.data(), n);
    });
    INFO(k);
    CHECK(gemm.code == StatusCode::out_of_memory);
    CHECK(std::all_of(c.begin(), c.end(), [](float v) { return v == 5.0f; }));
  }

  const Result<Matmul> plan = Matmul::plan(rows_of(w, 40, 32), DType::f32);
  REQUIRE(plan.ok());
  const Status panels = refuse([&] { return PackedWeights::pack(*plan).status(); });
  CHECK(panels.code == StatusCode::out_of_memory);
  const std::string wanted_panels =
      "could not allocate " + std::to_string(plan->packed_w_bytes()) + " bytes for packed weights";
  CHECK(panels.message().c_str() == wanted_panels);
}

TEST_CASE("PackedWeights lie on a boundary of 2 MiB", "[allocation]") {
  const std::vector<float> w(40 * 32, 1.0f);
  const Result<Matmul> plan = Matmul::plan(rows_of(w, 40, 32), DType::f32);
  REQUIRE(plan.ok());
  allocations.largest_alignment = 0;
  const size_t bytes = allocations.bytes;
  const Result<PackedWeights> packed = PackedWeights::pack(*plan);
  const size_t taken = allocations.bytes - bytes;
  REQUIRE(packed.ok());
  CHECK(allocations.largest_alignment == size_t{2} << 20);
  CHECK(taken == plan->packed_w_bytes());
}

}  // namespace
}  // namespace tessera::test

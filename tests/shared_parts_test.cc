// SPDX-License-Identifier: MIT
// Cores of different speed: core/shared_parts.h, Matmul::small_parts(), and that matmul() on an
// executor waits for nobody who is late.
#include <algorithm>
#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

TEST_CASE("small_parts: between parts() and what columns allow", "[parts]") {
  for (const size_t n : {1, 64, 1000, 4096}) {
    for (const size_t m : {1, 8, 100}) {
      const Matmul plan = *Matmul::plan(MatShape{n, 4096, DType::q8_0}, DType::f32);
      const size_t panels = (n + plan.tile_cols() - 1) / plan.tile_cols();
      size_t before = 0;
      for (const size_t workers : {size_t{0}, size_t{1}, size_t{2}, size_t{8}, ~size_t{0}}) {
        const size_t parts = plan.small_parts(m, workers), usual = plan.parts(m, workers).run;
        CHECK(parts >= usual);
        CHECK(parts >= before);
        CHECK((parts == usual || parts <= panels));
        CHECK((parts == usual ||
               std::max<size_t>(m, 8) * n * 4096 / parts >= Matmul::kSmallPartProducts));
        if (workers < 2) CHECK(parts == 1);
        if (workers == 2) CHECK(parts <= 16);
        before = parts;
      }
    }
  }
  const Matmul plan = *Matmul::plan(MatShape{4096, 4096, DType::q8_0}, DType::f32);
  CHECK(plan.small_parts(8, 2) == 16);
  CHECK(Matmul().small_parts(8, 2) == 1);
}

// A product on threads of which one is as slow as can be: it takes a part and goes on with it only
// when all others are done. So the rest must do all but that one, with the same bits.
TEST_CASE("SharedParts: a slow thread takes fewer, with the same bits", "[parts]") {
  Rng rng = suite_rng();
  const size_t m = 9, n = 1000, k = 64, threads = 3, parts = 20;
  const Matrix w = random_weights(DType::q8_0, n, k, rng), x = random_x(DType::f32, m, k, rng);
  const Matmul plan = *Matmul::plan(w.view(), DType::f32);
  std::vector<std::byte> packed_x(plan.packed_x_bytes(m)), memory(threads * plan.worker_bytes(m));
  REQUIRE(plan.pack(x.view(), packed_x).ok());
  std::vector<float> want(m * n), y(m * n);
  REQUIRE(plan.run(packed_x, rows_of(want, m, n), memory).ok());

  SharedParts shared(parts);
  std::vector<size_t> taken(threads);
  std::atomic<int> failures{0};
  std::latch slow_has_one(1), others_are_done(threads - 1);
  std::vector<std::jthread> pool;
  for (size_t i = 0; i < threads; ++i) {
    pool.emplace_back([&, i] {
      const std::span<std::byte> worker =
          std::span(memory).subspan(i * plan.worker_bytes(m), plan.worker_bytes(m));
      if (i != 0) slow_has_one.wait();
      for (Part part; shared.take(part); ++taken[i]) {
        if (i == 0 && taken[i] == 0) {
          slow_has_one.count_down();
          others_are_done.wait();
        }
        if (!plan.run(packed_x, rows_of(y, m, n), worker, {}, part).ok()) ++failures;
      }
      if (i != 0) others_are_done.count_down();
    });
  }
  pool.clear();
  CHECK(failures == 0);
  CHECK(taken[0] == 1);
  CHECK(taken[0] + taken[1] + taken[2] == parts);
  CHECK(first_difference(y, want) == y.size());
}

TEST_CASE("SharedParts: each part once, from many threads", "[parts]") {
  for (const size_t count : {0, 1, 1000}) {
    SharedParts shared(count);
    std::vector<std::atomic<int>> seen(count);
    std::vector<std::jthread> pool;
    for (int i = 0; i < 4; ++i) {
      pool.emplace_back([&] {
        for (Part part; shared.take(part);) {
          if (part.count == count && part.index < count) ++seen[part.index];
        }
      });
    }
    pool.clear();
    CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& times) { return times == 1; }));
    Part left{7, 8};
    CHECK_FALSE(shared.take(left));
    CHECK(left.index == 7);
  }
}

// matmul() and gemm on an executor whose other workers get no CPU until the first is done with all
// that it finds: it must find everything.
TEST_CASE("matmul: a worker that is late holds up nobody", "[parts]") {
  Rng rng = suite_rng();
  const size_t m = 8, n = 2048, k = 512;
  const Matrix w = random_weights(DType::q8_0, n, k, rng), x = random_x(DType::f32, m, k, rng);
  std::vector<float> want(m * n), y(m * n), after_first;
  REQUIRE(matmul(rows_of(want, m, n), x.view(), w.view()).ok());
  struct Late {
    std::vector<float>& y;
    std::vector<float>& after_first;
    size_t tasks = 0;
  } late{y, after_first};
  const Executor executor{[](void* self, size_t count, Executor::Task task, void* argument) {
                            Late& l = *static_cast<Late*>(self);
                            l.tasks = count;
                            for (size_t i = 0; i < count; ++i) {
                              task(argument, i);
                              if (i == 0) l.after_first = l.y;
                            }
                          },
                          &late, 4};
  REQUIRE(matmul(rows_of(y, m, n), x.view(), w.view(), {}, executor).ok());
  CHECK(late.tasks == 4);
  CHECK(first_difference(after_first, want) == want.size());
  CHECK(first_difference(y, want) == want.size());
}

}  // namespace
}  // namespace tessera::test

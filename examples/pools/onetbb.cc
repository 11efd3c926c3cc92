// SPDX-License-Identifier: MIT
// A product on oneTBB's threads, which steal work: small parts, scratch for each thread that takes
// one. Also oneTBB as an Executor, for the calls that plan, allocate and run at once.
#include <tbb/enumerable_thread_specific.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <cstddef>

#include "product.h"

int main() {
  ExampleProduct product;
  const tessera::Matmul& plan = product.plan;
  const size_t m = ExampleProduct::kM;
  const auto threads = static_cast<size_t>(tbb::this_task_arena::max_concurrency());
  Scratch packed_x(plan.packed_x_bytes(m));
  tbb::enumerable_thread_specific<Scratch> workers([&] { return Scratch(plan.worker_bytes(m)); });

  std::atomic<int> failures{0};
  const size_t pack_parts = plan.parts(m, threads).pack, run_parts = plan.small_parts(m, threads);
  tbb::parallel_for(size_t{0}, pack_parts, [&](size_t i) {
    if (!plan.pack(product.x_view(), packed_x.bytes(), {i, pack_parts}).ok()) ++failures;
  });
  tbb::parallel_for(size_t{0}, run_parts, [&](size_t i) {
    const std::span worker = workers.local().bytes();
    const tessera::Part part{i, run_parts};
    if (!plan.run(packed_x.bytes(), product.y_view(), worker, {}, part).ok()) ++failures;
  });
  if (product.finish(failures == 0) != 0) return 1;

  const tessera::Executor executor{
      [](void*, size_t count, tessera::Executor::Task task, void* argument) {
        tbb::parallel_for(size_t{0}, count, [&](size_t i) { task(argument, i); });
      },
      nullptr, threads};
  std::fill(product.y.begin(), product.y.end(), 0.0f);
  const tessera::MatView w = tessera::rows_of(product.w, ExampleProduct::kN, ExampleProduct::kK);
  return product.finish(tessera::matmul(product.y_view(), product.x_view(), w, {}, executor).ok());
}

// SPDX-License-Identifier: MIT
// A product on OpenMP's threads: in one parallel region each packs its part of x, all meet, and
// each runs its part of y. Nothing is allocated between the steps.
#include <omp.h>

#include <atomic>
#include <cstddef>

#include "product.h"

int main() {
  ExampleProduct product;
  const tessera::Matmul& plan = product.plan;
  // At load time: scratch for up to so many rows, on as many threads as there can be.
  const auto threads = static_cast<size_t>(omp_get_max_threads());
  const tessera::ScratchSizes sizes = *plan.scratch(ExampleProduct::kM, threads);
  Scratch scratch(sizes.bytes);
  const std::span packed_x = scratch.bytes().first(sizes.packed_x_bytes);
  const std::span workers = scratch.bytes().subspan(sizes.packed_x_bytes);

  // A fallback would have to be decided alike by all threads, so before the region.
  if (!plan.check(product.x_view(), product.y_view()).ok()) return 1;
  std::atomic<int> failures{0};
#pragma omp parallel
  {
    const tessera::Part part{static_cast<size_t>(omp_get_thread_num()),
                             static_cast<size_t>(omp_get_num_threads())};
    const std::span worker = workers.subspan(part.index * sizes.worker_bytes, sizes.worker_bytes);
    if (!plan.pack(product.x_view(), packed_x, part).ok()) ++failures;
#pragma omp barrier
    if (!plan.run(packed_x, product.y_view(), worker, {}, part).ok()) ++failures;
  }
  return product.finish(failures == 0);
}

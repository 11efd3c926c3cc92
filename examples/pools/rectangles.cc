// SPDX-License-Identifier: MIT
// A product in an engine with a queue of tasks: y is cut into rectangles, and whichever thread is
// free takes the next one.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <queue>
#include <thread>
#include <vector>

#include "product.h"

int main() {
  constexpr size_t kThreads = 3, kM = ExampleProduct::kM, kN = ExampleProduct::kN;
  ExampleProduct product;
  const tessera::Matmul& plan = product.plan;
  Scratch packed_x(plan.packed_x_bytes(kM));
  if (!plan.pack(product.x_view(), packed_x.bytes()).ok()) return 1;

  // Whole tiles waste nothing. As wide as small parts are, a rectangle is worth its call; all rows
  // at once, since another rectangle of the same columns would read and pack W again.
  const size_t parts = plan.small_parts(kM, kThreads), tile = plan.tile_cols();
  const size_t cols = (kN / parts + tile - 1) / tile * tile;
  std::queue<tessera::Rect> queue;
  for (size_t col = 0; col < kN; col += cols) queue.push({0, kM, col, std::min(col + cols, kN)});

  std::mutex mutex;
  const auto take = [&](tessera::Rect& rect) {
    const std::lock_guard lock(mutex);
    if (queue.empty()) return false;
    rect = queue.front();
    queue.pop();
    return true;
  };
  std::atomic<int> failures{0};
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      Scratch worker(plan.worker_bytes(kM));
      for (tessera::Rect rect; take(rect);) {
        const tessera::Status status =
            plan.run_rect(packed_x.bytes(), product.y_view(), worker.bytes(), {}, rect);
        if (!status.ok()) ++failures;
      }
    });
  }
  threads.clear();  // joins them
  return product.finish(failures == 0);
}

// SPDX-License-Identifier: MIT
// How an inference engine calls the library: it plans and packs the weights once, at load time;
// then, for each product, it packs x and runs, both in parts, with its own threads and memory.
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstddef>
#include <iostream>
#include <span>
#include <thread>
#include <vector>

#include "tessera/tessera.h"

struct alignas(64) CacheLine {
  std::byte bytes[64];
};

int main() {
  constexpr size_t kThreads = 3, kMostRows = 20, kN = 96, kK = 64;
  std::vector<float> w(kN * kK), x(kMostRows * kK);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 7) - 3;
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 5) - 2;

  // At load time: the plan, the weights as panels, and scratch for any m that will come. Its pieces
  // are multiples of 64 bytes, so that they lie end to end.
  tessera::Matmul plan = *tessera::Matmul::plan(tessera::rows_of(w, kN, kK), tessera::DType::f32);
  std::vector<CacheLine> panels(plan.packed_w_bytes() / 64 + 1);
  if (!plan.pack_weights(std::as_writable_bytes(std::span(panels))).ok()) return 1;
  plan = *plan.with_packed(std::as_bytes(std::span(panels)));
  const tessera::ScratchSizes sizes = *plan.scratch(kMostRows, kThreads);
  std::vector<CacheLine> lines(sizes.bytes / 64);
  const std::span scratch = std::as_writable_bytes(std::span(lines));
  const std::span packed_x = scratch.first(sizes.packed_x_bytes);
  const std::span workers = scratch.subspan(sizes.packed_x_bytes);

  // One product after another: each thread packs its part of x, all meet, each runs its part of y.
  for (const size_t m : {kMostRows, size_t{1}}) {
    std::vector<float> y(m * kN);
    std::atomic<int> failures{0};
    std::barrier packed(kThreads);
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        const tessera::Part part{i, kThreads};
        const std::span worker = workers.subspan(i * sizes.worker_bytes, sizes.worker_bytes);
        bool ok = plan.pack(tessera::rows_of(x, m, kK), packed_x, part).ok();
        packed.arrive_and_wait();
        ok = ok && plan.run(packed_x, tessera::rows_of(y, m, kN), worker, {}, part).ok();
        if (!ok) ++failures;
      });
    }
    threads.clear();  // joins them
    for (size_t i = 0; i < m * kN; ++i) {
      float wanted = 0.0f;
      for (size_t k = 0; k < kK; ++k) wanted += x[i / kN * kK + k] * w[i % kN * kK + k];
      if (failures > 0 || std::fabs(wanted - y[i]) > 1e-3f) return 1;
    }
  }
  std::cout << "ok: " << plan.explain(kMostRows).text().c_str() << '\n';
}

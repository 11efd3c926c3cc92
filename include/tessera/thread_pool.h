// SPDX-License-Identifier: MIT
// A small thread pool for examples and newcomers; nothing else in the library includes it. Workers
// sleep when idle. Engines with a pool of their own make an Executor from it instead.
#ifndef TESSERA_THREAD_POOL_H_
#define TESSERA_THREAD_POOL_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "tessera/core/executor.h"
#include "tessera/usable_cpus.h"

namespace tessera::inline v0_1 {

/// `threads` threads in all, the caller of a run included: ThreadPool(1) starts none. One run at a
/// time; tasks are taken from a counter, so uneven ones balance. Who waits stays awake for some 50
/// us, since runs often follow each other closely, then it sleeps; with more threads than
/// usable_cpus() at once. Other times than 50 us have not been measured; without any, waking a
/// thread took some 100 us.
class ThreadPool {
 public:
  explicit ThreadPool(size_t threads) : awake_(threads <= usable_cpus() ? 50 : 0) {
    for (size_t i = 1; i < threads; ++i) {
      workers_.emplace_back([this] { work(); });
    }
  }
  ~ThreadPool() {
    stop_ = true;
    start_round();
    for (std::thread& t : workers_) t.join();
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t threads() const noexcept { return workers_.size() + 1; }

  Executor executor() noexcept {
    return {[](void* self, size_t count, Executor::Task task, void* argument) {
              static_cast<ThreadPool*>(self)->run(count, task, argument);
            },
            this, threads()};
  }

  /// Runs task(argument, i) for i in [0, count) and returns when all are done.
  void run(size_t count, Executor::Task task, void* argument) {
    if (workers_.empty() || count <= 1) {
      for (size_t i = 0; i < count; ++i) task(argument, i);
      return;
    }
    task_ = task;
    argument_ = argument;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
    start_round();
    take_tasks();
    for (uint32_t busy; (busy = busy_.load(std::memory_order_acquire)) != 0;)
      wait_for_change(busy_, busy);
  }

 private:
  void start_round() {
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }

  void take_tasks() {
    for (size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
      task_(argument_, i);
    }
  }

  void work() {
    for (uint32_t seen = 0;; ++seen) {
      wait_for_change(round_, seen);
      if (stop_) return;
      take_tasks();
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
  }

  // Without giving way meanwhile: whom a yield lets run may stay for milliseconds. How often to
  // look before reading the clock has not been measured.
  void wait_for_change(const std::atomic<uint32_t>& value, uint32_t old) const {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point end = Clock::now() + awake_;
    while (Clock::now() < end) {
      for (int i = 0; i < 256; ++i) {
        if (value.load(std::memory_order_acquire) != old) return;
      }
    }
    value.wait(old, std::memory_order_acquire);
  }

  const std::chrono::microseconds awake_;
  std::vector<std::thread> workers_;
  // Of the round that runs; changed only while all workers wait for the next.
  Executor::Task task_ = nullptr;
  void* argument_ = nullptr;
  size_t count_ = 0;
  bool stop_ = false;
  std::atomic<size_t> next_{0};
  std::atomic<uint32_t> round_{0};  // wraps
  std::atomic<uint32_t> busy_{0};   // workers that have not finished the round
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_THREAD_POOL_H_

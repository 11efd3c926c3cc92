// SPDX-License-Identifier: MIT
// A small thread pool for examples and newcomers; nothing else in the library includes it. Workers
// sleep when idle. Engines with a pool of their own make an Executor from it instead.
#ifndef TESSERA_THREAD_POOL_H_
#define TESSERA_THREAD_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include "tessera/core/executor.h"

namespace tessera::inline v0_1 {

/// `threads` threads in all, the caller of a run included: ThreadPool(1) starts none. One run at a
/// time; tasks are taken from a counter, so uneven ones balance.
class ThreadPool {
 public:
  explicit ThreadPool(size_t threads) {
    for (size_t i = 1; i < threads; ++i) {
      workers_.emplace_back([this] { work(); });
    }
  }
  ~ThreadPool() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
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
    {
      const std::lock_guard lock(mutex_);
      task_ = task;
      argument_ = argument;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      busy_ = workers_.size();
      ++round_;
    }
    wake_.notify_all();
    take_tasks();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void take_tasks() {
    for (size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
      task_(argument_, i);
    }
  }

  void work() {
    size_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
      lock.unlock();
      take_tasks();
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  Executor::Task task_ = nullptr;
  void* argument_ = nullptr;
  size_t count_ = 0, busy_ = 0, round_ = 0;
  std::atomic<size_t> next_{0};
  bool stop_ = false;
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_THREAD_POOL_H_

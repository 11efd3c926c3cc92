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

#if defined(__linux__) && __has_include(<linux/futex.h>)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if !defined(SYS_futex) || !defined(FUTEX_WAIT_PRIVATE)
#include <condition_variable>
#include <mutex>
#endif

#include "tessera/core/executor.h"
#include "tessera/usable_cpus.h"

namespace tessera::inline v0_1 {
namespace detail {

// A number, and sleep until it changes. std::atomic::wait() would do, but GCC's yields the CPU a
// few times before it sleeps, and whom a yield lets run stays for milliseconds: on a busy machine
// most of the time went there. Who sleeps is woken at once. (Where there is no futex, it also needs
// objects of the library that may be gone when a pool with static lifetime ends.)
class SleepableNumber {
 public:
  std::atomic<uint32_t> value{0};

  /// Returns at a change from `seen`, and maybe without one.
  void sleep(uint32_t seen) noexcept {
#if defined(SYS_futex) && defined(FUTEX_WAIT_PRIVATE)
    static_assert(sizeof(value) == sizeof(uint32_t));
    sleepers_.fetch_add(1);  // before value is read; whoever wakes changes that first
    if (value.load() == seen) {
      ::syscall(SYS_futex, &value, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
    }
    sleepers_.fetch_sub(1);
#else
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return value.load() != seen; });
#endif
  }

  /// Wakes at least so many of those who sleep.
  void wake([[maybe_unused]] uint32_t count) noexcept {
#if defined(SYS_futex) && defined(FUTEX_WAKE_PRIVATE)
    if (sleepers_.load() == 0) return;
    constexpr uint32_t kMost = 1u << 30;
    ::syscall(SYS_futex, &value, FUTEX_WAKE_PRIVATE, count < kMost ? count : kMost, nullptr,
              nullptr, 0);
#else
    { const std::lock_guard lock(mutex_); }  // nobody is between looking and sleeping
    changed_.notify_all();
#endif
  }

 private:
#if defined(SYS_futex) && defined(FUTEX_WAIT_PRIVATE)
  std::atomic<uint32_t> sleepers_{0};
#else
  std::mutex mutex_;
  std::condition_variable changed_;
#endif
};

}  // namespace detail

/// `threads` threads in all, the caller of a run included: ThreadPool(1) starts none. One run at a
/// time. Tasks are taken from a counter, so uneven ones balance, and the caller waits only for
/// tasks that a worker has begun: one that finds no CPU on a busy machine holds nobody up. Who
/// waits stays awake for some 50 us, since runs often follow each other closely, then it sleeps;
/// with more threads than usable_cpus() at once. Without those 50 us small products run at 30 to 40
/// % of their speed, and 500 us are no better beyond the noise (bench/sweeps/pool_awake_us.tsv).
class ThreadPool {
 public:
  explicit ThreadPool(size_t threads) : awake_(threads <= usable_cpus() ? 50 : 0) {
    for (size_t i = 1; i < threads; ++i) {
      workers_.emplace_back([this] { work(); });
    }
  }
  ~ThreadPool() {
    left_.value.store(kStop);
    left_.wake(kStop);
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
    for (end_ = 0; end_ < count;) {  // once, unless there are 2^32 tasks
      const size_t rest = count - end_;
      const uint32_t some = rest < kStop ? static_cast<uint32_t>(rest) : kStop - 1;
      end_ += some;
      run_some(some);
    }
  }

 private:
  static constexpr uint32_t kStop = ~uint32_t{0};  // for left_, no number of tasks

  void run_some(uint32_t count) {
    unfinished_.value.store(count, std::memory_order_relaxed);
    left_.value.store(count);
    left_.wake(count - 1);
    finish(take_tasks());
    wait_until(unfinished_, [](uint32_t unfinished) { return unfinished == 0; });
  }

  // Returns how many it did. Whoever lowers left_ holds a task, and the run lasts until that is
  // done: what belongs to the run may be read then, and not before.
  uint32_t take_tasks() {
    uint32_t done = 0;
    for (uint32_t left = left_.value.load(std::memory_order_acquire); left != 0 && left != kStop;) {
      if (!left_.value.compare_exchange_weak(left, left - 1, std::memory_order_acquire)) continue;
      task_(argument_, end_ - left);
      ++done;
      left = left_.value.load(std::memory_order_acquire);
    }
    return done;
  }

  // Tells that so many tasks are done. The last one wakes the caller of the run.
  void finish(uint32_t done) {
    if (done > 0 && unfinished_.value.fetch_sub(done) == done) unfinished_.wake(1);
  }

  void work() {
    while (wait_until(left_, [](uint32_t left) { return left != 0; }) != kStop) {
      finish(take_tasks());
    }
  }

  // Returns the number that was waited for.
  template <class Wanted>
  uint32_t wait_until(detail::SleepableNumber& number, const Wanted& wanted) const {
    using Clock = std::chrono::steady_clock;
    Clock::time_point end;  // of being awake
    for (bool first = true;; first = false) {
      for (int i = 0; i < 256; ++i) {  // 16 and 4096 are the same: bench/sweeps/pool_looks.tsv
        const uint32_t seen = number.value.load(std::memory_order_acquire);
        if (wanted(seen)) return seen;
      }
      const Clock::time_point now = Clock::now();
      if (first) end = now + awake_;
      if (now >= end) break;
    }
    for (;;) {
      const uint32_t seen = number.value.load(std::memory_order_acquire);
      if (wanted(seen)) return seen;
      number.sleep(seen);
    }
  }

  const std::chrono::microseconds awake_;
  std::vector<std::thread> workers_;
  // Of the run.
  Executor::Task task_ = nullptr;
  void* argument_ = nullptr;
  size_t end_ = 0;                      // of the tasks that are offered
  detail::SleepableNumber left_;        // of them nobody has begun
  detail::SleepableNumber unfinished_;  // of them
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_THREAD_POOL_H_

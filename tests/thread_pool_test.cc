// SPDX-License-Identifier: MIT
// thread_pool.h: every task runs once, on whichever thread, and a run ends when all are done.
#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "tessera/thread_pool.h"

namespace tessera {
namespace {

TEST_CASE("every task of each run is done once when the run returns", "[threads]") {
  struct Run {
    std::vector<int> calls;
    size_t number;
  };
  for (const size_t threads : {1u, 2u, 3u, 8u}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (size_t i = 0; i < 20000; ++i) {  // so short that workers of the run before are still there
      Run run{std::vector<int>(i % 7, 0), i};
      pool.run(
          run.calls.size(),
          [](void* argument, size_t index) {
            Run& r = *static_cast<Run*>(argument);
            r.calls[index] += r.number % 7 == r.calls.size() ? 1 : 100;
          },
          &run);
      if (run.calls != std::vector<int>(i % 7, 1)) FAIL(threads << " threads, run " << i);
    }
  }
}

constexpr size_t kTasks = 9;

TEST_CASE("the caller does what no worker has begun", "[threads]") {
  // One worker is held in a task until all others are done: only the caller can do them.
  struct Run {
    std::thread::id caller = std::this_thread::get_id();
    std::atomic<size_t> done{0};
    std::atomic<bool> held{false};
  };
  ThreadPool pool(2);
  for (int i = 0; i < 200; ++i) {
    Run run;
    pool.run(
        kTasks,
        [](void* argument, size_t) {
          Run& r = *static_cast<Run*>(argument);
          if (std::this_thread::get_id() != r.caller && !r.held.exchange(true)) {
            while (r.done < kTasks - 1) std::this_thread::yield();
          }
          ++r.done;
        },
        &run);
    CHECK(run.done == kTasks);
  }
}

TEST_CASE("a pool that sleeps wakes up", "[threads]") {
  for (int i = 0; i < 20; ++i) {
    ThreadPool pool(3);
    for (int run = 0; run < 3; ++run) {
      std::this_thread::sleep_for(std::chrono::milliseconds(run));  // workers sleep after 50 us
      // Three tasks that wait for each other need three threads.
      std::atomic<int> arrived{0};
      pool.run(
          3,
          [](void* argument, size_t) {
            auto& all = *static_cast<std::atomic<int>*>(argument);
            ++all;
            while (all < 3) std::this_thread::yield();
          },
          &arrived);
      CHECK(arrived == 3);
    }
  }
}

}  // namespace
}  // namespace tessera

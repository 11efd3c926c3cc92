// SPDX-License-Identifier: MIT
// The threads of libtessera_cblas: a BLAS call has no argument for them.
#ifndef TESSERA_CBLAS_POOL_H_
#define TESSERA_CBLAS_POOL_H_

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "tessera/core/executor.h"
#include "tessera/thread_pool.h"
#include "tessera/usable_cpus.h"

#if defined(_WIN32)
#include <process.h>
#else
#include <unistd.h>
#endif

namespace tessera::cblas {

/// One pool for the process, which starts threads when it is first asked to run two tasks. One call
/// at a time has it; others, and a call after the system has refused threads, run their tasks on
/// their own thread. A forked child starts threads of its own.
class Pool {
 public:
  Pool() noexcept : threads_(threads_asked_for()) {}
  ~Pool() {
    if (pool_ == nullptr) return;
    if (process() != owner_) {
      (void)pool_.release();  // its threads are the parent's
      return;
    }
    const std::lock_guard lock(mutex_);
    pool_.reset();
    threads_ = 1;
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  Executor executor() noexcept {
    return {[](void* self, size_t count, Executor::Task task, void* argument) {
              static_cast<Pool*>(self)->run(count, task, argument);
            },
            this, threads_};
  }

 private:
  static constexpr size_t kMostThreads = 1024;

  static int process() noexcept {
#if defined(_WIN32)
    return _getpid();
#else
    return getpid();
#endif
  }

  static size_t threads_asked_for() noexcept {
    const char* text = std::getenv("TESSERA_NUM_THREADS");
    if (text != nullptr) {
      char* end = nullptr;
      const long asked = std::strtol(text, &end, 10);
      if (end != text && *end == '\0' && asked > 0) {
        return (detail::min)(static_cast<size_t>(asked), kMostThreads);
      }
    }
    return (detail::min)(usable_cpus(), kMostThreads);
  }

  void run(size_t count, Executor::Task task, void* argument) noexcept {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock.owns_lock() && start()) {
      pool_->run(count, task, argument);
      return;
    }
    for (size_t i = 0; i < count; ++i) task(argument, i);
  }

  // Whether there are threads.
  bool start() noexcept {
    if (threads_ == 1) return false;
    if (pool_ != nullptr && owner_ == process()) return true;
    (void)pool_.release();  // a forked child's: those threads are the parent's
    owner_ = process();
    try {
      pool_ = std::make_unique<ThreadPool>(threads_);
    } catch (...) {  // the system refuses threads, or memory for them
      threads_ = 1;
    }
    return pool_ != nullptr;
  }

  std::mutex mutex_;
  std::atomic<size_t> threads_;
  std::unique_ptr<ThreadPool> pool_;
  int owner_ = 0;
};

}  // namespace tessera::cblas

#endif  // TESSERA_CBLAS_POOL_H_

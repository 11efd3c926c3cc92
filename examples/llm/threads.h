// SPDX-License-Identifier: MIT
// The threads of the example: a team that works through one function together, each member on its
// own part, with barriers in between.
#ifndef TESSERA_EXAMPLES_LLM_THREADS_H_
#define TESSERA_EXAMPLES_LLM_THREADS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tessera/base/status.h"
#include "tessera/core/partition.h"
#include "tessera/thread_pool.h"

namespace llm {

/// Physical cores that this process may use: those in its affinity mask, no more than the CPU quota
/// of its control group pays for. At least 1.
size_t usable_cores();

/// Runs each(part), which returns a Status, for `count` parts on an executor's threads. Returns the
/// first failure.
template <class Each>
tessera::Status for_parts(const tessera::Executor& executor, size_t count, const Each& each) {
  struct Call {
    const Each& each;
    std::vector<tessera::Status> status;
  } call{each, std::vector<tessera::Status>(count)};
  executor(
      count,
      [](void* argument, size_t i) {
        Call& c = *static_cast<Call*>(argument);
        c.status[i] = c.each(tessera::Part{i, c.status.size()});
      },
      &call);
  for (const tessera::Status& s : call.status) {
    if (!s.ok()) return s;
  }
  return {};
}

class Team {
 public:
  /// `threads` in all, the caller of run() included.
  explicit Team(size_t threads) : pool_(threads) {}

  size_t size() const { return pool_.threads(); }
  tessera::Executor executor() { return pool_.executor(); }

  /// Calls work(part) on every thread at once and returns when all are done. Within, all of them
  /// pass the same barriers, at least one.
  template <class Work>
  void run(Work&& work) {
    // The pool has as many threads as there are tasks, and no task ends before all have begun (at
    // the barrier): so each thread takes exactly one.
    struct Call {
      Work& work;
      size_t size;
    } call{work, size()};
    pool_.run(
        call.size,
        [](void* argument, size_t index) {
          Call& c = *static_cast<Call*>(argument);
          c.work(tessera::Part{index, c.size});
        },
        &call);
  }

  /// Returns when every thread of the team has called it.
  void barrier();

 private:
  tessera::ThreadPool pool_;
  alignas(64) std::atomic<size_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> round_{0};
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_THREADS_H_

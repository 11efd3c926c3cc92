// SPDX-License-Identifier: MIT
// Executor: how the one-call functions reach the caller's threads. The library has none of its own.
#ifndef TESSERA_CORE_EXECUTOR_H_
#define TESSERA_CORE_EXECUTOR_H_

#include <cstddef>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {

/// A non-owning reference to "run tasks 0 .. count-1 and return when all are done". Tasks are
/// independent, do not throw, and may run in any order on any thread. `workers` is how many of
/// them can run at once. A single task stays on the calling thread.
struct Executor {
  using Task = void (*)(void* argument, size_t index);
  void (*run)(void* self, size_t count, Task task, void* argument) = nullptr;
  void* self = nullptr;
  size_t workers = 1;

  void operator()(size_t count, Task task, void* argument) const {
    if (run != nullptr && count > 1) return run(self, count, task, argument);
    for (size_t i = 0; i < count; ++i) task(argument, i);
  }
};

/// Everything on the calling thread.
constexpr Executor serial() noexcept { return {}; }

}  // namespace tessera::inline v0_1

#endif  // TESSERA_CORE_EXECUTOR_H_

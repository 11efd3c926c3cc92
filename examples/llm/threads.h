// SPDX-License-Identifier: MIT
// Threads: how many, and how work is cut into parts for them. The pool is the library's.
#ifndef TESSERA_EXAMPLES_LLM_THREADS_H_
#define TESSERA_EXAMPLES_LLM_THREADS_H_

#include <cstddef>
#include <new>
#include <vector>

#include "tessera/base/status.h"
#include "tessera/core/executor.h"
#include "tessera/core/partition.h"
#include "tessera/usable_cpus.h"

namespace llm {

using tessera::usable_cores;

/// Runs each(part), which returns a Status, for `count` parts on an executor's threads. Returns the
/// first failure.
template <class Each>
tessera::Status for_parts(const tessera::Executor& executor, size_t count, const Each& each) {
  struct Call {
    const Each& each;
    std::vector<tessera::Status> status;
  } call{each, std::vector<tessera::Status>(count)};
  const auto run_part = [](void* argument, size_t i) {
    Call& c = *static_cast<Call*>(argument);
    try {
      c.status[i] = c.each(tessera::Part{i, c.status.size()});
    } catch (const std::bad_alloc&) {  // a thread of the pool has nobody to catch it
      c.status[i] = {tessera::StatusCode::out_of_memory, "working memory"};
    }
  };
  executor(count, run_part, &call);
  for (const tessera::Status& s : call.status) {
    if (!s.ok()) return s;
  }
  return {};
}

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_THREADS_H_

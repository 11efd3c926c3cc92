// SPDX-License-Identifier: MIT
// Which instruction sets are compiled in, and which of them this CPU runs.
#ifndef TESSERA_PLAN_TARGETS_H_
#define TESSERA_PLAN_TARGETS_H_

#include <cstddef>
#include <span>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {

struct Target {
  const char* name = "";   // Highway's: "AVX2", "AVX3_ZEN4", ...
  bool available = false;  // this CPU runs it
  size_t vector_bytes = 0;
};

/// All compiled targets, best first. Thread-safe; asks the CPU once.
std::span<const Target> targets() noexcept;

/// The target that plans without a choice of their own get: the one named by the environment
/// variable TESSERA_TARGET if set (an unknown name is reported by Matmul::plan), else the first
/// available one. Define TESSERA_NO_ENV where impl.h is compiled to ignore the environment.
const char* default_target() noexcept;

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_TARGETS_H_

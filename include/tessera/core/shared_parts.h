// SPDX-License-Identifier: MIT
// SharedParts: parts that threads take from a shared counter, for cores of different speed.
#ifndef TESSERA_CORE_SHARED_PARTS_H_
#define TESSERA_CORE_SHARED_PARTS_H_

#include <atomic>
#include <cstddef>

#include "tessera/core/partition.h"

namespace tessera::inline v0_1 {

/// The parts of one step of a product. Each thread takes one after the other until none is left, so
/// that a slow core, or one that others use too, takes fewer. How many parts there should be,
/// Matmul::small_parts() says; any number gives the same bits. Thread-safe, without locks.
class SharedParts {
 public:
  explicit SharedParts(size_t count) noexcept : count_(count) {}

  /// The next part, each once. False: all are taken (by now some may still run).
  bool take(Part& part) noexcept {
    if (next_.load(std::memory_order_relaxed) >= count_) return false;
    const size_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return false;
    part = {index, count_};
    return true;
  }

 private:
  std::atomic<size_t> next_{0};
  size_t count_;
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_CORE_SHARED_PARTS_H_

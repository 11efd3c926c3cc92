// SPDX-License-Identifier: MIT
// PackedWeights: an owner for a plan's panels, in huge pages where the system grants them.
#ifndef TESSERA_PLAN_PACKED_WEIGHTS_H_
#define TESSERA_PLAN_PACKED_WEIGHTS_H_

#include <cstddef>
#include <span>
#include <utility>

#include "tessera/plan/matmul.h"

namespace tessera::inline v0_1 {

namespace detail {
void free_huge(std::byte* memory) noexcept;
}

/// Advises the system to back this memory of the caller's with huge pages, the whole ones of 2 MiB
/// that lie in it: before it is first written. Panels in them are read up to 1.6 times faster.
/// False if the system did not take the advice, or knows none; that is no error. Where: Linux.
bool advise_huge_pages(std::span<std::byte> memory) noexcept;

/// Panels of W and the plan that reads them. Movable, not copyable; frees its memory.
class PackedWeights {
 public:
  PackedWeights() noexcept = default;
  PackedWeights(PackedWeights&& other) noexcept { *this = std::move(other); }
  PackedWeights& operator=(PackedWeights&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    std::swap(plan_, other.plan_);
    return *this;
  }
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;
  ~PackedWeights() { detail::free_huge(memory_); }

  /// Packs the weights of `plan` (made by Matmul::plan) on the executor's threads, into memory
  /// aligned to 2 MiB with huge pages advised. Errors: wrong_plan, out_of_memory.
  static Result<PackedWeights> pack(const Matmul& plan, Executor = serial()) noexcept;

  /// The plan over the panels; valid as long as this object.
  const Matmul& plan() const noexcept { return plan_; }
  size_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
  Matmul plan_;
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_PACKED_WEIGHTS_H_

// SPDX-License-Identifier: MIT
// Bodies of plan/packed_weights.h.
#ifndef TESSERA_IMPL_PACKED_WEIGHTS_H_
#define TESSERA_IMPL_PACKED_WEIGHTS_H_

#include <algorithm>
#include <cstdint>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "tessera/plan/packed_weights.h"

namespace tessera::inline v0_1 {
namespace detail {
inline constexpr size_t kHugePageBytes = size_t{2} << 20;
}

TESSERA_IMPL bool advise_huge_pages([[maybe_unused]] std::span<std::byte> memory) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const size_t past = reinterpret_cast<uintptr_t>(memory.data()) % detail::kHugePageBytes;
  const size_t skipped = past == 0 ? 0 : detail::kHugePageBytes - past;
  if (memory.size() < skipped + detail::kHugePageBytes) return false;
  const size_t bytes = (memory.size() - skipped) / detail::kHugePageBytes * detail::kHugePageBytes;
  return madvise(memory.data() + skipped, bytes, MADV_HUGEPAGE) == 0;
#else
  return false;
#endif
}

namespace detail {

inline constexpr std::align_val_t kHugePage{kHugePageBytes};

// Parts at most that packing is cut into.
inline constexpr size_t kMostParts = 4096;

// Aligned to 2 MiB and, where the system knows the word, advised to be huge pages: the decode of a
// large model reads 1.3 to 1.6 times faster from them. Null if there is none.
inline std::byte* allocate_huge(size_t bytes) noexcept {
  void* memory = ::operator new(bytes, kHugePage, std::nothrow);
  auto* begin = static_cast<std::byte*>(memory);
  if (begin != nullptr) advise_huge_pages({begin, bytes});
  return begin;
}

TESSERA_IMPL void free_huge(std::byte* memory) noexcept { ::operator delete(memory, kHugePage); }

}  // namespace detail

TESSERA_IMPL Result<PackedWeights> PackedWeights::pack(const Matmul& plan,
                                                       Executor executor) noexcept {
  PackedWeights packed;
  packed.bytes_ = plan.packed_w_bytes();
  packed.memory_ = detail::allocate_huge(packed.bytes_);
  if (packed.memory_ == nullptr) {
    return detail::error(StatusCode::out_of_memory, "packed weights", packed.bytes_);
  }
  const std::span<std::byte> panels(packed.memory_, packed.bytes_);
  // One part first: what it refuses, all would refuse. Four parts for each worker even out workers
  // of different speed: one may lose 30 %, and 16 are no faster (bench/sweeps/pack_parts.tsv).
  struct Work {
    const Matmul& plan;
    std::span<std::byte> panels;
    size_t parts;
  } work{plan, panels,
         executor.workers > 1 ? std::min(executor.workers, detail::kMostParts / 4) * 4 : 1};
  if (Status s = plan.pack_weights(panels, {0, work.parts}); !s.ok()) return s;
  executor(
      work.parts - 1,
      [](void* argument, size_t i) {
        const Work& w = *static_cast<const Work*>(argument);
        (void)w.plan.pack_weights(w.panels, {i + 1, w.parts});
      },
      &work);
  const Result<Matmul> over = plan.with_packed(panels);
  if (!over.ok()) return over.status();
  packed.plan_ = *over;
  return packed;
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_PACKED_WEIGHTS_H_

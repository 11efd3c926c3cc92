// SPDX-License-Identifier: MIT
// Memory in pages: large and zero at first, in huge pages where the system grants them, taken from
// the system as it is touched and given back piece by piece.
#ifndef TESSERA_EXAMPLES_LLM_PAGES_H_
#define TESSERA_EXAMPLES_LLM_PAGES_H_

#include <cstddef>
#include <span>
#include <utility>

namespace llm {

class Pages {
 public:
  Pages() = default;
  Pages(Pages&& other) noexcept { *this = std::move(other); }
  Pages& operator=(Pages&& other) noexcept {
    std::swap(mapped_, other.mapped_);
    std::swap(mapped_bytes_, other.mapped_bytes_);
    std::swap(span_, other.span_);
    return *this;
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages();

  /// False if the system has no such room. To be called once.
  bool reserve(size_t bytes);
  std::span<std::byte> span() const { return span_; }

 private:
  void* mapped_ = nullptr;
  size_t mapped_bytes_ = 0;
  std::span<std::byte> span_;  // begins at a huge page
};

constexpr double mebibytes(size_t bytes) { return static_cast<double>(bytes) / 1048576.0; }

/// Gives back the memory of the whole pages in `bytes`. If they are mapped from a file, a later
/// read brings them again; else they are then zero.
void let_go(std::span<const std::byte> bytes);

/// Bytes that the system could hand out without swapping; a guess of "any" if it does not say.
size_t available_memory();

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_PAGES_H_

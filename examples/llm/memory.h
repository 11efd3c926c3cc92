// SPDX-License-Identifier: MIT
// Memory of two kinds: buffers for what a pass computes, and pages for all the weights.
#ifndef TESSERA_EXAMPLES_LLM_MEMORY_H_
#define TESSERA_EXAMPLES_LLM_MEMORY_H_

#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <span>

#include "tessera/core/view.h"

namespace llm {

/// Aligned to 64 bytes and not initialized.
template <class T>
class Buffer {
 public:
  /// Makes room for `count` elements, or throws std::bad_alloc; what was in it is lost if it grows.
  void reserve(size_t count) {
    if (count <= size_) return;
    data_.reset();
    size_ = 0;
    if (count > std::numeric_limits<size_t>::max() / 2 / sizeof(T)) throw std::bad_alloc();
    // Not the operator that throws: under a sanitizer that one ends the program.
    data_.reset(static_cast<T*>(::operator new(count * sizeof(T), kAlignment, std::nothrow)));
    if (data_ == nullptr) throw std::bad_alloc();
    size_ = count;
  }
  T* data() const { return data_.get(); }
  std::span<T> span() const { return {data_.get(), size_}; }
  /// As a dense matrix.
  tessera::MutMatView rows(size_t count, size_t cols) const {
    return tessera::rows_of(span(), count, cols);
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<T[], Free> data_;
  size_t size_ = 0;
};

/// What mmap gave; it is unmapped at the end.
struct Unmap {
  size_t bytes = 0;
  void operator()(void* address) const;
};
using Mapping = std::unique_ptr<void, Unmap>;

/// Memory that is zero at first, in huge pages where the system grants them, taken from the system
/// as it is touched and given back piece by piece.
struct Pages {
  Mapping mapping;
  std::span<std::byte> bytes;  // begins at a huge page
};
/// Empty if the system has no such room.
Pages map_pages(size_t bytes);

/// Gives back the memory of the whole pages in `bytes`. If they are mapped from a file, a later
/// read brings them again; else they are then zero.
void release_pages(std::span<const std::byte> bytes);

/// Bytes that the system could hand out without swapping; a guess of "any" if it does not say.
size_t available_memory();

constexpr double mebibytes(size_t bytes) { return static_cast<double>(bytes) / 1048576.0; }

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_MEMORY_H_

// SPDX-License-Identifier: MIT
// Buffers for what a pass computes. (Pages for all the weights are the system's: system.h.)
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

constexpr double mebibytes(size_t bytes) { return static_cast<double>(bytes) / 1048576.0; }

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_MEMORY_H_

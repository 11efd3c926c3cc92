// SPDX-License-Identifier: MIT
// Memory that is aligned to 64 bytes, not initialized, and says so when there is none.
#ifndef TESSERA_EXAMPLES_LLM_BUFFER_H_
#define TESSERA_EXAMPLES_LLM_BUFFER_H_

#include <cstddef>
#include <memory>
#include <new>
#include <span>

#include "tessera/core/view.h"

namespace llm {

template <class T>
class Buffer {
 public:
  /// Makes room for `count` elements; what was in it is lost if it has to grow.
  bool reserve(size_t count) {
    if (count <= size_) return true;
    data_.reset();
    size_ = 0;
    if (count > static_cast<size_t>(-1) / 2 / sizeof(T)) return false;
    data_.reset(static_cast<T*>(::operator new(count * sizeof(T), kAlignment, std::nothrow)));
    if (data_ != nullptr) size_ = count;
    return data_ != nullptr;
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

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_BUFFER_H_

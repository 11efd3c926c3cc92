// SPDX-License-Identifier: MIT
// Memory between unreadable pages: a buffer that ends flush against one, or starts right after one,
// so that a read or write outside of it faults on every machine and with every compiler. The slack
// that remains on the buffer's own pages is filled with kFill and checked.
#ifndef TESSERA_TESTS_SUPPORT_GUARDED_H_
#define TESSERA_TESTS_SUPPORT_GUARDED_H_

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>

#include "support/system.h"

namespace tessera::test {

/// Where a buffer lies. `offset` bytes keep it off the unreadable page, and so off any alignment.
struct Placement {
  bool at_end = true;
  size_t offset = 0;
};

class GuardedBuffer {
 public:
  /// As f32, f16 or bf16 a NaN: what is read by mistake poisons what it touches.
  static constexpr unsigned char kFill = 0xFF;

  GuardedBuffer() noexcept = default;
  explicit GuardedBuffer(size_t size, Placement place = {}) : size_(size) {
    const size_t page = page_bytes();
    usable_ = (size + place.offset + page - 1) / page * page;
    mapped_ = usable_ + 2 * page;
    map_ = static_cast<std::byte*>(map_pages(mapped_));
    if (map_ == nullptr) fail("map");
    pages_ = map_ + page;
    protect(Access::write);
    std::memset(pages_, kFill, usable_);
    data_ = place.at_end ? pages_ + usable_ - place.offset - size : pages_ + place.offset;
  }
  ~GuardedBuffer() {
    if (map_ != nullptr) unmap_pages(map_, mapped_);
  }
  GuardedBuffer(GuardedBuffer&& other) noexcept { *this = std::move(other); }
  GuardedBuffer& operator=(GuardedBuffer&& other) noexcept {
    std::swap(map_, other.map_);
    std::swap(pages_, other.pages_);
    std::swap(data_, other.data_);
    std::swap(mapped_, other.mapped_);
    std::swap(usable_, other.usable_);
    std::swap(size_, other.size_);
    return *this;
  }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  std::byte* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  std::span<std::byte> bytes() const noexcept { return {data_, size_}; }

  void make_read_only() { protect(Access::read); }
  void make_unreadable() { protect(Access::none); }

  /// True if nothing was written on the pages beside the buffer.
  bool slack_untouched() const noexcept {
    for (const std::byte* p = pages_; p != pages_ + usable_; ++p) {
      if (p == data_) p += size_;
      if (p == pages_ + usable_) break;
      if (*p != std::byte{kFill}) return false;
    }
    return true;
  }

 private:
  void protect(Access access) {
    if (usable_ != 0 && !protect_pages(pages_, usable_, access)) fail("protect");
  }
  [[noreturn]] static void fail(const char* what) {
    std::fprintf(stderr, "cannot %s pages\n", what);
    std::abort();
  }

  std::byte* map_ = nullptr;
  std::byte* pages_ = nullptr;
  std::byte* data_ = nullptr;
  size_t mapped_ = 0, usable_ = 0, size_ = 0;
};

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_GUARDED_H_

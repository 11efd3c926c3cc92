// SPDX-License-Identifier: MIT
// What is measured: one weight matrix in one format, in one kind of memory, times x of several m.
#ifndef TESSERA_BENCH_PROBLEM_H_
#define TESSERA_BENCH_PROBLEM_H_

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "tessera/tessera.h"

namespace bench {

using tessera::DType;

/// The plain product u8 x s8 -> s32 goes by DType::i8: a reference line, not a format of ours.
inline std::string format_name(DType t) { return t == DType::i8 ? "u8s8" : tessera::dtype_name(t); }
inline bool is_blocks(DType t) { return tessera::dtype_info(t).block_values > 1; }

/// Bytes of a dense row.
inline size_t dense_row_bytes(DType t, size_t k) {
  if (t == DType::i8) return k;
  const tessera::Result<size_t> bytes = tessera::row_bytes(t, k);
  if (!bytes.ok()) throw std::runtime_error(bytes.status().message().c_str());
  return *bytes;
}

enum class Pages : uint8_t { small, huge };  // 4 KiB, which a mapped file has; 2 MiB

/// Anonymous memory in pages of one kind, starting at a multiple of 2 MiB.
class Arena {
 public:
  Arena() = default;
  Arena(size_t bytes, Pages pages) : bytes_(bytes + kHuge) {
    void* p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::runtime_error("no memory: " + std::to_string(bytes));
    base_ = static_cast<std::byte*>(p);
    madvise(base_, bytes_, pages == Pages::huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  }
  Arena(Arena&& other) noexcept { *this = std::move(other); }
  Arena& operator=(Arena&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    if (base_ != nullptr) munmap(base_, bytes_);
  }
  std::byte* data() const {
    return base_ + (kHuge - reinterpret_cast<uintptr_t>(base_) % kHuge) % kHuge;
  }

 private:
  static constexpr size_t kHuge = size_t{2} << 20;
  std::byte* base_ = nullptr;
  size_t bytes_ = 0;
};

/// y[m, n] = x[m, k] * W[n, k]^T; or of experts: each row of x times the W of those that it chose,
/// y[m, chosen, n]. All data is shared by all backends, read-only. The weights lie
/// there `copies` times; call i uses copy i % copies, so that they come from memory where one copy
/// would stay in a cache.
struct Problem {
  DType format = DType::f32;
  bool packed = false;  // weights prepared beforehand, outside of the timed calls
  size_t n = 0, k = 0;
  size_t experts = 1, chosen = 1;
  const int32_t* choice = nullptr;  // [m, chosen], of experts; null: an ordinary product
  std::vector<size_t> ms;           // each m that will be asked for, ascending
  size_t threads = 1;
  Pages pages = Pages::huge;
  const std::byte* w = nullptr;  // ggml's bytes, dense rows
  size_t w_bytes = 0;            // of one copy, which has all experts
  size_t copies = 1, copy_stride = 0;
  const float* x = nullptr;                 // [m, k]
  const tessera::bf16_t* x_bf16 = nullptr;  // the same rounded, for those who take that
  const uint8_t* x_u8 = nullptr;            // for u8s8

  size_t max_m() const { return ms.back(); }
  size_t y_rows(size_t m) const { return m * chosen; }
  size_t expert_of(size_t y_row) const {
    return choice == nullptr ? 0 : static_cast<size_t>(choice[y_row]);
  }
  /// Experts that some of the first m rows chose: what is read of W.
  size_t touched(size_t m) const {
    std::vector<bool> is(experts, false);
    for (size_t i = 0; i < y_rows(m); ++i) is[expert_of(i)] = true;
    return static_cast<size_t>(std::count(is.begin(), is.end(), true));
  }
  const std::byte* copy(size_t i) const { return w + i % copies * copy_stride; }
};

}  // namespace bench

#endif  // TESSERA_BENCH_PROBLEM_H_

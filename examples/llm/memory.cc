// SPDX-License-Identifier: MIT
#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace llm {

void Unmap::operator()(void* address) const { ::munmap(address, bytes); }

Pages map_pages(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  if (bytes > std::numeric_limits<size_t>::max() / 2) return {};
  void* mapped = ::mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return {};
  const size_t past = reinterpret_cast<uintptr_t>(mapped) % kHugePage;
  auto* begin = static_cast<std::byte*>(mapped) + (past == 0 ? 0 : kHugePage - past);
#if defined(MADV_HUGEPAGE)
  ::madvise(begin, bytes, MADV_HUGEPAGE);  // advice: a refusal is no error
#endif
  return {Mapping(mapped, {bytes + kHugePage}), {begin, bytes}};
}

void release_pages(std::span<const std::byte> bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t end = (begin + bytes.size()) / page * page;
  if (first >= end) return;
  auto* at = const_cast<std::byte*>(bytes.data()) + (first - begin);
  ::madvise(at, end - first, MADV_DONTNEED);
}

size_t available_memory() {
  std::ifstream info("/proc/meminfo");
  std::string word;
  size_t kib = 0;
  while (info >> word) {
    if (word == "MemAvailable:" && info >> kib) return kib * 1024;
  }
  return std::numeric_limits<size_t>::max();
}

}  // namespace llm

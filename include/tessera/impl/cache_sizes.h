// SPDX-License-Identifier: MIT
// This machine's data caches, asked once; CacheSizes' defaults where the system does not say.
#ifndef TESSERA_IMPL_CACHE_SIZES_H_
#define TESSERA_IMPL_CACHE_SIZES_H_

#if defined(__linux__)
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#endif

#include "tessera/plan/geometry.h"

namespace tessera::inline v0_1::detail {

#if defined(__linux__)
// What the kernel says of a cache of CPU 0, a word; empty if nothing. Without stdio, which
// allocates.
struct CacheFact {
  char text[32] = {};

  CacheFact(int index, const char* name) noexcept {
    char path[80];
    std::snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, name);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    if (read(file, text, sizeof(text) - 1) <= 0) text[0] = '\0';
    close(file);
  }
  size_t number() const noexcept {
    char* unit = nullptr;
    const size_t value = std::strtoul(text, &unit, 10);
    return value << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : 0);
  }
};
#endif

inline const CacheSizes& cache_sizes() noexcept {
  static const CacheSizes sizes = [] {
    CacheSizes s;
#if defined(__linux__)
    // Not sysconf(): of an AMD CPU it tells the L3 of all cores that the CPU has, used or not.
    size_t* const of_level[] = {&s.l1, &s.l2, &s.l3};
    for (int index = 0;; ++index) {
      const size_t level = CacheFact(index, "level").number();
      if (level == 0) break;
      const size_t bytes = CacheFact(index, "size").number();
      const bool data = CacheFact(index, "type").text[0] != 'I';  // skip instruction caches (type "Instruction")
      if (level <= 3 && data && bytes != 0) *of_level[level - 1] = bytes;
    }
#elif defined(__APPLE__)
    const auto ask = [](const char* name, size_t& size) {
      uint64_t bytes = 0;
      size_t length = sizeof(bytes);
      if (sysctlbyname(name, &bytes, &length, nullptr, 0) == 0 && bytes > 0) size = bytes;
    };
    ask("hw.perflevel0.l1dcachesize", s.l1);
    ask("hw.perflevel0.l2cachesize", s.l2);
#elif defined(_WIN32)
    size_t* const of_level[] = {&s.l1, &s.l2, &s.l3};
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION facts[512];
    DWORD bytes = sizeof(facts);
    if (GetLogicalProcessorInformation(facts, &bytes) == 0) bytes = 0;
    for (size_t i = 0; i < bytes / sizeof(facts[0]); ++i) {
      const CACHE_DESCRIPTOR& cache = facts[i].Cache;
      if (facts[i].Relationship == RelationCache && cache.Type != CacheInstruction &&
          cache.Level >= 1 && cache.Level <= 3) {
        *of_level[cache.Level - 1] = cache.Size;
      }
    }
#endif
    s.l3 = std::max(s.l3, s.l2);  // none, or none that is told
    return s;
  }();
  return sizes;
}

}  // namespace tessera::inline v0_1::detail

#endif  // TESSERA_IMPL_CACHE_SIZES_H_

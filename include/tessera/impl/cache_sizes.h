// SPDX-License-Identifier: MIT
// This machine's data caches, asked once; CacheSizes' defaults where the system does not say.
#ifndef TESSERA_IMPL_CACHE_SIZES_H_
#define TESSERA_IMPL_CACHE_SIZES_H_

#if defined(__linux__)
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "tessera/plan/blocking.h"

namespace tessera::inline v0_1::detail {

#if defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
inline void ask_cache_size(int name, size_t& size) noexcept {
  const long bytes = sysconf(name);
  if (bytes > 0) size = static_cast<size_t>(bytes);
}
#endif

inline const CacheSizes& cache_sizes() noexcept {
  static const CacheSizes sizes = [] {
    CacheSizes s;
#if defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
    ask_cache_size(_SC_LEVEL1_DCACHE_SIZE, s.l1);
    ask_cache_size(_SC_LEVEL2_CACHE_SIZE, s.l2);
    ask_cache_size(_SC_LEVEL3_CACHE_SIZE, s.l3);
#elif defined(__APPLE__)
    const auto ask = [](const char* name, size_t& size) {
      uint64_t bytes = 0;
      size_t length = sizeof(bytes);
      if (sysctlbyname(name, &bytes, &length, nullptr, 0) == 0 && bytes > 0) size = bytes;
    };
    ask("hw.perflevel0.l1dcachesize", s.l1);
    ask("hw.perflevel0.l2cachesize", s.l2);
#endif
    s.l3 = std::max(s.l3, s.l2);  // none, or none that is told
    return s;
  }();
  return sizes;
}

}  // namespace tessera::inline v0_1::detail

#endif  // TESSERA_IMPL_CACHE_SIZES_H_

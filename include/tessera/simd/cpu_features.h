// SPDX-License-Identifier: MIT
// Whether this CPU has the instruction that a sub-target adds (simd/targets.h).
#ifndef TESSERA_SIMD_CPU_FEATURES_H_
#define TESSERA_SIMD_CPU_FEATURES_H_

#include <cstddef>
#include <cstdint>

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>
#define TESSERA_CPUID
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "tessera/base/config.h"

namespace tessera::inline v0_1::detail {

#if defined(TESSERA_CPUID)
// vpdpbusd on 256 bits without AVX-512. Whoever asks knows that the system saves such registers.
inline bool cpu_has_avx_vnni() noexcept {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1u) != 0;
}
#endif

#if defined(__aarch64__)
// A bit of what Linux says of the CPU, or Apple's name for the same.
inline bool cpu_has([[maybe_unused]] bool second_word, [[maybe_unused]] int bit,
                    [[maybe_unused]] const char* apple_name) noexcept {
#if defined(__linux__)
  return (getauxval(second_word ? AT_HWCAP2 : AT_HWCAP) >> bit & 1u) != 0;
#elif defined(__APPLE__)
  int has = 0;
  size_t bytes = sizeof(has);
  return sysctlbyname(apple_name, &has, &bytes, nullptr, 0) == 0 && has != 0;
#else
  return false;
#endif
}
// sdot and udot.
inline bool cpu_has_dotprod() noexcept {
  return cpu_has(false, 20, "hw.optional.arm.FEAT_DotProd");
}
// smmla and its kind.
inline bool cpu_has_i8mm() noexcept { return cpu_has(true, 13, "hw.optional.arm.FEAT_I8MM"); }
#endif

}  // namespace tessera::inline v0_1::detail

#endif  // TESSERA_SIMD_CPU_FEATURES_H_

// SPDX-License-Identifier: MIT
// Which row of plan/tuning.h is this CPU's.
#ifndef TESSERA_IMPL_CPU_FAMILY_H_
#define TESSERA_IMPL_CPU_FAMILY_H_

#include "tessera/plan/tuning.h"
#include "tessera/simd/cpu_features.h"

namespace tessera::inline v0_1::detail {

/// The family that a vendor's name, family and model stand for. Sapphire Rapids is Intel's family
/// 6, model 143; Emerald Rapids, which was measured, is 207.
constexpr CpuFamily cpu_family(bool is_intel, uint32_t family, uint32_t model) noexcept {
  const bool sapphire_rapids = is_intel && family == 6 && (model == 143 || model == 207);
  return sapphire_rapids ? CpuFamily::sapphire_rapids : CpuFamily::other;
}

inline CpuFamily this_cpu_family() noexcept {
#if defined(TESSERA_CPUID)
  static const CpuFamily cached = [] {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) == 0) return CpuFamily::other;
    const bool is_intel = ebx == signature_INTEL_ebx;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return CpuFamily::other;
    const uint32_t base = eax >> 8 & 15u, family = base + (base == 15 ? eax >> 20 & 255u : 0u);
    const uint32_t model = (eax >> 4 & 15u) | (base == 6 || base == 15 ? eax >> 12 & 0xF0u : 0u);
    return cpu_family(is_intel, family, model);
  }();
  return cached;
#elif defined(__aarch64__)
  return CpuFamily::arm64;
#else
  return CpuFamily::other;
#endif
}

}  // namespace tessera::inline v0_1::detail

#endif  // TESSERA_IMPL_CPU_FAMILY_H_

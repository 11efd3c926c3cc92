// SPDX-License-Identifier: MIT
// Which Highway targets are built. Must come before any header of Highway.
#ifndef TESSERA_SIMD_TARGETS_H_
#define TESSERA_SIMD_TARGETS_H_

// Reassociation and "no NaN" assumptions break both the bit-equality promises and the NaN rule. A
// file that includes only tessera/tessera.h may have such flags.
#if defined(__FAST_MATH__) || __FINITE_MATH_ONLY__ > 0
#error \
    "Tessera's kernels cannot be compiled with -ffast-math or -ffinite-math-only: compile this file with -fno-fast-math"
#endif

// There GCC 12 takes the sign bit of a byte for 0, in _mm_blendv_epi8 at least.
#if defined(__CHAR_UNSIGNED__) && defined(__GNUC__) && !defined(__clang__) && \
    (defined(__x86_64__) || defined(__i386__))
#error \
    "GCC compiles Tessera's kernels wrongly with -funsigned-char: compile this file with -fsigned-char"
#endif

// Ice Lake's target, VNNI without BF16, is off in Highway < 1.3 unless asked for.
#ifndef HWY_WANT_AVX3_DL
#define HWY_WANT_AVX3_DL
#endif

// Left out:
// - AVX10_2 (1 << 3; Highway 1.2 has no name for it): the compilers at hand build it as a copy of
//   AVX3_SPR, and no CPU or emulator to test it on is to be had.
// - SVE*, RVV: kernels keep tiles in arrays of vectors, which sizeless types forbid. SVE machines
//   run NEON_BF16, whose peak per core is the same on Neoverse V1, V2 and N2.
// A program that sets HWY_DISABLED_TARGETS itself has to name these too.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  ((1LL << 3) | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#endif

#endif  // TESSERA_SIMD_TARGETS_H_

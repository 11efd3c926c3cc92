// SPDX-License-Identifier: MIT
// Which targets are built. Must come before any header of Highway.
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
#define TESSERA_LEFT_OUT ((1LL << 3) | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

// A program that needs few targets names them, as in -DTESSERA_TARGETS=AVX2,AVX3_ZEN4, wherever it
// compiles kernels: code and compile time shrink with it. What the compiler's flags allow is built
// in any case, so that every CPU finds something; a sub-target brings its parent. Names of other
// architectures mean nothing here; with one that is no name at all, no TESSERA_BIT_ of it is found.
#if defined(TESSERA_TARGETS)
#define TESSERA_BIT_SSE2 HWY_SSE2
#define TESSERA_BIT_SSSE3 HWY_SSSE3
#define TESSERA_BIT_SSE4 HWY_SSE4
#define TESSERA_BIT_AVX2 HWY_AVX2
#define TESSERA_BIT_AVX2_VNNI (HWY_AVX2 | 1LL)  // Highway has no use for the lowest three bits
#define TESSERA_BIT_AVX3 HWY_AVX3
#define TESSERA_BIT_AVX3_DL HWY_AVX3_DL
#define TESSERA_BIT_AVX3_ZEN4 HWY_AVX3_ZEN4
#define TESSERA_BIT_AVX3_SPR HWY_AVX3_SPR
#define TESSERA_BIT_NEON_WITHOUT_AES HWY_NEON_WITHOUT_AES
#define TESSERA_BIT_NEON HWY_NEON
#define TESSERA_BIT_NEON_DOTPROD (HWY_NEON | 2LL)
#define TESSERA_BIT_NEON_BF16 HWY_NEON_BF16
#define TESSERA_BIT_NEON_I8MM (HWY_NEON_BF16 | 4LL)
#define TESSERA_BIT_PPC8 HWY_PPC8
#define TESSERA_BIT_PPC9 HWY_PPC9
#define TESSERA_BIT_PPC10 HWY_PPC10
#define TESSERA_BIT_WASM HWY_WASM
#define TESSERA_BIT_EMU128 HWY_EMU128
#define TESSERA_BIT_SCALAR HWY_SCALAR

// The bits of the list, up to 27 names, with | between them. A macro is not expanded within itself:
// each round begins what the one before has left as TESSERA_BITS_AGAIN ().
#define TESSERA_BITS(name, ...) \
  TESSERA_BIT_##name __VA_OPT__(| TESSERA_BITS_AGAIN TESSERA_PARENTHESES(__VA_ARGS__))
#define TESSERA_BITS_AGAIN() TESSERA_BITS
#define TESSERA_PARENTHESES ()
#define TESSERA_ROUNDS(...) TESSERA_ROUNDS_9(TESSERA_ROUNDS_9(TESSERA_ROUNDS_9(__VA_ARGS__)))
#define TESSERA_ROUNDS_9(...) TESSERA_ROUNDS_3(TESSERA_ROUNDS_3(TESSERA_ROUNDS_3(__VA_ARGS__)))
#define TESSERA_ROUNDS_3(...) TESSERA_ROUND(TESSERA_ROUND(TESSERA_ROUND(__VA_ARGS__)))
#define TESSERA_ROUND(...) __VA_ARGS__
#define TESSERA_ALL_BITS(...) (TESSERA_ROUNDS(TESSERA_BITS(__VA_ARGS__)))
#define TESSERA_CHOICE TESSERA_ALL_BITS(TESSERA_TARGETS)

#if defined(HWY_DISABLED_TARGETS)
#error "TESSERA_TARGETS and HWY_DISABLED_TARGETS both say which targets are built: define one"
#endif
#define HWY_DISABLED_TARGETS (TESSERA_LEFT_OUT | ~(TESSERA_CHOICE | HWY_BASELINE_TARGETS))
#else
#define TESSERA_CHOICE 7LL  // all sub-targets
#endif

// A program that sets this itself has to name those that are left out, too.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS TESSERA_LEFT_OUT
#endif

// Sub-targets: one of Highway's targets and one instruction more. They are compiled with their
// parent (all_kernels-inl.h).
#define TESSERA_NO_SUB_TARGET 0
#define TESSERA_AVX2_VNNI 1     // AVX2 and vpdpbusd: Alder Lake and later, without AVX-512
#define TESSERA_NEON_DOTPROD 2  // NEON and sdot: Arm from 2018 on; NEON_BF16 has it already
#define TESSERA_NEON_I8MM 3  // NEON_BF16 and smmla: Apple M2, Graviton 3 and 4, Neoverse N2, V1, V2

// Those that this compiler builds. TESSERA_NO_SUB_TARGETS leaves all of them out.
#if !defined(TESSERA_NO_SUB_TARGETS) && (defined(__GNUC__) || defined(__clang__))
#define TESSERA_HAS_AVX2_VNNI ((HWY_TARGETS & HWY_AVX2) != 0 && (TESSERA_CHOICE & 1LL) != 0)
#define TESSERA_HAS_NEON_DOTPROD                                                     \
  (HWY_ARCH_ARM_A64 && HWY_HAVE_RUNTIME_DISPATCH && (HWY_TARGETS & HWY_NEON) != 0 && \
   (TESSERA_CHOICE & 2LL) != 0)
#define TESSERA_HAS_NEON_I8MM                                                             \
  (HWY_ARCH_ARM_A64 && HWY_HAVE_RUNTIME_DISPATCH && (HWY_TARGETS & HWY_NEON_BF16) != 0 && \
   (TESSERA_CHOICE & 4LL) != 0)
#else
#define TESSERA_HAS_AVX2_VNNI 0
#define TESSERA_HAS_NEON_DOTPROD 0
#define TESSERA_HAS_NEON_I8MM 0
#endif

// Of a file that is compiled outside all_kernels-inl.h.
#ifndef TESSERA_SUB_TARGET
#define TESSERA_SUB_TARGET TESSERA_NO_SUB_TARGET
#endif

#endif  // TESSERA_SIMD_TARGETS_H_

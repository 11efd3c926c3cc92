// SPDX-License-Identifier: MIT
// Which targets TESSERA_TARGETS builds: those that it names and the compiler's own. A list as long
// as can be, with names of every architecture; or AVX2, which the test says.
#if defined(TESSERA_TARGETS)
#define ONLY_AVX2
#else
#define TESSERA_TARGETS                                                                          \
  AVX2_VNNI, AVX3_ZEN4, NEON_I8MM, NEON_BF16, NEON_WITHOUT_AES, PPC8, PPC9, PPC10, WASM, EMU128, \
      SCALAR, PPC8, PPC9, PPC10, WASM, EMU128, SCALAR, PPC8, PPC9, PPC10, WASM, EMU128, SCALAR,  \
      PPC8, PPC9, PPC10, AVX3_SPR
#endif
#include "tessera/simd/targets.h"
// targets.h first: it says what Highway builds.
#include "hwy/highway.h"

#if HWY_ARCH_X86 && !defined(__SSE3__)
static_assert(HWY_STATIC_TARGET == HWY_SSE2);
#if defined(ONLY_AVX2)
static_assert(HWY_TARGETS == (HWY_SSE2 | HWY_AVX2) && !TESSERA_HAS_AVX2_VNNI);
#else
static_assert(HWY_TARGETS == (HWY_SSE2 | HWY_AVX2 | HWY_AVX3_ZEN4 | HWY_AVX3_SPR) &&
              TESSERA_HAS_AVX2_VNNI);
#endif
#endif

// SPDX-License-Identifier: MIT
// What Highway compiles once for each of its targets: the kernels of the target and then, with our
// toggle changed and Highway's as it was, those of its sub-target. No include guard: every
// inclusion is another target's.
#include "tessera/simd/targets.h"
// targets.h first: it says what Highway builds.
#include "hwy/highway.h"

#undef TESSERA_SUB_TARGET
#define TESSERA_SUB_TARGET TESSERA_NO_SUB_TARGET
#include "tessera/simd/kernels-inl.h"

#undef TESSERA_SUB_TARGET
#if HWY_TARGET == HWY_AVX2 && TESSERA_HAS_AVX2_VNNI
#define TESSERA_SUB_TARGET TESSERA_AVX2_VNNI
#elif HWY_TARGET == HWY_NEON && TESSERA_HAS_NEON_DOTPROD
#define TESSERA_SUB_TARGET TESSERA_NEON_DOTPROD
#elif HWY_TARGET == HWY_NEON_BF16 && TESSERA_HAS_NEON_I8MM
#define TESSERA_SUB_TARGET TESSERA_NEON_I8MM
#else
#define TESSERA_SUB_TARGET TESSERA_NO_SUB_TARGET
#endif

#if TESSERA_SUB_TARGET != TESSERA_NO_SUB_TARGET
#ifdef TESSERA_SUB_TOGGLE
#undef TESSERA_SUB_TOGGLE
#else
#define TESSERA_SUB_TOGGLE
#endif
#include "tessera/simd/kernels-inl.h"
#undef TESSERA_SUB_TARGET
#define TESSERA_SUB_TARGET TESSERA_NO_SUB_TARGET
#endif

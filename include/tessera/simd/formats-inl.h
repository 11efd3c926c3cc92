// SPDX-License-Identifier: MIT
// The per-target section of every format on the list.
#if defined(TESSERA_SIMD_FORMATS_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_FORMATS_INL_H_
#undef TESSERA_SIMD_FORMATS_INL_H_
#else
#define TESSERA_SIMD_FORMATS_INL_H_
#endif

#include "tessera/format/list.h"  // the plain sections, in case nobody has seen them
#include "tessera/simd/ops-inl.h"

#define TESSERA_SIMD_PASS
#include "tessera/format/list.h"
#undef TESSERA_SIMD_PASS

#endif  // TESSERA_SIMD_FORMATS_INL_H_

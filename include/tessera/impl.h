// SPDX-License-Identifier: MIT
// The bodies of the library, for every instruction set. Include it in one .cc of your program (or
// link tessera::impl, which is that file), and link Highway's library, whose CPU detection it
// calls.
//
// It uses Highway's foreach_target.h, of which a file can have only one. A file with SIMD code of
// its own includes tessera/tessera.h, and this file goes elsewhere.
#ifndef TESSERA_IMPL_H_
#define TESSERA_IMPL_H_

#if defined(HIGHWAY_HWY_FOREACH_TARGET_H_)
#error \
    "tessera/impl.h: this file already includes hwy/foreach_target.h; move impl.h to a .cc of its own"
#endif
#if defined(HWY_HIGHWAY_INCLUDED)
#error "tessera/impl.h must come before hwy/highway.h; best give it a .cc of its own"
#endif

// windows.h defines macros of these names.
#pragma push_macro("min")
#pragma push_macro("max")
#undef min
#undef max

#include "tessera/simd/targets.h"
#include "tessera/tessera.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tessera/simd/all_kernels-inl.h"
#include "hwy/foreach_target.h"
#include "tessera/simd/all_kernels-inl.h"
// clang-format on

#include "tessera/impl/batch.h"
#include "tessera/impl/blas.h"
#include "tessera/impl/dispatch.h"
#include "tessera/impl/explain.h"
#include "tessera/impl/gated.h"
#include "tessera/impl/gated_group.h"
#include "tessera/impl/group.h"
#include "tessera/impl/matmul.h"
#include "tessera/impl/packed_weights.h"
#include "tessera/impl/panel_file.h"
#include "tessera/impl/panels.h"
#include "tessera/impl/quantize.h"

#pragma pop_macro("min")
#pragma pop_macro("max")

#endif  // TESSERA_IMPL_H_

// SPDX-License-Identifier: MIT
// Must not compile, and say why: a file with a foreach_target.h of its own cannot hold the bodies.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compile/impl_after_foreach.cc"
#include "hwy/foreach_target.h"
#include "tessera/impl.h"

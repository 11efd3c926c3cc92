// SPDX-License-Identifier: MIT
// The bodies after the macros of windows.h, which stay defined.
#include "compile/min_max_macros.h"
// The macros first.
#include "tessera/impl.h"

static_assert(min(2, 1) == 1 && max(2, 1) == 2);

// SPDX-License-Identifier: MIT
// Must not compile, and say why: Highway's headers are set up for one target by then.
#include "hwy/highway.h"
#include "tessera/impl.h"

// SPDX-License-Identifier: MIT
// For programs that compile the bodies themselves, here those of the C API, too.
#include "tessera/impl.h"
#include "tessera/impl/c_api.h"

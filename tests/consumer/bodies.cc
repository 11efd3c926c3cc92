// SPDX-License-Identifier: MIT
// For programs that compile the bodies themselves.
#include "tessera/impl.h"

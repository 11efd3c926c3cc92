// SPDX-License-Identifier: MIT
#include "tessera/impl.h"

// SPDX-License-Identifier: MIT
#include "tessera/impl/c_api.h"

// SPDX-License-Identifier: MIT
// The other file: see two_units_a.cc.
#include "tessera/impl.h"

#include "compile/two_units.h"

Unit unit_b() { return {&tessera::matmul, tessera::targets().data(), tessera::default_target()}; }

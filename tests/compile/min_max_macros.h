// SPDX-License-Identifier: MIT
// Macros as windows.h defines them, min and max unless a host sets NOMINMAX. The standard headers,
// which such a host includes first, are not written for them.
#ifndef TESSERA_TESTS_COMPILE_MIN_MAX_MACROS_H_
#define TESSERA_TESTS_COMPILE_MIN_MAX_MACROS_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cfloat>
#include <chrono>
#include <concepts>
#include <cstdio>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define near
#define far

#endif  // TESSERA_TESTS_COMPILE_MIN_MAX_MACROS_H_

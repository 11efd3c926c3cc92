// SPDX-License-Identifier: MIT
// The version, and the macros that the plain headers share.
#ifndef TESSERA_BASE_CONFIG_H_
#define TESSERA_BASE_CONFIG_H_

#include <cstddef>

#define TESSERA_VERSION_MAJOR 0
#define TESSERA_VERSION_MINOR 1
#define TESSERA_VERSION_PATCH 0
#define TESSERA_VERSION_STRING "0.1.0"

// Bodies that impl.h provides: inline, so that two libraries may embed them, and emitted although
// nothing in that file calls them. Never inlined: those libraries may be compiled for different
// targets, and then all calls in a program must reach the one copy that the linker keeps.
#if defined(__clang__)
#define TESSERA_IMPL [[gnu::used, gnu::noinline]] inline
#elif defined(__GNUC__)
#define TESSERA_IMPL [[gnu::used, gnu::noipa]] inline
#else
#define TESSERA_IMPL inline
#endif

// Around inline functions that round or meet NaN: a host's file with -ffast-math compiles them too,
// and the linker may keep its copy for the whole program. (Clang knows no such pragma for wasm.)
#if defined(__clang__) && !defined(__wasm__)
#define TESSERA_PRECISE_BEGIN _Pragma("float_control(precise, on, push)")
#define TESSERA_PRECISE_END _Pragma("float_control(pop)")
#elif defined(__GNUC__) && !defined(__clang__)
#if (defined(__x86_64__) || defined(__i386__)) && __FINITE_MATH_ONLY__ > 0
#define TESSERA_COMPARE_NAN _Pragma("GCC target(\"ieee-fp\")")
#else
#define TESSERA_COMPARE_NAN
#endif
#define TESSERA_PRECISE_BEGIN \
  _Pragma("GCC push_options") TESSERA_COMPARE_NAN _Pragma("GCC optimize(\"no-fast-math\")")
#define TESSERA_PRECISE_END _Pragma("GCC pop_options")
#else
#define TESSERA_PRECISE_BEGIN
#define TESSERA_PRECISE_END
#endif

namespace tessera::inline v0_1::detail {
// As std::bit_cast, which came late to some standard libraries.
template <class To, class From>
constexpr To bit_cast(const From& from) noexcept {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, from);
}

// std::min and std::max of sizes, without the quarter second that <algorithm> takes to compile.
// Plain headers put the name in parentheses, as windows.h defines macros called min and max.
constexpr size_t(min)(size_t a, size_t b) noexcept { return a < b ? a : b; }
constexpr size_t(max)(size_t a, size_t b) noexcept { return a < b ? b : a; }
}  // namespace tessera::inline v0_1::detail

#endif  // TESSERA_BASE_CONFIG_H_

// SPDX-License-Identifier: MIT
// Where errors go unless a program defines these itself. A file of its own, so that a compiler that
// sees these bodies does not take them for those that are called.
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "tessera/cblas.h"

extern "C" {

int RowMajorStrg = 0;

// Pairs of arguments that a row-major call of such a routine exchanges on its way to Fortran's.
struct Exchange {
  const char *part, *but;  // of the routine's name; what is not in it, null for nothing
  int pairs[2][2];
};
static const Exchange kExchanges[] = {
    {"gemm", nullptr, {{4, 5}, {9, 11}}}, {"symm", nullptr, {{4, 5}, {0, 0}}},
    {"hemm", nullptr, {{4, 5}, {0, 0}}},  {"trmm", nullptr, {{6, 7}, {0, 0}}},
    {"trsm", nullptr, {{6, 7}, {0, 0}}},  {"gemv", nullptr, {{3, 4}, {0, 0}}},
    {"gbmv", nullptr, {{3, 4}, {5, 6}}},  {"ger", nullptr, {{2, 3}, {6, 8}}},
    {"her2", "her2k", {{6, 8}, {0, 0}}},  {"hpr2", nullptr, {{6, 8}, {0, 0}}}};

// The number becomes that of an argument of the call, as the caller wrote it. Routines of another
// library that is loaded behind this one come here, too.
[[gnu::weak]] void cblas_xerbla(int parameter, const char* routine, const char* format, ...) {
  for (const Exchange& e : kExchanges) {
    if (RowMajorStrg == 0 || std::strstr(routine, e.part) == nullptr) continue;
    if (e.but != nullptr && std::strstr(routine, e.but) != nullptr) continue;
    for (const auto& [a, b] : e.pairs) {
      if (parameter != a && parameter != b) continue;
      parameter = a + b - parameter;
      break;
    }
    break;
  }
  if (parameter != 0) {
    std::fprintf(stderr, "Parameter %d to routine %s was incorrect\n", parameter, routine);
  }
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
}

[[gnu::weak]] void xerbla_(const char* routine, const int* parameter, ...) {
  std::fprintf(stderr, " ** On entry to %.6s parameter number %2d had an illegal value\n", routine,
               *parameter);
}

}  // extern "C"

// SPDX-License-Identifier: MIT
// Where errors go unless a program defines these itself. A file of its own, so that a compiler that
// sees these bodies does not take them for those that are called.
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "tessera/cblas.h"

extern "C" {

int RowMajorStrg = 0;

// The number becomes that of an argument of the call, as the caller wrote it.
[[gnu::weak]] void cblas_xerbla(int parameter, const char* routine, const char* format, ...) {
  const auto swap = [&parameter](int a, int b) {
    parameter = parameter == a ? b : parameter == b ? a : parameter;
  };
  if (RowMajorStrg != 0 && std::strstr(routine, "gemm") != nullptr) {
    swap(4, 5);
    swap(9, 11);
  } else if (RowMajorStrg != 0) {
    swap(3, 4);
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

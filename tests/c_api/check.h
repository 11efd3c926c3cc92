// SPDX-License-Identifier: MIT
// What the tests of the C API check with.
#ifndef TESSERA_TESTS_C_API_CHECK_H_
#define TESSERA_TESTS_C_API_CHECK_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tessera/c_api.h"

static int failures = 0;

static void check(int holds, const char* text, int line) {
  if (holds) return;
  printf("line %d: %s\n", line, text);
  ++failures;
}
#define CHECK(condition) check(condition, #condition, __LINE__)

static void check_status(tessera_status s, int32_t code, const char* call, int line) {
  char text[320];
  if (s.code == code) return;
  printf("line %d: %s\n  gave %d, not %d: %s\n", line, call, (int)s.code, (int)code,
         tessera_status_text(&s, text, sizeof text));
  ++failures;
}
#define OK(call) check_status(call, TESSERA_OK, #call, __LINE__)
#define REFUSED(code, call) check_status(call, code, #call, __LINE__)

static void* memory(size_t bytes) {
  void* p = malloc(bytes + 1);
  if (p == NULL) exit(2);
  memset(p, 0xFF, bytes + 1);
  return p;
}

static float* numbers(size_t count, unsigned seed) {
  float* v = memory(count * sizeof *v);
  size_t i;
  for (i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    v[i] = (float)(int)(seed >> 8) / 8388608.0f - 1.0f;
  }
  return v;
}

static int result(void) {
  if (failures > 0) printf("%d failures\n", failures);
  return failures > 0 ? 1 : 0;
}

#endif  // TESSERA_TESTS_C_API_CHECK_H_

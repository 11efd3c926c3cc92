// SPDX-License-Identifier: MIT
// The plain functions that tessera.h defines inline, over arrays, as one file compiles them. Bits
// instead of floats, since what compares them may be compiled without NaN.
#ifndef TESSERA_TESTS_COMPILE_FAST_MATH_H_
#define TESSERA_TESTS_COMPILE_FAST_MATH_H_

#include <cstddef>
#include <cstdint>

struct PlainFunctions {
  void (*f16_to_float)(const uint16_t* from, uint32_t* to, size_t count);
  void (*bf16_to_float)(const uint16_t* from, uint32_t* to, size_t count);
  void (*float_to_f16)(const uint32_t* from, uint16_t* to, size_t count);
  void (*float_to_bf16)(const uint32_t* from, uint16_t* to, size_t count);
  /// Whole blocks of a block format, by its ggml type id. Returns their bytes.
  size_t (*encode)(uint32_t format, const uint32_t* from, uint8_t* to, size_t count);
  size_t (*decode)(uint32_t format, const uint8_t* from, uint32_t* to, size_t count);
};
PlainFunctions host_functions();       // compiled with the host's flags
PlainFunctions reference_functions();  // compiled without

#endif  // TESSERA_TESTS_COMPILE_FAST_MATH_H_

// SPDX-License-Identifier: MIT
// DType: the run-time name of a format. Its values are ggml's type ids, and every id that ggml
// defines has an enumerator, so that a reader of model files can name a type that it refuses.
// Which of them the library multiplies is decided in format/list.h alone.
#ifndef TESSERA_CORE_DTYPE_H_
#define TESSERA_CORE_DTYPE_H_

#include <cstddef>
#include <cstdint>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {

enum class DType : uint8_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
};

/// The name as users of ggml spell it ("q4_0"), "unknown" for an id that has none.
constexpr const char* dtype_name(DType t) noexcept {
  switch (t) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::q4_0:
      return "q4_0";
    case DType::q4_1:
      return "q4_1";
    case DType::q5_0:
      return "q5_0";
    case DType::q5_1:
      return "q5_1";
    case DType::q8_0:
      return "q8_0";
    case DType::q8_1:
      return "q8_1";
    case DType::q2_k:
      return "q2_K";
    case DType::q3_k:
      return "q3_K";
    case DType::q4_k:
      return "q4_K";
    case DType::q5_k:
      return "q5_K";
    case DType::q6_k:
      return "q6_K";
    case DType::q8_k:
      return "q8_K";
    case DType::iq2_xxs:
      return "iq2_xxs";
    case DType::iq2_xs:
      return "iq2_xs";
    case DType::iq3_xxs:
      return "iq3_xxs";
    case DType::iq1_s:
      return "iq1_s";
    case DType::iq4_nl:
      return "iq4_nl";
    case DType::iq3_s:
      return "iq3_s";
    case DType::iq2_s:
      return "iq2_s";
    case DType::iq4_xs:
      return "iq4_xs";
    case DType::i8:
      return "i8";
    case DType::i16:
      return "i16";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::f64:
      return "f64";
    case DType::iq1_m:
      return "iq1_m";
    case DType::bf16:
      return "bf16";
    case DType::tq1_0:
      return "tq1_0";
    case DType::tq2_0:
      return "tq2_0";
    case DType::mxfp4:
      return "mxfp4";
  }
  return "unknown";
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_CORE_DTYPE_H_

// SPDX-License-Identifier: MIT
// From the values of c_api.h to those of C++, and back.
#ifndef TESSERA_IMPL_C_VALUES_H_
#define TESSERA_IMPL_C_VALUES_H_

#include <cstdio>
#include <cstring>
#include <span>
#include <type_traits>

#include "tessera/c_api.h"
#include "tessera/tessera.h"

namespace tessera::inline v0_1::detail {

// ---- Enumerators --------------------------------------------------------------------------------

// The C enumerator of each C++ one; a compiler that warns of missing cases finds a new one. -1 for
// a value that has no name.
constexpr int c_value(StatusCode code) noexcept {
  switch (code) {
    case StatusCode::ok:
      return TESSERA_OK;
    case StatusCode::null_data:
      return TESSERA_NULL_DATA;
    case StatusCode::shape_mismatch:
      return TESSERA_SHAPE_MISMATCH;
    case StatusCode::partial_block:
      return TESSERA_PARTIAL_BLOCK;
    case StatusCode::stride_too_small:
      return TESSERA_STRIDE_TOO_SMALL;
    case StatusCode::size_overflow:
      return TESSERA_SIZE_OVERFLOW;
    case StatusCode::unsupported_dtype:
      return TESSERA_UNSUPPORTED_DTYPE;
    case StatusCode::unknown_choice:
      return TESSERA_UNKNOWN_CHOICE;
    case StatusCode::misaligned:
      return TESSERA_MISALIGNED;
    case StatusCode::buffer_too_small:
      return TESSERA_BUFFER_TOO_SMALL;
    case StatusCode::part_out_of_range:
      return TESSERA_PART_OUT_OF_RANGE;
    case StatusCode::rect_out_of_range:
      return TESSERA_RECT_OUT_OF_RANGE;
    case StatusCode::group_out_of_range:
      return TESSERA_GROUP_OUT_OF_RANGE;
    case StatusCode::unknown_target:
      return TESSERA_UNKNOWN_TARGET;
    case StatusCode::unavailable_target:
      return TESSERA_UNAVAILABLE_TARGET;
    case StatusCode::wrong_plan:
      return TESSERA_WRONG_PLAN;
    case StatusCode::out_of_memory:
      return TESSERA_OUT_OF_MEMORY;
    case StatusCode::other_panels:
      return TESSERA_OTHER_PANELS;
  }
  return -1;
}
constexpr int c_value(Accuracy accuracy) noexcept {
  switch (accuracy) {
    case Accuracy::fast:
      return TESSERA_FAST;
    case Accuracy::exact:
      return TESSERA_EXACT;
    case Accuracy::coarse:
      return TESSERA_COARSE;
  }
  return -1;
}
constexpr int c_value(Activation activation) noexcept {
  switch (activation) {
    case Activation::none:
      return TESSERA_NONE;
    case Activation::relu:
      return TESSERA_RELU;
    case Activation::silu:
      return TESSERA_SILU;
    case Activation::gelu:
      return TESSERA_GELU;
  }
  return -1;
}
constexpr int c_value(DType dtype) noexcept {
  switch (dtype) {
    case DType::f32:
      return TESSERA_F32;
    case DType::f16:
      return TESSERA_F16;
    case DType::q4_0:
      return TESSERA_Q4_0;
    case DType::q4_1:
      return TESSERA_Q4_1;
    case DType::q5_0:
      return TESSERA_Q5_0;
    case DType::q5_1:
      return TESSERA_Q5_1;
    case DType::q8_0:
      return TESSERA_Q8_0;
    case DType::q8_1:
      return TESSERA_Q8_1;
    case DType::q2_k:
      return TESSERA_Q2_K;
    case DType::q3_k:
      return TESSERA_Q3_K;
    case DType::q4_k:
      return TESSERA_Q4_K;
    case DType::q5_k:
      return TESSERA_Q5_K;
    case DType::q6_k:
      return TESSERA_Q6_K;
    case DType::q8_k:
      return TESSERA_Q8_K;
    case DType::iq2_xxs:
      return TESSERA_IQ2_XXS;
    case DType::iq2_xs:
      return TESSERA_IQ2_XS;
    case DType::iq3_xxs:
      return TESSERA_IQ3_XXS;
    case DType::iq1_s:
      return TESSERA_IQ1_S;
    case DType::iq4_nl:
      return TESSERA_IQ4_NL;
    case DType::iq3_s:
      return TESSERA_IQ3_S;
    case DType::iq2_s:
      return TESSERA_IQ2_S;
    case DType::iq4_xs:
      return TESSERA_IQ4_XS;
    case DType::i8:
      return TESSERA_I8;
    case DType::i16:
      return TESSERA_I16;
    case DType::i32:
      return TESSERA_I32;
    case DType::i64:
      return TESSERA_I64;
    case DType::f64:
      return TESSERA_F64;
    case DType::iq1_m:
      return TESSERA_IQ1_M;
    case DType::bf16:
      return TESSERA_BF16;
    case DType::tq1_0:
      return TESSERA_TQ1_0;
    case DType::tq2_0:
      return TESSERA_TQ2_0;
    case DType::mxfp4:
      return TESSERA_MXFP4;
  }
  return -1;
}

// Whether every enumerator has the same value in both languages.
template <class Enum>
constexpr bool is_same_enum() noexcept {
  for (int value = 0; value < 256; ++value) {
    const int c = c_value(static_cast<Enum>(value));
    if (c != -1 && c != value) return false;
  }
  return true;
}
static_assert(is_same_enum<StatusCode>() && is_same_enum<Accuracy>() &&
              is_same_enum<Activation>() && is_same_enum<DType>());

// A value of C as an enumerator of C++, for the library to refuse where it has no name; false if it
// does not even fit, which the caller has to refuse.
template <class Enum>
constexpr bool enum_from_c(int32_t value, Enum& to) noexcept {
  to = static_cast<Enum>(value & 255);
  return value == (value & 255);
}

// ---- Status -------------------------------------------------------------------------------------

inline Status null_pointer(const char* name) noexcept {
  return error(StatusCode::null_data, name);  // of no bytes, unlike a matrix without data
}

inline Status unknown_choice(const char* name, int32_t value, const char* of) noexcept {
  return error(StatusCode::unknown_choice, name, static_cast<uint32_t>(value), 0, of);
}

inline tessera_status to_c(const Status& s) noexcept {
  tessera_status c{c_value(s.code), s.subject, s.detail, s.got, s.want, {}};
  static_assert(sizeof(c.name) == sizeof(s.name));
  std::memcpy(c.name, s.name, sizeof(c.name));
  return c;
}

// ---- Arguments ----------------------------------------------------------------------------------

inline Status dtype_from_c(int32_t value, const char* name, DType& to) noexcept {
  if (enum_from_c(value, to)) return {};
  Status s = unsupported(name, DType{255}, "is not among the formats of this library");
  s.got = static_cast<uint32_t>(value);
  return s;
}

template <class CView, class View>
Status view_from_c(const CView* view, const char* name, View& to) noexcept {
  if (view == nullptr) return null_pointer(name);
  to = {view->data, view->rows, view->cols, view->row_stride, {}};
  return dtype_from_c(view->dtype, name, to.dtype);
}

inline Status options_from_c(const tessera_options* options, PlanOptions& to) noexcept {
  if (options == nullptr) return {};
  to.target = options->target;
  to.borrow_x = options->borrow_x != 0;
  if (enum_from_c(options->accuracy, to.accuracy)) return {};
  return unknown_choice("accuracy", options->accuracy, "Accuracy");
}

inline Status epilogue_from_c(const tessera_epilogue* epilogue, Epilogue& to) noexcept {
  if (epilogue == nullptr) return {};
  to.scale = epilogue->scale;
  to.beta = epilogue->beta;
  to.bias = epilogue->bias;
  to.row_scale = epilogue->row_scale;
  to.column_scale = epilogue->column_scale;
  if (enum_from_c(epilogue->activation, to.activation)) return {};
  return unknown_choice("activation", epilogue->activation, "Activation");
}

inline Status epilogue_from_c(const tessera_group_epilogue* epilogue, GroupEpilogue& to) noexcept {
  if (epilogue == nullptr) return {};
  to.bias_stride = epilogue->bias_stride;
  to.column_scale_stride = epilogue->column_scale_stride;
  return epilogue_from_c(&epilogue->common, static_cast<Epilogue&>(to));
}

inline Part part_from_c(const tessera_part* part) noexcept {
  return part == nullptr ? Part{} : Part{part->index, part->count};
}

inline std::span<std::byte> bytes_from_c(void* data, size_t bytes) noexcept {
  return {static_cast<std::byte*>(data), bytes};
}
inline std::span<const std::byte> bytes_from_c(const void* data, size_t bytes) noexcept {
  return {static_cast<const std::byte*>(data), bytes};
}

// Pairs reach the library where they lie.
static_assert(sizeof(tessera_row_pair) == sizeof(RowPair) &&
              offsetof(tessera_row_pair, x) == offsetof(RowPair, x) &&
              offsetof(tessera_row_pair, y) == offsetof(RowPair, y));

// ---- Plans --------------------------------------------------------------------------------------

// What lies in a plan of C. The tag tells it from other memory, and from a plan of the other sort,
// as it then stands elsewhere.
template <class P>
struct StoredPlan {
  P plan;
  uint64_t tag;
};
inline constexpr uint64_t kTag = 0x5465737365726131;  // "Tessera1"

template <class P, class CPlan>
void to_c(const P& plan, CPlan* to) noexcept {
  static_assert(std::is_trivially_copyable_v<StoredPlan<P>>);
  static_assert(sizeof(StoredPlan<P>) <= sizeof(CPlan) && alignof(StoredPlan<P>) <= alignof(CPlan));
  const StoredPlan<P> stored{plan, kTag};
  std::memcpy(to, &stored, sizeof(stored));
}

template <class CPlan, class P>
Status plan_from_c(const CPlan* plan, const char* name, P& to) noexcept {
  if (plan == nullptr) return null_pointer(name);
  StoredPlan<P> stored;
  std::memcpy(static_cast<void*>(&stored), plan, sizeof(stored));
  if (stored.tag != kTag) {
    return error(StatusCode::wrong_plan, name, 0, 0,
                 "the plan is empty: no call of this library made it");
  }
  to = stored.plan;
  return {};
}

// Whether the library could count the bytes for so many rows: it answers 0 where it cannot.
inline Status check_count(const Plan& p, size_t rows, size_t packed_x_bytes) noexcept {
  if (rows == 0 || p.k == 0 || packed_x_bytes != 0) return {};
  return error(StatusCode::size_overflow, "packed x", rows, p.x_panel_bytes);
}

// Writes text as tessera_status_text() does.
inline const char* write_text(const char* from, char* text, size_t bytes) noexcept {
  if (text == nullptr || bytes == 0) return "";
  std::snprintf(text, bytes, "%s", from);
  return text;
}

}  // namespace tessera::inline v0_1::detail

#endif  // TESSERA_IMPL_C_VALUES_H_

// SPDX-License-Identifier: MIT
// The formats that the library multiplies. This list drives dispatch, packing, tests and the
// example. A new format whose blocks are 32 codes under a scale (and minimum), or 256 codes in
// sub-blocks, is its file, an include and its name here.

// Outside the guard, as each format file guards its two sections itself.
#include "tessera/format/bf16.h"
#include "tessera/format/f16.h"
#include "tessera/format/f32.h"
#include "tessera/format/iq4_nl.h"
#include "tessera/format/mxfp4.h"
#include "tessera/format/q4_0.h"
#include "tessera/format/q4_1.h"
#include "tessera/format/q4_k.h"
#include "tessera/format/q5_0.h"
#include "tessera/format/q5_1.h"
#include "tessera/format/q5_k.h"
#include "tessera/format/q6_k.h"
#include "tessera/format/q8_0.h"

#ifndef TESSERA_FORMAT_LIST_H_
#define TESSERA_FORMAT_LIST_H_

#include <limits>

#include "tessera/base/status.h"
#include "tessera/core/view.h"

namespace tessera::inline v0_1 {

template <class... F>
struct TypeList {};

using AllFormats =
    TypeList<F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4, Q4_K, Q5_K, Q6_K>;

/// Those of W that have kernels. A program that needs few defines TESSERA_FORMATS for all of its
/// files, as in -DTESSERA_FORMATS=F32,Q4_K,Q6_K: code and compile time shrink with it.
#if defined(TESSERA_FORMATS)
using Formats = TypeList<TESSERA_FORMATS>;
#else
using Formats = AllFormats;
#endif

namespace detail {
template <class Visitor, class... F>
constexpr bool visit_format(TypeList<F...>, DType t, Visitor&& visitor) {
  return ((F::kDType == t && (visitor(F{}), true)) || ...);
}
}  // namespace detail

/// Calls visitor(F{}) for the format of `t`, whether or not it has kernels; false if the library
/// does not have it.
template <class Visitor>
constexpr bool visit_format(DType t, Visitor&& visitor) {
  return detail::visit_format(AllFormats{}, t, static_cast<Visitor&&>(visitor));
}

/// Whether W of this format can be multiplied.
constexpr bool multiplies(DType w) noexcept {
  return detail::visit_format(Formats{}, w, [](auto /*format*/) {});
}

/// Whether there are products of W in one format with x in another.
constexpr bool supports(DType w, DType x) noexcept {
  return multiplies(w) && (x == DType::f32 || x == DType::f16 || x == DType::bf16);
}

/// Size facts of a format; block_values is 0 for a DType that the library does not have.
struct DTypeInfo {
  size_t block_values = 0;
  size_t block_bytes = 0;
};

constexpr DTypeInfo dtype_info(DType t) noexcept {
  DTypeInfo info;
  visit_format(t, [&]<class F>(F) { info = {F::kBlockValues, sizeof(typename F::Block)}; });
  return info;
}

/// Whether values can be rounded to a format; false also for a DType that the library does not
/// have.
constexpr bool can_encode(DType t) noexcept {
  bool can = false;
  visit_format(t, [&]<class F>(F) { can = Encodable<F>; });
  return can;
}

namespace detail {
inline Status unsupported(const char* subject, DType t, const char* why) noexcept {
  Status s = error(StatusCode::unsupported_dtype, subject, static_cast<uint64_t>(t), 0, why);
  std::snprintf(s.name, sizeof(s.name), "%s", dtype_name(t));
  return s;
}
inline Status partial_block(const char* name, DType t, size_t k) noexcept {
  Status s = error(StatusCode::partial_block, "k", k, dtype_info(t).block_values, dtype_name(t));
  std::snprintf(s.name, sizeof(s.name), "%s", name);
  return s;
}
}  // namespace detail

/// The DType of a ggml tensor type id, or `unsupported_dtype` with the type's name.
inline Result<DType> dtype_from_ggml(uint32_t id) noexcept {
  if (id < 256 && dtype_info(static_cast<DType>(id)).block_values != 0) {
    return static_cast<DType>(id);
  }
  Status s = detail::unsupported("type", DType{id < 256 ? static_cast<uint8_t>(id) : uint8_t{255}},
                                 "is not among the formats of this library");
  s.got = id;
  return s;
}

/// Bytes of one row of k values. Errors: `unsupported_dtype`, `partial_block`, `size_overflow`.
inline Result<size_t> row_bytes(DType t, size_t k) noexcept {
  const DTypeInfo info = dtype_info(t);
  if (info.block_values == 0) {
    return detail::unsupported("format", t, "is not among the formats of this library");
  }
  if (k % info.block_values != 0) {
    return detail::partial_block("k", t, k);
  }
  if (k / info.block_values > (std::numeric_limits<size_t>::max)() / 2 / info.block_bytes) {
    return detail::error(StatusCode::size_overflow, "row", k / info.block_values, info.block_bytes);
  }
  return k / info.block_values * info.block_bytes;
}

namespace detail {
/// row_bytes() of a matrix that errors call `subject`.
inline Result<size_t> row_bytes_of(DType t, size_t cols, const char* subject) noexcept {
  const Result<size_t> row = row_bytes(t, cols);
  if (row.ok()) return row;
  Status s = row.status();
  s.subject = subject;
  if (s.code == StatusCode::partial_block) {
    std::snprintf(s.name, sizeof(s.name), "%s.cols", subject);
  }
  return s;
}
}  // namespace detail

/// Everything that can be wrong with one view: format, whole blocks, stride, data, total size.
/// `subject` starts the message ("w").
inline Status check_view(const MatView& v, const char* subject) noexcept {
  const Result<size_t> row = detail::row_bytes_of(v.dtype, v.cols, subject);
  if (!row.ok()) return row.status();
  if (v.rows == 0 || *row == 0) return {};
  if (v.rows > 1 && v.row_stride < *row) {
    return detail::error(StatusCode::stride_too_small, subject, v.row_stride, *row,
                         dtype_name(v.dtype));
  }
  const size_t stride = v.row_stride > *row ? v.row_stride : *row;
  if (v.rows > (std::numeric_limits<size_t>::max)() / 2 / stride) {
    return detail::error(StatusCode::size_overflow, subject, v.rows, stride);
  }
  if (v.data == nullptr) return detail::error(StatusCode::null_data, subject, v.rows * *row);
  return {};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_LIST_H_

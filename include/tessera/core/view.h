// SPDX-License-Identifier: MIT
// Views: matrices that somebody else owns, as pointer, shape, row stride in bytes and format.
#ifndef TESSERA_CORE_VIEW_H_
#define TESSERA_CORE_VIEW_H_

#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/base/half.h"
#include "tessera/core/dtype.h"

namespace tessera::inline v0_1 {

/// Read-only matrix [rows, cols], row-major. Row r starts at `data + r * row_stride` bytes; no
/// alignment is assumed. Block formats have no element address: the row is the unit.
struct MatView {
  const void* data = nullptr;
  size_t rows = 0;
  size_t cols = 0;
  size_t row_stride = 0;  // bytes
  DType dtype = DType::f32;
};

/// A matrix [rows, cols] that may not exist yet.
struct MatShape {
  size_t rows = 0;
  size_t cols = 0;
  DType dtype = DType::f32;
};

/// The same as MatView, writable.
struct MutMatView {
  void* data = nullptr;
  size_t rows = 0;
  size_t cols = 0;
  size_t row_stride = 0;  // bytes
  DType dtype = DType::f32;

  operator MatView() const noexcept {  // NOLINT(google-explicit-constructor): as T* to const T*
    return {data, rows, cols, row_stride, dtype};
  }
};

/// The DType of a C++ element type: float, f16_t, bf16_t.
template <class T>
constexpr DType dtype_of() noexcept {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, f16_t> || std::is_same_v<T, bf16_t>,
                "elements are float, f16_t or bf16_t; build a MatView by hand for block formats");
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, f16_t>) return DType::f16;
  return DType::bf16;
}

namespace detail {
template <class R>
inline constexpr bool kIsSpan = false;
template <class T, size_t kExtent>
inline constexpr bool kIsSpan<std::span<T, kExtent>> = true;
}  // namespace detail

/// Dense rows in a span, std::vector, std::array or C array (no temporary one): a view of
/// [rows, cols], writable if the elements are. A source that is too short gives a view without
/// data, which every call refuses with `null_data`.
template <class R>
requires(std::is_lvalue_reference_v<R> ||
         detail::kIsSpan<std::remove_cv_t<R>>) auto rows_of(R&& elements, size_t rows,
                                                            size_t cols) noexcept {
  const std::span s(elements);
  using T = typename decltype(s)::element_type;
  using View = std::conditional_t<std::is_const_v<T>, MatView, MutMatView>;
  const bool fits = rows == 0 || cols <= s.size() / rows;
  return View{fits ? s.data() : nullptr, rows, cols, cols * sizeof(T),
              dtype_of<std::remove_const_t<T>>()};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_CORE_VIEW_H_

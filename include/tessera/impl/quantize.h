// SPDX-License-Identifier: MIT
// Body of plan/quantize.h.
#ifndef TESSERA_IMPL_QUANTIZE_H_
#define TESSERA_IMPL_QUANTIZE_H_

#include <numeric>

#include "tessera/format/list.h"
#include "tessera/plan/quantize.h"

namespace tessera::inline v0_1 {
namespace detail {

// Values of a row that pass through f32 at once: whole blocks of every format.
template <class... F>
constexpr size_t common_block(TypeList<F...>) {
  size_t values = 64;
  ((values = std::lcm(values, F::kBlockValues)), ...);
  return values;
}

// Blocks of a format -> f32, or back. `count` values; rows may have any alignment.
template <class F>
void decode_blocks(const std::byte* from, size_t count, float* values) noexcept {
  for (size_t i = 0; i < count; i += F::kBlockValues, from += sizeof(typename F::Block)) {
    typename F::Block block;
    std::memcpy(&block, from, sizeof(block));
    F::decode(block, values + i);
  }
}
template <class F>
void encode_blocks(const float* values, size_t count, std::byte* to) noexcept {
  for (size_t i = 0; i < count; i += F::kBlockValues, to += sizeof(typename F::Block)) {
    typename F::Block block;
    F::encode(values + i, block);
    std::memcpy(to, &block, sizeof(block));
  }
}

}  // namespace detail

TESSERA_IMPL Status quantize(const MatView& src, const MutMatView& dst, Part part) noexcept {
  if (Status s = check_view(src, "src"); !s.ok()) return s;
  if (Status s = check_view(dst, "dst"); !s.ok()) return s;
  if (src.rows != dst.rows) {
    return detail::error(StatusCode::shape_mismatch, "dst.rows", dst.rows, src.rows, "src.rows");
  }
  if (src.cols != dst.cols) {
    return detail::error(StatusCode::shape_mismatch, "dst.cols", dst.cols, src.cols, "src.cols");
  }
  if (part.index >= part.count) {
    return detail::error(StatusCode::part_out_of_range, "part", part.index, part.count);
  }
  if (!can_encode(dst.dtype)) {
    return detail::unsupported("dst", dst.dtype, "can be decoded only");
  }
  if (src.cols == 0) return {};  // of rows without bytes there can be any number
  const Range rows = split(src.rows, 1, part.index, part.count);
  void (*decode)(const std::byte*, size_t, float*) noexcept = nullptr;
  void (*encode)(const float*, size_t, std::byte*) noexcept = nullptr;
  visit_format(src.dtype, [&]<class F>(F) { decode = &detail::decode_blocks<F>; });
  visit_format(dst.dtype, [&]<class F>(F) {
    if constexpr (Encodable<F>) encode = &detail::encode_blocks<F>;
  });
  constexpr size_t kChunk = detail::common_block(AllFormats{});
  float values[kChunk];
  for (size_t row = rows.begin; row < rows.end; ++row) {
    const std::byte* from = static_cast<const std::byte*>(src.data) + row * src.row_stride;
    std::byte* to = static_cast<std::byte*>(dst.data) + row * dst.row_stride;
    for (size_t k = 0; k < src.cols; k += kChunk) {
      const size_t count = src.cols - k < kChunk ? src.cols - k : kChunk;
      decode(from, count, values);
      encode(values, count, to);
      from += *row_bytes(src.dtype, count);
      to += *row_bytes(dst.dtype, count);
    }
  }
  return {};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_QUANTIZE_H_

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

template <class From, class To>
void convert_row(const std::byte* from, std::byte* to, size_t k) noexcept {
  constexpr size_t kChunk = common_block(Formats{});
  float values[kChunk];
  for (size_t at = 0; at < k; at += kChunk) {
    const size_t count = k - at < kChunk ? k - at : kChunk;
    for (size_t i = 0; i < count; i += From::kBlockValues) {
      typename From::Block block;  // copies: rows may have any alignment
      std::memcpy(&block, from, sizeof(block));
      From::decode(block, values + i);
      from += sizeof(block);
    }
    for (size_t i = 0; i < count; i += To::kBlockValues) {
      typename To::Block block;
      To::encode(values + i, block);
      std::memcpy(to, &block, sizeof(block));
      to += sizeof(block);
    }
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
  const Range rows = split(src.rows, 1, part.index, part.count);
  const auto convert = [&]<class From, class To>(From, To) {
    for (size_t row = rows.begin; row < rows.end; ++row) {
      detail::convert_row<From, To>(static_cast<const std::byte*>(src.data) + row * src.row_stride,
                                    static_cast<std::byte*>(dst.data) + row * dst.row_stride,
                                    src.cols);
    }
  };
  visit_format(src.dtype, [&]<class From>(From from) {
    visit_format(dst.dtype, [&]<class To>(To to) {
      if constexpr (Encodable<To>) convert(from, to);
    });
  });
  return {};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_QUANTIZE_H_

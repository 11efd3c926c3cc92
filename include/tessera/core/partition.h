// SPDX-License-Identifier: MIT
// Who does what: a worker says which part it is, and partition() answers with a rectangle of y.
#ifndef TESSERA_CORE_PARTITION_H_
#define TESSERA_CORE_PARTITION_H_

#include <cstddef>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {

/// "Worker `index` of `count`". All parts together do the whole work, each exactly once.
struct Part {
  size_t index = 0;
  size_t count = 1;
};

/// Rows [row_begin, row_end) and columns [col_begin, col_end) of y.
struct Rect {
  size_t row_begin = 0, row_end = 0;
  size_t col_begin = 0, col_end = 0;
  constexpr bool empty() const noexcept { return row_begin >= row_end || col_begin >= col_end; }
};

struct Range {
  size_t begin = 0, end = 0;
};

namespace detail {
/// How many steps cover `size`, the last one perhaps in part.
constexpr size_t steps_of(size_t size, size_t step) noexcept {
  return size / step + (size % step != 0 ? 1 : 0);
}
}  // namespace detail

/// Part `index` of `count` of [0, size), cut at multiples of `step`, as even as the step allows.
constexpr Range split(size_t size, size_t step, size_t index, size_t count) noexcept {
  const size_t steps = detail::steps_of(size, step);
  // steps * index may not fit, so whole shares and the remainder are kept apart.
  const size_t share = steps / count, extra = steps % count;
  const size_t begin = share * index + (detail::min)(index, extra);
  const size_t end = begin + share + (index < extra ? 1 : 0);
  const auto at = [&](size_t s) { return s >= steps ? size : s * step; };
  return {at(begin), at(end)};
}

/// The rectangle of y[m, n] that a part computes. Columns are cut first (each weight is then read
/// by one worker only), in multiples of `nr`; rows too, in multiples of `mr`, when there are fewer
/// column steps than workers.
constexpr Rect partition(size_t m, size_t n, size_t mr, size_t nr, Part part) noexcept {
  const size_t col_steps = (detail::max)(1, detail::steps_of(n, nr));
  const size_t row_steps = (detail::max)(1, detail::steps_of(m, mr));
  const size_t cols = (detail::min)(part.count, col_steps);
  const size_t rows = (detail::min)((detail::max)(1, part.count / cols), row_steps);
  if (part.index >= rows * cols) return {};
  const Range r = split(m, mr, part.index / cols, rows);
  const Range c = split(n, nr, part.index % cols, cols);
  return {r.begin, r.end, c.begin, c.end};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_CORE_PARTITION_H_

// SPDX-License-Identifier: MIT
// Bodies of plan/batch.h.
#ifndef TESSERA_IMPL_BATCH_H_
#define TESSERA_IMPL_BATCH_H_

#include <algorithm>

#include "tessera/impl/plan.h"
#include "tessera/plan/batch.h"

namespace tessera::inline v0_1 {
namespace detail {

// Whether `times` steps of `stride` bytes past `bytes` can be counted; if so, bytes has them.
inline bool add_steps(size_t times, size_t stride, size_t& bytes) noexcept {
  if (times > 1) {
    if (stride != 0 && times - 1 > (kMaxBytes - bytes) / stride) return false;
    bytes += (times - 1) * stride;
  }
  return true;
}

// Sizes of a batch whose inner view is good.
inline Status check_strides(const MatView& inner, size_t outer, size_t outer_stride, size_t count,
                            size_t stride, const char* subject) noexcept {
  if (inner.rows != 0 && outer > kMaxBytes / inner.rows) {
    return error(StatusCode::size_overflow, subject, inner.rows, outer);
  }
  size_t bytes = 0;
  if (!add_steps(inner.rows, inner.row_stride, bytes)) {
    return error(StatusCode::size_overflow, subject, inner.rows, inner.row_stride);
  }
  if (!add_steps(outer, outer_stride, bytes)) {
    return error(StatusCode::size_overflow, subject, outer, outer_stride);
  }
  if (!add_steps(count, stride, bytes)) {
    return error(StatusCode::size_overflow, subject, count, stride);
  }
  return {};
}

template <class View>
RowPlaces row_places(const BatchOf<View>& v) noexcept {
  RowPlaces at{v.inner.row_stride};
  if (v.outer > 1) at = {v.inner.row_stride, std::max<size_t>(v.inner.rows, 1), v.outer_stride};
  return at;
}

// What pack() and run() agree on.
struct BatchCall {
  size_t m = 0;  // rows of each product
  Geometry geometry;
  size_t x_bytes = 0;  // of one packed x
};

// Checks what both are given, x or y, whose inner view is good, and fills in what follows.
template <class View>
Status check_batch(const Plan& p, size_t count, const BatchOf<View>& v, const char* subject,
                   BatchCall& call) noexcept {
  const MatView inner{v.inner.data, v.inner.rows, v.inner.cols, v.inner.row_stride, v.inner.dtype};
  if (Status s = check_strides(inner, v.outer, v.outer_stride, count, v.stride, subject); !s.ok()) {
    return s;
  }
  call.m = v.outer * v.inner.rows;
  if (Status s = check_rows(p, call.m); !s.ok()) return s;
  call.geometry = geometry_of(p, call.m);
  call.x_bytes = tessera::packed_x_bytes(p, call.geometry);
  const size_t most = std::max(call.x_bytes, call.m);
  if (count > kMaxBytes / std::max<size_t>(1, most)) {
    return error(StatusCode::size_overflow, "packed x", count, most);
  }
  return {};
}

// What pack() refuses, its buffer and part aside.
inline Status check_batch_x(const Plan& p, size_t count, const BatchView& x,
                            BatchCall& call) noexcept {
  if (Status s = check_plan(p); !s.ok()) return s;
  if (Status s = check_x(p, x.inner); !s.ok()) return s;
  return check_batch(p, count, x, "x", call);
}

// What run() refuses, its buffers and part aside.
inline Status check_batch_run(const Plan& p, size_t count, const MutBatchView& y,
                              const Epilogue& epilogue, BatchCall& call) noexcept {
  if (Status s = check_plan(p); !s.ok()) return s;
  if (Status s = check_epilogue(epilogue); !s.ok()) return s;
  if (Status s = check_y(p, y.inner); !s.ok()) return s;
  if (Status s = check_batch(p, count, y, "y", call); !s.ok()) return s;
  if (count > 1 && y.stride == 0 && call.m != 0 && p.n != 0) {
    return error(StatusCode::stride_too_small, "y", 0, *row_bytes(y.inner.dtype, p.n),
                 dtype_name(y.inner.dtype));
  }
  return {};
}

// W of the i-th product.
inline Plan plan_at(Plan p, size_t i, size_t w_stride) noexcept {
  if (p.w != nullptr) p.w += i * w_stride;
  return p;
}

}  // namespace detail

TESSERA_IMPL Result<BatchedMatmul> BatchedMatmul::plan(const Matmul& first, size_t count,
                                                       size_t w_stride) noexcept {
  if (Status s = detail::check_bound(first.value()); !s.ok()) return s;
  size_t bytes = 0, panels = 0;
  if (!detail::add_steps(count, w_stride, bytes)) {
    return detail::error(StatusCode::size_overflow, "w", count, w_stride);
  }
  if (!detail::add_steps(count, first.value().panels, panels)) {
    return detail::error(StatusCode::size_overflow, "panels", count, first.value().panels);
  }
  return BatchedMatmul(first, count, w_stride);
}

TESSERA_IMPL size_t BatchedMatmul::packed_x_bytes(size_t m) const noexcept {
  const size_t each = first_.packed_x_bytes(m);
  return count_ > detail::kMaxBytes / std::max<size_t>(1, each) ? 0 : count_ * each;
}

TESSERA_IMPL PartCounts BatchedMatmul::parts(size_t m, size_t workers) const noexcept {
  if (first_.value().kernel == nullptr) return {};
  return detail::part_counts(first_.value(), m, workers, count_);
}

TESSERA_IMPL Status BatchedMatmul::check(const BatchView& x, const MutBatchView& y,
                                         const Epilogue& epilogue) const noexcept {
  detail::BatchCall of_x, of_y;
  if (Status s = detail::check_batch_x(first_.value(), count_, x, of_x); !s.ok()) return s;
  if (Status s = detail::check_batch_run(first_.value(), count_, y, epilogue, of_y); !s.ok()) {
    return s;
  }
  if (of_x.m == of_y.m) return {};
  return detail::error(StatusCode::shape_mismatch, "rows of y", of_y.m, of_x.m, "rows of x");
}

TESSERA_IMPL Status BatchedMatmul::pack(const BatchView& x, std::span<std::byte> packed_x,
                                        Part part) const noexcept {
  const Plan& p = first_.value();
  detail::BatchCall call;
  if (Status s = detail::check_batch_x(p, count_, x, call); !s.ok()) return s;
  if (Status s = detail::check_part(part); !s.ok()) return s;
  const auto& [m, g, each] = call;
  if (Status s = detail::check_buffer(packed_x, count_ * each, "packed_x"); !s.ok()) return s;
  // A part is a piece of the panels of all products, one product after the other.
  if (each == 0) return {};  // of products without bytes there can be any number
  const size_t panels = Panels(m, g.mr).count;
  const Range mine = split(count_ * panels, 1, part.index, part.count);
  for (size_t at = mine.begin; at < mine.end;) {
    const size_t i = at / panels, end = std::min(mine.end, (i + 1) * panels);
    const detail::XRows rows{static_cast<const std::byte*>(x.inner.data) + i * x.stride,
                             detail::row_places(x), x.inner.dtype, false, m};
    detail::pack(p, g, rows, packed_x.data() + i * each, {at - i * panels, end - i * panels});
    at = end;
  }
  return {};
}

TESSERA_IMPL Status BatchedMatmul::run(std::span<const std::byte> packed_x, const MutBatchView& y,
                                       std::span<std::byte> worker, const Epilogue& epilogue,
                                       Part part) const noexcept {
  const Plan& p = first_.value();
  detail::BatchCall call;
  if (Status s = detail::check_batch_run(p, count_, y, epilogue, call); !s.ok()) return s;
  if (Status s = detail::check_part(part); !s.ok()) return s;
  const size_t m = call.m, x_bytes = count_ * call.x_bytes;
  const Geometry& g = call.geometry;
  if (Status s = detail::check_buffer(packed_x, x_bytes, "packed_x"); !s.ok()) return s;
  if (Status s = detail::check_buffer(worker, g.worker.bytes, "worker"); !s.ok()) return s;

  const auto run = [&](size_t i, const Rect& rect) {
    MutMatView to{static_cast<std::byte*>(y.inner.data) + i * y.stride, m, p.n, y.inner.row_stride,
                  y.inner.dtype};
    detail::run(detail::plan_at(p, i, w_stride_), g, packed_x.data() + i * call.x_bytes, to,
                detail::row_places(y), worker.data(), epilogue, rect);
  };
  const size_t nr = p.kernel->nr, steps = detail::steps_of(p.n, nr);
  if (steps == 0 || count_ == 0 || m == 0) return {};
  if (count_ > part.count / steps) {  // columns enough: a part is a piece of those of all products
    const Range mine = split(count_ * steps, 1, part.index, part.count);
    for (size_t at = mine.begin; at < mine.end;) {
      const size_t i = at / steps, end = std::min(mine.end, (i + 1) * steps);
      run(i, {0, m, (at - i * steps) * nr, std::min(p.n, (end - i * steps) * nr)});
      at = end;
    }
  } else {  // as many parts for each product
    const size_t parts = part.count / count_, i = part.index / parts;
    if (i < count_) run(i, detail::rect_of(p, g, m, {part.index % parts, parts}));
  }
  return {};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_BATCH_H_

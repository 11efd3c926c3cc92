// SPDX-License-Identifier: MIT
// Bodies of plan/gated.h.
#ifndef TESSERA_IMPL_GATED_H_
#define TESSERA_IMPL_GATED_H_

#include <algorithm>

#include "tessera/impl/plan.h"
#include "tessera/plan/gated.h"

namespace tessera::inline v0_1 {
namespace detail {

// Sums of gate that are kept at once: of as many rows as the loops take at a time, and so many
// columns that they stay in L1 or, beside many rows of x, in L2.
inline constexpr size_t kGateFloats = 16 << 10;

struct GatePiece {
  size_t panels = 1;                       // of x
  size_t cols = 1, stride = 0, bytes = 0;  // stride: bytes from row to row
};

inline GatePiece gate_piece(const Plan& p, const Geometry& g, size_t m) noexcept {
  const size_t nr = p.kernel->nr, all = rounded_up(std::max<size_t>(p.n, 1), nr);
  const Panels x(m, g.mr);
  const size_t tall = std::max<size_t>(1, x.rows_each + (x.taller != 0 ? 1 : 0));
  const size_t block = g.path == Path::matvec ? kMatvecRows : g.blocking.mc;
  GatePiece piece;
  piece.panels = m == 0 ? 1 : x.panel_of(std::min(m, block) - 1) + 1;
  const size_t rows = piece.panels * tall;
  piece.cols = std::min(all, std::max<size_t>(2, kGateFloats / rows / nr) * nr);
  // Rows a power of two apart would share the sets of L1.
  piece.stride = rounded_up(piece.cols * sizeof(float), 2 * kScratchAlign) + kScratchAlign;
  piece.bytes = rows * piece.stride;
  return piece;
}

}  // namespace detail

TESSERA_IMPL Result<GatedMatmul> GatedMatmul::plan(const Matmul& gate, const Matmul& up) noexcept {
  if (Status s = detail::check_bound(gate.value()); !s.ok()) return s;
  if (Status s = detail::check_bound(up.value()); !s.ok()) return s;
  if (gate.n() != up.n()) {
    return detail::error(StatusCode::shape_mismatch, "up.n", up.n(), gate.n(), "gate.n");
  }
  if (!gate.shares_packed_x(up)) {
    return detail::error(StatusCode::wrong_plan, "plan", 0, 0,
                         "gate and up take x packed in two ways: run them one after the other");
  }
  return GatedMatmul(gate, up);
}

TESSERA_IMPL size_t GatedMatmul::worker_bytes(size_t m) const noexcept {
  const Plan& p = gate_.value();
  if (p.kernel == nullptr || !detail::check_rows(p, m).ok()) return 0;
  const Geometry g = detail::geometry_of(p, m);
  return detail::gate_piece(p, g, m).bytes +
         std::max(g.worker.bytes, detail::geometry_of(up_.value(), m).worker.bytes);
}

TESSERA_IMPL PartCounts GatedMatmul::parts(size_t m, size_t workers) const noexcept {
  if (gate_.value().kernel == nullptr) return {};
  PartCounts counts = detail::part_counts(gate_.value(), m, workers);
  counts.run = detail::part_counts(gate_.value(), m, workers, 2).run;
  return counts;
}

TESSERA_IMPL Status GatedMatmul::run(std::span<const std::byte> packed_x, const MutMatView& y,
                                     std::span<std::byte> worker, const GatedEpilogue& epilogue,
                                     Part part) const noexcept {
  const Plan &gate = gate_.value(), &up = up_.value();
  if (Status s = detail::check_plan(gate); !s.ok()) return s;
  if (Status s = detail::check_activation(epilogue.gating.activation); !s.ok()) return s;
  if (Status s = detail::check_y(gate, y); !s.ok()) return s;
  if (Status s = detail::check_part(part); !s.ok()) return s;
  const size_t m = y.rows;
  const Geometry g = detail::geometry_of(gate, m), up_g = detail::geometry_of(up, m);
  if (Status s = detail::check_buffer(packed_x, tessera::packed_x_bytes(gate, g), "packed_x");
      !s.ok()) {
    return s;
  }
  const detail::GatePiece piece = detail::gate_piece(gate, g, m);
  const size_t bytes = piece.bytes + std::max(g.worker.bytes, up_g.worker.bytes);
  if (Status s = detail::check_buffer(worker, bytes, "worker"); !s.ok()) return s;

  const Rect mine = detail::rect_of(gate, g, m, part);
  if (mine.empty()) return {};
  std::byte* const scratch = worker.data() + piece.bytes;
  const Panels x(m, g.mr);
  Epilogue gate_epilogue, up_epilogue;
  gate_epilogue.bias = epilogue.gate_bias;
  up_epilogue.bias = epilogue.up_bias;
  for (size_t row = mine.row_begin; row < mine.row_end;) {
    const size_t last = std::min(x.panel_of(row) + piece.panels, x.count) - 1;
    const size_t row_end = std::min(mine.row_end, x.rows(last).end);
    for (size_t col = mine.col_begin; col < mine.col_end; col += piece.cols) {
      const Rect rect{row, row_end, col, std::min(mine.col_end, col + piece.cols)};
      const MutMatView sums{worker.data(), m, gate.n, piece.stride, DType::f32};
      RowPlaces at{piece.stride};
      at.start = 0 - row * piece.stride - col * sizeof(float);
      detail::run(gate, g, packed_x.data(), sums, at, scratch, gate_epilogue, rect);
      const GateSums gated{worker.data(), at, epilogue.gating};
      detail::run(up, up_g, packed_x.data(), y, {y.row_stride}, scratch, up_epilogue, rect, &gated);
    }
    row = row_end;
  }
  return {};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_GATED_H_

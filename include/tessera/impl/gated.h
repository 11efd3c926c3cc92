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
// columns that they stay in L1 or, beside many rows of x, in L2 (bench/sweeps/gate_floats.tsv).
inline constexpr size_t kGateFloats = 16 << 10;

struct GatePiece {
  size_t cols = 1, stride = 0, bytes = 0;  // stride: bytes from row to row
};

// Of at most so many rows of y.
inline GatePiece gate_piece(const Plan& p, size_t rows) noexcept {
  const size_t nr = p.kernel->nr, all = rounded_up(std::max<size_t>(p.n, 1), nr);
  GatePiece piece;
  piece.cols = std::min(all, std::max<size_t>(2, kGateFloats / rows / nr) * nr);
  // Rows a power of two apart would share the sets of L1.
  piece.stride = rounded_up(piece.cols * sizeof(float), 2 * kScratchAlign) + kScratchAlign;
  piece.bytes = rows * piece.stride;
  return piece;
}

// Panels of x whose rows of y are taken at once.
struct GatedRows {
  Panels x;
  size_t panels, most;  // most: rows of them

  GatedRows(const Geometry& g, size_t m) noexcept : x(m, g.mr) {
    const size_t block = g.path == Path::matvec ? kMatvecRows : g.blocking.mc;
    panels = m == 0 ? 1 : x.panel_of(std::min(m, block) - 1) + 1;
    most = panels * std::max<size_t>(1, x.rows_each + (x.taller != 0 ? 1 : 0));
  }
};

// Where things are for m rows. A worker's memory: sums of gate, then what a product needs.
struct GatedGeometry {
  Geometry gate, up;
  GatedRows rows;
  GatePiece piece;
  size_t up_x = 0;  // where x packed for up begins; 0: both read the same
  size_t x_bytes = 0;

  GatedGeometry(const Matmul& g, const Matmul& u, size_t m) noexcept
      : gate(geometry_of(g.value(), m)),
        up(geometry_of(u.value(), m)),
        rows(gate, m),
        piece(gate_piece(g.value(), rows.most)),
        x_bytes(tessera::packed_x_bytes(g.value(), gate)) {
    if (g.shares_packed_x(u)) return;
    up_x = x_bytes;
    x_bytes += tessera::packed_x_bytes(u.value(), up);
  }
  size_t worker_bytes() const noexcept {
    return piece.bytes + std::max(gate.worker.bytes, up.worker.bytes);
  }
};

// Whether what m rows take can be counted.
inline Status check_gated(const GatedMatmul& p, size_t m) noexcept {
  if (Status s = check_plan(p.gate().value()); !s.ok()) return s;
  if (Status s = check_rows(p.gate().value(), m); !s.ok()) return s;
  return check_rows(p.up().value(), m);
}

// What pack() refuses, its buffer and part aside.
inline Status check_gated_x(const GatedMatmul& p, const MatView& x) noexcept {
  if (Status s = check_plan(p.gate().value()); !s.ok()) return s;
  if (Status s = check_x(p.gate().value(), x); !s.ok()) return s;
  return p.gate().shares_packed_x(p.up()) ? Status{} : check_x(p.up().value(), x);
}

// What run() refuses, its buffers and part aside.
inline Status check_gated_run(const GatedMatmul& p, const MutMatView& y,
                              const GatedEpilogue& epilogue) noexcept {
  if (Status s = check_plan(p.gate().value()); !s.ok()) return s;
  if (Status s = check_activation(epilogue.gating.activation); !s.ok()) return s;
  if (Status s = check_y(p.gate().value(), y); !s.ok()) return s;
  return check_rows(p.up().value(), y.rows);
}

}  // namespace detail

TESSERA_IMPL Result<GatedMatmul> GatedMatmul::plan(const Matmul& gate, const Matmul& up) noexcept {
  if (Status s = detail::check_bound(gate.value()); !s.ok()) return s;
  if (Status s = detail::check_bound(up.value()); !s.ok()) return s;
  if (gate.n() != up.n()) {
    return detail::error(StatusCode::shape_mismatch, "up.n", up.n(), gate.n(), "gate.n");
  }
  if (gate.k() != up.k()) {
    return detail::error(StatusCode::shape_mismatch, "up.k", up.k(), gate.k(), "gate.k");
  }
  return GatedMatmul(gate, up);
}

TESSERA_IMPL size_t GatedMatmul::packed_x_bytes(size_t m) const noexcept {
  if (!detail::check_gated(*this, m).ok()) return 0;
  return detail::GatedGeometry(gate_, up_, m).x_bytes;
}

TESSERA_IMPL size_t GatedMatmul::worker_bytes(size_t m) const noexcept {
  if (!detail::check_gated(*this, m).ok()) return 0;
  return detail::GatedGeometry(gate_, up_, m).worker_bytes();
}

TESSERA_IMPL PartCounts GatedMatmul::parts(size_t m, size_t workers) const noexcept {
  if (gate_.value().kernel == nullptr) return {};
  PartCounts counts = detail::part_counts(gate_.value(), m, workers);
  counts.run = detail::part_counts(gate_.value(), m, workers, 2).run;
  return counts;
}

TESSERA_IMPL Status GatedMatmul::check(const MatView& x, const MutMatView& y,
                                       const GatedEpilogue& epilogue) const noexcept {
  if (Status s = detail::check_gated_x(*this, x); !s.ok()) return s;
  if (Status s = detail::check_gated_run(*this, y, epilogue); !s.ok()) return s;
  if (x.rows == y.rows) return {};
  return detail::error(StatusCode::shape_mismatch, "y.rows", y.rows, x.rows, "x.rows");
}

TESSERA_IMPL Status GatedMatmul::pack(const MatView& x, std::span<std::byte> packed_x,
                                      Part part) const noexcept {
  if (gate_.shares_packed_x(up_)) return gate_.pack(x, packed_x, part);
  if (Status s = detail::check_gated_x(*this, x); !s.ok()) return s;
  if (Status s = detail::check_part(part); !s.ok()) return s;
  const detail::GatedGeometry g(gate_, up_, x.rows);
  if (Status s = detail::check_buffer(packed_x, g.x_bytes, "packed_x"); !s.ok()) return s;
  const auto pack = [&](const Plan& plan, const Geometry& geometry, std::byte* to) {
    detail::pack(plan, geometry, detail::rows_of_view(x), to,
                 detail::panels_of(geometry, x.rows, part));
  };
  pack(gate_.value(), g.gate, packed_x.data());
  pack(up_.value(), g.up, packed_x.data() + g.up_x);
  return {};
}

TESSERA_IMPL Status GatedMatmul::run(std::span<const std::byte> packed_x, const MutMatView& y,
                                     std::span<std::byte> worker, const GatedEpilogue& epilogue,
                                     Part part) const noexcept {
  if (Status s = detail::check_gated_run(*this, y, epilogue); !s.ok()) return s;
  if (Status s = detail::check_part(part); !s.ok()) return s;
  const Plan &gate = gate_.value(), &up = up_.value();
  const size_t m = y.rows;
  const detail::GatedGeometry g(gate_, up_, m);
  if (Status s = detail::check_buffer(packed_x, g.x_bytes, "packed_x"); !s.ok()) return s;
  if (Status s = detail::check_buffer(worker, g.worker_bytes(), "worker"); !s.ok()) return s;

  const Rect mine = detail::rect_of(gate, g.gate, m, part);
  if (mine.empty()) return {};
  const std::byte* const up_x = packed_x.data() + g.up_x;
  std::byte* const scratch = worker.data() + g.piece.bytes;
  Epilogue gate_epilogue, up_epilogue;
  gate_epilogue.bias = epilogue.gate_bias;
  up_epilogue.bias = epilogue.up_bias;
  const Panels& x = g.rows.x;
  for (size_t row = mine.row_begin; row < mine.row_end;) {
    const size_t last = std::min(x.panel_of(row) + g.rows.panels, x.count) - 1;
    const size_t row_end = std::min(mine.row_end, x.rows(last).end);
    for (size_t col = mine.col_begin; col < mine.col_end; col += g.piece.cols) {
      const Rect rect{row, row_end, col, std::min(mine.col_end, col + g.piece.cols)};
      const MutMatView sums{worker.data(), m, gate.n, g.piece.stride, DType::f32};
      RowPlaces at{g.piece.stride};
      at.start = 0 - row * g.piece.stride - col * sizeof(float);
      detail::run(gate, g.gate, packed_x.data(), sums, at, scratch, gate_epilogue, rect);
      const GateSums gated{worker.data(), at, epilogue.gating};
      detail::run(up, g.up, up_x, y, {y.row_stride}, scratch, up_epilogue, rect, &gated);
    }
    row = row_end;
  }
  return {};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_GATED_H_

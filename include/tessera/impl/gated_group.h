// SPDX-License-Identifier: MIT
// Bodies of plan/gated_group.h.
#ifndef TESSERA_IMPL_GATED_GROUP_H_
#define TESSERA_IMPL_GATED_GROUP_H_

#include <algorithm>

#include "tessera/impl/gated.h"
#include "tessera/impl/group.h"
#include "tessera/plan/gated_group.h"

namespace tessera::inline v0_1 {
namespace detail {

// Where things are for a number of tokens. A worker's memory: sums of gate, rows of x gathered for
// gate and, if it takes them in another way, for up, then what a product needs.
struct GatedGroupGeometry {
  GroupGeometry gate, up;
  GatePiece piece;
  size_t up_x = 0;  // where x packed for up begins; 0: both read the same
  size_t x_bytes = 0;
  bool gathers_once = false;

  GatedGroupGeometry(const GroupedMatmul& g, const GroupedMatmul& u, size_t tokens) noexcept
      : gate(group_geometry(g.value(), tokens)),
        up(group_geometry(u.value(), tokens)),
        piece(gate_piece(g.value().plan, gate.most_rows)),
        x_bytes(gate.x_bytes(tokens)) {
    if (g.shares_packed_x(u)) {
      const Kernel &a = *gate.plan.kernel, &b = *up.plan.kernel;
      gathers_once = a.mr == b.mr && a.x.gather == b.x.gather;
    } else {
      up_x = x_bytes;
      x_bytes += up.x_bytes(tokens);
    }
  }
  size_t scratch() const noexcept {
    return piece.bytes + gate.gather_bytes + (gathers_once ? 0 : up.gather_bytes);
  }
  size_t worker_bytes() const noexcept {
    return scratch() + std::max(gate.product_bytes, up.product_bytes);
  }
};

// Whether what so many tokens take can be counted.
inline Status check_gated_group(const GatedGroupedMatmul& p, size_t tokens) noexcept {
  if (Status s = check_group_plan(p.gate().value()); !s.ok()) return s;
  if (Status s = check_tokens(p.gate().value(), tokens); !s.ok()) return s;
  return check_tokens(p.up().value(), tokens);
}

// What pack() refuses, its buffer and part aside.
inline Status check_gated_group_x(const GatedGroupedMatmul& p, const MatView& x) noexcept {
  if (Status s = check_gated_group(p, x.rows); !s.ok()) return s;
  if (Status s = check_x(p.gate().value().plan, x); !s.ok()) return s;
  return p.gate().shares_packed_x(p.up()) ? Status{} : check_x(p.up().value().plan, x);
}

// What run() refuses, its buffers and part aside; else what all groups cost together.
inline Status check_gated_group_run(const GatedGroupedMatmul& p, size_t tokens,
                                    std::span<const ExpertRows> groups, const MutMatView& y,
                                    const GatedGroupEpilogue& epilogue, size_t& total) noexcept {
  if (Status s = check_gated_group(p, tokens); !s.ok()) return s;
  if (Status s = check_activation(epilogue.gating.activation); !s.ok()) return s;
  const GroupPlan& gate = p.gate().value();
  if (Status s = check_y(gate.plan, y); !s.ok()) return s;
  return check_groups(gate, tokens, groups, y.rows, total);
}

// Rows `rows`, counted as its pairs are, and columns `cols` of what one group computes.
inline void run_gated_group(const GatedGroupedMatmul& p, const GatedGroupGeometry& g,
                            const ExpertRows& group, const std::byte* packed_x, const MutMatView& y,
                            std::byte* worker, const GatedGroupEpilogue& epilogue, Range rows,
                            Range cols) noexcept {
  const Plan gate = expert_plan(p.gate().value(), g.gate, group.expert);
  const Plan up = expert_plan(p.up().value(), g.up, group.expert);
  std::byte *const gate_x = worker + g.piece.bytes, *const up_x = gate_x + g.gate.gather_bytes;
  const auto bias = [&](const float* of_all) {
    return of_all == nullptr ? nullptr : of_all + group.expert * epilogue.bias_stride;
  };
  RunArgs gate_args, up_args;
  gate_args.y = {worker, 0, gate.n, g.piece.stride, DType::f32};
  gate_args.y_at = {g.piece.stride};
  gate_args.epilogue.bias = bias(epilogue.gate_bias);
  up_args.y = y;
  up_args.y_at = {y.row_stride};
  up_args.epilogue.bias = bias(epilogue.up_bias);
  for_chunks(g.gate, group, rows, [&](std::span<const RowPair> pairs, const float* factors) {
    const GroupRows of_gate(gate, g.gate, packed_x, pairs, gate_x);
    const GroupRows of_up(up, g.up, packed_x + g.up_x, pairs, up_x,
                          g.gathers_once ? of_gate.x : nullptr);
    up_args.pairs = pairs.data();
    up_args.factors = factors;
    for (size_t col = cols.begin; col < cols.end; col += g.piece.cols) {
      const Range piece{col, std::min(cols.end, col + g.piece.cols)};
      gate_args.y_at.start = 0 - col * sizeof(float);
      of_gate.run(gate_args, piece, worker + g.scratch());
      const GateSums sums{worker, gate_args.y_at, epilogue.gating};
      up_args.gate = &sums;
      of_up.run(up_args, piece, worker + g.scratch());
    }
  });
}

}  // namespace detail

TESSERA_IMPL Result<GatedGroupedMatmul> GatedGroupedMatmul::plan(const GroupedMatmul& gate,
                                                                 const GroupedMatmul& up) noexcept {
  const GroupPlan &g = gate.value(), &u = up.value();
  if (Status s = detail::check_group_plan(g); !s.ok()) return s;
  if (Status s = detail::check_group_plan(u); !s.ok()) return s;
  if (g.plan.n != u.plan.n) {
    return detail::error(StatusCode::shape_mismatch, "up.n", u.plan.n, g.plan.n, "gate.n");
  }
  if (g.plan.k != u.plan.k) {
    return detail::error(StatusCode::shape_mismatch, "up.k", u.plan.k, g.plan.k, "gate.k");
  }
  if (g.experts != u.experts) {
    return detail::error(StatusCode::shape_mismatch, "up's experts", u.experts, g.experts,
                         "gate's experts");
  }
  if (g.chosen != u.chosen) {
    return detail::error(StatusCode::shape_mismatch, "up's chosen", u.chosen, g.chosen,
                         "gate's chosen");
  }
  return GatedGroupedMatmul(gate, up);
}

TESSERA_IMPL size_t GatedGroupedMatmul::packed_x_bytes(size_t tokens) const noexcept {
  if (!detail::check_gated_group(*this, tokens).ok()) return 0;
  return detail::GatedGroupGeometry(gate_, up_, tokens).x_bytes;
}

TESSERA_IMPL size_t GatedGroupedMatmul::worker_bytes(size_t tokens) const noexcept {
  if (!detail::check_gated_group(*this, tokens).ok()) return 0;
  return detail::GatedGroupGeometry(gate_, up_, tokens).worker_bytes();
}

TESSERA_IMPL Status GatedGroupedMatmul::check(const MatView& x, std::span<const ExpertRows> groups,
                                              const MutMatView& y,
                                              const GatedGroupEpilogue& epilogue) const noexcept {
  if (Status s = detail::check_gated_group_x(*this, x); !s.ok()) return s;
  size_t total = 0;
  return detail::check_gated_group_run(*this, x.rows, groups, y, epilogue, total);
}

TESSERA_IMPL Status GatedGroupedMatmul::pack(const MatView& x, std::span<std::byte> packed_x,
                                             Part part) const noexcept {
  if (Status s = detail::check_gated_group_x(*this, x); !s.ok()) return s;
  if (Status s = detail::check_part(part); !s.ok()) return s;
  const detail::GatedGroupGeometry g(gate_, up_, x.rows);
  if (Status s = detail::check_buffer(packed_x, g.x_bytes, "packed_x"); !s.ok()) return s;
  detail::pack_tokens(g.gate, x, packed_x.data(), part);
  if (g.up_x != 0) detail::pack_tokens(g.up, x, packed_x.data() + g.up_x, part);
  return {};
}

TESSERA_IMPL Status GatedGroupedMatmul::run(std::span<const std::byte> packed_x, size_t tokens,
                                            std::span<const ExpertRows> groups, const MutMatView& y,
                                            std::span<std::byte> worker,
                                            const GatedGroupEpilogue& epilogue,
                                            Part part) const noexcept {
  size_t total = 0;
  if (Status s = detail::check_gated_group_run(*this, tokens, groups, y, epilogue, total);
      !s.ok()) {
    return s;
  }
  if (Status s = detail::check_part(part); !s.ok()) return s;
  const detail::GatedGroupGeometry g(gate_, up_, tokens);
  if (Status s = detail::check_buffer(packed_x, g.x_bytes, "packed_x"); !s.ok()) return s;
  if (Status s = detail::check_buffer(worker, g.worker_bytes(), "worker"); !s.ok()) return s;
  detail::for_part(gate_.value().plan, groups, total, part,
                   [&](const ExpertRows& group, Range rows, Range cols) {
                     detail::run_gated_group(*this, g, group, packed_x.data(), y, worker.data(),
                                             epilogue, rows, cols);
                   });
  return {};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_GATED_GROUP_H_

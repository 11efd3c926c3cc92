// SPDX-License-Identifier: MIT
// Bodies of plan/group.h.
#ifndef TESSERA_IMPL_GROUP_H_
#define TESSERA_IMPL_GROUP_H_

#include <algorithm>

#include "tessera/impl/plan.h"
#include "tessera/plan/group.h"

namespace tessera::inline v0_1 {
namespace detail {

// Rows of x at most that are gathered at once: with k = 4096 they take half of an L2 cache.
inline constexpr size_t kGatheredRows = 128;

// What a number of tokens decides.
struct GroupGeometry {
  Plan plan;  // that always takes the same path
  bool single = false;
  size_t row_bytes = 0;  // of a packed row of x
  size_t most_rows = 0;  // that are gathered at once
  // Of a worker's memory: those rows, and what the product needs behind them.
  size_t gather_bytes = 0, product_bytes = 0;

  size_t worker_bytes() const noexcept { return gather_bytes + product_bytes; }
  // Of packed x.
  size_t x_bytes(size_t tokens) const noexcept {
    return rounded_up(tokens * row_bytes, kScratchAlign);
  }
};

inline Status check_group_plan(const GroupPlan& p) noexcept {
  if (p.experts != 0) return {};
  return error(StatusCode::wrong_plan, "plan", 0, 0,
               "the plan is empty: it was not made by GroupedMatmul::plan");
}

// Whether packed x and sums of so many tokens can be counted.
inline Status check_tokens(const GroupPlan& p, size_t tokens) noexcept {
  if (tokens > kMaxBytes / p.chosen) {
    return error(StatusCode::size_overflow, "pairs", tokens, p.chosen);
  }
  const size_t row = std::max<size_t>({1, p.plan.x_panel_bytes, p.plan.x_single_bytes});
  if (tokens > kMaxBytes / row) return error(StatusCode::size_overflow, "packed x", tokens, row);
  return {};
}

inline GroupGeometry group_geometry(const GroupPlan& p, size_t tokens) noexcept {
  GroupGeometry g;
  g.plan = p.plan;
  g.single = steps_of(tokens * p.chosen, p.experts) <= p.plan.matvec_rows;
  g.plan.matvec_rows = g.single ? kGatheredRows : 0;
  g.row_bytes = g.single ? p.plan.x_single_bytes : p.plan.x_panel_bytes;
  g.most_rows = std::clamp<size_t>(tokens, 1, kGatheredRows);
  if (g.most_rows > 1) g.gather_bytes = rounded_up(g.most_rows * g.row_bytes, kScratchAlign);
  g.product_bytes = g.single ? 0 : p.worker_bytes;
  return g;
}

// The plan of groups whose experts have this plan.
inline GroupPlan group_plan(const Plan& first, size_t experts, size_t stride,
                            size_t chosen) noexcept {
  GroupPlan p{first, experts, stride, chosen, 0};
  Plan panels = first;
  panels.matvec_rows = 0;
  for (size_t rows = 1; rows <= kGatheredRows; ++rows) {
    p.worker_bytes = std::max(p.worker_bytes, geometry_of(panels, rows).worker.bytes);
  }
  return p;
}

// This part of x, packed row by row.
inline void pack_tokens(const GroupGeometry& g, const MatView& x, std::byte* packed_x,
                        const Part& part) noexcept {
  const Range rows = split(x.rows, 1, part.index, part.count);
  if (rows.begin == rows.end || g.row_bytes == 0) return;
  const XLayout& layout = g.single ? g.plan.kernel->x_single : g.plan.kernel->x;
  layout.pack({static_cast<const std::byte*>(x.data),
               {x.row_stride},
               x.dtype,
               false,
               x.rows,
               g.plan.k,
               1,
               1,
               g.row_bytes,
               rows,
               packed_x,
               layout.aux});
}

// Rows of x that one expert multiplies, as its tiles or dots read them: where they were packed, or
// side by side in the worker's memory.
inline const std::byte* gathered_x(const GroupGeometry& g, size_t mr, const std::byte* packed_x,
                                   std::span<const RowPair> pairs, std::byte* to) noexcept {
  if (pairs.size() == 1) return packed_x + pairs[0].x * g.row_bytes;
  const Panels panels(pairs.size(), g.single ? 1 : mr);
  for (size_t p = 0; p < panels.count; ++p) {
    const Range rows = panels.rows(p);
    const std::byte* from[kMostPanelRows];
    for (size_t i = rows.begin; i < rows.end; ++i) {
      from[i - rows.begin] = packed_x + pairs[i].x * g.row_bytes;
    }
    std::byte* panel = to + rows.begin * g.row_bytes;
    if (rows.end - rows.begin == 1) {
      std::memcpy(panel, from[0], g.row_bytes);
    } else {
      g.plan.kernel->x.gather(from, rows.end - rows.begin, g.row_bytes, panel);
    }
  }
  return to;
}

// A plan over the weights of one expert, that always takes the path of the groups.
inline Plan expert_plan(const GroupPlan& p, const GroupGeometry& gg, size_t expert) noexcept {
  Plan plan = gg.plan;
  plan.w += expert * p.stride;
  return plan;
}

// Calls each(pairs, factors) for rows of a group, as many at a time as are gathered at once.
template <class Each>
void for_chunks(const GroupGeometry& gg, const ExpertRows& group, Range rows,
                const Each& each) noexcept {
  const Panels chunks(rows.end - rows.begin, gg.most_rows);
  for (size_t c = 0; c < chunks.count; ++c) {
    const size_t first = rows.begin + chunks.rows(c).begin, end = rows.begin + chunks.rows(c).end;
    each(group.pairs.subspan(first, end - first),
         group.factors == nullptr ? nullptr : group.factors + first);
  }
}

// Gathered rows, and what multiplies them.
struct GroupRows {
  const Plan& plan;  // of the expert
  const GroupGeometry& group;
  std::span<const RowPair> pairs;
  Geometry geometry;
  const std::byte* x;

  // Gathers to `to` unless `gathered` are those rows.
  GroupRows(const Plan& expert, const GroupGeometry& gg, const std::byte* packed_x,
            std::span<const RowPair> rows, std::byte* to,
            const std::byte* gathered = nullptr) noexcept
      : plan(expert), group(gg), pairs(rows), geometry(geometry_of(expert, rows.size())) {
    x = gathered != nullptr ? gathered : gathered_x(gg, geometry.mr, packed_x, rows, to);
  }

  // Columns of the product, by what is set in `a` beside: y, its places, the epilogue.
  void run(RunArgs a, Range cols, std::byte* scratch) const noexcept {
    a.plan = &plan;
    a.geometry = &geometry;
    a.packed_x = x;
    a.y.rows = pairs.size();
    a.rect = {0, pairs.size(), cols.begin, cols.end};
    a.worker = scratch;
    (group.single ? plan.kernel->matvec : plan.kernel->tiles)(a);
  }
};

// Rows `rows`, counted as its pairs are, and columns `cols` of what one group computes.
inline void run_group(const GroupPlan& p, const GroupGeometry& gg, const ExpertRows& group,
                      const std::byte* packed_x, const MutMatView& y, std::byte* worker,
                      const GroupEpilogue& epilogue, Range rows, Range cols) noexcept {
  const Plan plan = expert_plan(p, gg, group.expert);
  RunArgs a;
  a.y = y;
  a.y_at = {y.row_stride};
  a.epilogue = epilogue;
  if (epilogue.bias != nullptr) a.epilogue.bias += group.expert * epilogue.bias_stride;
  if (epilogue.column_scale != nullptr) {
    a.epilogue.column_scale += group.expert * epilogue.column_scale_stride;
  }
  for_chunks(gg, group, rows, [&](std::span<const RowPair> pairs, const float* factors) {
    const GroupRows chunk(plan, gg, packed_x, pairs, worker);
    a.pairs = pairs.data();
    a.factors = factors;
    chunk.run(a, cols, worker + gg.gather_bytes);
  });
}

// What columns of a group cost, beside those of others: below eight rows they wait for W.
inline size_t group_cost(const ExpertRows& group) noexcept {
  return group.pairs.empty() ? 0 : std::max<size_t>(group.pairs.size(), 8);
}

// Calls each(group, rows, cols) for what a part of a run of these groups computes, which cost
// `total` together. Columns of all groups lie in a row, each as long as what it costs, and a part
// is a piece of that. Where one step of columns, of all rows of an expert, is much beside a part,
// its rows are cut first: so a part ends within a quarter of where it should, as long as that
// leaves kLeastCutRows rows together.
template <class Each>
void for_part(const Plan& p, std::span<const ExpertRows> groups, size_t total, const Part& part,
              const Each& each) noexcept {
  constexpr size_t kLeastCutRows = 32;
  const size_t nr = p.kernel->nr, steps = steps_of(p.n, nr);
  const Range mine = split(total, 1, part.index, part.count);
  const size_t most_rows = std::max(kLeastCutRows, total / part.count / 4);
  size_t begin = 0;  // of a piece
  for (const ExpertRows& group : groups) {
    const Panels pieces(group.pairs.size(), most_rows);
    for (size_t i = 0; i < pieces.count; ++i) {
      const Range rows = pieces.rows(i);
      const size_t cost = pieces.count == 1 ? group_cost(group) : rows.end - rows.begin;
      // The steps whose begin lies in the part.
      const auto step_at = [&](size_t at) {
        return at <= begin ? 0 : std::min(steps, steps_of(at - begin, cost));
      };
      const Range cols{step_at(mine.begin) * nr, std::min(p.n, step_at(mine.end) * nr)};
      if (cols.begin < cols.end) each(group, rows, cols);
      begin += cost * steps;
    }
  }
}

// ---- What is refused, buffers and parts aside --------------------------------------------------

inline Status check_group_x(const GroupPlan& p, const MatView& x) noexcept {
  if (Status s = check_group_plan(p); !s.ok()) return s;
  if (Status s = check_x(p.plan, x); !s.ok()) return s;
  return check_tokens(p, x.rows);
}

// The lists of a run of so many tokens; else `total`, what all groups cost together.
inline Status check_groups(const GroupPlan& p, size_t tokens, std::span<const ExpertRows> groups,
                           size_t y_rows, size_t& total) noexcept {
  if (groups.data() == nullptr && !groups.empty()) {
    return error(StatusCode::null_data, "groups", groups.size() * sizeof(ExpertRows));
  }
  const size_t steps = steps_of(p.plan.n, p.plan.kernel->nr);
  total = 0;
  for (const ExpertRows& group : groups) {
    if (group.expert >= p.experts) {
      return error(StatusCode::group_out_of_range, "expert", group.expert, p.experts);
    }
    if (group.pairs.data() == nullptr && !group.pairs.empty()) {
      return error(StatusCode::null_data, "pairs", group.pairs.size() * sizeof(RowPair));
    }
    for (const RowPair& pair : group.pairs) {
      if (pair.x >= tokens)
        return error(StatusCode::group_out_of_range, "row of x", pair.x, tokens);
      if (pair.y >= y_rows)
        return error(StatusCode::group_out_of_range, "row of y", pair.y, y_rows);
    }
    const size_t cost = group_cost(group);
    if (steps != 0 && cost > (kMaxBytes - total) / steps) {
      return error(StatusCode::size_overflow, "groups", cost, steps);
    }
    total += cost * steps;
  }
  return {};
}

inline Status check_group_run(const GroupPlan& p, size_t tokens, std::span<const ExpertRows> groups,
                              const MutMatView& y, const GroupEpilogue& epilogue,
                              size_t& total) noexcept {
  if (Status s = check_group_plan(p); !s.ok()) return s;
  if (Status s = check_epilogue(epilogue); !s.ok()) return s;
  if (Status s = check_tokens(p, tokens); !s.ok()) return s;
  if (Status s = check_y(p.plan, y); !s.ok()) return s;
  return check_groups(p, tokens, groups, y.rows, total);
}

}  // namespace detail

TESSERA_IMPL Result<GroupedMatmul> GroupedMatmul::plan(const Experts& experts, size_t chosen,
                                                       DType x_dtype,
                                                       const PlanOptions& options) noexcept {
  const Result<Plan> first = detail::make_plan(experts.first, x_dtype, options);
  if (!first.ok()) return first.status();
  if (chosen == 0 || chosen > experts.count) {
    return detail::error(StatusCode::group_out_of_range, "chosen", chosen, experts.count);
  }
  const MatView& w = experts.first;
  const size_t row = *row_bytes(w.dtype, w.cols);
  const size_t bytes = w.rows == 0 ? 0 : (w.rows - 1) * std::max(w.row_stride, row) + row;
  if (experts.count > 1 && experts.stride < bytes) {
    return detail::error(StatusCode::stride_too_small, "experts", experts.stride, bytes,
                         dtype_name(w.dtype));
  }
  if (experts.stride != 0 && experts.count > detail::kMaxBytes / experts.stride) {
    return detail::error(StatusCode::size_overflow, "experts", experts.count, experts.stride);
  }
  const size_t panels = detail::packed_w_bytes(*first);
  if (experts.count > detail::kMaxBytes / std::max<size_t>(1, panels)) {
    return detail::error(StatusCode::size_overflow, "packed w", experts.count, panels);
  }
  Plan p = *first;
  p.borrow_x = false;
  return GroupedMatmul(detail::group_plan(p, experts.count, experts.stride, chosen));
}

TESSERA_IMPL size_t GroupedMatmul::packed_w_bytes() const noexcept {
  return plan_.experts == 0 ? 0 : plan_.experts * detail::packed_w_bytes(plan_.plan);
}

TESSERA_IMPL Status GroupedMatmul::pack_weights(std::span<std::byte> panels,
                                                Part part) const noexcept {
  if (Status s = detail::check_group_plan(plan_); !s.ok()) return s;
  if (plan_.plan.packed) {
    return detail::error(StatusCode::wrong_plan, "plan", 0, 0,
                         "the weights of this plan are packed already");
  }
  if (Status s = detail::check_part(part); !s.ok()) return s;
  if (Status s = detail::check_buffer(panels, packed_w_bytes(), "panels"); !s.ok()) return s;
  const size_t each = detail::packed_w_bytes(plan_.plan);
  if (each == 0) return {};  // of experts without bytes there can be any number
  for (size_t expert = 0; expert < plan_.experts; ++expert) {
    Plan plan = plan_.plan;
    plan.w += expert * plan_.stride;
    detail::pack_w(plan, panels.data() + expert * each, part);
  }
  return {};
}

TESSERA_IMPL Result<GroupedMatmul> GroupedMatmul::with_packed(
    std::span<const std::byte> panels) const noexcept {
  if (Status s = detail::check_group_plan(plan_); !s.ok()) return s;
  if (Status s = detail::check_buffer(panels, packed_w_bytes(), "panels"); !s.ok()) return s;
  return GroupedMatmul(detail::group_plan(detail::over_panels(plan_.plan, panels.data()),
                                          plan_.experts, detail::packed_w_bytes(plan_.plan),
                                          plan_.chosen));
}

TESSERA_IMPL size_t GroupedMatmul::packed_x_bytes(size_t tokens) const noexcept {
  if (plan_.experts == 0 || !detail::check_tokens(plan_, tokens).ok()) return 0;
  return detail::group_geometry(plan_, tokens).x_bytes(tokens);
}

TESSERA_IMPL size_t GroupedMatmul::worker_bytes(size_t tokens) const noexcept {
  if (plan_.experts == 0 || !detail::check_tokens(plan_, tokens).ok()) return 0;
  return detail::group_geometry(plan_, tokens).worker_bytes();
}

TESSERA_IMPL bool GroupedMatmul::shares_packed_x(const GroupedMatmul& other) const noexcept {
  const Plan &p = plan_.plan, &q = other.plan_.plan;
  if (plan_.experts == 0 || other.plan_.experts == 0 || p.k != q.k) return false;
  const XLayout &a = p.kernel->x, &b = q.kernel->x;
  if (a.pack != b.pack || !(a.aux == b.aux) || p.matvec_rows != q.matvec_rows) return false;
  // Where rows may be packed for matvec, both must decide alike.
  return p.matvec_rows == 0 ||
         (p.kernel->x_single.pack == q.kernel->x_single.pack &&
          plan_.experts == other.plan_.experts && plan_.chosen == other.plan_.chosen);
}

TESSERA_IMPL Status GroupedMatmul::check(const MatView& x, std::span<const ExpertRows> groups,
                                         const MutMatView& y,
                                         const GroupEpilogue& epilogue) const noexcept {
  if (Status s = detail::check_group_x(plan_, x); !s.ok()) return s;
  size_t total = 0;
  return detail::check_group_run(plan_, x.rows, groups, y, epilogue, total);
}

TESSERA_IMPL Status GroupedMatmul::pack(const MatView& x, std::span<std::byte> packed_x,
                                        Part part) const noexcept {
  if (Status s = detail::check_group_x(plan_, x); !s.ok()) return s;
  if (Status s = detail::check_part(part); !s.ok()) return s;
  const detail::GroupGeometry g = detail::group_geometry(plan_, x.rows);
  if (Status s = detail::check_buffer(packed_x, g.x_bytes(x.rows), "packed_x"); !s.ok()) return s;
  detail::pack_tokens(g, x, packed_x.data(), part);
  return {};
}

TESSERA_IMPL Status GroupedMatmul::run(std::span<const std::byte> packed_x, size_t tokens,
                                       std::span<const ExpertRows> groups, const MutMatView& y,
                                       std::span<std::byte> worker, const GroupEpilogue& epilogue,
                                       Part part) const noexcept {
  size_t total = 0;
  if (Status s = detail::check_group_run(plan_, tokens, groups, y, epilogue, total); !s.ok()) {
    return s;
  }
  if (Status s = detail::check_part(part); !s.ok()) return s;
  const detail::GroupGeometry g = detail::group_geometry(plan_, tokens);
  if (Status s = detail::check_buffer(packed_x, g.x_bytes(tokens), "packed_x"); !s.ok()) return s;
  if (Status s = detail::check_buffer(worker, g.worker_bytes(), "worker"); !s.ok()) return s;
  detail::for_part(
      plan_.plan, groups, total, part, [&](const ExpertRows& group, Range rows, Range cols) {
        detail::run_group(plan_, g, group, packed_x.data(), y, worker.data(), epilogue, rows, cols);
      });
  return {};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_GROUP_H_

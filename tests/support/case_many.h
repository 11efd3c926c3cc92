// SPDX-License-Identifier: MIT
// Runs random cases of several products: grouped, batched and gated ones. run_case() runs any.
#ifndef TESSERA_TESTS_SUPPORT_CASE_MANY_H_
#define TESSERA_TESTS_SUPPORT_CASE_MANY_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/case_data.h"
#include "support/case_products.h"
#include "support/case_run.h"
#include "support/guarded.h"
#include "support/product.h"
#include "support/random_case.h"
#include "tessera/tessera.h"

namespace tessera::test {

/// Rows of x in some order, in groups of any size, some of them empty; several may be of one
/// expert.
class RandomGroups {
 public:
  RandomGroups(const std::vector<size_t>& expert_of, size_t experts, Rng& rng) {
    std::vector<size_t> rows(expert_of.size()), places(expert_of.size());
    std::iota(rows.begin(), rows.end(), size_t{0});
    for (size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[rng.below(i)]);
    for (size_t i = 0; i < rows.size(); ++i) places[rows[i]] = i;
    std::sort(rows.begin(), rows.end(), [&](size_t a, size_t b) {
      return std::pair(expert_of[a], places[a]) < std::pair(expert_of[b], places[b]);
    });
    for (const size_t row : rows) pairs_.push_back({row, row});
    const size_t most = 1 + rng.below(rows.size() + 1);
    for (size_t at = 0; at < rows.size() || groups_.size() < 2;) {
      const size_t expert = at < rows.size() ? expert_of[rows[at]] : rng.below(experts);
      size_t end = at;
      while (end < rows.size() && expert_of[rows[end]] == expert) ++end;
      const size_t count = std::min(end - at, rng.below(most + 1));
      groups_.push_back({expert, std::span(pairs_).subspan(at, count)});
      at += count;
    }
    for (size_t i = groups_.size(); i > 1; --i) std::swap(groups_[i - 1], groups_[rng.below(i)]);
  }
  RandomGroups(const RandomGroups&) = delete;
  RandomGroups& operator=(const RandomGroups&) = delete;
  std::span<const ExpertRows> groups() const { return groups_; }

 private:
  std::vector<RowPair> pairs_;
  std::vector<ExpertRows> groups_;
};

/// The first of several errors.
inline void keep(Status& first, const Status& other) {
  if (first.ok()) first = other;
}

/// Copies of W in one piece of memory, the i-th moved up by first + i rows.
class ManyWeights {
 public:
  ManyWeights(const RandomCase& c, const Matrix& w, size_t count, size_t first, size_t gap)
      : row_stride_(w.row_bytes + c.layout.w_padding),
        bytes_(c.n == 0 ? 0 : (c.n - 1) * row_stride_ + w.row_bytes),
        stride_(bytes_ + gap),
        view_{nullptr, c.n, c.k, row_stride_, c.setup.w},
        rows_((count - 1) * stride_ + bytes_, c.layout.w_place()) {
    for (size_t i = 0; i < count * c.n; ++i) {
      const size_t of = i / c.n, from = (i + first + of) % c.n;
      std::copy_n(w.bytes.data() + from * w.row_bytes, w.row_bytes,
                  rows_.data() + of * stride_ + i % c.n * row_stride_);
    }
    rows_.make_read_only();
  }
  MatView operator[](size_t i) const {
    MatView view = view_;
    view.data = rows_.data() + i * stride_;
    return view;
  }
  size_t stride() const { return stride_; }
  void make_unreadable() { rows_.make_unreadable(); }

 private:
  size_t row_stride_, bytes_, stride_;
  MatView view_;
  GuardedBuffer rows_;
};

/// The plan of all experts, over weights in place or packed.
class CaseExperts {
 public:
  /// Those of expert i are W moved up by first + i rows.
  CaseExperts(const RandomCase& c, const Matrix& w, size_t first, Accuracy accuracy, size_t gap)
      : weights_(c, w, expert_shape(c).count, first, gap) {
    Setup setup = c.setup;
    setup.accuracy = accuracy;
    const auto [count, chosen] = expert_shape(c);
    const Result<GroupedMatmul> planned = GroupedMatmul::plan(
        {weights_[0], count, weights_.stride()}, chosen, setup.x, plan_options(setup));
    keep(status, planned.status());
    if (!status.ok()) return;
    plan = *planned;
    if (!is_packed(c.door)) return;
    panels_ = std::make_unique<GuardedBuffer>(plan.packed_w_bytes(), c.layout.scratch());
    for (size_t i = 0; i < c.w_parts; ++i) {
      keep(status, plan.pack_weights(panels_->bytes(), {i, c.w_parts}));
    }
    if (!panels_->slack_untouched()) error = "bytes beside the panels were written";
    panels_->make_read_only();
    plan = *plan.with_packed(panels_->bytes());
    weights_.make_unreadable();
  }

  GroupedMatmul plan;
  Status status;
  std::string error;

 private:
  ManyWeights weights_;
  std::unique_ptr<GuardedBuffer> panels_;
};

/// What is [n] for each expert: the i-th has it moved up by first + i, as its W.
inline std::vector<float> for_experts(const RandomCase& c, const float* one, size_t first) {
  std::vector<float> all;
  if (one == nullptr) return all;
  for (size_t i = 0; i < expert_shape(c).count * c.n; ++i) {
    all.push_back(one[(i + first + i / c.n) % c.n]);
  }
  return all;
}
inline const float* or_null(const std::vector<float>& list) {
  return list.empty() ? nullptr : list.data();
}

/// Runs a plan of groups.
template <class Plan, class E>
Output run_groups(const RandomCase& c, const Plan& plan, const Matrix& x,
                  const std::vector<float>* old, Status s, const E& epilogue) {
  const Layout& l = c.layout;
  const GuardedBuffer packed_x(plan.packed_x_bytes(c.m), l.scratch());
  const GuardedBuffer worker(plan.worker_bytes(c.m), l.scratch());
  const GuardedY y(c.setup.y, c.m, c.n, l.y_padding, l.y_place(), old);
  GuardedRows x_rows(x, c.m, l.x_padding, l.x_place());
  for (size_t i = 0; i < c.work.pack_parts; ++i) {
    keep(s, plan.pack(x_rows.view(), packed_x.bytes(), {i, c.work.pack_parts}));
  }
  x_rows.make_unreadable();
  Rng cut(c.seed + c.work.parts + c.work.pack_parts);
  const RandomGroups groups(w_shifts(c), expert_shape(c).count, cut);
  keep(s, plan.check(x_rows.view(), groups.groups(), y.view(), epilogue));
  for (size_t call = 0; call < c.work.parts; ++call) {
    const size_t i = c.work.last_first ? c.work.parts - 1 - call : call;
    keep(s, plan.run(packed_x.bytes(), c.m, groups.groups(), y.view(), worker.bytes(), epilogue,
                     {i, c.work.parts}));
  }
  Output out = finish(s, y, to_string(c.door));
  if (!packed_x.slack_untouched() || !worker.slack_untouched()) {
    out.error = "bytes beside scratch memory were written";
  }
  return out;
}

inline size_t draw_gap(const RandomCase& c) {
  Rng rng(c.seed + c.work.parts);
  return rng.below(3) * rng.below(70);
}

inline Output run_grouped(const RandomCase& c, const Matrix& x, const Matrix& w,
                          const CaseData& data) {
  const CaseExperts experts(c, w, 0, c.setup.accuracy, draw_gap(c));
  if (!experts.error.empty()) return {experts.error, {}};
  const std::vector<float> bias = for_experts(c, data.epilogue.bias, 0);
  const std::vector<float> scale = for_experts(c, data.epilogue.column_scale, 0);
  GroupEpilogue epilogue;
  static_cast<Epilogue&>(epilogue) = data.epilogue;
  epilogue.bias = or_null(bias);
  epilogue.column_scale = or_null(scale);
  epilogue.bias_stride = epilogue.column_scale_stride = c.n;
  return run_groups(c, experts.plan, x, data.old(), experts.status, epilogue);
}

inline Output run_gated_grouped(const RandomCase& c, const Matrix& x, const Matrix& w,
                                const CaseData& data) {
  const CaseExperts gate(c, w, 0, c.setup.accuracy, draw_gap(c));
  const CaseExperts up(c, w, 1, c.up_accuracy, 0);
  if (!gate.error.empty() || !up.error.empty()) return {gate.error + up.error, {}};
  Status s = gate.status;
  keep(s, up.status);
  const Result<GatedGroupedMatmul> plan = GatedGroupedMatmul::plan(gate.plan, up.plan);
  keep(s, plan.status());
  if (!s.ok()) return {s.message().c_str(), {}};
  const std::vector<float> gate_bias = for_experts(c, data.epilogue.bias, 0);
  const std::vector<float> up_bias = for_experts(c, data.epilogue.bias, 1);
  const GatedGroupEpilogue epilogue{{or_null(gate_bias), or_null(up_bias), gating_of(c)}, c.n};
  return run_groups(c, *plan, x, nullptr, s, epilogue);
}

/// Where row r of all x or y of a batch lies: products and the rows at the two strides follow each
/// other in any order of the three.
class BatchOrder {
 public:
  BatchOrder(const BatchShape& shape, Rng& rng) : sizes_{shape.count, shape.outer, shape.inner} {
    std::array<size_t, 3> order{0, 1, 2};
    for (size_t i = 3; i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
    size_t step = 1;
    for (const size_t d : order) {
      steps_[d] = step;
      step *= sizes_[d];
    }
  }
  size_t operator()(size_t row) const {
    const size_t each = sizes_[1] * sizes_[2], in = row % each;
    return row / each * steps_[0] + in / sizes_[2] * steps_[1] + in % sizes_[2] * steps_[2];
  }
  template <class View>
  BatchOf<View> view(const View& all) const {
    View inner = all;
    inner.rows = sizes_[2];
    inner.row_stride = steps_[2] * all.row_stride;
    return {inner, steps_[0] * all.row_stride, sizes_[1], steps_[1] * all.row_stride};
  }

 private:
  std::array<size_t, 3> sizes_, steps_{};
};

inline Output run_batched(const RandomCase& c, const Matrix& x, const Matrix& w,
                          const CaseData& data) {
  const Layout& l = c.layout;
  const BatchShape shape = batch_shape(c);
  const size_t m = c.m / shape.count;
  Rng rng(c.seed + c.work.parts + c.work.pack_parts);
  const BatchOrder x_at(shape, rng), y_at(shape, rng);
  Matrix x_placed = x;
  for (size_t r = 0; r < c.m; ++r) {
    std::copy_n(x.bytes.data() + r * x.row_bytes, x.row_bytes,
                x_placed.bytes.data() + x_at(r) * x.row_bytes);
  }
  std::vector<float> old = data.old() == nullptr ? std::vector<float>() : data.old_y;
  for (size_t i = 0; i < old.size(); ++i) {
    old[y_at(i / c.n) * c.n + i % c.n] = data.old_y[i];
  }

  ManyWeights weights(c, w, shape.count, 0, rng.below(3) * rng.below(70));
  size_t stride = weights.stride();
  // Planned before there are weights.
  const Result<Matmul> shaped =
      Matmul::plan(MatShape{c.n, c.k, c.setup.w}, c.setup.x, plan_options(c.setup));
  if (!shaped.ok()) return {shaped.status().message().c_str(), {}};
  const size_t each = shaped->packed_w_bytes();
  GuardedBuffer panels(is_packed(c.door) ? shape.count * each : 0, l.scratch());
  Status s;
  const auto over = [&](size_t i) { return *shaped->over(weights[i]); };
  Matmul first = over(0);
  if (is_packed(c.door)) {
    for (size_t i = 0; i < shape.count; ++i) {
      for (size_t part = 0; part < c.w_parts; ++part) {
        keep(s, over(i).pack_weights(panels.bytes().subspan(i * each, each), {part, c.w_parts}));
      }
    }
    panels.make_read_only();
    weights.make_unreadable();
    first = *shaped->with_packed(panels.bytes());
    stride = each;
  }
  const Result<BatchedMatmul> planned = BatchedMatmul::plan(first, shape.count, stride);
  if (!planned.ok()) return {planned.status().message().c_str(), {}};

  const GuardedBuffer packed_x(planned->packed_x_bytes(m), l.scratch());
  const GuardedBuffer worker(planned->worker_bytes(m), l.scratch());
  const GuardedY y(c.setup.y, c.m, c.n, l.y_padding, l.y_place(), old.empty() ? nullptr : &old);
  GuardedRows x_rows(x_placed, c.m, l.x_padding, l.x_place());
  for (size_t i = 0; i < c.work.pack_parts; ++i) {
    keep(s, planned->pack(x_at.view(x_rows.view()), packed_x.bytes(), {i, c.work.pack_parts}));
  }
  if (!c.setup.borrow_x) x_rows.make_unreadable();
  keep(s, planned->check(x_at.view(x_rows.view()), y_at.view(y.view()), data.epilogue));
  for (size_t call = 0; call < c.work.parts; ++call) {
    const size_t i = c.work.last_first ? c.work.parts - 1 - call : call;
    keep(s, planned->run(packed_x.bytes(), y_at.view(y.view()), worker.bytes(), data.epilogue,
                         {i, c.work.parts}));
  }
  Output out = finish(s, y, "batched");
  const std::vector<float> placed = out.y;
  for (size_t i = 0; i < placed.size(); ++i) out.y[i] = placed[y_at(i / c.n) * c.n + i % c.n];
  if (!panels.slack_untouched() || !packed_x.slack_untouched() || !worker.slack_untouched()) {
    out.error = "bytes beside scratch memory were written";
  }
  return out;
}

inline Output run_gated(const RandomCase& c, const Matrix& x, const Matrix& w, const float* bias) {
  RandomCase of_up = c;
  of_up.setup.accuracy = c.up_accuracy;
  const Product gate = product_of(c, w), up = product_of(of_up, moved_up(w, 1));
  if (!gate.error().empty() || !up.error().empty()) return {gate.error() + up.error(), {}};
  const Result<GatedMatmul> planned = GatedMatmul::plan(gate.plan(), up.plan());
  if (!planned.ok()) return {planned.status().message().c_str(), {}};
  Output out;
  const PackedInput packed_x(*planned, x, c.m, c.layout, c.work.pack_parts, out.error,
                             c.setup.borrow_x, c.work.last_first);
  if (!out.error.empty()) return out;
  const GuardedBuffer worker(planned->worker_bytes(c.m), c.layout.scratch());
  const GuardedY y(c.setup.y, c.m, c.n, c.layout.y_padding, c.layout.y_place());
  std::vector<float> up_bias;
  for (size_t i = 0; bias != nullptr && i < c.n; ++i) up_bias.push_back(bias[(i + 1) % c.n]);
  const GatedEpilogue epilogue{bias, or_null(up_bias), gating_of(c)};
  Status s = planned->check(packed_x.view(), y.view(), epilogue);
  for (size_t call = 0; call < c.work.parts; ++call) {
    const size_t i = c.work.last_first ? c.work.parts - 1 - call : call;
    keep(s, planned->run(packed_x.bytes(), y.view(), worker.bytes(), epilogue, {i, c.work.parts}));
  }
  out = finish(s, y, "gated");
  if (!worker.slack_untouched()) out.error = "bytes beside the worker's memory were written";
  return out;
}

/// y of a case from these x and W, those of `data` or others of their shape.
inline Output run_case(const RandomCase& c, const Matrix& x, const Matrix& w,
                       const CaseData& data) {
  if (is_grouped(c.door))
    return (is_gated(c.door) ? run_gated_grouped : run_grouped)(c, x, w, data);
  if (is_batched(c.door)) return run_batched(c, x, w, data);
  if (is_gated(c.door)) return run_gated(c, x, w, data.epilogue.bias);
  if (c.door == Door::one_call) return run_one_call(c, x, w, data);
  if (c.door == Door::gemm) return run_gemm(c, x, w, data);
  return product_of(c, w).run(x, c.m, data.epilogue, c.work, data.old());
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_CASE_MANY_H_

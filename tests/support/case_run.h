// SPDX-License-Identifier: MIT
// Runs random cases through their doors, in guarded memory as support/product.h has it.
#ifndef TESSERA_TESTS_SUPPORT_CASE_RUN_H_
#define TESSERA_TESTS_SUPPORT_CASE_RUN_H_

#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "support/case_data.h"
#include "support/product.h"
#include "support/random_case.h"
#include "support/stored.h"
#include "support/system.h"
#include "tessera/tessera.h"
#include "tessera/thread_pool.h"

namespace tessera::test {

/// The executor of a case.
class CaseExecutor {
 public:
  explicit CaseExecutor(const RandomCase& c) : case_(c), rng_(c.seed) {}
  Executor executor() {
    if (case_.tasks == Tasks::serial) return serial();
    if (case_.tasks == Tasks::pool) return pool(case_.workers).executor();
    return {[](void* self, size_t count, Executor::Task task, void* argument) {
              static_cast<CaseExecutor*>(self)->run_shuffled(count, task, argument);
            },
            this, case_.workers};
  }

 private:
  void run_shuffled(size_t count, Executor::Task task, void* argument) {
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[rng_.below(i)]);
    for (const size_t i : order) task(argument, i);
  }
  static ThreadPool& pool(size_t threads) {
    static std::vector<std::unique_ptr<ThreadPool>> pools;
    for (const auto& p : pools) {
      if (p->threads() == threads) return *p;
    }
    return *pools.emplace_back(std::make_unique<ThreadPool>(threads));
  }

  const RandomCase& case_;
  Rng rng_;
};

/// The plan of a case: over weights in place, or packed as its door packs them.
inline Product product_of(const RandomCase& c, const Matrix& w) {
  CaseExecutor tasks(c);
  const Executor executor = tasks.executor();
  return Product(w, c.n, c.setup, c.layout, c.w_parts, c.door == Door::owned ? &executor : nullptr);
}

inline Output finish(const Status& s, const GuardedY& y, const char* what) {
  Output out;
  if (!s.ok()) out.error = std::string(what) + ": " + s.message().c_str();
  if (!y.padding_untouched()) out.error = "bytes between the rows of y were written";
  out.y = y.values();
  return out;
}

inline Output run_one_call(const RandomCase& c, const Matrix& x, const Matrix& w,
                           const CaseData& data) {
  const Layout& l = c.layout;
  const GuardedRows x_rows(x, c.m, l.x_padding, l.x_place());
  const GuardedRows w_rows(w, c.n, l.w_padding, l.w_place());
  const GuardedY y(c.setup.y, c.m, c.n, l.y_padding, l.y_place(), data.old());
  CaseExecutor tasks(c);
  const Status s = matmul(y.view(), x_rows.view(), w_rows.view(), data.epilogue, tasks.executor(),
                          plan_options(c.setup));
  return finish(s, y, "matmul");
}

/// The target of functions that do not take one, for as long as this lives.
class ScopedTarget {
 public:
  explicit ScopedTarget(const char* target) {
    if (const char* before = std::getenv(kName)) before_ = before;
    set_variable(kName, target);
  }
  ~ScopedTarget() { set_variable(kName, before_.empty() ? nullptr : before_.c_str()); }
  ScopedTarget(const ScopedTarget&) = delete;
  ScopedTarget& operator=(const ScopedTarget&) = delete;

 private:
  static constexpr const char* kName = "TESSERA_TARGET";
  std::string before_;
};

/// A is x and op(B) is W^T. Where alpha is 0, neither can be read.
inline Output run_gemm(const RandomCase& c, const Matrix& x, const Matrix& w,
                       const CaseData& data) {
  const Layout& l = c.layout;
  Stored a(c.op_a, c.m, c.k, l.x_padding / sizeof(float), l.x_place());
  Stored b(c.op_b, c.k, c.n, l.w_padding / sizeof(float), l.w_place());
  const GuardedY y(c.setup.y, c.m, c.n, l.y_padding, l.y_place(), data.old());
  const auto float_at = [](const Matrix& from, size_t i) {
    float value;
    std::memcpy(&value, from.bytes.data() + i * sizeof(value), sizeof(value));
    return value;
  };
  for (size_t i = 0; i < c.m * c.k; ++i) a.at(i / c.k, i % c.k) = float_at(x, i);
  for (size_t i = 0; i < c.n * c.k; ++i) b.at(i % c.k, i / c.k) = float_at(w, i);
  for (Stored* stored : {&a, &b}) {
    if (data.epilogue.scale == 0) {
      stored->memory.make_unreadable();
    } else {
      stored->memory.make_read_only();
    }
  }
  const ScopedTarget target(c.setup.target);
  if (std::string(default_target()) != c.setup.target) return {"the target cannot be set", {}};
  CaseExecutor tasks(c);
  const Epilogue& e = data.epilogue;
  const Status s = blas::gemm(c.op_a, c.op_b, c.m, c.n, c.k, e.scale, a.data(), a.ld, b.data(),
                              b.ld, e.beta, static_cast<float*>(y.view().data),
                              y.view().row_stride / sizeof(float), tasks.executor());
  return finish(s, y, "gemm");
}

/// Rows of x in some order, in groups of any size, some of them empty.
class RandomGroups {
 public:
  RandomGroups(size_t m, size_t experts, Rng& rng) : pairs_(m) {
    for (size_t i = 0; i < m; ++i) pairs_[i] = {i, i};
    for (size_t i = m; i > 1; --i) std::swap(pairs_[i - 1], pairs_[rng.below(i)]);
    const size_t most = 1 + rng.below(m + 1);
    for (size_t at = 0; at < m || groups_.size() < 2;) {
      const size_t count = std::min(m - at, rng.below(most + 1));
      groups_.push_back({rng.below(experts), std::span(pairs_).subspan(at, count)});
      at += count;
    }
  }
  RandomGroups(const RandomGroups&) = delete;
  RandomGroups& operator=(const RandomGroups&) = delete;
  std::span<const ExpertRows> groups() const { return groups_; }

 private:
  std::vector<RowPair> pairs_;
  std::vector<ExpertRows> groups_;
};

/// Every expert holds W; which of them a row of x goes to follows from how the work is cut.
inline Output run_grouped(const RandomCase& c, const Matrix& x, const Matrix& w,
                          const CaseData& data) {
  const Layout& l = c.layout;
  Rng rng(c.seed + 3);
  const size_t experts = 1 + rng.below(3), chosen = 1 + rng.below(experts);
  const size_t w_stride = w.row_bytes + l.w_padding;
  const size_t bytes = c.n == 0 ? 0 : (c.n - 1) * w_stride + w.row_bytes;
  const size_t stride = bytes + rng.below(3) * rng.below(70);
  GuardedBuffer rows((experts - 1) * stride + bytes, l.w_place());
  for (size_t i = 0; i < experts * c.n; ++i) {
    std::copy_n(w.bytes.data() + i % c.n * w.row_bytes, w.row_bytes,
                rows.data() + i / c.n * stride + i % c.n * w_stride);
  }
  rows.make_read_only();
  const MatView first{rows.data(), c.n, c.k, w_stride, c.setup.w};
  const Result<GroupedMatmul> planned =
      GroupedMatmul::plan({first, experts, stride}, chosen, c.setup.x, plan_options(c.setup));
  if (!planned.ok()) return {planned.status().message().c_str(), {}};
  GroupedMatmul plan = *planned;
  const bool packed = is_packed(c.door);
  const GuardedBuffer panels(packed ? plan.packed_w_bytes() : 0, l.scratch());
  Status s;
  const auto keep = [&s](const Status& other) {
    if (s.ok()) s = other;
  };
  if (packed) {
    for (size_t i = 0; i < c.w_parts; ++i) keep(plan.pack_weights(panels.bytes(), {i, c.w_parts}));
    plan = *plan.with_packed(panels.bytes());
    rows.make_unreadable();
  }
  const GuardedBuffer packed_x(plan.packed_x_bytes(c.m), l.scratch());
  const GuardedBuffer worker(plan.worker_bytes(c.m), l.scratch());
  const GuardedY y(c.setup.y, c.m, c.n, l.y_padding, l.y_place(), data.old());
  GuardedRows x_rows(x, c.m, l.x_padding, l.x_place());
  for (size_t i = 0; i < c.work.pack_parts; ++i) {
    keep(plan.pack(x_rows.view(), packed_x.bytes(), {i, c.work.pack_parts}));
  }
  x_rows.make_unreadable();
  Rng cut(c.seed + c.work.parts + c.work.pack_parts);
  const RandomGroups groups(c.m, experts, cut);
  GroupEpilogue epilogue;
  static_cast<Epilogue&>(epilogue) = data.epilogue;
  for (size_t call = 0; call < c.work.parts; ++call) {
    const size_t i = c.work.last_first ? c.work.parts - 1 - call : call;
    keep(plan.run(packed_x.bytes(), c.m, groups.groups(), y.view(), worker.bytes(), epilogue,
                  {i, c.work.parts}));
  }
  Output out = finish(s, y, "grouped");
  if (!panels.slack_untouched() || !packed_x.slack_untouched() || !worker.slack_untouched()) {
    out.error = "bytes beside scratch memory were written";
  }
  return out;
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

/// W of every product of the batch is the same, each a copy of its own.
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

  const size_t row_stride = w.row_bytes + l.w_padding;
  const size_t bytes = c.n == 0 ? 0 : (c.n - 1) * row_stride + w.row_bytes;
  size_t stride = bytes + rng.below(3) * rng.below(70);
  GuardedBuffer rows((shape.count - 1) * stride + bytes, l.w_place());
  for (size_t i = 0; i < shape.count * c.n; ++i) {
    std::copy_n(w.bytes.data() + i % c.n * w.row_bytes, w.row_bytes,
                rows.data() + i / c.n * stride + i % c.n * row_stride);
  }
  rows.make_read_only();
  // Planned before there are weights.
  const Result<Matmul> shaped =
      Matmul::plan(MatShape{c.n, c.k, c.setup.w}, c.setup.x, plan_options(c.setup));
  if (!shaped.ok()) return {shaped.status().message().c_str(), {}};
  const size_t each = shaped->packed_w_bytes();
  GuardedBuffer panels(is_packed(c.door) ? shape.count * each : 0, l.scratch());
  Status s;
  const auto keep = [&s](const Status& other) {
    if (s.ok()) s = other;
  };
  const auto over = [&](size_t i) {
    return *shaped->over({rows.data() + i * stride, c.n, c.k, row_stride, c.setup.w});
  };
  Matmul first = over(0);
  if (is_packed(c.door)) {
    for (size_t i = 0; i < shape.count; ++i) {
      for (size_t part = 0; part < c.w_parts; ++part) {
        keep(over(i).pack_weights(panels.bytes().subspan(i * each, each), {part, c.w_parts}));
      }
    }
    panels.make_read_only();
    rows.make_unreadable();
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
    keep(planned->pack(x_at.view(x_rows.view()), packed_x.bytes(), {i, c.work.pack_parts}));
  }
  if (!c.setup.borrow_x) x_rows.make_unreadable();
  for (size_t call = 0; call < c.work.parts; ++call) {
    const size_t i = c.work.last_first ? c.work.parts - 1 - call : call;
    keep(planned->run(packed_x.bytes(), y_at.view(y.view()), worker.bytes(), data.epilogue,
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

inline Output run_gated(const RandomCase& c, const Matrix& x, const Matrix& w,
                        const CaseData& data) {
  const Product p = product_of(c, w);
  if (!p.error().empty()) return {p.error(), {}};
  const Result<GatedMatmul> planned = GatedMatmul::plan(p.plan(), p.plan());
  if (!planned.ok()) return {planned.status().message().c_str(), {}};
  Output out;
  const PackedInput packed_x(p.plan(), x, c.m, c.layout, c.work.pack_parts, out.error,
                             c.setup.borrow_x, c.work.last_first);
  if (!out.error.empty()) return out;
  const GuardedBuffer worker(planned->worker_bytes(c.m), c.layout.scratch());
  const GuardedY y(c.setup.y, c.m, c.n, c.layout.y_padding, c.layout.y_place());
  const float* bias = data.epilogue.bias;
  Status s;
  for (size_t call = 0; call < c.work.parts; ++call) {
    const size_t i = c.work.last_first ? c.work.parts - 1 - call : call;
    const Status one = planned->run(packed_x.bytes(), y.view(), worker.bytes(),
                                    {bias, bias, gating_of(c)}, {i, c.work.parts});
    if (s.ok()) s = one;
  }
  out = finish(s, y, "gated");
  if (!worker.slack_untouched()) out.error = "bytes beside the worker's memory were written";
  return out;
}

/// y of a case from these x and W, those of `data` or others of their shape.
inline Output run_case(const RandomCase& c, const Matrix& x, const Matrix& w,
                       const CaseData& data) {
  if (is_grouped(c.door)) return run_grouped(c, x, w, data);
  if (is_batched(c.door)) return run_batched(c, x, w, data);
  if (is_gated(c.door)) return run_gated(c, x, w, data);
  if (c.door == Door::one_call) return run_one_call(c, x, w, data);
  if (c.door == Door::gemm) return run_gemm(c, x, w, data);
  return product_of(c, w).run(x, c.m, data.epilogue, c.work, data.old());
}

/// The rows of W in the format `to`, as bytes. Run in parts, the rows apart.
inline std::vector<std::byte> run_quantize(const RandomCase& c, const Matrix& w,
                                           std::string& error) {
  const Layout& l = c.layout;
  const size_t row = *row_bytes(c.to, c.k), stride = row + l.y_padding;
  const GuardedRows from(w, c.n, l.w_padding, l.w_place());
  const GuardedBuffer memory(c.n == 0 ? 0 : (c.n - 1) * stride + row, l.y_place());
  for (size_t call = 0; call < c.work.parts; ++call) {
    const size_t i = c.work.last_first ? c.work.parts - 1 - call : call;
    const Status s =
        quantize(from.view(), {memory.data(), c.n, c.k, stride, c.to}, {i, c.work.parts});
    if (!s.ok()) error = std::string("quantize: ") + s.message().c_str();
  }
  if (!memory.slack_untouched()) error = "quantize wrote outside its rows";
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < c.n; ++i) {
    const std::byte* at = memory.data() + i * stride;
    bytes.insert(bytes.end(), at, at + row);
    for (size_t p = row; i + 1 < c.n && p < stride; ++p) {
      if (at[p] != std::byte{GuardedBuffer::kFill}) error = "quantize wrote between rows";
    }
  }
  return bytes;
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_CASE_RUN_H_

// SPDX-License-Identifier: MIT
// Ours: plans and packed x are made beforehand as an engine does at load; packing x is timed.
#include <cstring>

#include "list.h"
#include "tessera/thread_pool.h"

namespace bench {
namespace {

template <class T>
T take(tessera::Result<T> result) {
  if (!result.ok()) throw Unsupported(result.status().message().c_str());
  return std::move(*result);
}
void take(const tessera::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.message().c_str());
}

class Tessera : public Backend {
 public:
  explicit Tessera(const tessera::PlanOptions& options) : options_(options) {
    options_.borrow_x = true;  // the problem's x stays, as an engine's activations do
  }

  void open(const Problem& p) override {
    p_ = &p;
    pool_ = std::make_unique<tessera::ThreadPool>(p.threads);
    if (p.choice != nullptr) return open_experts();
    const tessera::MatView x = x_view(1);
    for (size_t i = 0; i < p.copies; ++i) {
      const tessera::MatView w{p.copy(i), p.n, p.k, dense_row_bytes(p.format, p.k), p.format};
      plans_.push_back(take(tessera::Matmul::plan(w, x.dtype, options_)));
    }
    if (p.packed) pack(plans_);
  }

  void prepare(size_t m) override {
    m_ = m;
    if (p_->choice != nullptr) return prepare_experts();
    worker_bytes_ = plans_[0].worker_bytes(m);
    packed_x_bytes_ = plans_[0].packed_x_bytes(m);
    scratch_ = Arena(packed_x_bytes_ + worker_bytes_ * p_->threads, Pages::huge);
  }

  void run(size_t copy, float* y) override {
    if (p_->choice != nullptr) return run_experts(copy, y);
    struct Call {
      const tessera::Matmul& plan;
      tessera::MatView x;
      tessera::MutMatView y;
      std::span<std::byte> packed_x, workers;
      size_t worker_bytes;
      tessera::PartCounts count;
    };
    Call call{plans_[copy % p_->copies],
              x_view(m_),
              {y, m_, p_->n, p_->n * sizeof(float), DType::f32},
              {scratch_.data(), packed_x_bytes_},
              {scratch_.data() + packed_x_bytes_, worker_bytes_ * p_->threads},
              worker_bytes_,
              plans_[copy % p_->copies].parts(m_, p_->threads)};
    const auto part = [](void* argument, size_t i) {
      const auto& c = *static_cast<Call*>(argument);
      take(c.plan.run(c.packed_x, c.y, c.workers.subspan(i * c.worker_bytes, c.worker_bytes), {},
                      {i, c.count.run}));
    };
    const auto pack = [](void* argument, size_t i) {
      const auto& c = *static_cast<Call*>(argument);
      take(c.plan.pack(c.x, c.packed_x, {i, c.count.pack}));
    };
    pool_->run(call.count.pack, pack, &call);
    pool_->run(call.count.run, part, &call);
  }

 private:
  tessera::MatView x_view(size_t m) const {
    if (p_->format == DType::bf16) return {p_->x_bf16, m, p_->k, p_->k * 2, DType::bf16};
    return {p_->x, m, p_->k, p_->k * 4, DType::f32};
  }

  // The panels of every copy of W.
  template <class Plan>
  void pack(std::vector<Plan>& plans) {
    const size_t bytes = plans[0].packed_w_bytes(), stride = (bytes + 63) / 64 * 64;
    panels_ = Arena(stride * plans.size(), p_->pages);
    for (size_t i = 0; i < plans.size(); ++i) {
      const std::span panels(panels_.data() + i * stride, bytes);
      take(plans[i].pack_weights(panels));
      plans[i] = take(plans[i].with_packed(panels));
    }
  }

  void open_experts() {
    const Problem& p = *p_;
    const size_t row = dense_row_bytes(p.format, p.k);
    for (size_t i = 0; i < p.copies; ++i) {
      const tessera::Experts experts{{p.copy(i), p.n, p.k, row, p.format}, p.experts, p.n * row};
      grouped_.push_back(
          take(tessera::GroupedMatmul::plan(experts, p.chosen, x_view(1).dtype, options_)));
    }
    if (p.packed) pack(grouped_);
  }

  void prepare_experts() {
    worker_bytes_ = grouped_[0].worker_bytes(m_);
    packed_x_bytes_ = grouped_[0].packed_x_bytes(m_);
    scratch_ = Arena(packed_x_bytes_ + worker_bytes_ * p_->threads, Pages::huge);
  }

  // A router's choice is new for each product, so it is sorted into groups within the call.
  void run_experts(size_t copy, float* y) {
    pairs_.resize(p_->y_rows(m_));
    starts_.assign(p_->experts + 1, 0);
    for (size_t i = 0; i < pairs_.size(); ++i) ++starts_[p_->expert_of(i) + 1];
    for (size_t e = 0; e < p_->experts; ++e) starts_[e + 1] += starts_[e];
    std::vector<size_t> next(starts_);
    for (size_t i = 0; i < pairs_.size(); ++i) {
      pairs_[next[p_->expert_of(i)]++] = {i / p_->chosen, i};
    }
    groups_.clear();
    for (size_t e = 0; e < p_->experts; ++e) {
      if (starts_[e] == starts_[e + 1]) continue;
      groups_.push_back(
          {e, std::span(pairs_).subspan(starts_[e], starts_[e + 1] - starts_[e]), nullptr});
    }
    struct Call {
      const Tessera& self;
      const tessera::GroupedMatmul& plan;
      tessera::MutMatView y;
      size_t parts;
    };
    const tessera::MutMatView to{y, p_->y_rows(m_), p_->n, p_->n * sizeof(float), DType::f32};
    Call call{*this, grouped_[copy % p_->copies], to, p_->threads};
    const auto pack = [](void* argument, size_t i) {
      const auto& c = *static_cast<Call*>(argument);
      take(c.plan.pack(c.self.x_view(c.self.m_), {c.self.scratch_.data(), c.self.packed_x_bytes_},
                       {i, c.parts}));
    };
    const auto part = [](void* argument, size_t i) {
      const auto& c = *static_cast<Call*>(argument);
      const Tessera& s = c.self;
      std::byte* worker = s.scratch_.data() + s.packed_x_bytes_ + i * s.worker_bytes_;
      take(c.plan.run({s.scratch_.data(), s.packed_x_bytes_}, s.m_, s.groups_, c.y,
                      {worker, s.worker_bytes_}, {}, {i, c.parts}));
    };
    pool_->run(m_ < 4 ? 1 : call.parts, pack, &call);
    pool_->run(call.parts, part, &call);
  }

  const Problem* p_ = nullptr;
  tessera::PlanOptions options_;
  std::unique_ptr<tessera::ThreadPool> pool_;
  std::vector<tessera::Matmul> plans_;
  std::vector<tessera::GroupedMatmul> grouped_;  // of experts, instead
  std::vector<tessera::RowPair> pairs_;
  std::vector<size_t> starts_;
  std::vector<tessera::ExpertRows> groups_;
  size_t m_ = 0, worker_bytes_ = 0, packed_x_bytes_ = 0;
  Arena panels_, scratch_;
};

bool ours(DType format, bool) { return format != DType::i8; }

std::string describe(const tessera::PlanOptions& options) {
  const float one = 1.0f;
  const tessera::MatView w{&one, 1, 1, 4, DType::f32};
  return take(tessera::Matmul::plan(w, DType::f32, options)).explain(512).text().c_str();
}

void add(std::vector<BackendInfo>& list, const std::string& name,
         const tessera::PlanOptions& options, bool on_request) {
  BackendInfo info{name, ours, [options] { return describe(options); },
                   [options] { return std::make_unique<Tessera>(options); }};
  if (options.target != nullptr) info.target = options.target;
  info.in_f32 = options.accuracy == tessera::Accuracy::exact;
  info.on_request = on_request;
  info.has_experts = true;
  list.push_back(info);
}

}  // namespace

void add_tessera(std::vector<BackendInfo>& list) {
  add(list, "tessera", {}, false);
  for (const tessera::Accuracy a : {tessera::Accuracy::exact, tessera::Accuracy::coarse}) {
    tessera::PlanOptions options;
    options.accuracy = a;
    add(list, std::string("tessera-") + to_string(a), options, true);
  }
  for (const tessera::Target& t : tessera::targets()) {
    if (!t.available) continue;
    tessera::PlanOptions options;
    options.target = t.name;
    add(list, std::string("tessera-") + t.name, options, true);
  }
}

}  // namespace bench

// SPDX-License-Identifier: MIT
// The whole pass runs on all threads at once: each does its part of a step, then they meet at a
// barrier. Every number is computed by one thread in an order that does not depend on how many
// there are: that, and the library's promise of the same for its products, makes results
// reproducible.
#include "forward.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <new>
#include <vector>

namespace llm {
namespace {

using tessera::Epilogue;
using tessera::Matmul;
using tessera::MatView;
using tessera::MutMatView;
using tessera::Part;

// Queries of one head that attention takes at a time: the scores of a task stay in a cache.
constexpr size_t kQueryRows = 64;

// Memory that is aligned to 64 bytes, not initialized, and says so when there is none.
template <class T>
class Buffer {
 public:
  // Makes room for `count` elements; what was in it is lost if it has to grow.
  bool reserve(size_t count) {
    if (count <= size_) return true;
    data_.reset();
    size_ = 0;
    if (count > static_cast<size_t>(-1) / 2 / sizeof(T)) return false;
    data_.reset(static_cast<T*>(::operator new(count * sizeof(T), kAlignment, std::nothrow)));
    if (data_ != nullptr) size_ = count;
    return data_ != nullptr;
  }
  T* data() const { return data_.get(); }
  std::span<T> span() const { return {data_.get(), size_}; }
  // As a dense matrix.
  MutMatView rows(size_t count, size_t cols) const { return tessera::rows_of(span(), count, cols); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<T[], Free> data_;
  size_t size_ = 0;
};

MutMatView matrix(float* data, size_t rows, size_t cols, size_t stride) {
  return {data, rows, cols, stride * sizeof(float), tessera::DType::f32};
}

// Calls each(i) for the part of [0, size) that belongs to a thread.
template <class Each>
void for_mine(size_t size, const Part& part, const Each& each) {
  const tessera::Range range = tessera::split(size, 1, part.index, part.count);
  for (size_t i = range.begin; i < range.end; ++i) each(i);
}

// y = x / sqrt(mean(x^2) + epsilon) * weight
void rms_norm(const float* x, const std::vector<float>& weight, float epsilon, float* y) {
  const size_t size = weight.size();
  double sums[4] = {};  // that the additions need not wait for each other
  for (size_t i = 0; i < size; ++i) sums[i % 4] += static_cast<double>(x[i] * x[i]);
  const double mean = ((sums[0] + sums[1]) + (sums[2] + sums[3])) / static_cast<double>(size);
  const float scale = 1.0f / std::sqrt(static_cast<float>(mean) + epsilon);
  for (size_t i = 0; i < size; ++i) y[i] = x[i] * scale * weight[i];
}

// The first `visible` scores become their softmax, the others 0.
void softmax(float* scores, size_t visible, size_t size) {
  const float highest = *std::max_element(scores, scores + visible);
  double sum = 0.0;
  for (size_t i = 0; i < visible; ++i) {
    scores[i] = std::exp(scores[i] - highest);
    sum += static_cast<double>(scores[i]);
  }
  const float scale = static_cast<float>(1.0 / sum);
  for (size_t i = 0; i < visible; ++i) scores[i] *= scale;
  std::fill(scores + visible, scores + size, 0.0f);
}

// Rotates the pairs (0, 1), (2, 3), ... of a head by angles given as (cos, sin).
void rotate(float* head, const float* angles, size_t rope_dims) {
  for (size_t i = 0; i < rope_dims; i += 2) {
    const float a = head[i], b = head[i + 1], cos = angles[i], sin = angles[i + 1];
    head[i] = a * cos - b * sin;
    head[i + 1] = a * sin + b * cos;
  }
}

class LlamaForward final : public Forward {
 public:
  LlamaForward(const Model& model, Team& team)
      : model_(model), c_(model.config), team_(team), workers_(team.size()) {
    for (size_t i = 0; i < c_.rope_dims; i += 2) {
      const double exponent = -static_cast<double>(i) / static_cast<double>(c_.rope_dims);
      frequencies_.push_back(std::pow(static_cast<double>(c_.rope_base), exponent));
    }
  }

  Error allocate(size_t context, size_t batch, size_t logit_rows) {
    context_ = context;
    batch_ = std::min(batch, context);
    logit_rows_ = logit_rows;
    const size_t row = 2 * c_.layers * c_.kv_dim();
    if (context > static_cast<size_t>(-1) / row || !cache_.reserve(context * row)) {
      return error("not enough memory for a context of %zu: %zu x %zu bytes for keys and values",
                   context, context, row * sizeof(float));
    }
    bool all = logits_.reserve(logit_rows * c_.vocab) && angles_.reserve(batch_ * c_.rope_dims);
    for (auto* b : {&x_, &normed_, &q_, &attended_}) all = all && b->reserve(batch_ * c_.dim);
    for (auto* b : {&k_, &v_}) all = all && b->reserve(batch_ * c_.kv_dim());
    for (auto* b : {&gate_, &up_}) all = all && b->reserve(batch_ * c_.ffn);
    if (!all) return error("not enough memory for batches of %zu tokens", batch_);
    return {};
  }

  Error run(std::span<const TokenId> tokens, size_t logit_rows) override {
    if (tokens.empty() || tokens.size() > batch_ || tokens.size() > context_ - position_) {
      return error("%zu tokens at position %zu do not fit a batch of %zu and a context of %zu",
                   tokens.size(), position_, batch_, context_);
    }
    logit_rows = std::min({logit_rows, tokens.size(), logit_rows_});
    if (Error e = reserve_scratch(tokens.size(), logit_rows)) return e;
    m_ = tokens.size();
    team_.run([&](Part part) { pass(tokens, logit_rows, part); });
    for (const Worker& worker : workers_) {
      if (!worker.status.ok()) return error_of(worker.status, "forward pass");
    }
    position_ += m_;
    return {};
  }

  std::span<const float> logits(size_t row) const override {
    return logits_.span().subspan(row * c_.vocab, c_.vocab);
  }

 private:
  // What one thread has for itself.
  struct Worker {
    Buffer<std::byte> product;   // Matmul's worker memory
    Buffer<std::byte> packed_x;  // for the products of attention
    Buffer<float> scores;        // [queries of a task, positions]
    tessera::Status status;      // the first failure
    void keep(const tessera::Status& s) {
      if (status.ok()) status = s;
    }
  };

  // y = epilogue(x W^T)
  static constexpr size_t kMostProducts = 3;  // that share an x
  struct Product {
    const Matmul* plan;
    MutMatView y;
    Epilogue epilogue = {};
  };

  // Memory that the plans ask for, depending on how many rows there are.
  Error reserve_scratch(size_t rows, size_t logit_rows) {
    if (rows == scratch_rows_ && logit_rows <= scratch_logit_rows_) return {};
    size_t packed = 0, worker = 0;
    const auto consider = [&](const Matmul& plan, size_t m) {
      packed = std::max(packed, plan.packed_x_bytes(m));
      worker = std::max(worker, plan.worker_bytes(m));
    };
    for (const Layer& l : model_.layers) {
      for (const Matmul* plan : {&l.q, &l.k, &l.v, &l.attn_output, &l.gate, &l.up, &l.down}) {
        consider(*plan, rows);
      }
    }
    if (logit_rows > 0) consider(model_.output, logit_rows);
    bool all = true;
    for (auto& buffer : packed_x_) all = all && buffer.reserve(packed);
    for (auto& w : workers_) all = all && w.product.reserve(worker);
    if (!all) return error("not enough memory for products of %zu rows", rows);
    scratch_rows_ = rows;
    scratch_logit_rows_ = logit_rows;
    return {};
  }

  // Everything below is called by all threads.

  void pass(std::span<const TokenId> tokens, size_t logit_rows, const Part& part) {
    for_mine(m_, part, [&](size_t r) {
      workers_[part.index].keep(model_.embed(tokens[r], x_.span().subspan(r * c_.dim, c_.dim)));
      for (size_t i = 0; i < frequencies_.size(); ++i) {
        const double angle = static_cast<double>(position_ + r) * frequencies_[i];
        angles_.data()[r * c_.rope_dims + 2 * i] = static_cast<float>(std::cos(angle));
        angles_.data()[r * c_.rope_dims + 2 * i + 1] = static_cast<float>(std::sin(angle));
      }
    });
    team_.barrier();
    for (size_t i = 0; i < c_.layers; ++i) layer(i, part);
    if (logit_rows == 0) return;
    norm(x_.data() + (m_ - logit_rows) * c_.dim, model_.output_norm, logit_rows, part);
    products(normed_.rows(logit_rows, c_.dim),
             {{&model_.output, logits_.rows(logit_rows, c_.vocab)}}, part);
  }

  void layer(size_t index, const Part& part) {
    const Layer& l = model_.layers[index];
    const Epilogue add{.beta = 1.0f}, silu{.activation = tessera::Activation::silu};
    norm(x_.data(), l.attn_norm, m_, part);
    products(normed_.rows(m_, c_.dim),
             {{&l.q, q_.rows(m_, c_.dim)},
              {&l.k, k_.rows(m_, c_.kv_dim())},
              {&l.v, v_.rows(m_, c_.kv_dim())}},
             part);
    rotate_and_keep(index, part);
    attention(index, part);
    products(attended_.rows(m_, c_.dim), {{&l.attn_output, x_.rows(m_, c_.dim), add}}, part);
    norm(x_.data(), l.ffn_norm, m_, part);
    products(normed_.rows(m_, c_.dim),
             {{&l.gate, gate_.rows(m_, c_.ffn), silu}, {&l.up, up_.rows(m_, c_.ffn)}}, part);
    for_mine(m_, part, [&](size_t r) {
      float* gate = gate_.data() + r * c_.ffn;
      const float* up = up_.data() + r * c_.ffn;
      for (size_t i = 0; i < c_.ffn; ++i) gate[i] *= up[i];
    });
    if (m_ > 1) team_.barrier();
    products(gate_.rows(m_, c_.ffn), {{&l.down, x_.rows(m_, c_.dim), add}}, part);
  }

  // normed_ = rms_norm(x), an input of products()
  void norm(const float* x, const std::vector<float>& weight, size_t rows, const Part& part) {
    for_mine(rows, part, [&](size_t r) {
      rms_norm(x + r * c_.dim, weight, c_.rms_epsilon, normed_.data() + r * c_.dim);
    });
    if (rows > 1) team_.barrier();
  }

  // Several products of one x, which is packed once for those that can share it. A single row is
  // packed by thread 0, which also made it if it was dealt out by rows: no barrier in between.
  void products(const MatView& x, std::initializer_list<Product> list, const Part& part) {
    Worker& worker = workers_[part.index];
    size_t slots[kMostProducts] = {};
    for (size_t i = 0; i < list.size(); ++i) {
      const Matmul& plan = *list.begin()[i].plan;
      slots[i] = i;
      for (size_t j = 0; j < i && slots[i] == i; ++j) {
        if (plan.shares_packed_x(*list.begin()[j].plan)) slots[i] = slots[j];
      }
      const bool mine = x.rows > 1 || part.index == 0;
      if (slots[i] == i && mine) {
        worker.keep(plan.pack(x, packed_x_[i].span(), x.rows > 1 ? part : Part{}));
      }
    }
    team_.barrier();
    for (size_t i = 0; i < list.size(); ++i) {
      const auto& [plan, y, epilogue] = list.begin()[i];
      worker.keep(plan->run(packed_x_[slots[i]].span(), y, worker.product.span(), epilogue, part));
    }
    team_.barrier();
  }

  // RoPE for queries, in place, and keys; keys and values go to the cache.
  void rotate_and_keep(size_t index, const Part& part) {
    for_mine(m_, part, [&](size_t r) {
      const float* angles = angles_.data() + r * c_.rope_dims;
      for (size_t h = 0; h < c_.heads; ++h) {
        rotate(q_.data() + r * c_.dim + h * c_.head_size, angles, c_.rope_dims);
      }
      for (size_t h = 0; h < c_.kv_heads; ++h) {
        float* key = k_.data() + r * c_.kv_dim() + h * c_.head_size;
        const float* value = v_.data() + r * c_.kv_dim() + h * c_.head_size;
        rotate(key, angles, c_.rope_dims);
        std::copy_n(key, c_.head_size, keys(index, h) + (position_ + r) * c_.head_size);
        float* column = values(index, h) + position_ + r;
        for (size_t i = 0; i < c_.head_size; ++i) column[i * context_] = value[i];
      }
    });
    team_.barrier();
  }

  float* keys(size_t layer, size_t kv_head) const {  // [context, head_size]
    return cache_.data() + (layer * c_.kv_heads + kv_head) * 2 * c_.head_size * context_;
  }
  float* values(size_t layer, size_t kv_head) const {  // [head_size, context]
    return keys(layer, kv_head) + c_.head_size * context_;
  }

  // attended_ = attention of every head, dealt out to the threads by head and block of rows.
  void attention(size_t index, const Part& part) {
    const size_t group = c_.heads / c_.kv_heads, size = c_.head_size;
    // In one row the queries that share keys lie side by side: one product for all of them.
    const size_t tasks = m_ == 1 ? c_.kv_heads : (m_ + kQueryRows - 1) / kQueryRows * c_.heads;
    for (size_t task = part.index; task < tasks; task += part.count) {
      if (m_ == 1) {
        const size_t at = task * group * size;
        attend(index, task, matrix(q_.data() + at, group, size, size), position_ + 1, 0,
               matrix(attended_.data() + at, group, size, size), workers_[part.index]);
      } else {
        const size_t head = task % c_.heads, row = task / c_.heads * kQueryRows;
        const size_t rows = std::min(kQueryRows, m_ - row), at = row * c_.dim + head * size;
        attend(index, head / group, matrix(q_.data() + at, rows, size, c_.dim), position_ + row + 1,
               1, matrix(attended_.data() + at, rows, size, c_.dim), workers_[part.index]);
      }
    }
    team_.barrier();
  }

  // y = softmax(q keys^T / sqrt(head_size)) values. Row i of q sees the first visible + i * step
  // positions.
  void attend(size_t index, size_t kv_head, const MatView& q, size_t visible, size_t step,
              const MutMatView& y, Worker& worker) {
    const size_t size = c_.head_size, positions = visible + (q.rows - 1) * step;
    const tessera::Status no_memory{tessera::StatusCode::out_of_memory, "attention"};
    const auto multiply = [&](const MatView& x, const MatView& w, const Product& p) {
      const auto plan = Matmul::plan(w, tessera::DType::f32, model_.plan_options);
      if (!plan) return worker.keep(plan.status());
      if (!worker.packed_x.reserve(plan->packed_x_bytes(x.rows)) ||
          !worker.product.reserve(plan->worker_bytes(x.rows))) {
        return worker.keep(no_memory);
      }
      worker.keep(plan->pack(x, worker.packed_x.span()));
      worker.keep(plan->run(worker.packed_x.span(), p.y, worker.product.span(), p.epilogue));
    };
    if (!worker.scores.reserve(q.rows * positions)) return worker.keep(no_memory);
    const MutMatView scores = worker.scores.rows(q.rows, positions);
    const float scale = 1.0f / std::sqrt(static_cast<float>(size));
    multiply(q, matrix(keys(index, kv_head), positions, size, size),
             {{}, scores, {.scale = scale}});
    for (size_t i = 0; i < q.rows; ++i) {
      softmax(worker.scores.data() + i * positions, visible + i * step, positions);
    }
    multiply(scores, matrix(values(index, kv_head), size, positions, context_), {{}, y});
  }

  const Model& model_;
  const Config& c_;
  Team& team_;
  size_t logit_rows_ = 0;                             // that there is room for
  size_t m_ = 0;                                      // tokens of this pass
  size_t scratch_rows_ = 0, scratch_logit_rows_ = 0;  // that scratch memory is made for
  std::vector<double> frequencies_;                   // [rope_dims / 2]
  Buffer<float> cache_;                               // keys and values of all layers
  Buffer<float> x_, normed_, q_, k_, v_, attended_;   // [batch, dim or kv_dim]
  Buffer<float> gate_, up_;                           // [batch, ffn]
  Buffer<float> angles_;                              // [batch, rope_dims / 2] of (cos, sin)
  Buffer<float> logits_;                              // [logit_rows, vocab]
  Buffer<std::byte> packed_x_[kMostProducts];         // for products() that cannot share one
  std::vector<Worker> workers_;
};

}  // namespace

Error Forward::create(const Model& model, Team& team, size_t context, size_t batch,
                      size_t logit_rows, std::unique_ptr<Forward>& out) {
  auto forward = std::make_unique<LlamaForward>(model, team);
  if (Error e = forward->allocate(context, batch, logit_rows)) return e;
  out = std::move(forward);
  return {};
}

}  // namespace llm

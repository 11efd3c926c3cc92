// SPDX-License-Identifier: MIT
// The whole pass runs on all threads at once: each does its part of a step, then they meet at a
// barrier. Every number is computed by one thread in an order that does not depend on how many
// there are: that, and the library's promise of the same for its products, makes results
// reproducible.
#include "forward.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <initializer_list>
#include <vector>

#include "buffer.h"
#include "kv_cache.h"
#include "ops.h"

namespace llm {
namespace {

using tessera::Epilogue;
using tessera::Matmul;
using tessera::MatView;
using tessera::MutMatView;
using tessera::Part;

// Queries that attention takes at a time, of as many heads as share keys: their scores stay in a
// cache, and what a product costs beside its sums is shared by all of them.
constexpr size_t kQueryRows = 128;

// Calls each(i) for the part of [0, size) that belongs to a thread.
template <class Each>
void for_mine(size_t size, const Part& part, const Each& each) {
  const tessera::Range range = tessera::split(size, 1, part.index, part.count);
  for (size_t i = range.begin; i < range.end; ++i) each(i);
}

class LlamaForward final : public Forward {
 public:
  LlamaForward(const Model& model, Team& team)
      : model_(model), c_(model.config), team_(team), workers_(team.size()) {}

  Error allocate(const ForwardOptions& options) {
    options_ = options;
    options_.batch = std::min(options.batch, options.context);
    const size_t batch = options_.batch;
    if (!cache_.reserve(c_, options.kv, options.context)) {
      return error(
          "not enough memory for a context of %zu: %zu x %zu values of %s for keys and "
          "values",
          options.context, options.context, 2 * c_.layers * c_.kv_dim(),
          tessera::dtype_name(options.kv));
    }
    bool all = logits_.reserve(options.logit_rows * c_.vocab) &&
               angles_.reserve(batch * 2 * c_.rope.frequencies.size());
    for (auto* b : {&x_, &normed_}) all = all && b->reserve(batch * c_.dim);
    for (auto* b : {&q_, &turned_}) all = all && b->reserve(batch * c_.q_dim());
    for (auto* b : {&k_, &v_}) all = all && b->reserve(batch * c_.kv_dim());
    for (auto* b : {&gate_, &up_}) all = all && b->reserve(batch * c_.ffn);
    for (Worker& w : workers_) all = all && w.head.reserve(2 * c_.head_size);
    if (!all) return error("not enough memory for batches of %zu tokens", batch);
    return {};
  }

  Error run(std::span<const TokenId> tokens, size_t logit_rows) override {
    if (tokens.empty() || tokens.size() > options_.batch ||
        tokens.size() > options_.context - position_) {
      return error("%zu tokens at position %zu do not fit a batch of %zu and a context of %zu",
                   tokens.size(), position_, options_.batch, options_.context);
    }
    logit_rows = std::min({logit_rows, tokens.size(), options_.logit_rows});
    if (Error e = reserve_scratch(tokens.size(), logit_rows)) return e;
    m_ = tokens.size();
    lap_ = Clock::now();
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

  void shift(size_t kept, size_t count) override {
    for (size_t i = 0; i < c_.layers * c_.kv_heads; ++i) {
      for (size_t p = kept + count; p < position_; ++p) {
        cache_.move(i / c_.kv_heads, i % c_.kv_heads, p, p - count, c_.rope);
      }
    }
    position_ -= count;
  }

 private:
  using Clock = std::chrono::steady_clock;

  // What one thread has for itself.
  struct Worker {
    Buffer<std::byte> product;   // Matmul's worker memory
    Buffer<std::byte> packed_x;  // for the products of attention
    Buffer<float> scores;        // [queries of a task, positions]
    Buffer<float> attended;      // [queries of a task, head_size]
    Buffer<float> head;          // [2, head_size]
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

  // The time since the last call was spent on `what`. One thread keeps the books: all of them pass
  // the same barriers.
  void lap(double Profile::*what, const Part& part) {
    if (part.index != 0) return;
    const Clock::time_point now = Clock::now();
    profile_.*what += std::chrono::duration<double>(now - lap_).count();
    lap_ = now;
  }

  void pass(std::span<const TokenId> tokens, size_t logit_rows, const Part& part) {
    for_mine(m_, part, [&](size_t r) {
      workers_[part.index].keep(model_.embed(tokens[r], x_.span().subspan(r * c_.dim, c_.dim)));
      const size_t pairs = c_.rope.frequencies.size();
      float* angles = angles_.data() + 2 * r * pairs;
      rope_angles(c_.rope, static_cast<double>(position_ + r), c_.rope.magnitude, angles,
                  angles + pairs);
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
    const Epilogue silu{.activation = tessera::Activation::silu}, add{.beta = 1.0f};
    norm(x_.data(), l.attn_norm, m_, part);
    products(normed_.rows(m_, c_.dim),
             {{&l.q, q_.rows(m_, c_.q_dim()), {.bias = pointer(l.q_bias)}},
              {&l.k, k_.rows(m_, c_.kv_dim()), {.bias = pointer(l.k_bias)}},
              {&l.v, v_.rows(m_, c_.kv_dim()), {.bias = pointer(l.v_bias)}}},
             part);
    turn_and_keep(index, part);
    attention(index, part);
    products(q_.rows(m_, c_.q_dim()),
             {{&l.attn_output,
               x_.rows(m_, c_.dim),
               {.beta = 1.0f, .bias = pointer(l.attn_output_bias)}}},
             part);
    norm(x_.data(), l.ffn_norm, m_, part);
    products(normed_.rows(m_, c_.dim),
             {{&l.gate, gate_.rows(m_, c_.ffn), silu}, {&l.up, up_.rows(m_, c_.ffn)}}, part);
    for_mine(m_, part, [&](size_t r) {
      multiply(up_.data() + r * c_.ffn, c_.ffn, gate_.data() + r * c_.ffn);
    });
    if (m_ > 1) team_.barrier();
    products(gate_.rows(m_, c_.ffn), {{&l.down, x_.rows(m_, c_.dim), add}}, part);
  }

  static const float* pointer(const std::vector<float>& bias) {
    return bias.empty() ? nullptr : bias.data();
  }

  // normed_ = rms_norm(x), an input of products()
  void norm(const float* x, const std::vector<float>& weight, size_t rows, const Part& part) {
    for_mine(rows, part, [&](size_t r) {
      rms_norm(x + r * c_.dim, weight.data(), c_.dim, c_.rms_epsilon, normed_.data() + r * c_.dim);
    });
    if (rows > 1) team_.barrier();
  }

  // Several products of one x, which is packed once for those that can share it. A single row is
  // packed by thread 0, which also made it if it was dealt out by rows: no barrier in between.
  void products(const MatView& x, std::initializer_list<Product> list, const Part& part) {
    lap(&Profile::rest, part);
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
    lap(&Profile::products, part);
  }

  // RoPE for queries and keys, which are normalized before if the model wants that. Queries go to
  // turned_, [kv_heads, m, group, head_size]: those that share keys and values lie together. Keys
  // and values go to the cache.
  void turn_and_keep(size_t index, const Part& part) {
    const Layer& l = model_.layers[index];
    const size_t group = c_.heads / c_.kv_heads, size = c_.head_size;
    float* key = workers_[part.index].head.data();
    for_mine(m_, part, [&](size_t r) {
      for (size_t h = 0; h < c_.heads; ++h) {
        turn(q_.data() + r * c_.q_dim() + h * size, r, l.q_norm,
             turned_.data() + ((h / group * m_ + r) * group + h % group) * size, part);
      }
      for (size_t h = 0; h < c_.kv_heads; ++h) {
        const size_t at = r * c_.kv_dim() + h * size;
        turn(k_.data() + at, r, l.k_norm, key, part);
        cache_.set(index, h, position_ + r, key, v_.data() + at);
      }
    });
    team_.barrier();
  }

  // One head of row r.
  void turn(const float* from, size_t r, const std::vector<float>& weight, float* to,
            const Part& part) {
    if (!weight.empty()) {
      float* normed = workers_[part.index].head.data() + c_.head_size;
      rms_norm(from, weight.data(), c_.head_size, c_.rms_epsilon, normed);
      from = normed;
    }
    const size_t pairs = c_.rope.frequencies.size();
    const float* angles = angles_.data() + 2 * r * pairs;
    rotate(from, angles, angles + pairs, pairs, c_.rope.pairs, to);
    std::copy(from + 2 * pairs, from + c_.head_size, to + 2 * pairs);
  }

  // q_ = attention of all heads, dealt out to the threads by head of keys and block of rows.
  void attention(size_t index, const Part& part) {
    lap(&Profile::rest, part);
    const size_t group = c_.heads / c_.kv_heads, size = c_.head_size;
    const size_t step = std::max<size_t>(1, kQueryRows / group);
    Worker& worker = workers_[part.index];
    for (size_t task = part.index; task < (m_ + step - 1) / step * c_.kv_heads;
         task += part.count) {
      const size_t head = task % c_.kv_heads, row = task / c_.kv_heads * step;
      const size_t rows = std::min(step, m_ - row);
      if (!worker.attended.reserve(rows * group * size)) {
        worker.keep({tessera::StatusCode::out_of_memory, "attention"});
        break;
      }
      const float* q = turned_.data() + (head * m_ + row) * group * size;
      attend(index, head, tessera::rows_of(std::span(q, rows * group * size), rows * group, size),
             row, worker);
      for (size_t r = 0; r < rows; ++r) {
        std::copy_n(worker.attended.data() + r * group * size, group * size,
                    q_.data() + (row + r) * c_.q_dim() + head * group * size);
      }
    }
    team_.barrier();
    lap(&Profile::attention, part);
  }

  // worker.attended = softmax(q keys^T / sqrt(head_size)) values, for the queries of rows `row` and
  // following: each sees the positions up to its own.
  void attend(size_t index, size_t kv_head, const MatView& q, size_t row, Worker& worker) {
    const size_t group = c_.heads / c_.kv_heads, visible = position_ + row + 1;
    const size_t positions = position_ + row + q.rows / group;
    if (!worker.scores.reserve(q.rows * positions)) {
      return worker.keep({tessera::StatusCode::out_of_memory, "attention"});
    }
    const MutMatView scores = worker.scores.rows(q.rows, positions);
    const float scale = 1.0f / std::sqrt(static_cast<float>(c_.head_size));
    multiply_once(q, cache_.keys(index, kv_head, positions), {{}, scores}, worker);
    for (size_t i = 0; i < q.rows; ++i) {
      softmax(worker.scores.data() + i * positions, visible + i / group, positions, scale);
    }
    multiply_once(scores, cache_.values(index, kv_head, positions),
                  {{}, worker.attended.rows(q.rows, c_.head_size)}, worker);
  }

  // A product with a W that is only now known, by one thread.
  void multiply_once(const MatView& x, const MatView& w, const Product& p, Worker& worker) {
    const auto plan = Matmul::plan(w, tessera::DType::f32, model_.plan_options);
    if (!plan) return worker.keep(plan.status());
    if (!worker.packed_x.reserve(plan->packed_x_bytes(x.rows)) ||
        !worker.product.reserve(plan->worker_bytes(x.rows))) {
      return worker.keep({tessera::StatusCode::out_of_memory, "attention"});
    }
    worker.keep(plan->pack(x, worker.packed_x.span()));
    worker.keep(plan->run(worker.packed_x.span(), p.y, worker.product.span(), p.epilogue));
  }

  const Model& model_;
  const Config& c_;
  Team& team_;
  Clock::time_point lap_;
  size_t m_ = 0;                                      // tokens of this pass
  size_t scratch_rows_ = 0, scratch_logit_rows_ = 0;  // that scratch memory is made for
  KvCache cache_;
  Buffer<float> x_, normed_;                   // [batch, dim]
  Buffer<float> q_, turned_;                   // [batch, q_dim]; q_ is attention's result too
  Buffer<float> k_, v_;                        // [batch, kv_dim]
  Buffer<float> gate_, up_;                    // [batch, ffn]
  Buffer<float> angles_;                       // [batch, 2, pairs] of cosines and sines
  Buffer<float> logits_;                       // [logit_rows, vocab]
  Buffer<std::byte> packed_x_[kMostProducts];  // for products() that cannot share one
  std::vector<Worker> workers_;
};

}  // namespace

Error Forward::create(const Model& model, Team& team, const ForwardOptions& options,
                      std::unique_ptr<Forward>& out) {
  auto forward = std::make_unique<LlamaForward>(model, team);
  if (Error e = forward->allocate(options)) return e;
  out = std::move(forward);
  return {};
}

}  // namespace llm

// SPDX-License-Identifier: MIT
// From the whole to its parts: a pass, a layer, attention; what multiplies and shares work follows.
//
// One thread goes through the steps of a pass; what is worth it is done in parts by all threads of
// the pool. Every number is computed by one thread in an order that does not depend on how many
// there are: that, and the library's promise of the same for its products, makes results
// reproducible.
#include "forward.h"

#include <atomic>
#include <cmath>
#include <limits>

#include "threads.h"

namespace llm {
namespace {

using tessera::GatedGroupedMatmul;
using tessera::GatedMatmul;
using tessera::Matmul;
using tessera::MatView;
using tessera::MutMatView;
using tessera::Part;
using tessera::Status;

// Queries that attention takes at a time, of as many heads as share keys: their scores stay in a
// cache, and what a product costs beside its sums is shared by all of them.
constexpr size_t kQueryRows = 128;

// Products of two numbers that attention has to have before threads share it: waking one takes
// microseconds.
constexpr size_t kLeastShared = 128 << 10;

// Rows that the feed-forward part takes at a time: what it has per row, the width of the layer's
// inner part, shall stay in a cache. Packed weights are read for each block of rows anyway;
// weights in place would be packed for each, so there it takes all rows at once. So it does with
// experts, among whom the rows are shared out: few would be left for each.
constexpr size_t kFfnRows = 128;

// What a plan takes for a vector that a model may not have.
const float* or_null(const std::vector<float>& bias) {
  return bias.empty() ? nullptr : bias.data();
}

// silu(1.702 gate) / 1.702 * (up + 1), gate at most 7 and up in -7 .. 7: the SwiGLU of gpt-oss.
constexpr tessera::Gating kClippedSwiglu{tessera::Activation::silu, 1.702f, 1.0f, true, 7.0f};

// The epilogue of experts, each with a bias of its own if they have any.
tessera::GroupEpilogue with_biases(const std::vector<float>& biases, size_t n) {
  tessera::GroupEpilogue epilogue;
  epilogue.bias = or_null(biases);
  epilogue.bias_stride = n;
  return epilogue;
}

}  // namespace

Forward::Forward(const Model& model, tessera::ThreadPool& pool, const ForwardOptions& options)
    : model_(model), c_(model.config), pool_(pool), options_(options), workers_(pool.threads()) {
  options_.batch = std::min(options.batch, options.context);
  const size_t batch = options_.batch;
  if (const size_t block = tessera::dtype_info(options.kv).block_values;
      c_.head_size % block != 0) {
    throw error("keys and values cannot be %s: heads of %zu are not whole blocks of %zu",
                tessera::dtype_name(options.kv), c_.head_size, block);
  }
  try {
    cache_.reserve(c_, options.kv, options.context);
  } catch (const std::bad_alloc&) {
    throw error(
        "not enough memory for a context of %zu: %zu x %zu values of %s for keys and values",
        options.context, options.context, 2 * c_.layers * c_.kv_dim(),
        tessera::dtype_name(options.kv));
  }
  logits_.reserve(options.logit_rows * c_.vocab);
  angles_.reserve(batch * 2 * c_.rope.frequencies.size());
  for (auto* b : {&x_, &normed_}) b->reserve(batch * c_.dim);
  for (auto* b : {&q_, &rotated_}) b->reserve(batch * c_.q_dim());
  for (auto* b : {&k_, &v_}) b->reserve(batch * c_.kv_dim());
  const ExpertsConfig& e = c_.experts;
  ffn_rows_ = model.packed_bytes > 0 && e.count == 0 ? std::min(batch, kFfnRows) : batch;
  inner_.reserve(std::max(ffn_rows_ * c_.ffn, batch * e.chosen * e.ffn));
  scores_.reserve(batch * e.count);
  shared_scores_.reserve(batch);
  routes_.reserve(batch * e.chosen);
  expert_out_.reserve(batch * e.chosen * c_.dim);
}

// x = embedding[tokens]; each layer adds to x; logits = norm(x) output^T
void Forward::run(std::span<const TokenId> tokens, size_t logit_rows) {
  m_ = tokens.size();
  if (m_ == 0 || m_ > options_.batch || m_ > options_.context - position_) {
    throw error("%zu tokens at position %zu do not fit a batch of %zu and a context of %zu", m_,
                position_, options_.batch, options_.context);
  }
  lap_ = Lap();
  embed(tokens);
  for (size_t i = 0; i < c_.layers; ++i) run_layer(i);
  logit_rows = std::min({logit_rows, m_, options_.logit_rows});
  if (logit_rows > 0) {
    norm(x_.data() + (m_ - logit_rows) * c_.dim, model_.output_norm, logit_rows);
    multiply_weights(normed_.rows(logit_rows, c_.dim),
                     {{&model_.output, logits_.rows(logit_rows, c_.vocab)}});
  }
  position_ += m_;
}

// x = rows of the embedding table; and the angles by which RoPE rotates at each position.
void Forward::embed(std::span<const TokenId> tokens) {
  for (size_t r = 0; r < m_; ++r) {
    check(model_.embed(tokens[r], x_.span().subspan(r * c_.dim, c_.dim)), "embedding");
  }
  const size_t pairs = c_.rope.frequencies.size();
  for_rows(m_, [&](size_t r) {
    float* angles = angles_.data() + 2 * r * pairs;
    rope_angles(c_.rope, static_cast<double>(position_ + r), c_.rope.magnitude, angles,
                angles + pairs);
  });
}

// q, k, v = norm(x) W^T; x += attention(q, k, v) W^T; x += feed_forward(norm(x))
void Forward::run_layer(size_t index) {
  const Layer& l = model_.layers[index];
  norm(x_.data(), l.attn_norm, m_);
  multiply_weights(normed_.rows(m_, c_.dim),
                   {{&l.q, q_.rows(m_, c_.q_dim()), {.bias = or_null(l.q_bias)}},
                    {&l.k, k_.rows(m_, c_.kv_dim()), {.bias = or_null(l.k_bias)}},
                    {&l.v, v_.rows(m_, c_.kv_dim()), {.bias = or_null(l.v_bias)}}});
  rotate_and_keep(index);
  attention(index);
  multiply_weights(
      q_.rows(m_, c_.q_dim()),
      {{&l.attn_output, x_.rows(m_, c_.dim), {.beta = 1.0f, .bias = or_null(l.attn_output_bias)}}});
  for (size_t row = 0; row < m_; row += ffn_rows_) {
    feed_forward(l, x_.data() + row * c_.dim, std::min(ffn_rows_, m_ - row));
  }
}

// x += experts(norm(x)); x += (silu(norm(x) gate^T) * (norm(x) up^T)) down^T, the latter times a
// factor if that is a shared expert's
void Forward::feed_forward(const Layer& l, float* x, size_t rows) {
  norm(x, l.ffn_norm, rows);
  if (c_.experts.count > 0) run_experts(l.experts, x, rows);
  if (c_.ffn == 0) return;
  const MatView normed = normed_.rows(rows, c_.dim);
  const auto gated = GatedMatmul::plan(l.gate, l.up);
  check(gated.status(), "feed-forward");
  multiply_weights<GatedProduct>(
      normed, {{&*gated, inner_.rows(rows, c_.ffn), {or_null(l.gate_bias), or_null(l.up_bias)}}});
  if (c_.experts.count > 0) {
    multiply_weights(normed, {{&l.experts.shared_router, shared_scores_.rows(rows, 1)}});
    for_rows(rows, [&](size_t r) {
      float* inner = inner_.data() + r * c_.ffn;
      scale(inner, c_.ffn, 1.0f / (1.0f + std::exp(-shared_scores_.data()[r])), inner);
    });
  }
  multiply_weights(inner_.rows(rows, c_.ffn),
                   {{&l.down,
                     tessera::rows_of(std::span(x, rows * c_.dim), rows, c_.dim),
                     {.beta = 1.0f, .bias = or_null(l.down_bias)}}});
}

// x += for each expert that a row chose: factor * (silu(normed_ gate^T) * (normed_ up^T)) down^T
void Forward::run_experts(const ExpertLayer& l, float* x, size_t rows) {
  const ExpertsConfig& e = c_.experts;
  const size_t routes = rows * e.chosen;
  const MatView normed = normed_.rows(rows, c_.dim);
  multiply_weights(normed,
                   {{&l.router, scores_.rows(rows, e.count), {.bias = or_null(l.router_bias)}}});
  for_rows(rows, [&](size_t r) {
    choose_experts(scores_.span().subspan(r * e.count, e.count), e,
                   routes_.span().subspan(r * e.chosen, e.chosen));
  });
  grouped_.set(routes_.span().first(routes), e);

  const auto plan = GatedGroupedMatmul::plan(l.gate, l.up);
  check(plan.status(), "experts");
  const MutMatView inner = inner_.rows(routes, e.ffn);
  tessera::GatedGroupEpilogue gated{{or_null(l.gate_bias), or_null(l.up_bias)}, e.ffn};
  if (e.clipped) gated.gating = kClippedSwiglu;
  multiply_weights<GatedExpertProduct>(normed,
                                       {{&*plan, inner, grouped_.from_tokens(), rows, gated}});
  multiply_weights<ExpertProduct>(
      inner, {{&l.down, expert_out_.rows(routes, c_.dim), grouped_.from_routes(), routes,
               with_biases(l.down_bias, c_.dim)}});
  for_rows(rows, [&](size_t r) {
    for (size_t c = 0; c < e.chosen; ++c) {
      add(expert_out_.data() + (r * e.chosen + c) * c_.dim, c_.dim, x + r * c_.dim);
    }
  });
}

// normed_ = rms_norm(x), an input of multiply_weights()
void Forward::norm(const float* x, const std::vector<float>& weight, size_t rows) {
  for_rows(rows, [&](size_t r) {
    rms_norm(x + r * c_.dim, weight.data(), c_.dim, c_.rms_epsilon, normed_.data() + r * c_.dim);
  });
}

// RoPE for queries and keys, which are normalized before if the model wants that. Queries go to
// rotated_, [kv_heads, m, group, head_size]: those that share keys and values lie together. Keys
// and values go to the cache.
void Forward::rotate_and_keep(size_t index) {
  const Layer& l = model_.layers[index];
  const size_t group = c_.heads / c_.kv_heads, size = c_.head_size;
  for_rows(m_, [&](size_t r) {
    if (c_.head_norms == HeadNorms::all) {
      float *q = q_.data() + r * c_.q_dim(), *k = k_.data() + r * c_.kv_dim();
      rms_norm(q, l.q_norm.data(), c_.q_dim(), c_.rms_epsilon, q);
      rms_norm(k, l.k_norm.data(), c_.kv_dim(), c_.rms_epsilon, k);
    }
    for (size_t h = 0; h < c_.heads; ++h) {
      rotate_head(q_.data() + r * c_.q_dim() + h * size, r, l.q_norm,
                  rotated_.data() + ((h / group * m_ + r) * group + h % group) * size);
    }
    for (size_t h = 0; h < c_.kv_heads; ++h) {
      const size_t at = r * c_.kv_dim() + h * size;
      rotate_head(k_.data() + at, r, l.k_norm, k_.data() + at);
      cache_.set(index, h, position_ + r, k_.data() + at, v_.data() + at);
    }
  });
  if (cache_.step() == 1) return;
  const auto keep_values = [&](size_t h) {
    cache_.set_values(index, h, position_, m_, v_.data() + h * size, c_.kv_dim());
  };
  if (m_ > 1) return for_rows(c_.kv_heads, keep_values);
  for (size_t h = 0; h < c_.kv_heads; ++h) keep_values(h);
}

// One head of row r; `to` may be `from`.
void Forward::rotate_head(const float* from, size_t r, const std::vector<float>& weight,
                          float* to) {
  if (c_.head_norms == HeadNorms::each) {
    rms_norm(from, weight.data(), c_.head_size, c_.rms_epsilon, to);
    from = to;
  }
  const size_t pairs = c_.rope.frequencies.size();
  const float* angles = angles_.data() + 2 * r * pairs;
  rotate(from, angles, angles + pairs, pairs, c_.rope.pairs, to);
  if (from != to) std::copy(from + 2 * pairs, from + c_.head_size, to + 2 * pairs);
}

// q_ = attention of all heads. A task is a head of keys and a block of rows; the last rows, which
// see the most, come first, so that threads end together.
void Forward::attention(size_t index) {
  profile_.rest += lap_.seconds();
  const size_t group = c_.heads / c_.kv_heads;
  const size_t step = std::max<size_t>(1, kQueryRows / group), blocks = (m_ + step - 1) / step;
  const bool small = m_ * (position_ + m_) * c_.q_dim() < kLeastShared;
  std::atomic<size_t> next{0};
  in_parts(small ? 1 : std::min(pool_.threads(), blocks * c_.kv_heads), [&](const Part& part) {
    Status status;
    for (size_t i; status.ok() && (i = next.fetch_add(1)) < blocks * c_.kv_heads;) {
      const size_t row = (blocks - 1 - i / c_.kv_heads) * step;
      status = attend(index, i % c_.kv_heads, row, std::min(step, m_ - row), part);
    }
    return status;
  });
  profile_.attention += lap_.seconds();
}

// softmax(q keys^T / sqrt(head_size)) values, for the queries of some rows and of all heads that
// share the keys: each sees the positions up to its own, or the newest of them.
Status Forward::attend(size_t index, size_t kv_head, size_t row, size_t rows, const Part& part) {
  const size_t group = c_.heads / c_.kv_heads, size = c_.head_size, queries = rows * group;
  // Values are read in whole blocks as far as there are any. What that adds is not seen.
  const size_t step = cache_.step(), in_blocks = (position_ + m_) / step * step;
  const size_t first = c_.first_seen(index, position_ + row) / step * step;
  size_t end = position_ + row + rows;
  if (end <= in_blocks) end = (end + step - 1) / step * step;
  const size_t positions = end - first, whole = std::min(end, in_blocks) - first;
  Worker& w = workers_[part.index];
  w.scores.reserve(queries * positions);
  w.sums.reserve(queries);
  w.attended.reserve(queries * size);
  const float* q = rotated_.data() + (kv_head * m_ + row) * group * size;
  const MutMatView scores = w.scores.rows(queries, positions);
  double seconds = 0.0;
  Lap lap;
  Status status = multiply_once(tessera::rows_of(std::span(q, queries * size), queries, size),
                                cache_.keys(index, kv_head, first, positions), scores, w);
  if (!status.ok()) return status;
  seconds += lap.seconds();
  const float factor = 1.0f / std::sqrt(static_cast<float>(size));
  const std::vector<float>& sinks = model_.layers[index].sinks;
  for (size_t i = 0; i < queries; ++i) {
    const size_t position = position_ + row + i / group;
    const size_t unseen = c_.first_seen(index, position) - first;
    float* of_query = w.scores.data() + i * positions;
    std::fill_n(of_query, unseen, 0.0f);
    const float sink = sinks.empty() ? -std::numeric_limits<float>::infinity()
                                     : sinks[kv_head * group + i % group] / factor;
    w.sums.data()[i] =
        softmax(of_query + unseen, position + 1 - first - unseen, positions - unseen, factor, sink);
  }
  (void)lap.seconds();
  const MutMatView attended = w.attended.rows(queries, size);
  const auto scores_of = [&](size_t at, size_t count) {
    return MatView{w.scores.data() + at, queries, count, scores.row_stride, scores.dtype};
  };
  if (whole > 0) {
    status = multiply_once(scores_of(0, whole), cache_.values(index, kv_head, first, whole),
                           attended, w);
  }
  if (status.ok() && whole < positions) {
    const float beta = whole > 0 ? 1.0f : 0.0f;
    status = multiply_once(scores_of(whole, positions - whole),
                           cache_.recent_values(index, kv_head, positions - whole), attended, w,
                           {.beta = beta});
  }
  seconds += lap.seconds();
  for (size_t i = 0; i < queries; ++i) {
    scale(w.attended.data() + i * size, size, 1.0f / w.sums.data()[i],
          q_.data() + (row + i / group) * c_.q_dim() + (kv_head * group + i % group) * size);
  }
  if (part.index == 0) profile_.attention_products += seconds;
  return status;
}

void Forward::reset(size_t kept) {
  kept = std::min(kept, position_);
  cache_.truncate(kept, position_);
  position_ = kept;
}

void Forward::shift(size_t kept, size_t count) {
  cache_.shift(kept, count, position_, c_.rope);
  position_ -= count;
}

// Several products of one x, which is packed once for those that can share it.
template <class Each>
void Forward::multiply_weights(const MatView& x, std::initializer_list<Each> list) {
  profile_.rest += lap_.seconds();
  const Buffer<std::byte>* packed[kMostProducts] = {};  // of each product
  size_t parts = 1, memory = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const auto& plan = *list.begin()[i].plan;
    const tessera::PartCounts counts = list.begin()[i].parts(x.rows, pool_.threads());
    parts = std::max(parts, counts.run);
    memory = std::max(memory, plan.worker_bytes(x.rows));
    for (size_t j = 0; j < i && packed[i] == nullptr; ++j) {
      if (list.begin()[i].shares_x(list.begin()[j])) packed[i] = packed[j];
    }
    if (packed[i] != nullptr) continue;
    packed[i] = &packed_x_[i];
    packed_x_[i].reserve(plan.packed_x_bytes(x.rows));
    in_parts(counts.pack,
             [&](const Part& part) { return plan.pack(x, packed_x_[i].span(), part); });
  }
  for (Worker& w : workers_) w.product.reserve(memory);
  in_parts(parts, [&](const Part& part) {
    Status status;
    for (size_t i = 0; i < list.size() && status.ok(); ++i) {
      status = list.begin()[i].run(packed[i]->span(), workers_[part.index].product.span(), part);
    }
    return status;
  });
  profile_.products += lap_.seconds();
}

// A product with a W that is only now known, by one thread.
Status Forward::multiply_once(const MatView& x, const MatView& w, const MutMatView& y,
                              Worker& worker, const tessera::Epilogue& epilogue) {
  tessera::PlanOptions options = model_.plan_options;
  options.borrow_x = true;
  const auto plan = Matmul::plan(w, tessera::DType::f32, options);
  if (!plan) return plan.status();
  worker.packed_x.reserve(plan->packed_x_bytes(x.rows));
  worker.product.reserve(plan->worker_bytes(x.rows));
  const Status status = plan->pack(x, worker.packed_x.span());
  if (!status.ok()) return status;
  return plan->run(worker.packed_x.span(), y, worker.product.span(), epilogue);
}

// Calls work(part), which returns a Status, for `parts` parts at once.
template <class Work>
void Forward::in_parts(size_t parts, const Work& work) {
  check(for_parts(pool_.executor(), parts, work), "forward pass");
}

// Calls each(i) for rows of an activation: by one thread if they are few.
template <class Each>
void Forward::for_rows(size_t rows, const Each& each) {
  in_parts(rows < 4 ? 1 : pool_.threads(), [&](const Part& part) {
    const tessera::Range mine = tessera::split(rows, 1, part.index, part.count);
    for (size_t i = mine.begin; i < mine.end; ++i) each(i);
    return Status();
  });
}

}  // namespace llm

// SPDX-License-Identifier: MIT
// The forward pass: tokens in, logits out, keys and values of all positions so far kept in between.
#ifndef TESSERA_EXAMPLES_LLM_FORWARD_H_
#define TESSERA_EXAMPLES_LLM_FORWARD_H_

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "kv_cache.h"
#include "memory.h"
#include "model.h"
#include "routes.h"
#include "tessera/thread_pool.h"

namespace llm {

constexpr size_t kLogitRows = 128;  // tokens that one run() should take to give logits of all

struct ForwardOptions {
  size_t context = 0;                       // positions that there is room for
  size_t batch = 1;                         // most tokens in one run()
  size_t logit_rows = 1;                    // most rows of logits of one run()
  tessera::DType kv = tessera::DType::f32;  // of keys and values, or f16 or q8_0
};

/// Where the time of all passes went, in seconds: in products with weights (packing of x included),
/// in attention, of which its own products are a part, and in the rest.
struct Profile {
  double products = 0.0, attention = 0.0, attention_products = 0.0, rest = 0.0;
};

class Forward {
 public:
  /// `model` and `pool` must outlive it.
  Forward(const Model& model, tessera::ThreadPool& pool, const ForwardOptions& options);

  size_t context() const { return options_.context; }
  size_t batch() const { return options_.batch; }
  /// Tokens that it has seen.
  size_t position() const { return position_; }
  /// Forgets all but the first `kept` of them.
  void reset(size_t kept = 0);
  const Profile& profile() const { return profile_; }
  void reset_profile() { profile_ = {}; }

  /// Appends tokens, at most batch() and no more than the context holds, and computes the logits
  /// behind the last `logit_rows` of them. The bits of a result do not depend on the threads.
  void run(std::span<const TokenId> tokens, size_t logit_rows);
  /// Row `row` of those logits, [vocab].
  std::span<const float> logits(size_t row) const {
    return logits_.span().subspan(row * c_.vocab, c_.vocab);
  }
  /// Makes room: forgets `count` tokens behind the first `kept`, and what follows moves up.
  void shift(size_t kept, size_t count);

 private:
  // Seconds since the last call for the same clock.
  class Lap {
   public:
    double seconds() {
      const Clock::time_point before = std::exchange(last_, Clock::now());
      return std::chrono::duration<double>(last_ - before).count();
    }

   private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point last_ = Clock::now();
  };

  // What one part of a step has for itself.
  struct Worker {
    Buffer<std::byte> product;   // Matmul's worker memory
    Buffer<std::byte> packed_x;  // for the products of attention
    Buffer<float> scores;        // [queries of a task, positions]
    Buffer<float> sums;          // [queries of a task]
    Buffer<float> attended;      // [queries of a task, head_size]
  };

  // Products of one x; those in a list may share it. y = epilogue(x W^T)
  static constexpr size_t kMostProducts = 3;  // in a list
  struct Product {
    const tessera::Matmul* plan;
    tessera::MutMatView y;
    tessera::Epilogue epilogue = {};

    bool shares_x(const Product& other) const { return plan->shares_packed_x(*other.plan); }
    tessera::PartCounts parts(size_t rows, size_t workers) const {
      return plan->parts(rows, workers);
    }
    tessera::Status run(std::span<const std::byte> packed_x, std::span<std::byte> worker,
                        tessera::Part part) const {
      return plan->run(packed_x, y, worker, epilogue, part);
    }
  };
  // y = activation(gate) * up, alone in a list
  struct GatedProduct {
    const tessera::GatedMatmul* plan;
    tessera::MutMatView y;
    tessera::GatedEpilogue epilogue = {};

    bool shares_x(const GatedProduct&) const { return false; }
    tessera::PartCounts parts(size_t rows, size_t workers) const {
      return plan->parts(rows, workers);
    }
    tessera::Status run(std::span<const std::byte> packed_x, std::span<std::byte> worker,
                        tessera::Part part) const {
      return plan->run(packed_x, y, worker, epilogue, part);
    }
  };
  // The same for experts: each multiplies the rows of x that are its group.
  template <class Plan, class Epilogue>
  struct OfExperts {
    const Plan* plan;
    tessera::MutMatView y;
    std::span<const tessera::ExpertRows> groups;
    size_t tokens;  // rows of x
    Epilogue epilogue = {};

    bool shares_x(const OfExperts&) const { return false; }  // alone in a list
    // As those of one expert that multiplies all rows.
    tessera::PartCounts parts(size_t rows, size_t workers) const {
      const tessera::Matmul expert = first_expert(*plan);
      return {expert.parts(rows, workers).pack, expert.parts(y.rows, workers).run};
    }
    tessera::Status run(std::span<const std::byte> packed_x, std::span<std::byte> worker,
                        tessera::Part part) const {
      return plan->run(packed_x, tokens, groups, y, worker, epilogue, part);
    }
  };
  static tessera::Matmul first_expert(const tessera::GroupedMatmul& plan) {
    return tessera::Matmul(plan.value().plan);
  }
  static tessera::Matmul first_expert(const tessera::GatedGroupedMatmul& plan) {
    return first_expert(plan.gate());
  }
  using ExpertProduct = OfExperts<tessera::GroupedMatmul, tessera::GroupEpilogue>;
  using GatedExpertProduct = OfExperts<tessera::GatedGroupedMatmul, tessera::GatedGroupEpilogue>;

  void embed(std::span<const TokenId> tokens);
  void run_layer(size_t index);
  void feed_forward(const Layer& layer, float* x, size_t rows);
  void run_experts(const ExpertLayer& experts, float* x, size_t rows);
  void norm(const float* x, const std::vector<float>& weight, size_t rows);
  void rotate_and_keep(size_t index);
  void rotate_head(const float* from, size_t row, const std::vector<float>& weight, float* to);
  void attention(size_t index);
  tessera::Status attend(size_t index, size_t kv_head, size_t row, size_t rows,
                         const tessera::Part& part);
  template <class Each>
  void multiply_weights(const tessera::MatView& x, std::initializer_list<Each> list);
  void multiply_weights(const tessera::MatView& x, std::initializer_list<Product> list) {
    multiply_weights<Product>(x, list);
  }
  tessera::Status multiply_once(const tessera::MatView& x, const tessera::MatView& w,
                                const tessera::MutMatView& y, Worker& worker,
                                const tessera::Epilogue& epilogue = {});
  template <class Work>
  void in_parts(size_t parts, const Work& work);
  template <class Each>
  void for_rows(size_t rows, const Each& each);

  const Model& model_;
  const Config& c_;
  tessera::ThreadPool& pool_;
  ForwardOptions options_;
  Profile profile_;
  Lap lap_;
  size_t position_ = 0;
  size_t m_ = 0;         // tokens of this pass
  size_t ffn_rows_ = 0;  // that the feed-forward part takes at a time
  GroupedRoutes grouped_;
  KvCache cache_;
  Buffer<float> x_, normed_;                   // [batch, dim]
  Buffer<float> q_;                            // [batch, q_dim]; attention's result too
  Buffer<float> rotated_;                      // [kv_heads, batch, heads that share, head_size]
  Buffer<float> k_, v_;                        // [batch, kv_dim]
  Buffer<float> inner_;                        // [a block of rows, ffn]; of experts: of all routes
  Buffer<float> scores_;                       // [batch, experts], the router's
  Buffer<float> shared_scores_;                // [batch], the shared expert's
  Buffer<Route> routes_;                       // [batch, chosen]
  Buffer<float> expert_out_;                   // [batch, chosen, dim]
  Buffer<float> angles_;                       // [batch, 2, pairs] of cosines and sines
  Buffer<float> logits_;                       // [logit_rows, vocab]
  Buffer<std::byte> packed_x_[kMostProducts];  // for products that cannot share one
  std::vector<Worker> workers_;                // by the part's index
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_FORWARD_H_

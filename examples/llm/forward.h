// SPDX-License-Identifier: MIT
// The forward pass: tokens in, logits out, keys and values of all positions so far kept in between.
#ifndef TESSERA_EXAMPLES_LLM_FORWARD_H_
#define TESSERA_EXAMPLES_LLM_FORWARD_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>

#include "model.h"
#include "tessera/thread_pool.h"

namespace llm {

constexpr size_t kPromptRows = 512;  // tokens of a prompt that one run() should take
constexpr size_t kLogitRows = 128;   // the same where logits of all of them are wanted

struct ForwardOptions {
  size_t context = 0;                       // positions that there is room for
  size_t batch = 1;                         // most tokens in one run()
  size_t logit_rows = 1;                    // most rows of logits of one run()
  tessera::DType kv = tessera::DType::f32;  // of keys and values, or f16
};

/// Where the time of all passes went, in seconds: in products with weights (packing of x included),
/// in attention, of which its own products are a part, and in the rest.
struct Profile {
  double products = 0.0, attention = 0.0, attention_products = 0.0, rest = 0.0;
};

class Forward {
 public:
  /// `model` and `pool` must outlive it.
  static std::unique_ptr<Forward> create(const Model& model, tessera::ThreadPool& pool,
                                         const ForwardOptions& options);
  virtual ~Forward() = default;

  size_t context() const { return options_.context; }
  size_t batch() const { return options_.batch; }
  /// Tokens that it has seen.
  size_t position() const { return position_; }
  /// Forgets all but the first `kept` of them.
  void reset(size_t kept = 0) { position_ = std::min(kept, position_); }
  const Profile& profile() const { return profile_; }
  void reset_profile() { profile_ = {}; }

  /// Appends tokens, at most batch() and no more than the context holds, and computes the logits
  /// behind the last `logit_rows` of them. The bits of a result do not depend on the threads.
  virtual void run(std::span<const TokenId> tokens, size_t logit_rows) = 0;
  /// Row `row` of those logits, [vocab].
  virtual std::span<const float> logits(size_t row) const = 0;
  /// Makes room: forgets `count` tokens behind the first `kept`, and what follows moves up.
  virtual void shift(size_t kept, size_t count) = 0;

 protected:
  ForwardOptions options_;
  Profile profile_;
  size_t position_ = 0;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_FORWARD_H_

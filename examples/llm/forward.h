// SPDX-License-Identifier: MIT
// The forward pass: tokens in, logits out, keys and values of all positions so far kept in between.
#ifndef TESSERA_EXAMPLES_LLM_FORWARD_H_
#define TESSERA_EXAMPLES_LLM_FORWARD_H_

#include <cstddef>
#include <memory>
#include <span>

#include "error.h"
#include "model.h"
#include "threads.h"

namespace llm {

class Forward {
 public:
  /// For up to `context` positions, `batch` tokens in one run() and `logit_rows` rows of logits.
  /// `model` and `team` must outlive it.
  static Error create(const Model& model, Team& team, size_t context, size_t batch,
                      size_t logit_rows, std::unique_ptr<Forward>& out);
  virtual ~Forward() = default;

  size_t context() const { return context_; }
  size_t batch() const { return batch_; }
  /// Tokens that it has seen.
  size_t position() const { return position_; }
  /// Forgets them.
  void reset() { position_ = 0; }

  /// Appends tokens, at most batch() and no more than the context holds, and computes the logits
  /// behind the last `logit_rows` of them. The bits of a result do not depend on the team.
  virtual Error run(std::span<const TokenId> tokens, size_t logit_rows) = 0;
  /// Row `row` of those logits, [vocab].
  virtual std::span<const float> logits(size_t row) const = 0;

 protected:
  size_t context_ = 0, batch_ = 0, position_ = 0;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_FORWARD_H_

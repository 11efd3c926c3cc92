// SPDX-License-Identifier: MIT
// From logits to the next token.
#ifndef TESSERA_EXAMPLES_LLM_SAMPLER_H_
#define TESSERA_EXAMPLES_LLM_SAMPLER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "error.h"
#include "tokenizer.h"

namespace llm {

/// The steps of llama.cpp with its defaults, in its order: repetitions are made less likely, then
/// top_k, top_p and min_p each leave less to choose from, and the temperature comes last.
struct SamplerOptions {
  float temperature = 0.8f;     // 0: always the likeliest token
  float top_p = 0.95f;          // the likeliest tokens that have this probability together
  float min_p = 0.05f;          // tokens with this share of the likeliest one's probability
  int64_t top_k = 40;           // so many of the likeliest tokens; 0 or less: all
  float repeat_penalty = 1.0f;  // divides the logits of recent tokens, or multiplies negative ones
  int64_t repeat_last_n = 64;   // tokens that count as recent; -1: all
  uint64_t seed = 0;
};

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {}

  /// Takes note of tokens that came before.
  void accept(std::span<const TokenId> tokens) {
    past_.insert(past_.end(), tokens.begin(), tokens.end());
  }
  /// Forgets all but the first `count` tokens that came before.
  void keep(size_t count) { past_.resize(std::min(count, past_.size())); }
  /// Draws a token; of equals the lowest id counts as likeliest. Throws if a logit is not finite.
  TokenId sample(std::span<const float> logits);

 private:
  struct Candidate {
    TokenId id;
    double logit;
    double probability;  // in proportion to it
    bool operator<(const Candidate& other) const {
      return logit > other.logit || (logit == other.logit && id < other.id);
    }
  };
  void penalize();
  void cut();

  SamplerOptions options_;
  std::mt19937_64 random_;  // its numbers are the same on every system
  std::vector<TokenId> past_;
  std::vector<Candidate> candidates_;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_SAMPLER_H_

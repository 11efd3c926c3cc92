// SPDX-License-Identifier: MIT
// From logits to the next token.
#ifndef TESSERA_EXAMPLES_LLM_SAMPLER_H_
#define TESSERA_EXAMPLES_LLM_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "error.h"
#include "tokenizer.h"

namespace llm {

struct SamplerOptions {
  float temperature = 0.8f;  // 0: always the likeliest token
  float top_p = 0.95f;       // draw from the likeliest tokens that have this probability together
  uint64_t seed = 0;
};

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {}

  /// Draws a token; of equals the lowest id counts as likeliest. An error if a logit is not finite.
  Error sample(std::span<const float> logits, TokenId& out);

 private:
  struct Candidate {
    TokenId id;
    double probability;
  };

  SamplerOptions options_;
  std::mt19937_64 random_;  // its numbers are the same on every system
  std::vector<Candidate> candidates_;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_SAMPLER_H_

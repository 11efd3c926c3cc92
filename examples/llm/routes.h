// SPDX-License-Identifier: MIT
// Where a router sends tokens: from its scores to the groups of rows that experts multiply.
#ifndef TESSERA_EXAMPLES_LLM_ROUTES_H_
#define TESSERA_EXAMPLES_LLM_ROUTES_H_

#include <cstddef>
#include <span>
#include <vector>

#include "model.h"
#include "tessera/tessera.h"

namespace llm {

/// An expert that a token goes to, and what its result is multiplied by.
struct Route {
  size_t expert = 0;
  float factor = 0.0f;
};

/// The routes of one token, best first, of which there are config.chosen: `scores` has a row of the
/// router's result, one for each expert. Of equal scores the first wins; what is not a number is
/// the least.
void choose_experts(std::span<const float> scores, const ExpertsConfig& config,
                    std::span<Route> routes);

/// The routes of some tokens, gathered for each expert. Route c of token t has row t * chosen + c
/// of what the experts compute.
class GroupedRoutes {
 public:
  /// `routes` are those of all tokens, one token after the other.
  void set(std::span<const Route> routes, const ExpertsConfig& config);

  /// Products of a token's row of x, for gate and up.
  std::span<const tessera::ExpertRows> from_tokens() const { return from_tokens_; }
  /// Products of a route's own row of x, times its factor, for down.
  std::span<const tessera::ExpertRows> from_routes() const { return from_routes_; }

 private:
  std::vector<size_t> ends_;  // of each expert's pairs
  std::vector<tessera::RowPair> token_pairs_, route_pairs_;
  std::vector<float> factors_;
  std::vector<tessera::ExpertRows> from_tokens_, from_routes_;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_ROUTES_H_

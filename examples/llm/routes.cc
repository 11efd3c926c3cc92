// SPDX-License-Identifier: MIT
#include "routes.h"

#include <algorithm>
#include <cmath>

namespace llm {

void choose_experts(std::span<const float> scores, const ExpertsConfig& config,
                    std::span<Route> routes) {
  const auto is_taken = [&](size_t expert, size_t chosen) {
    return std::any_of(routes.begin(), routes.begin() + static_cast<ptrdiff_t>(chosen),
                       [&](const Route& r) { return r.expert == expert; });
  };
  for (size_t c = 0; c < config.chosen; ++c) {
    size_t best = config.count;  // none
    for (size_t e = 0; e < config.count; ++e) {
      const bool better = best == config.count || scores[e] > scores[best] ||
                          (std::isnan(scores[best]) && !std::isnan(scores[e]));
      if (better && !is_taken(e, c)) best = e;
    }
    routes[c].expert = best;
  }
  const auto weight = [&](size_t expert) {  // its share of the softmax, before the sum is known
    return std::exp(static_cast<double>(scores[expert] - scores[routes[0].expert]));
  };
  double sum = 0.0;
  for (size_t i = 0; i < (config.softmax_of_all ? config.count : config.chosen); ++i) {
    sum += weight(config.softmax_of_all ? i : routes[i].expert);
  }
  for (size_t c = 0; c < config.chosen; ++c) {
    routes[c].factor = static_cast<float>(weight(routes[c].expert) / sum);
  }
}

void GroupedRoutes::set(std::span<const Route> routes, const ExpertsConfig& config) {
  ends_.assign(config.count + 1, 0);
  for (const Route& r : routes) ++ends_[r.expert + 1];
  for (size_t e = 0; e < config.count; ++e) ends_[e + 1] += ends_[e];  // begins, for now
  token_pairs_.resize(routes.size());
  route_pairs_.resize(routes.size());
  factors_.resize(routes.size());
  for (size_t row = 0; row < routes.size(); ++row) {
    const size_t at = ends_[routes[row].expert]++;
    token_pairs_[at] = {row / config.chosen, row};
    route_pairs_[at] = {row, row};
    factors_[at] = routes[row].factor;
  }
  from_tokens_.clear();
  from_routes_.clear();
  for (size_t e = 0, begin = 0; e < config.count; begin = ends_[e++]) {
    const size_t size = ends_[e] - begin;
    if (size == 0) continue;
    from_tokens_.push_back({e, std::span(token_pairs_).subspan(begin, size)});
    from_routes_.push_back(
        {e, std::span(route_pairs_).subspan(begin, size), factors_.data() + begin});
  }
}

}  // namespace llm

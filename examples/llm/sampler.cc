// SPDX-License-Identifier: MIT
#include "sampler.h"

#include <algorithm>
#include <cmath>

namespace llm {

Error Sampler::sample(std::span<const float> logits, TokenId& out) {
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i])) {
      return error("the logit of token %zu is %g: the model's weights make no sense", i,
                   static_cast<double>(logits[i]));
    }
  }
  const auto best = std::max_element(logits.begin(), logits.end());
  out = static_cast<TokenId>(best - logits.begin());
  if (options_.temperature <= 0.0f) return {};

  // Probabilities relative to the likeliest token.
  candidates_.clear();
  double sum = 0.0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double lead = static_cast<double>(logits[i]) - static_cast<double>(*best);
    const double p = std::exp(lead / static_cast<double>(options_.temperature));
    candidates_.push_back({static_cast<TokenId>(i), p});
    sum += p;
  }
  const double wanted = std::min(1.0, static_cast<double>(options_.top_p)) * sum;
  if (wanted < sum) {
    // All tokens below this share have less than the rest together, so the chosen few, which come
    // first, are not among them: less to sort.
    const double least = (sum - wanted) / static_cast<double>(logits.size());
    std::erase_if(candidates_, [&](const Candidate& c) { return c.probability < least; });
    std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
      return a.probability > b.probability || (a.probability == b.probability && a.id < b.id);
    });
    sum = 0.0;
    size_t kept = 0;
    while (kept < candidates_.size() && (kept == 0 || sum < wanted)) {
      sum += candidates_[kept++].probability;
    }
    candidates_.resize(kept);
  }
  double draw = static_cast<double>(random_() >> 11) * 0x1p-53 * sum;
  for (const Candidate& c : candidates_) {
    out = c.id;
    draw -= c.probability;
    if (draw < 0.0) break;
  }
  return {};
}

}  // namespace llm

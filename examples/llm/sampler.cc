// SPDX-License-Identifier: MIT
#include "sampler.h"

#include <algorithm>
#include <cmath>

namespace llm {

TokenId Sampler::sample(std::span<const float> logits) {
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto logit = static_cast<double>(logits[i]);
    if (!std::isfinite(logit)) {
      throw error("the logit of token %zu is %g: the model's weights make no sense", i, logit);
    }
    candidates_.push_back({static_cast<TokenId>(i), logit, 0.0});
  }
  penalize();
  const Candidate best = *std::min_element(candidates_.begin(), candidates_.end());
  if (options_.temperature <= 0.0f) return best.id;
  cut();
  double sum = 0.0;
  for (Candidate& c : candidates_) {
    c.probability = std::exp((c.logit - best.logit) / static_cast<double>(options_.temperature));
    sum += c.probability;
  }
  double draw = static_cast<double>(random_() >> 11) * 0x1p-53 * sum;
  for (const Candidate& c : candidates_) {
    draw -= c.probability;
    if (draw < 0.0) return c.id;
  }
  return candidates_.back().id;
}

// Each recent token once, however often it came.
void Sampler::penalize() {
  const auto penalty = static_cast<double>(options_.repeat_penalty);
  if (penalty == 1.0) return;
  const size_t n = std::min(past_.size(), static_cast<size_t>(options_.repeat_last_n));  // -1: all
  std::vector<TokenId> recent(past_.end() - static_cast<std::ptrdiff_t>(n), past_.end());
  std::sort(recent.begin(), recent.end());
  recent.erase(std::unique(recent.begin(), recent.end()), recent.end());
  for (const TokenId id : recent) {
    double& logit = candidates_[static_cast<size_t>(id)].logit;
    logit = logit > 0.0 ? logit / penalty : logit * penalty;
  }
}

// Leaves those tokens that top_k, top_p and min_p agree on.
void Sampler::cut() {
  const auto k = static_cast<std::ptrdiff_t>(options_.top_k);
  if (k > 0 && k < std::ssize(candidates_)) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + k, candidates_.end());
    candidates_.resize(static_cast<size_t>(k));
  }
  const double highest = std::min_element(candidates_.begin(), candidates_.end())->logit;
  double sum = 0.0;
  for (Candidate& c : candidates_) sum += c.probability = std::exp(c.logit - highest);
  const double wanted = std::min(1.0, static_cast<double>(options_.top_p)) * sum;
  if (wanted < sum) {
    // All tokens below this share have less than the rest together, so the chosen few, which come
    // first, are not among them: less to sort.
    const double least = (sum - wanted) / static_cast<double>(candidates_.size());
    std::erase_if(candidates_, [&](const Candidate& c) { return c.probability < least; });
    std::sort(candidates_.begin(), candidates_.end());
    sum = 0.0;
    size_t kept = 0;
    while (kept < candidates_.size() && (kept == 0 || sum < wanted)) {
      sum += candidates_[kept++].probability;
    }
    candidates_.resize(kept);
  }
  const auto least = std::min(1.0, static_cast<double>(options_.min_p));
  std::erase_if(candidates_, [&](const Candidate& c) { return c.probability < least; });
}

}  // namespace llm

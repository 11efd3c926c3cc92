// SPDX-License-Identifier: MIT
#include "config.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>

namespace llm {
namespace {

using gguf::Need;

constexpr struct {
  const char* name;
  RopePairs pairs;
  bool head_norms;
} kArchitectures[] = {{"llama", RopePairs::neighbours, false},
                      {"qwen2", RopePairs::halves, false},
                      {"qwen3", RopePairs::halves, true}};

constexpr size_t kMostHeadSize = 1 << 16;

// Reads and checks the numbers under one prefix. After the first error it does nothing more.
class Numbers {
 public:
  Numbers(const gguf::File& file, const std::string& prefix) : file_(file), prefix_(prefix + ".") {}
  Error error;

  size_t whole(const char* name, Need need = Need::required, size_t usual = 0, size_t least = 1) {
    const std::string full = key(name);
    uint64_t value = usual;
    if (!error) error = file_.read(full, need, value);
    if (!error && (value < least || value > kMost)) {
      error = llm::error("%s = %llu is not in %zu .. %zu", full.c_str(),
                         static_cast<unsigned long long>(value), least, kMost);
    }
    return static_cast<size_t>(value);
  }
  float positive(const char* name, Need need = Need::required, float usual = 0.0f) {
    const std::string full = key(name);
    float value = usual;
    if (!error) error = file_.read(full, need, value);
    if (!error && !(std::isfinite(value) && value > 0.0f)) {
      error = llm::error("%s = %g is not a finite number above 0", full.c_str(),
                         static_cast<double>(value));
    }
    return value;
  }
  // States a rule: "a = 3 does not divide b = 8".
  void require(bool holds, const char* a, size_t a_value, const char* rule, const std::string& b,
               size_t b_value) {
    if (error || holds) return;
    error =
        llm::error("%s%s = %zu %s %s = %zu", prefix_.c_str(), a, a_value, rule, b.c_str(), b_value);
  }
  std::string key(const char* name) const { return prefix_ + name; }
  // For keys that change the meaning of the weights in ways that are not implemented.
  void only(const char* name, size_t least, size_t most) {
    const size_t value = whole(name, Need::optional, most, 0);
    if (error || (value >= least && value <= most)) return;
    error =
        llm::error("%s%s = %zu is not supported, only %zu is", prefix_.c_str(), name, value, most);
  }

 private:
  // Products of two of them and a size of a number do not overflow.
  static constexpr size_t kMost = 0xFFFFFFFFu;
  const gguf::File& file_;
  const std::string prefix_;
};

// The pair that turns `turns` times within the original context, as a fractional index (YaRN,
// arXiv:2309.00071, section 3.2).
double pair_of_turns(double turns, double pairs, double context, double base) {
  return pairs * std::log(context / (turns * 2.0 * std::numbers::pi)) / std::log(base);
}

// Frequencies as they were trained, then stretched for a longer context.
Error read_rope(const gguf::File& file, Numbers& numbers, Config& c) {
  std::string_view scaling;
  const std::string scaling_key = numbers.key("rope.scaling.type");
  const size_t dims = numbers.whole("rope.dimension_count", Need::optional, c.head_size, 0);
  numbers.require(dims <= c.head_size && dims % 2 == 0, "rope.dimension_count", dims,
                  "must be even and at most", "the size of a head", c.head_size);
  const auto base =
      static_cast<double>(numbers.positive("rope.freq_base", Need::optional, 10000.0f));
  const float old_factor = numbers.positive("rope.scale_linear", Need::optional, 1.0f);
  const auto factor =
      static_cast<double>(numbers.positive("rope.scaling.factor", Need::optional, old_factor));
  const auto attention =
      static_cast<double>(numbers.positive("rope.scaling.attn_factor", Need::optional, 1.0f));
  const auto context = static_cast<double>(
      numbers.whole("rope.scaling.original_context_length", Need::optional, c.context));
  const auto fast =
      static_cast<double>(numbers.positive("rope.scaling.yarn_beta_fast", Need::optional, 32.0f));
  const auto slow =
      static_cast<double>(numbers.positive("rope.scaling.yarn_beta_slow", Need::optional, 1.0f));
  if (numbers.error) return numbers.error;
  if (Error e = file.read(scaling_key, Need::optional, scaling)) return e;
  const bool yarn = scaling == "yarn", none = scaling == "none";
  if (!yarn && !none && scaling != "linear" && !scaling.empty()) {
    return error("%s = \"%s\" is not supported; none, linear and yarn are", scaling_key.c_str(),
                 printable(scaling).c_str());
  }
  const double pairs = static_cast<double>(dims) / 2.0;
  double first = 0.0, last = 0.0;  // of the pairs between "as trained" and "stretched"
  c.rope.magnitude = attention * (yarn ? 1.0 + 0.1 * std::log(factor) : 1.0);
  if (yarn) {
    first = std::max(0.0, std::floor(pair_of_turns(fast, pairs, context, base)));
    last = std::min(2.0 * pairs - 1.0, std::ceil(pair_of_turns(slow, pairs, context, base)));
  }
  for (double i = 0.0; i < pairs; i += 1.0) {
    const double as_trained = std::pow(base, -i / pairs);
    double stretched = none ? 0.0 : 1.0;  // share
    if (yarn) stretched = std::clamp((i - first) / std::max(0.001, last - first), 0.0, 1.0);
    c.rope.frequencies.push_back(as_trained * (1.0 - stretched + stretched / factor));
  }
  return {};
}

}  // namespace

Error read_config(const gguf::File& file, size_t vocab, Config& c) {
  std::string_view architecture;
  if (Error e = file.read("general.architecture", Need::required, architecture)) return e;
  const auto* known = std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                                   [&](const auto& a) { return a.name == architecture; });
  if (known == std::end(kArchitectures)) {
    std::string names;
    for (const auto& a : kArchitectures) names.append(names.empty() ? "" : ", ").append(a.name);
    return error("general.architecture = \"%s\" is not supported; %s are",
                 printable(architecture).c_str(), names.c_str());
  }
  c.architecture = architecture;
  c.rope.pairs = known->pairs;
  c.head_norms = known->head_norms;
  c.vocab = vocab;
  Numbers numbers(file, c.architecture);
  c.layers = numbers.whole("block_count");
  c.dim = numbers.whole("embedding_length");
  c.ffn = numbers.whole("feed_forward_length");
  c.context = numbers.whole("context_length");
  c.heads = numbers.whole("attention.head_count");
  c.kv_heads = numbers.whole("attention.head_count_kv", Need::optional, c.heads);
  c.rms_epsilon = numbers.positive("attention.layer_norm_rms_epsilon");
  if (numbers.error) return numbers.error;

  const size_t tensors = file.tensors().size();
  if (c.layers > tensors) {
    return error("%s = %zu, but the file has %zu tensors", numbers.key("block_count").c_str(),
                 c.layers, tensors);
  }
  const bool own_size = file.find(numbers.key("attention.key_length")) != nullptr;
  numbers.require(own_size || c.dim % c.heads == 0, "attention.head_count", c.heads,
                  "does not divide", numbers.key("embedding_length"), c.dim);
  numbers.require(c.heads % c.kv_heads == 0, "attention.head_count_kv", c.kv_heads,
                  "does not divide", numbers.key("attention.head_count"), c.heads);
  c.head_size = numbers.whole("attention.key_length", Need::optional, c.dim / c.heads);
  numbers.require(c.head_size <= kMostHeadSize, "attention.key_length", c.head_size, "is more than",
                  "the largest head", kMostHeadSize);
  numbers.only("attention.value_length", c.head_size, c.head_size);
  numbers.only("expert_count", 0, 0);
  if (numbers.error) return numbers.error;
  if (Error e = read_rope(file, numbers, c)) return e;
  Numbers split(file, "split");
  split.only("count", 0, 1);
  return split.error;
}

}  // namespace llm

// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <optional>
#include <string_view>

#include "model.h"

#include "text.h"

namespace llm {
namespace {

// Whether a model of an architecture has experts, and a shared one beside them.
enum class Has : uint8_t { never, maybe, always, and_shared };

constexpr struct Architecture {
  const char* name;
  RopePairs pairs;
  HeadNorms head_norms = HeadNorms::none;
  Has experts = Has::never;
  bool softmax_of_all = false;  // see ExpertsConfig
  bool gpt_oss = false;
} kArchitectures[] = {{"llama", RopePairs::neighbours, HeadNorms::none, Has::maybe},
                      {"qwen2", RopePairs::halves},
                      {"qwen3", RopePairs::halves, HeadNorms::each},
                      {"qwen2moe", RopePairs::halves, HeadNorms::none, Has::and_shared, true},
                      {"qwen3moe", RopePairs::halves, HeadNorms::each, Has::always},
                      {"olmoe", RopePairs::halves, HeadNorms::all, Has::always, true},
                      {"gpt-oss", RopePairs::halves, HeadNorms::none, Has::always, false, true}};

constexpr size_t kMostHeadSize = 1 << 16;

// Reads and checks the numbers under one prefix.
struct Numbers {
  const gguf::File& file;
  const std::string prefix;

  // Products of two of them and a size of a number do not overflow.
  size_t whole(const char* name, std::optional<size_t> usual = {}, size_t least = 1) const {
    constexpr size_t kMost = 0xFFFFFFFFu;
    const std::string key = prefix + name;
    const uint64_t value = usual ? file.natural(key, *usual) : file.natural(key);
    if (value >= least && value <= kMost) return static_cast<size_t>(value);
    throw error("%s = %llu is not in %zu .. %zu", key.c_str(),
                static_cast<unsigned long long>(value), least, kMost);
  }
  double positive(const char* name, std::optional<float> usual = {}) const {
    const std::string key = prefix + name;
    const auto value =
        static_cast<double>(usual ? file.get<float>(key, *usual) : file.get<float>(key));
    if (std::isfinite(value) && value > 0.0) return value;
    throw error("%s = %g is not a finite number above 0", key.c_str(), value);
  }
  // States a rule: "a = 3 does not divide b = 8".
  void require(bool holds, const char* a, size_t a_value, const char* rule, const std::string& b,
               size_t b_value) const {
    if (holds) return;
    throw error("%s%s = %zu %s %s = %zu", prefix.c_str(), a, a_value, rule, b.c_str(), b_value);
  }
  // For keys that change the meaning of the weights in ways that are not implemented.
  void only(const char* name, size_t least, size_t most) const {
    const size_t value = whole(name, most, 0);
    if (value >= least && value <= most) return;
    throw error("%s%s = %zu is not supported, only %zu is", prefix.c_str(), name, value, most);
  }
};

// The pair that rotates `rotations` times within the original context, as a fractional index (YaRN,
// arXiv:2309.00071, section 3.2).
double pair_of_rotations(double rotations, double pairs, double context, double base) {
  return pairs * std::log(context / (rotations * 2.0 * std::numbers::pi)) / std::log(base);
}

// Frequencies as they were trained, then stretched for a longer context.
void read_rope(const Numbers& numbers, Config& c) {
  const size_t dims = numbers.whole("rope.dimension_count", c.head_size, 0);
  numbers.require(dims <= c.head_size && dims % 2 == 0, "rope.dimension_count", dims,
                  "must be even and at most", "the size of a head", c.head_size);
  const double base = numbers.positive("rope.freq_base", 10000.0f);
  const double old_factor = numbers.positive("rope.scale_linear", 1.0f);
  const double factor = numbers.positive("rope.scaling.factor", static_cast<float>(old_factor));
  const double attention = numbers.positive("rope.scaling.attn_factor", 1.0f);
  const auto context =
      static_cast<double>(numbers.whole("rope.scaling.original_context_length", c.context));
  const double fast = numbers.positive("rope.scaling.yarn_beta_fast", 32.0f);
  const double slow = numbers.positive("rope.scaling.yarn_beta_slow", 1.0f);
  const std::string key = numbers.prefix + "rope.scaling.type";
  const auto scaling = numbers.file.get(key, std::string_view("linear"));
  const bool yarn = scaling == "yarn", none = scaling == "none";
  if (!yarn && !none && scaling != "linear" && !scaling.empty()) {
    throw error("%s = \"%s\" is not supported; none, linear and yarn are", key.c_str(),
                printable(scaling).c_str());
  }
  const double pairs = static_cast<double>(dims) / 2.0;
  double first = 0.0, last = 0.0;  // of the pairs between "as trained" and "stretched"
  c.rope.magnitude = attention * (yarn ? 1.0 + 0.1 * std::log(factor) : 1.0);
  if (yarn) {
    first = std::max(0.0, std::floor(pair_of_rotations(fast, pairs, context, base)));
    last = std::min(2.0 * pairs - 1.0, std::ceil(pair_of_rotations(slow, pairs, context, base)));
  }
  for (size_t pair = 0; 2 * pair < dims; ++pair) {
    const auto i = static_cast<double>(pair);
    const double as_trained = std::pow(base, -i / pairs);
    double stretched = none ? 0.0 : 1.0;  // share
    if (yarn) stretched = std::clamp((i - first) / std::max(0.001, last - first), 0.0, 1.0);
    c.rope.frequencies.push_back(as_trained * (1.0 - stretched + stretched / factor));
  }
}

// What follows attention: one part for every token, or experts.
void read_feed_forward(const Numbers& numbers, const Architecture& known, Config& c) {
  ExpertsConfig& e = c.experts;
  if (known.experts == Has::never) {
    numbers.only("expert_count", 0, 0);
  } else if (known.experts == Has::maybe) {
    e.count = numbers.whole("expert_count", 0, 0);
  } else {
    e.count = numbers.whole("expert_count");
  }
  if (e.count == 0) {
    c.ffn = numbers.whole("feed_forward_length");
    return;
  }
  e.chosen = numbers.whole("expert_used_count");
  numbers.require(e.chosen <= e.count, "expert_used_count", e.chosen, "is more than",
                  numbers.prefix + "expert_count", e.count);
  numbers.only("expert_group_count", 0, 1);
  const char* const own = "expert_feed_forward_length";
  const bool has_own = numbers.file.find(numbers.prefix + own) != nullptr;
  e.ffn = numbers.whole(has_own ? own : "feed_forward_length");
  e.softmax_of_all = known.softmax_of_all;
  e.clipped = known.gpt_oss;
  if (known.experts != Has::and_shared) return;
  const char* const shared = "expert_shared_feed_forward_length";
  const bool has_shared = numbers.file.find(numbers.prefix + shared) != nullptr;
  c.ffn = numbers.whole(has_shared ? shared : "feed_forward_length");
}

// gpt-oss: every other layer sees but the newest positions.
void read_window(const Numbers& numbers, Config& c) {
  c.sinks = true;
  c.window = numbers.whole("attention.sliding_window");
  numbers.only("attention.sliding_window_pattern", 2, 2);
}

// The row of kArchitectures for a file. Whatever is no model that writes text says what it is.
const Architecture& architecture_of(const gguf::File& file) {
  const auto type = file.get("general.type", std::string_view("model"));
  if (type == "adapter") throw error("it is an adapter (LoRA) for a model, not a model");
  if (type == "imatrix") throw error("it is an importance matrix for quantizing, not a model");
  const auto name = file.get<std::string_view>("general.architecture");
  if (type == "mmproj" || name == "clip") {
    throw error(
        "it is the part of a model that reads images or sound (general.architecture = "
        "\"%s\"), not one that writes text",
        printable(name).c_str());
  }
  const auto* known = std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                                   [&](const auto& a) { return a.name == name; });
  if (known != std::end(kArchitectures)) return *known;
  throw error("general.architecture = \"%s\" is not supported%s; %s are", printable(name).c_str(),
              name.ends_with("bert") ? " (it is a model for embeddings)" : "",
              names_of(kArchitectures).c_str());
}

}  // namespace

void check_architecture(const gguf::File& file) { (void)architecture_of(file); }

Config read_config(const gguf::File& file, size_t vocab) {
  Config c;
  const auto& known = architecture_of(file);
  c.vocab = vocab;
  c.architecture = known.name;
  c.rope.pairs = known.pairs;
  c.head_norms = known.head_norms;
  const std::string prefix = c.architecture + ".";
  const Numbers numbers{file, prefix};
  c.layers = numbers.whole("block_count");
  c.dim = numbers.whole("embedding_length");
  c.context = numbers.whole("context_length");
  c.heads = numbers.whole("attention.head_count");
  c.kv_heads = numbers.whole("attention.head_count_kv", c.heads);
  c.rms_epsilon = static_cast<float>(numbers.positive("attention.layer_norm_rms_epsilon"));
  const size_t tensors = file.tensors().size();
  if (c.layers > tensors) {
    throw error("%sblock_count = %zu, but the file has %zu tensors", prefix.c_str(), c.layers,
                tensors);
  }
  const bool own_size = file.find(prefix + "attention.key_length") != nullptr;
  numbers.require(own_size || c.dim % c.heads == 0, "attention.head_count", c.heads,
                  "does not divide", prefix + "embedding_length", c.dim);
  numbers.require(c.heads % c.kv_heads == 0, "attention.head_count_kv", c.kv_heads,
                  "does not divide", prefix + "attention.head_count", c.heads);
  c.head_size = numbers.whole("attention.key_length", c.dim / c.heads);
  numbers.require(c.head_size <= kMostHeadSize, "attention.key_length", c.head_size, "is more than",
                  "the largest head", kMostHeadSize);
  numbers.only("attention.value_length", c.head_size, c.head_size);
  read_feed_forward(numbers, known, c);
  read_rope(numbers, c);
  if (known.gpt_oss) read_window(numbers, c);
  if (file.parts() == 1) Numbers{file, "split."}.only("count", 0, 1);
  return c;
}

}  // namespace llm

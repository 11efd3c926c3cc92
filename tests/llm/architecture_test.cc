// SPDX-License-Identifier: MIT
// Every architecture against the obvious program: small random models, in double, one position at a
// time, nothing kept but keys and values.
#include <catch2/catch_test_macros.hpp>
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "forward.h"
#include "gguf_builder.h"

namespace llm::test {
namespace {

using Vector = std::vector<double>;

constexpr size_t kVocab = 24, kDim = 32, kLayers = 2, kHeads = 4, kKvHeads = 2, kFfn = 48;
constexpr size_t kExperts = 5, kChosen = 2, kExpertFfn = 20;
constexpr double kEpsilon = 1e-5;

// What a model of the test has of what not all have.
struct Kind {
  std::string name;
  size_t head_size = 8;
  bool halves = false, biases = false, head_norms = false, own_output = false;
  bool norm_of_all = false;  // of queries and keys, all heads at once
  bool experts = false, softmax_of_all = false, shared_expert = false;
  bool gpt_oss = false;  // sinks, biases of experts, a clipped SwiGLU
  size_t window = 0;     // of layers 0, 2, ...; 0: none
  size_t rope_dims = 0;  // 0: all
  std::function<void(Builder&)> keys = [](Builder&) {};
  std::function<double(size_t)> stretch = [](size_t) { return 1.0; };  // of a pair's frequency
  double magnitude = 1.0;
};

struct Random {
  std::mt19937 engine{7};
  float value() { return std::uniform_real_distribution<float>(-0.5f, 0.5f)(engine); }
};

// A file of a kind, and its tensors by name.
struct TestModel {
  explicit TestModel(const Kind& kind) {
    const std::string p = kind.name.substr(0, kind.name.find(' ')) + ".";
    Builder b;
    b.string("general.architecture", p.substr(0, p.size() - 1)).u32(p + "block_count", kLayers);
    b.u32(p + "embedding_length", kDim).u32(p + "feed_forward_length", kFfn);
    b.u32(p + "context_length", 64).u32(p + "attention.head_count", kHeads);
    b.u32(p + "attention.head_count_kv", kKvHeads);
    if (kind.experts) {
      b.u32(p + "expert_count", kExperts).u32(p + "expert_used_count", kChosen);
      b.u32(p + "expert_feed_forward_length", kExpertFfn);
    }
    if (kind.window > 0) {
      b.u32(p + "attention.sliding_window", static_cast<uint32_t>(kind.window));
    }
    b.number(p + "attention.layer_norm_rms_epsilon", gguf::Kind::f32, 1e-5f);
    if (kind.head_size * kHeads != kDim) {
      b.u32(p + "attention.key_length", static_cast<uint32_t>(kind.head_size));
      b.u32(p + "attention.value_length", static_cast<uint32_t>(kind.head_size));
    }
    if (kind.rope_dims > 0) {
      b.u32(p + "rope.dimension_count", static_cast<uint32_t>(kind.rope_dims));
    }
    const size_t q = kHeads * kind.head_size, kv = kKvHeads * kind.head_size;
    b.f32("token_embd.weight", {kDim, kVocab}).f32("output_norm.weight", {kDim});
    if (kind.own_output) b.f32("output.weight", {kDim, kVocab});
    for (size_t i = 0; i < kLayers; ++i) {
      const auto add = [&](const char* part, const std::vector<uint64_t>& dims) {
        b.f32("blk." + std::to_string(i) + "." + part, dims);
      };
      add("attn_norm.weight", {kDim});
      add(kind.gpt_oss ? "post_attention_norm.weight" : "ffn_norm.weight", {kDim});
      add("attn_q.weight", {kDim, q}), add("attn_k.weight", {kDim, kv});
      add("attn_v.weight", {kDim, kv}), add("attn_output.weight", {q, kDim});
      if (kind.experts) {
        add("ffn_gate_inp.weight", {kDim, kExperts});
        add("ffn_gate_exps.weight", {kDim, kExpertFfn, kExperts});
        add("ffn_up_exps.weight", {kDim, kExpertFfn, kExperts});
        add("ffn_down_exps.weight", {kExpertFfn, kDim, kExperts});
        if (kind.shared_expert) {
          add("ffn_gate_inp_shexp.weight", {kDim});
          add("ffn_gate_shexp.weight", {kDim, kFfn}), add("ffn_up_shexp.weight", {kDim, kFfn});
          add("ffn_down_shexp.weight", {kFfn, kDim});
        }
      } else {
        add("ffn_gate.weight", {kDim, kFfn}), add("ffn_up.weight", {kDim, kFfn});
        add("ffn_down.weight", {kFfn, kDim});
      }
      if (kind.biases) {
        add("attn_q.bias", {q}), add("attn_k.bias", {kv}), add("attn_v.bias", {kv});
        if (!kind.experts) {
          add("ffn_gate.bias", {kFfn}), add("ffn_up.bias", {kFfn}), add("ffn_down.bias", {kDim});
        }
      }
      if (kind.gpt_oss) {
        add("attn_sinks.weight", {kHeads}), add("attn_output.bias", {kDim});
        add("ffn_gate_inp.bias", {kExperts}), add("ffn_gate_exps.bias", {kExpertFfn, kExperts});
        add("ffn_up_exps.bias", {kExpertFfn, kExperts});
        add("ffn_down_exps.bias", {kDim, kExperts});
      }
      if (kind.norm_of_all) add("attn_q_norm.weight", {q}), add("attn_k_norm.weight", {kv});
      if (kind.head_norms) {
        add("attn_q_norm.weight", {kind.head_size}), add("attn_k_norm.weight", {kind.head_size});
      }
    }
    kind.keys(b);
    bytes = b.build();
    const size_t data = bytes.size() - b.data_bytes;
    Random random;
    for (const TensorRecord& t : b.tensors) {
      size_t count = 1;
      for (const uint64_t d : t.dims) count *= d;
      Vector& values = tensors[t.name];
      for (size_t i = 0; i < count; ++i) {
        float value = random.value();
        // Some of what is clipped is then beyond the limit.
        if (kind.gpt_oss && t.name.find("_exps.bias") != t.name.npos) value *= 24.0f;
        if (kind.gpt_oss && t.name.find("down_exps") != t.name.npos) value *= 0.05f;
        if (t.name.find("norm") != t.name.npos) value += 1.0f;
        if (t.name == "rope_freqs.weight") value = static_cast<float>(i + 1);
        std::memcpy(bytes.data() + data + t.offset + i * sizeof(float), &value, sizeof(value));
        values.push_back(static_cast<double>(value));
      }
    }
    file = gguf::File::parse(bytes);
    const ModelOptions options{.plan = {.accuracy = tessera::Accuracy::exact}};
    model = load_model(file, kVocab, options, tessera::serial());
  }
  std::vector<std::byte> bytes;
  std::map<std::string, Vector> tensors;
  gguf::File file;
  Model model;
};

// One block of q8_0, and back.
void round_block(std::span<double, 32> values) {
  float in[32], out[32];
  std::byte block[34];
  std::copy(values.begin(), values.end(), in);
  const tessera::MatView view{block, 1, 32, 34, tessera::DType::q8_0};
  REQUIRE(tessera::quantize(tessera::rows_of(std::span<const float>(in), 1, 32),
                            {block, 1, 32, 34, tessera::DType::q8_0})
              .ok());
  REQUIRE(tessera::quantize(view, tessera::rows_of(std::span<float>(out), 1, 32)).ok());
  std::copy(std::begin(out), std::end(out), values.begin());
}

// The obvious program. If it rounds, keys are q8_0, and values as soon as there are 32.
class Reference {
 public:
  Reference(const Kind& kind, const std::map<std::string, Vector>& tensors, bool rounds = false)
      : kind_(kind), tensors_(tensors), rounds_(rounds), keys_(kLayers), values_(kLayers) {}

  // The logits behind one more token.
  Vector next(size_t token) {
    const Vector& table = tensors_.at("token_embd.weight");
    Vector x(table.begin() + static_cast<ptrdiff_t>(token * kDim),
             table.begin() + static_cast<ptrdiff_t>((token + 1) * kDim));
    for (size_t i = 0; i < kLayers; ++i) {
      const std::string p = "blk." + std::to_string(i) + ".";
      const Vector h = norm(x, p + "attn_norm.weight");
      Vector q = product(p + "attn_q", h), k = product(p + "attn_k", h);
      rotate(q, p + "attn_q_norm.weight");
      rotate(k, p + "attn_k_norm.weight");
      keys_[i].push_back(k);
      values_[i].push_back(product(p + "attn_v", h));
      if (rounds_) round_last(i);
      add(x, product(p + "attn_output", attend(i, q)));
      const Vector g =
          norm(x, p + (kind_.gpt_oss ? "post_attention_norm" : "ffn_norm") + ".weight");
      if (kind_.experts) add(x, experts(p, g));
      if (kind_.shared_expert) {
        Vector out = feed_forward(p + "ffn_", g, "_shexp");
        const double score = product(p + "ffn_gate_inp_shexp", g)[0];
        for (double& v : out) v /= 1.0 + std::exp(-score);
        add(x, out);
      }
      if (tensors_.contains(p + "ffn_gate.weight")) add(x, feed_forward(p + "ffn_", g));
    }
    ++position_;
    const bool own = tensors_.contains("output.weight");
    return product(own ? "output" : "token_embd", norm(x, "output_norm.weight"));
  }

 private:
  static void add(Vector& x, const Vector& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  Vector norm(const Vector& x, const std::string& name) const {
    double squares = 0.0;
    for (const double v : x) squares += v * v;
    Vector y = x;
    for (size_t i = 0; i < x.size(); ++i) {
      y[i] *= tensors_.at(name)[i] / std::sqrt(squares / static_cast<double>(x.size()) + kEpsilon);
    }
    return y;
  }
  // With matrix `index` of `count` that lie one after the other.
  Vector product(const std::string& name, const Vector& x, size_t index = 0,
                 size_t count = 1) const {
    const Vector& w = tensors_.at(name + ".weight");
    Vector y(w.size() / x.size() / count);
    const size_t first = index * y.size();
    if (tensors_.contains(name + ".bias")) {
      for (size_t n = 0; n < y.size(); ++n) y[n] = tensors_.at(name + ".bias")[first + n];
    }
    for (size_t n = 0; n < y.size(); ++n) {
      for (size_t k = 0; k < x.size(); ++k) y[n] += w[(first + n) * x.size() + k] * x[k];
    }
    return y;
  }
  Vector feed_forward(const std::string& p, const Vector& x, const std::string& end = "",
                      size_t index = 0, size_t count = 1) const {
    Vector gate = product(p + "gate" + end, x, index, count);
    const Vector up = product(p + "up" + end, x, index, count);
    for (size_t j = 0; j < gate.size(); ++j) {
      if (kind_.gpt_oss) {
        gate[j] = std::min(gate[j], 7.0);
        gate[j] *= (std::clamp(up[j], -7.0, 7.0) + 1.0) / (1.0 + std::exp(-1.702 * gate[j]));
      } else {
        gate[j] *= up[j] / (1.0 + std::exp(-gate[j]));
      }
    }
    return product(p + "down" + end, gate, index, count);
  }
  // Of all experts, those of the highest scores, weighed by their softmax.
  Vector experts(const std::string& p, const Vector& x) const {
    const Vector scores = product(p + "ffn_gate_inp", x);
    std::vector<size_t> order = {0, 1, 2, 3, 4};
    static_assert(kExperts == 5);
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    double sum = 0.0;
    const size_t summed = kind_.softmax_of_all ? kExperts : kChosen;
    for (size_t i = 0; i < summed; ++i) sum += std::exp(scores[order[i]]);
    Vector y(kDim);
    for (size_t i = 0; i < kChosen; ++i) {
      Vector out = feed_forward(p + "ffn_", x, "_exps", order[i], kExperts);
      for (double& v : out) v *= std::exp(scores[order[i]]) / sum;
      add(y, out);
    }
    return y;
  }
  // The norm, if there is one, of all heads or of every head, then RoPE of every head.
  void rotate(Vector& all, const std::string& norm_name) const {
    if (kind_.norm_of_all) all = norm(all, norm_name);
    const size_t size = kind_.head_size, dims = kind_.rope_dims > 0 ? kind_.rope_dims : size;
    for (size_t h = 0; h < all.size() / size; ++h) {
      Vector head(all.begin() + static_cast<ptrdiff_t>(h * size),
                  all.begin() + static_cast<ptrdiff_t>((h + 1) * size));
      if (kind_.head_norms) head = norm(head, norm_name);
      Vector rotated = head;
      for (size_t i = 0; i < dims / 2; ++i) {
        const double angle =
            static_cast<double>(position_) * kind_.stretch(i) *
            std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(dims));
        const size_t a = kind_.halves ? i : 2 * i, b = kind_.halves ? i + dims / 2 : 2 * i + 1;
        rotated[a] = (head[a] * std::cos(angle) - head[b] * std::sin(angle)) * kind_.magnitude;
        rotated[b] = (head[a] * std::sin(angle) + head[b] * std::cos(angle)) * kind_.magnitude;
      }
      std::copy(rotated.begin(), rotated.end(), all.begin() + static_cast<ptrdiff_t>(h * size));
    }
  }
  // Heads are of 32.
  void round_last(size_t layer) {
    Vector& key = keys_[layer].back();
    for (size_t h = 0; h < kKvHeads; ++h)
      round_block(std::span<double, 32>(key.data() + 32 * h, 32));
    std::vector<Vector>& values = values_[layer];
    if (values.size() % 32 != 0) return;
    for (size_t i = 0; i < kKvHeads * 32; ++i) {
      double block[32];
      for (size_t p = 0; p < 32; ++p) block[p] = values[values.size() - 32 + p][i];
      round_block(block);
      for (size_t p = 0; p < 32; ++p) values[values.size() - 32 + p][i] = block[p];
    }
  }
  Vector attend(size_t layer, const Vector& q) const {
    const size_t size = kind_.head_size;
    Vector y(q.size());
    for (size_t h = 0; h < kHeads; ++h) {
      const size_t kv = h / (kHeads / kKvHeads) * size;
      Vector weights;
      double sum = 0.0;
      if (kind_.gpt_oss) {
        const std::string name = "blk." + std::to_string(layer) + ".attn_sinks.weight";
        sum = std::exp(tensors_.at(name)[h]);
      }
      for (const Vector& key : keys_[layer]) {
        const size_t newer = keys_[layer].size() - 1 - weights.size();
        if (kind_.window > 0 && layer % 2 == 0 && newer >= kind_.window) {
          weights.push_back(0.0);
          continue;
        }
        double score = 0.0;
        for (size_t i = 0; i < size; ++i) score += q[h * size + i] * key[kv + i];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
        sum += weights.back();
      }
      for (size_t p = 0; p < weights.size(); ++p) {
        for (size_t i = 0; i < size; ++i) {
          y[h * size + i] += weights[p] / sum * values_[layer][p][kv + i];
        }
      }
    }
    return y;
  }

  const Kind& kind_;
  const std::map<std::string, Vector>& tensors_;
  const bool rounds_;
  std::vector<std::vector<Vector>> keys_, values_;  // [layer][position]
  size_t position_ = 0;
};

// Long-context scaling with a factor of 4 of a model trained on 2048 positions, by YaRN's paper.
double yarn_stretch(size_t i) {
  constexpr double kPairs = 4.0, kFactor = 4.0;
  const auto pair = [](double rotations) {
    return kPairs * std::log(2048.0 / (rotations * 2.0 * std::numbers::pi)) / std::log(10000.0);
  };
  const double low = std::max(0.0, std::floor(pair(32.0))), high = std::ceil(pair(1.0));
  const double ramp = std::min(1.0, std::max(0.0, (static_cast<double>(i) - low) / (high - low)));
  return (1.0 - ramp) + ramp / kFactor;
}

std::vector<Kind> kinds() {
  const auto scaling = [](const char* type) {
    return [type](Builder& b) {
      b.string("llama.rope.scaling.type", type);
      b.number("llama.rope.scaling.factor", gguf::Kind::f32, 4.0f);
      b.u32("llama.rope.scaling.original_context_length", 2048);
    };
  };
  const auto quarter = [](size_t) { return 0.25; };
  return {
      {.name = "llama"},
      {.name = "llama with an output", .own_output = true, .rope_dims = 4},
      {.name = "llama with large heads", .head_size = 72},
      {.name = "llama linear", .keys = scaling("linear"), .stretch = quarter},
      {.name = "llama yarn",
       .keys = scaling("yarn"),
       .stretch = yarn_stretch,
       .magnitude = 1.0 + 0.1 * std::log(4.0)},
      {.name = "llama of 3.1",
       .keys = [](Builder& b) { b.f32("rope_freqs.weight", {4}); },
       .stretch = [](size_t i) { return 1.0 / static_cast<double>(i + 1); }},
      {.name = "qwen2", .halves = true, .biases = true},
      {.name = "qwen3", .head_size = 72, .halves = true, .head_norms = true, .own_output = true},
      {.name = "qwen3moe", .head_size = 16, .halves = true, .head_norms = true, .experts = true},
      {.name = "llama with experts", .experts = true},
      {.name = "qwen2moe",
       .halves = true,
       .biases = true,
       .experts = true,
       .softmax_of_all = true,
       .shared_expert = true},
      {.name = "olmoe",
       .halves = true,
       .norm_of_all = true,
       .experts = true,
       .softmax_of_all = true},
      {.name = "gpt-oss",
       .head_size = 16,
       .halves = true,
       .biases = true,
       .experts = true,
       .gpt_oss = true,
       .window = 7},
      {.name = "gpt-oss with a short window",
       .halves = true,
       .biases = true,
       .experts = true,
       .gpt_oss = true,
       .window = 1}};
}

std::vector<TokenId> tokens_of(size_t begin, size_t end) {
  std::vector<TokenId> tokens;
  for (size_t i = begin; i < end; ++i) tokens.push_back(static_cast<TokenId>(i * 7 % 24));
  return tokens;
}

// The largest difference of any logit behind any of so many tokens, run in batches.
double worst_logit(const Kind& kind, const TestModel& test, size_t batch, tessera::DType kv,
                   size_t count = 30) {
  tessera::ThreadPool pool(2);
  Forward forward(test.model, pool, {count, batch, batch, kv});
  Reference reference(kind, test.tensors, kv == tessera::DType::q8_0);
  double worst = 0.0;
  for (size_t done = 0; done < count; done += batch) {
    const std::vector<TokenId> tokens = tokens_of(done, done + batch);
    forward.run(tokens, batch);
    for (size_t row = 0; row < batch; ++row) {
      const Vector wanted = reference.next(static_cast<size_t>(tokens[row]));
      for (size_t i = 0; i < kVocab; ++i) {
        const double difference = static_cast<double>(forward.logits(row)[i]) - wanted[i];
        if (!(std::fabs(difference) <= worst)) worst = std::fabs(difference);  // NaN too
      }
    }
  }
  return worst;
}

TEST_CASE("architectures give what the obvious program gives", "[architecture]") {
  for (const Kind& kind : kinds()) {
    const TestModel test(kind);
    for (const size_t batch : {1, 5, 30}) {
      INFO(kind.name << ", batches of " << batch);
      CHECK(worst_logit(kind, test, batch, tessera::DType::f32) < 2e-4);
      const double halves = worst_logit(kind, test, batch, tessera::DType::f16);
      CHECK(halves < 2e-1);
      CHECK(halves > 1e-6);  // they are halves indeed
    }
  }
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  double largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return largest;
}

// Heads of one block; windows within one, and over several.
std::vector<Kind> kinds_with_blocks() {
  std::vector<Kind> list = {{.name = "llama"}};
  for (Kind& kind : kinds()) {
    if (kind.name != "gpt-oss") continue;
    list.push_back(kind);
    kind.window = 40;
    list.push_back(kind);
  }
  for (Kind& kind : list) kind.head_size = 32;
  return list;
}

TEST_CASE("keys and values of 8 bits", "[architecture]") {
  for (const Kind& kind : kinds_with_blocks()) {
    TestModel test(kind);
    for (const size_t batch : {1, 7, 35, 70}) {
      INFO(kind.name << " with a window of " << kind.window << ", batches of " << batch);
      // In a batch, a query sees values rounded that it would not yet alone.
      CHECK(worst_logit(kind, test, batch, tessera::DType::q8_0, 70) < (batch == 1 ? 5e-3 : 2e-1));
    }
    // Positions that are forgotten within a block, and others in their place.
    tessera::ThreadPool pool(2);
    for (const size_t kept : {37, 64, 66}) {
      INFO("kept " << kept);
      Forward again(test.model, pool, {100, 100, 1, tessera::DType::q8_0});
      Forward fresh(test.model, pool, {100, 100, 1, tessera::DType::q8_0});
      again.run(tokens_of(0, kept), 1);
      again.run(tokens_of(50, 120 - kept), 1);
      again.reset(kept);
      again.run(tokens_of(0, 100 - kept), 1);
      std::vector<TokenId> tokens = tokens_of(0, kept);
      const std::vector<TokenId> more = tokens_of(0, 100 - kept);
      tokens.insert(tokens.end(), more.begin(), more.end());
      fresh.run(tokens, 1);
      CHECK(largest_difference(again.logits(0), fresh.logits(0)) < 1e-2);
    }
    // In one layer, keys and values depend on a token and its position alone.
    test.model.layers.resize(1);
    test.model.config.layers = 1;
    for (const size_t count : {5, 32, 60}) {
      INFO("shifted by " << count);
      Forward shifted(test.model, pool, {72, 72, 1, tessera::DType::q8_0});
      Forward fresh(test.model, pool, {72, 72, 1, tessera::DType::q8_0});
      std::vector<TokenId> tokens = tokens_of(0, 71);
      shifted.run(tokens, 1);
      shifted.shift(1, count);
      tokens.erase(tokens.begin() + 1, tokens.begin() + 1 + static_cast<ptrdiff_t>(count));
      fresh.run(tokens, 1);
      const std::vector<TokenId> more = {3};
      shifted.run(more, 1);
      fresh.run(more, 1);
      CHECK(largest_difference(shifted.logits(0), fresh.logits(0)) < 2e-1);  // rounded twice
    }
  }
  const TestModel test(kinds().front());
  tessera::ThreadPool pool(1);
  std::string message;
  try {
    const Forward refused(test.model, pool, {30, 1, 1, tessera::DType::q8_0});
  } catch (const Error& e) {
    message = e.what();
  }
  CHECK(message == "keys and values cannot be q8_0: heads of 8 are not whole blocks of 32");
}

TEST_CASE("a shifted context is that of the tokens that are left", "[architecture]") {
  // In one layer, keys and values depend on a token and its position alone.
  for (const Kind& kind : kinds()) {
    if (kind.name != "llama" && kind.name != "qwen3" && kind.name != "gpt-oss") continue;
    TestModel test(kind);
    test.model.layers.resize(1);
    test.model.config.layers = 1;
    tessera::ThreadPool pool(1);
    for (const auto kv : {tessera::DType::f32, tessera::DType::f16}) {
      Forward shifted(test.model, pool, {12, 12, 1, kv});
      Forward fresh(test.model, pool, {12, 12, 1, kv});
      const std::vector<TokenId> tokens = {1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22};
      shifted.run(tokens, 1);
      shifted.shift(1, 5);
      CHECK(shifted.position() == 7);
      const std::vector<TokenId> left = {1, 2, 6, 10, 14, 18, 22}, more = {3};
      fresh.run(left, 1);
      shifted.run(more, 1);
      fresh.run(more, 1);
      for (size_t i = 0; i < kVocab; ++i) {
        CHECK(std::fabs(shifted.logits(0)[i] - fresh.logits(0)[i]) <
              (kv == tessera::DType::f32 ? 2e-5f : 2e-2f));
      }
    }
  }
}

}  // namespace
}  // namespace llm::test

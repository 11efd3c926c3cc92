// SPDX-License-Identifier: MIT
// Mixtures of experts: what a router decides, what is refused, and small random models against what
// llama.cpp computed with them (experts/make.py).
#include <catch2/catch_test_macros.hpp>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "commands.h"
#include "forward.h"
#include "gguf_builder.h"
#include "loaded.h"
#include "routes.h"

namespace llm::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<Route> routes_of(const std::vector<float>& scores, const ExpertsConfig& config) {
  std::vector<Route> routes(config.chosen);
  choose_experts(scores, config, routes);
  return routes;
}

TEST_CASE("a router chooses the highest scores", "[experts]") {
  const ExpertsConfig two{4, 2, 1, false}, two_of_all{4, 2, 1, true};
  const std::vector<float> scores = {0.5f, 2.0f, -1.0f, 1.0f};
  const double e2 = std::exp(2.0), e1 = std::exp(1.0);
  const double all = e2 + e1 + std::exp(0.5) + std::exp(-1.0);
  for (const ExpertsConfig& config : {two, two_of_all}) {
    const auto routes = routes_of(scores, config);
    CHECK(routes[0].expert == 1);
    CHECK(routes[1].expert == 3);
    const double sum = config.softmax_of_all ? all : e2 + e1;
    CHECK(std::fabs(static_cast<double>(routes[0].factor) - e2 / sum) < 1e-7);
    CHECK(std::fabs(static_cast<double>(routes[1].factor) - e1 / sum) < 1e-7);
  }
  const auto chosen = [&](const std::vector<float>& from) {
    const auto routes = routes_of(from, two);
    return std::vector<size_t>{routes[0].expert, routes[1].expert};
  };
  CHECK(chosen({1, 1, 1, 1}) == std::vector<size_t>{0, 1});
  CHECK(chosen({1, 2, 1, 2}) == std::vector<size_t>{1, 3});
  CHECK(chosen({kNan, 1, kNan, 2}) == std::vector<size_t>{3, 1});
  CHECK(chosen({kNan, kNan, kNan, 2}) == std::vector<size_t>{3, 0});
  CHECK(chosen({kNan, kNan, kNan, kNan}) == std::vector<size_t>{0, 1});
  const auto far = routes_of({1000.0f, -1000.0f, -2000.0f, 999.0f}, two);
  CHECK(std::fabs(far[0].factor + far[1].factor - 1.0f) < 1e-6f);
}

TEST_CASE("routes are gathered for each expert", "[experts]") {
  const ExpertsConfig config{5, 2, 1, false};
  const std::vector<Route> routes = {{4, 0.75f}, {1, 0.25f}, {1, 0.5f}, {4, 0.5f}, {1, 1}, {0, 0}};
  GroupedRoutes grouped;
  for (int again = 0; again < 2; ++again) {
    grouped.set(routes, config);
    REQUIRE(grouped.from_tokens().size() == 3);  // of five experts
    REQUIRE(grouped.from_routes().size() == 3);
    size_t seen = 0;
    for (size_t g = 0; g < 3; ++g) {
      const tessera::ExpertRows &in = grouped.from_tokens()[g], &out = grouped.from_routes()[g];
      CHECK(in.expert == out.expert);
      CHECK(in.factors == nullptr);
      REQUIRE(in.pairs.size() == out.pairs.size());
      for (size_t p = 0; p < in.pairs.size(); ++p, ++seen) {
        const size_t row = in.pairs[p].y;
        CHECK(in.pairs[p].x == row / 2);
        CHECK(out.pairs[p].x == row);
        CHECK(out.pairs[p].y == row);
        CHECK(routes[row].expert == in.expert);
        CHECK(routes[row].factor == out.factors[p]);
      }
    }
    CHECK(seen == routes.size());
  }
}

// tiny_model() with four experts of width 16, of which a token goes to two.
Builder tiny_experts(const std::string& architecture = "qwen3moe") {
  const std::string p = architecture + ".";
  Builder b = tiny_model();
  for (auto& [key, bytes] : b.pairs) {
    if (!key.starts_with("llama.")) continue;
    Bytes value;
    value.data.assign(bytes.data.begin() + static_cast<ptrdiff_t>(8 + key.size()),
                      bytes.data.end());
    key.replace(0, 5, architecture);
    bytes = Bytes().text(key).append(value);
  }
  b.drop("general.architecture").string("general.architecture", architecture);
  b.u32(p + "expert_count", 4).u32(p + "expert_used_count", 2);
  b.u32(p + "expert_feed_forward_length", 16);
  for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) {
    b.drop(std::string("blk.0.") + name + ".weight");
  }
  b.f32("blk.0.attn_q_norm.weight", {8}).f32("blk.0.attn_k_norm.weight", {8});
  b.f32("blk.0.ffn_gate_inp.weight", {32, 4}).f32("blk.0.ffn_gate_exps.weight", {32, 16, 4});
  return b.f32("blk.0.ffn_up_exps.weight", {32, 16, 4})
      .f32("blk.0.ffn_down_exps.weight", {16, 32, 4});
}

std::string refusal(const Builder& builder) {
  return refused([&] {
    const Loaded loaded(builder);
    (void)load_model(loaded.file, loaded.tokenizer->size(), {}, tessera::serial());
  });
}

TEST_CASE("experts that do not fit together are refused", "[experts]") {
  CHECK(refusal(tiny_experts()) == "");
  const auto with = [](const std::string& name, uint32_t value) {
    const std::string key = "qwen3moe." + name;
    return refusal(tiny_experts().drop(key).u32(key, value));
  };
  const auto without = [](const std::string& name) { return refusal(tiny_experts().drop(name)); };
  CHECK(with("expert_count", 0) == "qwen3moe.expert_count = 0 is not in 1 .. 4294967295");
  CHECK(with("expert_used_count", 0) == "qwen3moe.expert_used_count = 0 is not in 1 .. 4294967295");
  CHECK(with("expert_used_count", 5) ==
        "qwen3moe.expert_used_count = 5 is more than qwen3moe.expert_count = 4");
  CHECK(with("expert_count", 3) ==
        "tensor blk.0.ffn_gate_inp.weight has the shape [32, 4], the model needs [32, 3]");
  CHECK(with("expert_feed_forward_length", 24) ==
        "tensor blk.0.ffn_gate_exps.weight has the shape [32, 16, 4], the model needs [32, 24, 4]");
  CHECK(with("expert_feed_forward_length", 0) ==
        "qwen3moe.expert_feed_forward_length = 0 is not in 1 .. 4294967295");
  CHECK(with("expert_group_count", 2) ==
        "qwen3moe.expert_group_count = 2 is not supported, only 1 is");
  CHECK(with("expert_group_count", 1) == "");
  for (const char* key : {"qwen3moe.expert_count", "qwen3moe.expert_used_count"}) {
    CHECK(without(key) == std::string(key) + " is missing");
  }
  for (const std::string name : {"ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}) {
    const std::string tensor = "blk.0." + name + ".weight";
    CHECK(without(tensor) == "tensor " + tensor + " is missing");
  }
  CHECK(refusal(tiny_experts()
                    .drop("blk.0.ffn_up_exps.weight")
                    .f32("blk.0.ffn_up_exps.weight", {32, 64})) ==
        "tensor blk.0.ffn_up_exps.weight has the shape [32, 64], the model needs [32, 16, 4]");
  CHECK(refusal(tiny_experts().f32("blk.0.ffn_up.weight", {32, 64})) ==
        "tensor blk.0.ffn_up.weight belongs to a kind of model that this program does not run");
}

TEST_CASE("experts of other architectures are refused by name", "[experts]") {
  for (const char* name : {"qwen2", "qwen3"}) {
    CHECK(refusal(tiny_experts(name)) ==
          std::string(name) + ".expert_count = 4 is not supported, only 0 is");
  }
  for (const char* name : {"dbrx", "deepseek2", "qwen3next", "grok", "phimoe"}) {
    CHECK(refusal(tiny_experts(name))
              .starts_with("general.architecture = \"" + std::string(name) +
                           "\" is not supported; llama, qwen2, "));
  }
  // In these, other tensors belong to the experts.
  const auto without_norms = [](const char* name) {
    Builder b = tiny_experts(name);
    return b.drop("blk.0.attn_q_norm.weight").drop("blk.0.attn_k_norm.weight");
  };
  CHECK(refusal(without_norms("llama")) == "");
  CHECK(refusal(without_norms("llama").f32("blk.0.ffn_gate_inp_shexp.weight", {32})) ==
        "tensor blk.0.ffn_gate_inp_shexp.weight belongs to a kind of model that this program does "
        "not run");
  CHECK(refusal(without_norms("qwen2moe").u32("qwen2moe.expert_shared_feed_forward_length", 48)) ==
        "tensor blk.0.ffn_gate_inp_shexp.weight is missing");
  CHECK(refusal(tiny_experts("olmoe")) ==
        "tensor blk.0.attn_q_norm.weight has the shape [8], the model needs [32]");
  CHECK(refusal(tiny_experts("gpt-oss")) == "gpt-oss.attention.sliding_window is missing");
  CHECK(refusal(tiny_experts("gpt-oss").u32("gpt-oss.attention.sliding_window", 0)) ==
        "gpt-oss.attention.sliding_window = 0 is not in 1 .. 4294967295");
  CHECK(refusal(tiny_experts("gpt-oss")
                    .u32("gpt-oss.attention.sliding_window", 8)
                    .u32("gpt-oss.attention.sliding_window_pattern", 3)) ==
        "gpt-oss.attention.sliding_window_pattern = 3 is not supported, only 2 is");
  CHECK(refusal(tiny_experts("gpt-oss").u32("gpt-oss.attention.sliding_window", 8)) ==
        "tensor blk.0.post_attention_norm.weight is missing");
  // Without a width of their own, experts are as wide as the feed-forward part would be.
  CHECK(refusal(without_norms("llama").drop("llama.expert_feed_forward_length")) ==
        "tensor blk.0.ffn_gate_exps.weight has the shape [32, 16, 4], the model needs [32, 64, 4]");
}

// What llama.cpp computed with a model of the folder.
struct Recorded {
  explicit Recorded(const std::string& name) {
    std::ifstream lines(path(name + ".tokens"));
    std::string line;
    for (std::vector<TokenId>* row : {&tokens, &following}) {
      std::getline(lines, line);
      std::istringstream numbers(line);
      row->assign(std::istream_iterator<TokenId>(numbers), {});
    }
    std::ifstream raw(path(name + ".logits"), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(raw), {}};
    logits.resize(bytes.size() / sizeof(float));
    std::memcpy(logits.data(), bytes.data(), logits.size() * sizeof(float));
    prompt = tokens.size();
    tokens.insert(tokens.end(), following.begin(), following.end());
    REQUIRE(prompt > 20);
    REQUIRE(following.size() > 10);
  }
  static std::string path(const std::string& name) {
    return std::string(TESSERA_EXPERTS) + "/" + name;
  }
  size_t prompt = 0;  // tokens of it; the others follow
  std::vector<TokenId> tokens, following;
  std::vector<float> logits;  // [tokens, vocab]
};

// The logits behind every token.
std::vector<float> logits_of(const Model& model, const Recorded& recorded, size_t threads,
                             size_t batch) {
  tessera::ThreadPool pool(threads);
  const size_t size = recorded.tokens.size();
  Forward forward(model, pool, {size, batch, batch});
  std::vector<float> out;
  while (forward.position() < size) {
    const size_t count = std::min(batch, size - forward.position());
    forward.run(std::span(recorded.tokens).subspan(forward.position(), count), count);
    for (size_t row = 0; row < count; ++row) {
      out.insert(out.end(), forward.logits(row).begin(), forward.logits(row).end());
    }
  }
  return out;
}

float worst_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  float worst = 0.0f;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::fabs(a[i] - b[i]) <= worst)) worst = std::fabs(a[i] - b[i]);  // NaN too
  }
  return worst;
}

// Against llama.cpp at every position; the bits do not depend on threads.
void check_recorded(const std::string& name, float most, tessera::Accuracy accuracy) {
  const Recorded recorded(name);
  const Loaded loaded(Recorded::path(name + ".gguf"));
  CHECK(loaded.tokenizer->encode("It is a truth universally acknowledged", Specials::parse) ==
        std::vector<TokenId>(recorded.tokens.begin(),
                             recorded.tokens.begin() + static_cast<ptrdiff_t>(recorded.prompt)));
  const size_t vocab = loaded.tokenizer->size();
  for (const Packing packing : {Packing::never, Packing::always}) {
    const Model model =
        load_model(loaded.file, vocab, {{.accuracy = accuracy}, packing}, tessera::serial());
    CHECK((model.packed_bytes > 0) == (packing == Packing::always));
    for (const size_t batch : {size_t{1}, size_t{7}, recorded.tokens.size()}) {
      INFO(name << ", batches of " << batch << (model.packed_bytes > 0 ? ", packed" : ""));
      const std::vector<float> logits = logits_of(model, recorded, 1, batch);
      const float worst = worst_difference(logits, recorded.logits);
      UNSCOPED_INFO("a logit is off by " << worst);
      CHECK(worst <= most);
      CHECK(logits_of(model, recorded, 3, batch) == logits);
    }
  }
}

TEST_CASE("models with experts give what llama.cpp gives", "[experts]") {
  for (const char* name : {"qwen3moe", "mixtral", "qwen2moe", "olmoe", "gpt-oss"}) {
    check_recorded(name + std::string("-f32"), 5e-5f, tessera::Accuracy::fast);
  }
}

TEST_CASE("threads share the work of experts and change no bit", "[experts]") {
  const Loaded loaded(Recorded::path("qwen3moe-q4_0.gguf"));
  std::vector<TokenId> tokens(600);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(i * 7 % 256);
  for (const Packing packing : {Packing::never, Packing::always}) {
    const Model model =
        load_model(loaded.file, loaded.tokenizer->size(), {{}, packing}, tessera::serial());
    const tessera::Matmul expert(model.layers[0].experts.up.value().plan);
    REQUIRE(expert.parts(3 * tokens.size(), 4).run == 4);
    std::vector<std::vector<float>> logits;
    for (const size_t threads : {1, 2, 4}) {
      tessera::ThreadPool pool(threads);
      Forward forward(model, pool, {tokens.size(), tokens.size(), tokens.size()});
      forward.run(tokens, tokens.size());
      logits.emplace_back();
      for (size_t row = 0; row < tokens.size(); ++row) {
        logits.back().insert(logits.back().end(), forward.logits(row).begin(),
                             forward.logits(row).end());
      }
    }
    CHECK(logits[1] == logits[0]);
    CHECK(logits[2] == logits[0]);
  }
}

// Writes a model as two files, the second with every other tensor. Returns the name of the first.
std::string write_parts(const gguf::File& file, const std::filesystem::path& folder) {
  for (uint32_t number = 0; number < 2; ++number) {
    Builder b;
    b.u32("split.count", 2).u32("split.no", number);
    for (const auto& [key, value] : file.metadata()) {
      if (number > 0) continue;
      Bytes pair = Bytes().text(key).kind(value.kind);
      if (value.kind == Kind::array) pair.kind(value.element).put(value.count);
      const auto* raw = reinterpret_cast<const char*>(value.bytes.data());
      b.pair(key, pair.raw({raw, value.bytes.size()}));
    }
    Bytes data;
    for (size_t i = number; i < file.tensors().size(); i += 2) {
      const gguf::Tensor& t = file.tensors()[i];
      const std::vector<uint64_t> dims(t.dims.begin(),
                                       t.dims.begin() + static_cast<ptrdiff_t>(t.n_dims));
      b.tensor({std::string(t.name), dims, static_cast<uint32_t>(t.dtype), data.data.size()});
      data.raw({reinterpret_cast<const char*>(t.data.data()), t.data.size()}).pad(b.alignment);
    }
    const std::vector<std::byte> head = b.build();
    std::ofstream out(folder / ("m-0000" + std::to_string(number + 1) + "-of-00002.gguf"),
                      std::ios::binary);
    for (const std::vector<std::byte>& bytes : {head, data.data}) {
      out.write(reinterpret_cast<const char*>(bytes.data()),
                static_cast<std::streamsize>(bytes.size()));
    }
  }
  return (folder / "m-00001-of-00002.gguf").string();
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_CASE("a model in parts is what it is in one file", "[experts]") {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("experts-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const std::string path = Recorded::path("gpt-oss-f32.gguf");
  const Loaded loaded(path);
  const std::string first = write_parts(loaded.file, folder);
  const gguf::File parts = gguf::File::open_parts(first);
  CHECK(parts.parts() == 2);
  const Recorded recorded("gpt-oss-f32");
  const size_t vocab = loaded.tokenizer->size();
  const Model whole = load_model(loaded.file, vocab, {}, tessera::serial());
  const Model of_parts = load_model(parts, vocab, {}, tessera::serial());
  CHECK(of_parts.weight_bytes == whole.weight_bytes);
  CHECK(logits_of(of_parts, recorded, 1, 10) == logits_of(whole, recorded, 1, 10));

  const auto tensors_of = [&](const std::string& in) {
    const std::string out = (folder / "out.gguf").string();
    quantize({.in = in, .out = out, .type = "q8_0", .threads = 1});
    const gguf::File file = gguf::File::open(out);
    CHECK(file.metadata().size() == loaded.file.metadata().size() + 1);  // general.file_type
    std::map<std::string, std::string> all;
    for (const gguf::Tensor& t : file.tensors()) {
      all[std::string(t.name)].assign(reinterpret_cast<const char*>(t.data.data()), t.data.size());
    }
    return all;
  };
  CHECK(tensors_of(first) == tensors_of(path));
  const std::string second = (folder / "m-00002-of-00002.gguf").string();
  const std::string before = bytes_of(second);
  CHECK(refused([&] { quantize({.in = first, .out = second, .type = "q8_0", .threads = 1}); }) ==
        second + " and " + second + " are the same file");
  CHECK(bytes_of(second) == before);
  std::filesystem::remove_all(folder);
}

TEST_CASE("quantized experts give what llama.cpp gives, but for the rounding of x", "[experts]") {
  for (const auto accuracy : {tessera::Accuracy::exact, tessera::Accuracy::fast}) {
    for (const char* name :
         {"qwen3moe-q4_0", "mixtral-q8_0", "qwen2moe-q5_0", "olmoe-q4_1", "gpt-oss-mxfp4", "wide-q4_k_m", "wide-q3_k_m"}) {
      check_recorded(name, 0.4f, accuracy);
    }
  }
}

}  // namespace
}  // namespace llm::test

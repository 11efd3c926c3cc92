// SPDX-License-Identifier: MIT
#include "model.h"

#include <cmath>
#include <string_view>
#include <unordered_set>

namespace llm {
namespace {

using gguf::Need;

// Reads and checks the numbers of a model. After the first error it does nothing more.
class Numbers {
 public:
  explicit Numbers(const gguf::File& file) : file_(file) {}
  Error error;

  size_t whole(const char* key, Need need = Need::required, size_t usual = 0, size_t least = 1) {
    uint64_t value = usual;
    if (!error) error = file_.read(key, need, value);
    if (!error && (value < least || value > kMost)) {
      error = llm::error("%s = %llu is not in %zu .. %zu", key,
                         static_cast<unsigned long long>(value), least, kMost);
    }
    return static_cast<size_t>(value);
  }
  float positive(const char* key, Need need = Need::required, float usual = 0.0f) {
    float value = usual;
    if (!error) error = file_.read(key, need, value);
    if (!error && !(std::isfinite(value) && value > 0.0f)) {
      error = llm::error("%s = %g is not a finite number above 0", key, static_cast<double>(value));
    }
    return value;
  }
  // States a rule: "a = 3 does not divide b = 8".
  void require(bool holds, const char* a, size_t a_value, const char* rule, const char* b,
               size_t b_value) {
    if (error || holds) return;
    error = llm::error("%s = %zu %s %s = %zu", a, a_value, rule, b, b_value);
  }
  // For keys that change the meaning of the weights in ways that are not implemented.
  void only(const char* key, size_t least, size_t most) {
    const size_t value = whole(key, Need::optional, most, 0);
    if (error || (value >= least && value <= most)) return;
    error = llm::error("%s = %zu is not supported, only %zu is", key, value, most);
  }

 private:
  // Products of two of them and a size of a number do not overflow.
  static constexpr size_t kMost = 0xFFFFFFFFu;
  const gguf::File& file_;
};

// Hands out the tensors of a file by name, each with the shape it must have.
class Weights {
 public:
  Weights(const gguf::File& file, const tessera::PlanOptions& options)
      : file_(file), options_(options) {}

  // A matrix [rows, cols] of any format that the library multiplies.
  Error matrix(const std::string& name, size_t rows, size_t cols, tessera::MatView& out) {
    const gguf::Tensor* t = file_.tensor(name);
    if (t == nullptr) return error("tensor %s is missing", name.c_str());
    if (t->dims[0] != cols || t->rows() != rows || t->n_dims > 2) {
      const std::string more = rows > 1 ? ", " + std::to_string(rows) : "";
      return error("tensor %s has the shape %s, the model needs [%zu%s]", name.c_str(),
                   t->shape().c_str(), cols, more.c_str());
    }
    const tessera::Result<size_t> row_bytes = tessera::row_bytes(t->dtype, cols);
    if (!row_bytes) return error_of(row_bytes.status(), "tensor " + name);
    out = {t->data.data(), rows, cols, *row_bytes, t->dtype};
    used_.insert(t);
    return {};
  }

  // A matrix [n, k] as a plan for products with f32 rows.
  Error plan(const std::string& name, size_t n, size_t k, tessera::Matmul& out) {
    tessera::MatView view;
    if (Error e = matrix(name, n, k, view)) return e;
    const auto plan = tessera::Matmul::plan(view, tessera::DType::f32, options_);
    out = *plan;
    return error_of(plan.status(), "tensor " + name);
  }

  // A vector, decoded to f32.
  Error vector(const std::string& name, size_t size, std::vector<float>& out) {
    tessera::MatView view;
    if (Error e = matrix(name, 1, size, view)) return e;
    out.resize(size);
    return error_of(tessera::quantize(view, tessera::rows_of(out, 1, size)), "tensor " + name);
  }

  // Tensors that nothing asked for: biases, experts, factors of RoPE. The model needs them and
  // would write nonsense without.
  Error all_used() const {
    for (const gguf::Tensor& t : file_.tensors()) {
      if (used_.contains(&t)) continue;
      return error("tensor %s belongs to a kind of model that this program does not run",
                   printable(t.name).c_str());
    }
    return {};
  }

 private:
  const gguf::File& file_;
  const tessera::PlanOptions& options_;
  std::unordered_set<const gguf::Tensor*> used_;
};

Error read_config(const gguf::File& file, size_t vocab, Config& c) {
  constexpr const char *kDim = "llama.embedding_length", *kHeads = "llama.attention.head_count",
                       *kKvHeads = "llama.attention.head_count_kv", *kLayers = "llama.block_count",
                       *kRope = "llama.rope.dimension_count";
  std::string_view architecture, scaling = "none";
  if (Error e = file.read("general.architecture", Need::required, architecture)) return e;
  if (architecture != "llama") {
    return error("general.architecture = \"%s\" is not supported, \"llama\" is",
                 printable(architecture).c_str());
  }
  Numbers numbers(file);
  c.vocab = vocab;
  c.layers = numbers.whole(kLayers);
  c.dim = numbers.whole(kDim);
  c.ffn = numbers.whole("llama.feed_forward_length");
  c.context = numbers.whole("llama.context_length");
  c.heads = numbers.whole(kHeads);
  c.kv_heads = numbers.whole(kKvHeads, Need::optional, c.heads);
  c.rms_epsilon = numbers.positive("llama.attention.layer_norm_rms_epsilon");
  c.rope_base = numbers.positive("llama.rope.freq_base", Need::optional, 10000.0f);
  if (numbers.error) return numbers.error;

  const size_t tensors = file.tensors().size();
  if (c.layers > tensors) {
    return error("%s = %zu, but the file has %zu tensors", kLayers, c.layers, tensors);
  }
  numbers.require(c.dim % c.heads == 0, kHeads, c.heads, "does not divide", kDim, c.dim);
  numbers.require(c.heads % c.kv_heads == 0, kKvHeads, c.kv_heads, "does not divide", kHeads,
                  c.heads);
  c.head_size = c.dim / c.heads;
  c.rope_dims = numbers.whole(kRope, Need::optional, c.head_size, 0);
  numbers.require(c.rope_dims <= c.head_size && c.rope_dims % 2 == 0, kRope, c.rope_dims,
                  "must be even and at most", "the size of a head", c.head_size);
  numbers.only("llama.attention.key_length", c.head_size, c.head_size);
  numbers.only("llama.attention.value_length", c.head_size, c.head_size);
  numbers.only("llama.expert_count", 0, 0);
  numbers.only("split.count", 0, 1);
  if (numbers.error) return numbers.error;
  if (Error e = file.read("llama.rope.scaling.type", Need::optional, scaling)) return e;
  if (scaling == "none") return {};
  return error("llama.rope.scaling.type = \"%s\" is not supported", printable(scaling).c_str());
}

Error read_weights(const gguf::File& file, Model& model) {
  const Config& c = model.config;
  Weights weights(file, model.plan_options);
  const gguf::Tensor* table = file.tensor("token_embd.weight");
  if (table != nullptr && table->rows() != c.vocab) {
    return error("tensor token_embd.weight has the shape %s, but tokenizer.ggml.tokens has %zu",
                 table->shape().c_str(), c.vocab);
  }
  if (Error e = weights.matrix("token_embd.weight", c.vocab, c.dim, model.embedding)) return e;
  if (Error e = weights.vector("output_norm.weight", c.dim, model.output_norm)) return e;
  const bool tied = file.tensor("output.weight") == nullptr;  // the embedding table serves twice
  const char* output = tied ? "token_embd.weight" : "output.weight";
  if (Error e = weights.plan(output, c.vocab, c.dim, model.output)) return e;
  model.layers.resize(c.layers);
  for (size_t i = 0; i < c.layers; ++i) {
    Layer& l = model.layers[i];
    const auto name = [&](const char* part) {
      return "blk." + std::to_string(i) + "." + part + ".weight";
    };
    const struct {
      const char* part;
      size_t n, k;
      tessera::Matmul& plan;
    } plans[] = {{"attn_q", c.dim, c.dim, l.q},      {"attn_k", c.kv_dim(), c.dim, l.k},
                 {"attn_v", c.kv_dim(), c.dim, l.v}, {"attn_output", c.dim, c.dim, l.attn_output},
                 {"ffn_gate", c.ffn, c.dim, l.gate}, {"ffn_up", c.ffn, c.dim, l.up},
                 {"ffn_down", c.dim, c.ffn, l.down}};
    if (Error e = weights.vector(name("attn_norm"), c.dim, l.attn_norm)) return e;
    if (Error e = weights.vector(name("ffn_norm"), c.dim, l.ffn_norm)) return e;
    for (const auto& p : plans) {
      if (Error e = weights.plan(name(p.part), p.n, p.k, p.plan)) return e;
    }
  }
  return weights.all_used();
}

Error pack_weights(Model& model, tessera::Executor executor) {
  std::vector<tessera::Matmul*> plans = {&model.output};
  for (Layer& l : model.layers) {
    plans.insert(plans.end(), {&l.q, &l.k, &l.v, &l.attn_output, &l.gate, &l.up, &l.down});
  }
  for (tessera::Matmul* plan : plans) {
    auto panels = tessera::PackedWeights::pack(*plan, executor);
    if (!panels) return error_of(panels.status(), "packing the weights");
    *plan = panels->plan();
    model.packed.push_back(std::move(*panels));
  }
  return {};
}

}  // namespace

Error load_model(const gguf::File& file, size_t vocab, const ModelOptions& options,
                 tessera::Executor executor, Model& out) {
  out.plan_options = options.plan;
  if (Error e = read_config(file, vocab, out.config)) return e;
  if (Error e = read_weights(file, out)) return e;
  return options.pack ? pack_weights(out, executor) : Error();
}

tessera::Status Model::embed(TokenId token, std::span<float> out) const {
  tessera::MatView row = embedding;
  row.data = static_cast<const std::byte*>(row.data) + static_cast<size_t>(token) * row.row_stride;
  row.rows = 1;
  return tessera::quantize(row, tessera::rows_of(out, 1, row.cols));
}

size_t Model::packed_bytes() const {
  size_t bytes = 0;
  for (const tessera::PackedWeights& p : packed) bytes += p.bytes();
  return bytes;
}

}  // namespace llm

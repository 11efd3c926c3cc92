// SPDX-License-Identifier: MIT
#include "model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "decode.h"
#include "threads.h"

namespace llm {
namespace {

using tessera::DType;
using tessera::MatView;

size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

// Hands out the tensors of a file by name, each with the shape it must have; those of types that
// the library does not multiply get a place where they will be decoded.
class Weights {
 public:
  Weights(const gguf::File& file, Model& model) : file_(file), model_(model) {}

  // A matrix [rows, cols], and with a plan for products with f32 rows.
  Error matrix(const std::string& name, size_t rows, size_t cols, MatView& out) {
    const gguf::Tensor* t = nullptr;
    if (Error e = find(name, rows, cols, t)) return e;
    DType type = t->dtype;
    const bool foreign = can_decode(type);
    if (foreign) type = nearest(type);
    const tessera::Result<size_t> row_bytes = tessera::row_bytes(type, cols);
    if (!row_bytes) return error_of(row_bytes.status(), "tensor " + name);
    out = {t->data.data(), rows, cols, *row_bytes, type};
    if (!foreign) return {};
    const auto [at, is_new] = decoded_.try_emplace(t, decoded_bytes_);
    if (is_new) decoded_bytes_ += round_up(rows * *row_bytes);
    out.data = nullptr;  // decode() knows
    return {};
  }
  Error matrix(const std::string& name, size_t n, size_t k, tessera::Matmul& out) {
    Matrix m{&out, file_.tensor(name), {}};
    if (Error e = matrix(name, n, k, m.w)) return e;
    matrices_.push_back(m);
    model_.weight_bytes += n * m.w.row_stride;
    return {};
  }

  // A vector, decoded to f32.
  Error vector(const std::string& name, size_t size, std::vector<float>& out) {
    const gguf::Tensor* t = nullptr;
    if (Error e = find(name, 1, size, t)) return e;
    out.resize(size);
    if (can_decode(t->dtype)) {
      decode(t->dtype, t->data.data(), size, out.data());
      return {};
    }
    const tessera::Result<size_t> row_bytes = tessera::row_bytes(t->dtype, size);
    if (!row_bytes) return error_of(row_bytes.status(), "tensor " + name);
    return error_of(tessera::quantize({t->data.data(), 1, size, *row_bytes, t->dtype},
                                      tessera::rows_of(out, 1, size)),
                    "tensor " + name);
  }
  Error optional_vector(const std::string& name, size_t size, std::vector<float>& out) {
    return file_.tensor(name) != nullptr ? vector(name, size, out) : Error();
  }

  // Tensors that nothing asked for: experts, say. The model needs them and would write nonsense
  // without.
  Error all_used() const {
    for (const gguf::Tensor& t : file_.tensors()) {
      if (used_.contains(&t)) continue;
      return error("tensor %s belongs to a kind of model that this program does not run",
                   printable(t.name).c_str());
    }
    return {};
  }

  Error decode_and_pack(const ModelOptions& options, const tessera::Executor& executor);

 private:
  struct Matrix {
    tessera::Matmul* plan;
    const gguf::Tensor* tensor;
    MatView w;
  };
  // What decoding did to the tensors of one type.
  struct Loss {
    size_t tensors = 0, bytes = 0, decoded_bytes = 0;
    double squares = 0.0, error_squares = 0.0;  // sums over sampled rows
  };

  Error find(const std::string& name, size_t rows, size_t cols, const gguf::Tensor*& t) {
    t = file_.tensor(name);
    if (t == nullptr) return error("tensor %s is missing", name.c_str());
    if (t->dims[0] != cols || t->rows() != rows || t->n_dims > 2) {
      const std::string more = rows > 1 ? ", " + std::to_string(rows) : "";
      return error("tensor %s has the shape %s, the model needs [%zu%s]", name.c_str(),
                   t->shape().c_str(), cols, more.c_str());
    }
    used_.insert(t);
    return {};
  }
  void place(const gguf::Tensor* t, MatView& w) const {
    const auto at = decoded_.find(t);
    if (at != decoded_.end()) w.data = model_.decoded.span().data() + at->second;
  }
  Error decode_once(const gguf::Tensor* tensor, const MatView& w,
                    const tessera::Executor& executor);
  Error pack(const Matrix& m, std::span<std::byte> panels, const tessera::Executor& executor) const;
  void note(DType type, const Loss& loss);

  const gguf::File& file_;
  Model& model_;
  std::unordered_set<const gguf::Tensor*> used_;
  std::vector<Matrix> matrices_;
  std::unordered_map<const gguf::Tensor*, size_t> decoded_;  // places in model_.decoded
  size_t decoded_bytes_ = 0;
  std::unordered_set<const gguf::Tensor*> done_;  // are decoded
  std::map<DType, Loss> losses_;
};

// Writes a tensor to its place, if it is a foreign one and not there yet.
Error Weights::decode_once(const gguf::Tensor* tensor, const MatView& w,
                           const tessera::Executor& executor) {
  if (!decoded_.contains(tensor) || !done_.insert(tensor).second) return {};
  const gguf::Tensor& t = *tensor;
  Loss& loss = losses_[t.dtype];
  constexpr size_t kSampled = 61;  // of so many rows, one is compared
  struct Sums {
    double squares = 0.0, error_squares = 0.0;
  };
  std::vector<Sums> sums(4 * executor.workers);
  const tessera::Status status = for_parts(executor, sums.size(), [&](tessera::Part part) {
    std::vector<float> before(w.cols), after(w.cols);
    const tessera::Range range = tessera::split(w.rows, 1, part.index, part.count);
    for (size_t r = range.begin; r < range.end; ++r) {
      auto* out = static_cast<std::byte*>(const_cast<void*>(w.data)) + r * w.row_stride;
      const std::byte* in = t.data.data() + r * (t.data.size() / w.rows);
      if (tessera::Status s = convert(t.dtype, in, before, out); !s.ok()) return s;
      if (r % kSampled != 0) continue;
      decode(t.dtype, in, w.cols, before.data());
      (void)tessera::quantize({out, 1, w.cols, w.row_stride, w.dtype},
                              tessera::rows_of(after, 1, w.cols));
      for (size_t i = 0; i < w.cols; ++i) {
        const auto value = static_cast<double>(before[i]);
        sums[part.index].squares += value * value;
        sums[part.index].error_squares += std::pow(value - static_cast<double>(after[i]), 2);
      }
    }
    return tessera::Status();
  });
  let_go(t.data);
  loss.tensors += 1;
  loss.bytes += t.data.size();
  loss.decoded_bytes += w.rows * w.row_stride;
  for (const Sums& s : sums) {
    loss.squares += s.squares;
    loss.error_squares += s.error_squares;
  }
  return error_of(status, "tensor " + printable(t.name));
}

// Copies a matrix into panels and lets go what they are made of.
Error Weights::pack(const Matrix& m, std::span<std::byte> panels,
                    const tessera::Executor& executor) const {
  constexpr size_t kPieceBytes = size_t{4} << 20;
  const size_t parts = std::max(executor.workers, panels.size() / kPieceBytes);
  const tessera::Status status = for_parts(
      executor, parts, [&](tessera::Part part) { return m.plan->pack_weights(panels, part); });
  if (!status.ok()) return error_of(status, "tensor " + printable(m.tensor->name));
  *m.plan = *m.plan->with_packed(panels);
  const bool needed = decoded_.contains(m.tensor) && m.w.data == model_.embedding.data;
  if (!needed) let_go({static_cast<const std::byte*>(m.w.data), m.w.rows * m.w.row_stride});
  return {};
}

Error Weights::decode_and_pack(const ModelOptions& options, const tessera::Executor& executor) {
  if (!model_.decoded.reserve(decoded_bytes_)) {
    return error("not enough memory to decode weights: %zu bytes", decoded_bytes_);
  }
  size_t panel_bytes = 0;
  for (Matrix& m : matrices_) {
    place(m.tensor, m.w);
    const auto plan = tessera::Matmul::plan(m.w, DType::f32, model_.plan_options);
    if (!plan) return error_of(plan.status(), "tensor " + printable(m.tensor->name));
    *m.plan = *plan;
    panel_bytes += round_up(plan->packed_w_bytes());
  }
  const bool fits = options.packing == Packing::always || panel_bytes <= options.memory;
  const bool packs =
      options.packing != Packing::never && fits && model_.panels.reserve(panel_bytes);
  if (!packs && options.packing == Packing::always) {
    return error("not enough memory to pack the weights: %zu bytes", panel_bytes);
  }
  if (!packs && options.packing == Packing::automatic) {
    model_.notes.push_back("the weights are read in place: panels would take " +
                           std::to_string(panel_bytes) + " bytes of memory");
  }
  const gguf::Tensor* table = file_.tensor("token_embd.weight");
  place(table, model_.embedding);
  if (Error e = decode_once(table, model_.embedding, executor)) return e;
  for (const Matrix& m : matrices_) {
    if (Error e = decode_once(m.tensor, m.w, executor)) return e;
    if (!packs) continue;
    const size_t bytes = m.plan->packed_w_bytes();
    const auto panels = model_.panels.span().subspan(model_.packed_bytes, bytes);
    if (Error e = pack(m, panels, executor)) return e;
    model_.packed_bytes += round_up(bytes);
  }
  for (const auto& [type, loss] : losses_) note(type, loss);
  return {};
}

void Weights::note(DType type, const Loss& loss) {
  char text[200];
  std::snprintf(text, sizeof(text),
                "%zu tensors of type %s run as %s: %.1f MiB become %.1f MiB, relative error %.2g",
                loss.tensors, tessera::dtype_name(type), tessera::dtype_name(nearest(type)),
                mebibytes(loss.bytes), mebibytes(loss.decoded_bytes),
                loss.squares > 0.0 ? std::sqrt(loss.error_squares / loss.squares) : 0.0);
  model_.notes.emplace_back(text);
}

Error read_layer(Weights& weights, const Config& c, size_t index, Layer& l) {
  const auto name = [&](const char* part) { return "blk." + std::to_string(index) + "." + part; };
  const struct {
    const char* part;
    size_t n, k;
    tessera::Matmul& plan;
  } matrices[] = {{"attn_q.weight", c.q_dim(), c.dim, l.q},
                  {"attn_k.weight", c.kv_dim(), c.dim, l.k},
                  {"attn_v.weight", c.kv_dim(), c.dim, l.v},
                  {"attn_output.weight", c.dim, c.q_dim(), l.attn_output},
                  {"ffn_gate.weight", c.ffn, c.dim, l.gate},
                  {"ffn_up.weight", c.ffn, c.dim, l.up},
                  {"ffn_down.weight", c.dim, c.ffn, l.down}};
  const struct {
    const char* part;
    size_t size;
    std::vector<float>& values;
  } biases[] = {{"attn_q.bias", c.q_dim(), l.q_bias},
                {"attn_k.bias", c.kv_dim(), l.k_bias},
                {"attn_v.bias", c.kv_dim(), l.v_bias},
                {"attn_output.bias", c.dim, l.attn_output_bias}};
  if (Error e = weights.vector(name("attn_norm.weight"), c.dim, l.attn_norm)) return e;
  if (Error e = weights.vector(name("ffn_norm.weight"), c.dim, l.ffn_norm)) return e;
  if (c.head_norms) {
    if (Error e = weights.vector(name("attn_q_norm.weight"), c.head_size, l.q_norm)) return e;
    if (Error e = weights.vector(name("attn_k_norm.weight"), c.head_size, l.k_norm)) return e;
  }
  for (const auto& b : biases) {
    if (Error e = weights.optional_vector(name(b.part), b.size, b.values)) return e;
  }
  for (const auto& m : matrices) {
    if (Error e = weights.matrix(name(m.part), m.n, m.k, m.plan)) return e;
  }
  return {};
}

Error read_weights(const gguf::File& file, Weights& weights, Model& model) {
  Config& c = model.config;
  const gguf::Tensor* table = file.tensor("token_embd.weight");
  if (table != nullptr && table->rows() != c.vocab) {
    return error("tensor token_embd.weight has the shape %s, but tokenizer.ggml.tokens has %zu",
                 table->shape().c_str(), c.vocab);
  }
  if (Error e = weights.matrix("token_embd.weight", c.vocab, c.dim, model.embedding)) return e;
  if (Error e = weights.vector("output_norm.weight", c.dim, model.output_norm)) return e;
  const bool tied = file.tensor("output.weight") == nullptr;  // the embedding table serves twice
  const char* output = tied ? "token_embd.weight" : "output.weight";
  if (Error e = weights.matrix(output, c.vocab, c.dim, model.output)) return e;
  std::vector<float> factors;  // of Llama 3.1 and later, which stretch each frequency on its own
  const size_t pairs = c.rope.frequencies.size();
  if (Error e = weights.optional_vector("rope_freqs.weight", pairs, factors)) return e;
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0.0f)) {
      return error("tensor rope_freqs.weight: value %zu is %g, not above 0", i,
                   static_cast<double>(factors[i]));
    }
    c.rope.frequencies[i] /= static_cast<double>(factors[i]);
  }
  model.layers.resize(c.layers);
  for (size_t i = 0; i < c.layers; ++i) {
    if (Error e = read_layer(weights, c, i, model.layers[i])) return e;
  }
  return weights.all_used();
}

}  // namespace

Error load_model(const gguf::File& file, size_t vocab, const ModelOptions& options,
                 tessera::Executor executor, Model& out) {
  out.plan_options = options.plan;
  if (Error e = read_config(file, vocab, out.config)) return e;
  Weights weights(file, out);
  if (Error e = read_weights(file, weights, out)) return e;
  return weights.decode_and_pack(options, executor);
}

tessera::Status Model::embed(TokenId token, std::span<float> out) const {
  MatView row = embedding;
  row.data = static_cast<const std::byte*>(row.data) + static_cast<size_t>(token) * row.row_stride;
  row.rows = 1;
  return tessera::quantize(row, tessera::rows_of(out, 1, row.cols));
}

}  // namespace llm

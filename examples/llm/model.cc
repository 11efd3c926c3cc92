// SPDX-License-Identifier: MIT
#include "model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <variant>

#include "decode.h"
#include "text.h"
#include "threads.h"

namespace llm {
namespace {

using tessera::DType;
using tessera::MatView;

size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

std::string shown(const gguf::Tensor& t) { return "tensor " + printable(t.name); }

// What decoding did to the tensors of one type.
struct Loss {
  size_t tensors = 0, bytes = 0, decoded_bytes = 0;
  double squares = 0.0, error_squares = 0.0;  // sums over sampled rows

  std::string text(DType type) const {
    char text[200];
    std::snprintf(text, sizeof(text),
                  "%zu tensors of type %s run as %s: %.1f MiB become %.1f MiB, relative error %.2g",
                  tensors, tessera::dtype_name(type), tessera::dtype_name(kNearest),
                  mebibytes(bytes), mebibytes(decoded_bytes),
                  squares > 0.0 ? std::sqrt(error_squares / squares) : 0.0);
    return text;
  }
};

// Hands out the tensors of a file by name, each with the shape it must have; those of types that
// the library does not multiply get a place where they will be decoded.
class Weights {
 public:
  Weights(const gguf::File& file, Model& model) : file_(file), model_(model) {}

  // A matrix [rows, cols].
  MatView matrix(const std::string& name, size_t rows, size_t cols) {
    return rows_of(find(name, {cols, rows, 1, 1}));
  }
  // The same for products with f32 rows: `plan` will be set.
  void matrix(const std::string& name, size_t n, size_t k, tessera::Matmul& plan) {
    matrices_.push_back({&plan, file_.tensor(name), matrix(name, n, k)});
    model_.weight_bytes += n * matrices_.back().w.row_stride;
  }
  // A matrix [n, k] for each expert, of which a row of x is multiplied with `chosen`; a token has
  // `rows` such rows.
  void experts(const std::string& name, size_t n, size_t k, size_t chosen, size_t rows,
               tessera::GroupedMatmul& plan) {
    const size_t count = model_.config.experts.count;
    const MatView w = rows_of(find(name, {k, n, count, 1}));
    matrices_.push_back({Grouped{&plan, count, chosen}, file_.tensor(name), w});
    model_.weight_bytes += rows * chosen * n * w.row_stride;
  }

  // A vector, decoded to f32; or as many of them as `rows`.
  std::vector<float> vector(const std::string& name, size_t size, size_t rows = 1) {
    const gguf::Tensor& t = find(name, {size, rows, 1, 1});
    std::vector<float> out(rows * size);
    if (can_decode(t.dtype)) {
      decode(t.dtype, t.data.data(), out.size(), out.data());
      return out;
    }
    const size_t row_bytes = value_of(tessera::row_bytes(t.dtype, size), "tensor " + name);
    check(tessera::quantize({t.data.data(), rows, size, row_bytes, t.dtype},
                            tessera::rows_of(out, rows, size)),
          "tensor " + name);
    return out;
  }
  std::vector<float> optional_vector(const std::string& name, size_t size) {
    return file_.tensor(name) != nullptr ? vector(name, size) : std::vector<float>();
  }

  // Tensors that nothing asked for: more experts, say. The model needs them and would write
  // nonsense without.
  void check_all_used() const {
    for (const gguf::Tensor& t : file_.tensors()) {
      if (used_.contains(&t)) continue;
      throw error("%s belongs to a kind of model that this program does not run", shown(t).c_str());
    }
  }

  void decode_and_pack(const ModelOptions& options, const tessera::Executor& executor);

 private:
  // A plan that will be set, for all experts.
  struct Grouped {
    tessera::GroupedMatmul* plan;
    size_t count, chosen;
  };
  struct Matrix {
    std::variant<tessera::Matmul*, Grouped> plan;
    const gguf::Tensor* tensor;
    MatView w;  // the rows of all experts, if it is grouped
  };

  // All rows of a tensor, or of what it will be decoded to.
  MatView rows_of(const gguf::Tensor& t) {
    const size_t rows = t.rows(), cols = t.dims[0];
    const bool foreign = can_decode(t.dtype);
    const DType type = foreign ? kNearest : t.dtype;
    const size_t row_bytes = value_of(tessera::row_bytes(type, cols), shown(t));
    if (!foreign) return {t.data.data(), rows, cols, row_bytes, type};
    const bool is_new = decoded_.try_emplace(&t, decoded_bytes_).second;
    if (is_new) decoded_bytes_ += round_up(rows * row_bytes);
    return {nullptr, rows, cols, row_bytes, type};  // place() knows
  }

  using Dims = std::array<uint64_t, 4>;  // as in a file: the length of a row comes first
  const gguf::Tensor& find(const std::string& name, const Dims& wanted) {
    const gguf::Tensor* t = file_.tensor(name);
    if (t == nullptr) throw error("tensor %s is missing", name.c_str());
    const std::string type = gguf::type_name(t->dtype);
    if (type != tessera::dtype_name(t->dtype)) {  // the library has not even a name for it
      throw error("tensor %s is of type %s, which is not run", name.c_str(), type.c_str());
    }
    if (t->dims != wanted) {
      gguf::Tensor needed;
      needed.dims = wanted;
      needed.n_dims = wanted[2] > 1 ? 3 : wanted[1] > 1 ? 2 : 1;
      throw error("tensor %s has the shape %s, the model needs %s", name.c_str(),
                  t->shape().c_str(), needed.shape().c_str());
    }
    used_.insert(t);
    return *t;
  }
  void place(const gguf::Tensor* t, MatView& w) const {
    const auto at = decoded_.find(t);
    if (at != decoded_.end()) w.data = model_.decoded.bytes.data() + at->second;
  }
  void plan(const Matrix& m, const tessera::PlanOptions& options);
  size_t panel_bytes(const Matrix& m) const;
  bool reserve_panels(size_t bytes, const ModelOptions& options);
  void decode_once(const gguf::Tensor& t, const MatView& w, const tessera::Executor& executor);
  void pack(const Matrix& m, const tessera::Executor& executor);
  bool take_kept_panels(const std::vector<const Matrix*>& packed, const PanelCache& cache);
  void keep_panels(const std::vector<const Matrix*>& packed, const PanelCache& cache);

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
void Weights::decode_once(const gguf::Tensor& t, const MatView& w,
                          const tessera::Executor& executor) {
  if (!decoded_.contains(&t) || !done_.insert(&t).second) return;
  constexpr size_t kSampled = 61;  // of so many rows, one is compared
  std::vector<Loss> parts(4 * executor.workers);
  const tessera::Status status = for_parts(executor, parts.size(), [&](tessera::Part part) {
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
        parts[part.index].squares += value * value;
        parts[part.index].error_squares += std::pow(value - static_cast<double>(after[i]), 2);
      }
    }
    return tessera::Status();
  });
  check(status, shown(t));
  release_pages(t.data);
  Loss& loss = losses_[t.dtype];
  loss.tensors += 1;
  loss.bytes += t.data.size();
  loss.decoded_bytes += w.rows * w.row_stride;
  for (const Loss& part : parts) {
    loss.squares += part.squares;
    loss.error_squares += part.error_squares;
  }
}

// Calls visit(plan) with the Matmul or the GroupedMatmul of a matrix.
template <class Plan, class Visit>
auto with_plan(const Plan& plan, const Visit& visit) {
  if (const auto* single = std::get_if<tessera::Matmul*>(&plan)) return visit(**single);
  return visit(*std::get<1>(plan).plan);
}

void Weights::plan(const Matrix& m, const tessera::PlanOptions& options) {
  if (const auto* single = std::get_if<tessera::Matmul*>(&m.plan)) {
    **single = value_of(tessera::Matmul::plan(m.w, DType::f32, options), shown(*m.tensor));
    return;
  }
  const auto& [plan, count, chosen] = std::get<Grouped>(m.plan);
  MatView first = m.w;
  first.rows /= count;
  const tessera::Experts experts{first, count, first.rows * first.row_stride};
  *plan = value_of(tessera::GroupedMatmul::plan(experts, chosen, DType::f32, options),
                   shown(*m.tensor));
}

size_t Weights::panel_bytes(const Matrix& m) const {
  return with_plan(m.plan, [](const auto& plan) { return plan.packed_w_bytes(); });
}

// Copies a matrix into panels and gives back the memory of what they are made of.
void Weights::pack(const Matrix& m, const tessera::Executor& executor) {
  constexpr size_t kPieceBytes = size_t{4} << 20;
  const size_t bytes = panel_bytes(m);
  const auto panels = model_.panels.bytes.subspan(model_.packed_bytes, bytes);
  const size_t parts = std::max(executor.workers, bytes / kPieceBytes);
  with_plan(m.plan, [&](auto& plan) {
    check(for_parts(executor, parts,
                    [&](tessera::Part part) { return plan.pack_weights(panels, part); }),
          shown(*m.tensor));
    plan = *plan.with_packed(panels);
  });
  model_.packed_bytes += round_up(bytes);
  const bool needed = decoded_.contains(m.tensor) && m.w.data == model_.embedding.data;
  if (!needed) release_pages({static_cast<const std::byte*>(m.w.data), m.w.rows * m.w.row_stride});
}

// Whether the weights are to be packed, for which there is room then.
bool Weights::reserve_panels(size_t bytes, const ModelOptions& options) {
  if (options.packing == Packing::never) return false;
  const bool always = options.packing == Packing::always;
  if (always || bytes <= options.memory) model_.panels = map_pages(bytes);
  if (!model_.panels.bytes.empty()) return true;
  if (always) throw error("not enough memory to pack the weights: %zu bytes", bytes);
  model_.notes.push_back("the weights are read in place: panels would take " +
                         std::to_string(bytes) + " bytes of memory");
  return false;
}

// What a file of their panels says of them.
template <class Matrices>
std::vector<tessera::PanelEntry> entries_of(const Matrices& matrices) {
  std::vector<tessera::PanelEntry> entries;
  for (const auto* m : matrices) {
    entries.push_back(with_plan(m->plan, [](auto& plan) { return tessera::panel_entry(plan); }));
  }
  if (tessera::place_panels(entries) == 0) throw error("panels do not fit the address space");
  return entries;
}

// Panels that an earlier start has kept, if they are still good.
bool Weights::take_kept_panels(const std::vector<const Matrix*>& packed, const PanelCache& cache) {
  if (cache.path.empty() || packed.empty()) return false;
  const std::vector<tessera::PanelEntry> entries = entries_of(packed);
  std::string why_not;
  model_.kept_panels = map_panels(cache, entries, why_not);
  if (!why_not.empty()) model_.notes.push_back("weights are packed again: " + why_not);
  if (model_.kept_panels.bytes.empty()) return false;
  for (size_t i = 0; i < packed.size(); ++i) {
    const auto panels = model_.kept_panels.bytes.subspan(static_cast<size_t>(entries[i].offset),
                                                         static_cast<size_t>(entries[i].bytes));
    with_plan(packed[i]->plan,
              [&](auto& plan) { plan = value_of(plan.with_packed(panels), cache.path); });
    model_.packed_bytes += panels.size();
  }
  return true;
}

// For the next start. If that fails, this one goes on without.
void Weights::keep_panels(const std::vector<const Matrix*>& packed, const PanelCache& cache) {
  if (cache.path.empty()) return;
  const std::vector<tessera::PanelEntry> entries = entries_of(packed);
  std::vector<std::span<const std::byte>> panels;
  size_t at = 0;  // in memory, where they lie as pack() put them
  for (const tessera::PanelEntry& entry : entries) {
    const auto bytes = static_cast<size_t>(entry.bytes);
    panels.push_back(model_.panels.bytes.subspan(at, bytes));
    at += round_up(bytes);
  }
  try {
    write_panels(cache, entries, panels);
  } catch (const Error& e) {
    model_.notes.push_back(std::string("packed weights are not kept: ") + e.what());
  }
}

void Weights::decode_and_pack(const ModelOptions& options, const tessera::Executor& executor) {
  model_.decoded = map_pages(decoded_bytes_);
  if (model_.decoded.bytes.size() < decoded_bytes_) {
    throw error("not enough memory to decode weights: %zu bytes", decoded_bytes_);
  }
  for (Matrix& m : matrices_) {
    place(m.tensor, m.w);
    plan(m, options.plan);
  }
  const bool panels = options.packing != Packing::never;
  std::vector<const Matrix*> packed;
  for (const Matrix& m : matrices_) {
    if (panels) packed.push_back(&m);
  }
  const bool kept = take_kept_panels(packed, options.cache);
  size_t bytes = 0;  // of panels
  for (const Matrix* m : packed) bytes += round_up(panel_bytes(*m));
  const bool packs = !kept && bytes > 0 && reserve_panels(bytes, options);
  const gguf::Tensor* table = file_.tensor("token_embd.weight");
  place(table, model_.embedding);
  decode_once(*table, model_.embedding, executor);
  for (const Matrix& m : matrices_) {
    if (panels && kept) continue;  // W itself is not needed
    decode_once(*m.tensor, m.w, executor);
    if (panels && packs) pack(m, executor);
  }
  if (packs) keep_panels(packed, options.cache);
  for (const auto& [type, loss] : losses_) model_.notes.push_back(loss.text(type));
}

void read_experts(Weights& weights, const Config& c, const std::string& prefix, ExpertLayer& l) {
  const ExpertsConfig& e = c.experts;
  weights.matrix(prefix + "ffn_gate_inp.weight", e.count, c.dim, l.router);
  weights.experts(prefix + "ffn_gate_exps.weight", e.ffn, c.dim, e.chosen, 1, l.gate);
  weights.experts(prefix + "ffn_up_exps.weight", e.ffn, c.dim, e.chosen, 1, l.up);
  weights.experts(prefix + "ffn_down_exps.weight", c.dim, e.ffn, 1, e.chosen, l.down);
  if (e.clipped) {
    l.router_bias = weights.vector(prefix + "ffn_gate_inp.bias", e.count);
    l.gate_bias = weights.vector(prefix + "ffn_gate_exps.bias", e.ffn, e.count);
    l.up_bias = weights.vector(prefix + "ffn_up_exps.bias", e.ffn, e.count);
    l.down_bias = weights.vector(prefix + "ffn_down_exps.bias", c.dim, e.count);
  }
  if (c.ffn > 0) weights.matrix(prefix + "ffn_gate_inp_shexp.weight", 1, c.dim, l.shared_router);
}

void read_layer(Weights& weights, const Config& c, const std::string& prefix, Layer& l) {
  l.attn_norm = weights.vector(prefix + "attn_norm.weight", c.dim);
  // gpt-oss has it by the name of what it follows.
  const bool follows = c.experts.clipped;
  l.ffn_norm =
      weights.vector(prefix + (follows ? "post_attention_norm.weight" : "ffn_norm.weight"), c.dim);
  if (c.sinks) l.sinks = weights.vector(prefix + "attn_sinks.weight", c.heads);
  if (c.head_norms != HeadNorms::none) {
    const bool each = c.head_norms == HeadNorms::each;
    l.q_norm = weights.vector(prefix + "attn_q_norm.weight", each ? c.head_size : c.q_dim());
    l.k_norm = weights.vector(prefix + "attn_k_norm.weight", each ? c.head_size : c.kv_dim());
  }
  l.q_bias = weights.optional_vector(prefix + "attn_q.bias", c.q_dim());
  l.k_bias = weights.optional_vector(prefix + "attn_k.bias", c.kv_dim());
  l.v_bias = weights.optional_vector(prefix + "attn_v.bias", c.kv_dim());
  l.attn_output_bias = weights.optional_vector(prefix + "attn_output.bias", c.dim);
  weights.matrix(prefix + "attn_q.weight", c.q_dim(), c.dim, l.q);
  weights.matrix(prefix + "attn_k.weight", c.kv_dim(), c.dim, l.k);
  weights.matrix(prefix + "attn_v.weight", c.kv_dim(), c.dim, l.v);
  weights.matrix(prefix + "attn_output.weight", c.dim, c.q_dim(), l.attn_output);
  if (c.experts.count > 0) read_experts(weights, c, prefix, l.experts);
  if (c.ffn == 0) return;
  const bool shared = c.experts.count > 0;
  const std::string whose = shared ? "_shexp" : "";
  if (!shared) {
    l.gate_bias = weights.optional_vector(prefix + "ffn_gate.bias", c.ffn);
    l.up_bias = weights.optional_vector(prefix + "ffn_up.bias", c.ffn);
    l.down_bias = weights.optional_vector(prefix + "ffn_down.bias", c.dim);
  }
  weights.matrix(prefix + "ffn_gate" + whose + ".weight", c.ffn, c.dim, l.gate);
  weights.matrix(prefix + "ffn_up" + whose + ".weight", c.ffn, c.dim, l.up);
  weights.matrix(prefix + "ffn_down" + whose + ".weight", c.dim, c.ffn, l.down);
}

void read_weights(const gguf::File& file, Weights& weights, Model& model) {
  Config& c = model.config;
  const gguf::Tensor* table = file.tensor("token_embd.weight");
  if (table != nullptr && table->rows() != c.vocab) {
    throw error("tensor token_embd.weight has the shape %s, but tokenizer.ggml.tokens has %zu",
                table->shape().c_str(), c.vocab);
  }
  model.embedding = weights.matrix("token_embd.weight", c.vocab, c.dim);
  model.output_norm = weights.vector("output_norm.weight", c.dim);
  const bool tied = file.tensor("output.weight") == nullptr;  // the embedding table serves twice
  weights.matrix(tied ? "token_embd.weight" : "output.weight", c.vocab, c.dim, model.output);
  // Llama 3.1 and later stretch each frequency on its own.
  const auto factors = weights.optional_vector("rope_freqs.weight", c.rope.frequencies.size());
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0.0f)) {
      throw error("tensor rope_freqs.weight: value %zu is %g, not above 0", i,
                  static_cast<double>(factors[i]));
    }
    c.rope.frequencies[i] /= static_cast<double>(factors[i]);
  }
  model.layers.resize(c.layers);
  for (size_t i = 0; i < c.layers; ++i) {
    read_layer(weights, c, "blk." + std::to_string(i) + ".", model.layers[i]);
  }
  weights.check_all_used();
}

}  // namespace

Model load_model(const gguf::File& file, size_t vocab, const ModelOptions& options,
                 tessera::Executor executor) {
  Model model;
  model.plan_options = options.plan;
  model.config = read_config(file, vocab);
  Weights weights(file, model);
  read_weights(file, weights, model);
  weights.decode_and_pack(options, executor);
  return model;
}

tessera::Status Model::embed(TokenId token, std::span<float> out) const {
  MatView row = embedding;
  row.data = static_cast<const std::byte*>(row.data) + static_cast<size_t>(token) * row.row_stride;
  row.rows = 1;
  return tessera::quantize(row, tessera::rows_of(out, 1, row.cols));
}

}  // namespace llm

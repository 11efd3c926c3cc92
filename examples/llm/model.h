// SPDX-License-Identifier: MIT
// A model: its numbers, and its weights as plans of matrix products, over the mapped file or over
// panels made of it.
//
// Shapes as everywhere in the library: a weight is W[n, k], n outputs of k inputs.
#ifndef TESSERA_EXAMPLES_LLM_MODEL_H_
#define TESSERA_EXAMPLES_LLM_MODEL_H_

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "error.h"
#include "gguf.h"
#include "memory.h"
#include "ops.h"
#include "panel_cache.h"
#include "system.h"
#include "tessera/tessera.h"
#include "tokenizer.h"

namespace llm {

/// Rotary position embedding: at position p, pair i of a head is rotated by p * frequencies[i]
/// radians and grows by `magnitude`.
struct Rope {
  RopePairs pairs = RopePairs::neighbours;
  std::vector<double> frequencies;
  double magnitude = 1.0;
};

/// How queries and keys are normalized before RoPE: not, each head for itself, or all heads at
/// once.
enum class HeadNorms : uint8_t { none, each, all };

/// A mixture of experts: a router gives each expert a score for each token, which goes to those of
/// the highest scores. What they make of it is added up, each times its factor. A shared expert is
/// one more, which every token goes to; its factor has a router of its own.
struct ExpertsConfig {
  size_t count = 0;             // 0: there are none
  size_t chosen = 0;            // that a token goes to
  size_t ffn = 0;               // width of an expert's inner part
  bool softmax_of_all = false;  // factors are a softmax over all experts, not over the chosen ones
  bool clipped = false;         // the SwiGLU is gpt-oss's; all products have biases
};

struct Config {
  std::string architecture;
  size_t layers = 0;
  size_t dim = 0;        // width of the residual stream
  size_t ffn = 0;        // width of the feed-forward part, or the shared expert; 0: there is none
  size_t heads = 0;      // of queries
  size_t kv_heads = 0;   // of keys and values; each serves heads / kv_heads heads of queries
  size_t head_size = 0;  // dim / heads, unless the file says otherwise
  size_t context = 0;    // positions that the model was trained on
  size_t window = 0;     // positions that layers 0, 2, ... see, the newest; 0: all
  size_t vocab = 0;
  float rms_epsilon = 0.0f;
  HeadNorms head_norms = HeadNorms::none;
  bool sinks = false;  // each head has a score that no value belongs to
  ExpertsConfig experts;
  Rope rope;
  size_t q_dim() const { return heads * head_size; }
  size_t kv_dim() const { return kv_heads * head_size; }
  /// The first position that a layer sees from `position`.
  size_t first_seen(size_t layer, size_t position) const {
    const bool all = window == 0 || layer % 2 != 0 || position < window;
    return all ? 0 : position + 1 - window;
  }
};

/// Throws unless a file is a model of an architecture that is run; asks for nothing else.
void check_architecture(const gguf::File& file);

/// Reads it from the metadata of a file, checked against itself. `vocab` is the tokenizer's.
Config read_config(const gguf::File& file, size_t vocab);

/// The experts of a layer, their products each for all of them.
struct ExpertLayer {
  tessera::Matmul router;                 // [count, dim]
  tessera::GroupedMatmul gate, up;        // count x [ffn, dim]
  tessera::GroupedMatmul down;            // count x [dim, ffn]
  std::vector<float> router_bias;         // [count] or empty
  std::vector<float> gate_bias, up_bias;  // [count, ffn] or empty
  std::vector<float> down_bias;           // [count, dim] or empty
  tessera::Matmul shared_router;          // [1, dim], or empty
};

struct Layer {
  std::vector<float> attn_norm, ffn_norm;  // [dim]
  std::vector<float> q_norm, k_norm;       // [head_size], or of all heads; see Config::head_norms
  std::vector<float> sinks;                // [heads], empty without Config::sinks
  std::vector<float> q_bias, k_bias, v_bias;  // [q_dim], [kv_dim] or empty
  std::vector<float> attn_output_bias;        // [dim] or empty
  std::vector<float> gate_bias, up_bias;      // [ffn] or empty
  std::vector<float> down_bias;               // [dim] or empty
  tessera::Matmul q;                          // [q_dim, dim]
  tessera::Matmul k, v;                       // [kv_dim, dim]
  tessera::Matmul attn_output;                // [dim, q_dim]
  tessera::Matmul gate, up;                   // [ffn, dim]; empty if ffn is 0
  tessera::Matmul down;                       // [dim, ffn]
  ExpertLayer experts;
};

/// Whether the weights are copied into panels, which are faster to multiply: where that holds for
/// one row too and as far as memory goes, not at all (they are then multiplied where they lie), or
/// in any case.
enum class Packing : uint8_t { automatic, never, always };

struct ModelOptions {
  tessera::PlanOptions plan;
  Packing packing = Packing::never;
  size_t memory = available_memory();  // that automatic packing may take
  PanelCache cache = {};               // where panels are kept between starts
};

struct Model {
  Config config;
  tessera::PlanOptions plan_options;
  tessera::MatView embedding;  // [vocab, dim]
  std::vector<Layer> layers;
  std::vector<float> output_norm;  // [dim]
  tessera::Matmul output;          // [vocab, dim]
  size_t weight_bytes = 0;         // of all matrices that a token is multiplied with
  size_t packed_bytes = 0;         // of all matrices as panels; 0 if they are multiplied in place
  std::vector<std::string> notes;  // what whoever loaded it should tell its user

  Pages panels, decoded;
  MappedFile kept_panels;  // from an earlier start, instead of `panels`

  /// The row of the embedding table that belongs to a token -> f32 [dim].
  tessera::Status embed(TokenId token, std::span<float> out) const;
};

/// Checks, plans, decodes and packs everything; `file` must outlive the model. `vocab` is the
/// tokenizer's.
Model load_model(const gguf::File& file, size_t vocab, const ModelOptions& options,
                 tessera::Executor executor);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_MODEL_H_

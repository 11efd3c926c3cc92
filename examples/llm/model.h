// SPDX-License-Identifier: MIT
// A Llama model: its numbers, checked against each other and the tensors, and its weights as plans
// of matrix products over the mapped file.
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
#include "tessera/tessera.h"
#include "tokenizer.h"

namespace llm {

struct Config {
  size_t layers = 0;
  size_t dim = 0;        // width of the residual stream
  size_t ffn = 0;        // width of the feed-forward part
  size_t heads = 0;      // of queries
  size_t kv_heads = 0;   // of keys and values; each serves heads / kv_heads heads of queries
  size_t head_size = 0;  // dim / heads
  size_t rope_dims = 0;  // leading values of a head that are rotated
  size_t context = 0;    // positions that the model was trained on
  size_t vocab = 0;
  float rms_epsilon = 0.0f;
  float rope_base = 10000.0f;
  size_t kv_dim() const { return kv_heads * head_size; }
};

struct Layer {
  std::vector<float> attn_norm, ffn_norm;  // [dim]
  tessera::Matmul q;                       // [dim, dim]
  tessera::Matmul k, v;                    // [kv_dim, dim]
  tessera::Matmul attn_output;             // [dim, dim]
  tessera::Matmul gate, up;                // [ffn, dim]
  tessera::Matmul down;                    // [dim, ffn]
};

struct Model {
  Config config;
  tessera::PlanOptions plan_options;
  tessera::MatView embedding;  // [vocab, dim]
  std::vector<Layer> layers;
  std::vector<float> output_norm;  // [dim]
  tessera::Matmul output;          // [vocab, dim]
  std::vector<tessera::PackedWeights> packed;

  /// The row of the embedding table that belongs to a token -> f32 [dim].
  tessera::Status embed(TokenId token, std::span<float> out) const;
  /// Bytes of the weights as panels; 0 if they are multiplied where they lie.
  size_t packed_bytes() const;
};

struct ModelOptions {
  tessera::PlanOptions plan;
  bool pack = false;  // copy the weights into panels, else multiply where they lie
};

/// Checks and plans everything; `file` must outlive the model. `vocab` is the tokenizer's.
Error load_model(const gguf::File& file, size_t vocab, const ModelOptions& options,
                 tessera::Executor executor, Model& out);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_MODEL_H_

// SPDX-License-Identifier: MIT
// The numbers of a model, checked against each other.
#ifndef TESSERA_EXAMPLES_LLM_CONFIG_H_
#define TESSERA_EXAMPLES_LLM_CONFIG_H_

#include <cstddef>
#include <string>
#include <vector>

#include "error.h"
#include "gguf.h"
#include "ops.h"

namespace llm {

/// Rotary position embedding: at position p, pair i of a head turns by p * frequencies[i] radians
/// and grows by `magnitude`.
struct Rope {
  RopePairs pairs = RopePairs::neighbours;
  std::vector<double> frequencies;
  double magnitude = 1.0;
};

struct Config {
  std::string architecture;
  size_t layers = 0;
  size_t dim = 0;        // width of the residual stream
  size_t ffn = 0;        // width of the feed-forward part
  size_t heads = 0;      // of queries
  size_t kv_heads = 0;   // of keys and values; each serves heads / kv_heads heads of queries
  size_t head_size = 0;  // dim / heads, unless the file says otherwise
  size_t context = 0;    // positions that the model was trained on
  size_t vocab = 0;
  float rms_epsilon = 0.0f;
  bool head_norms = false;  // queries and keys are normalized, each head for itself
  Rope rope;
  size_t q_dim() const { return heads * head_size; }
  size_t kv_dim() const { return kv_heads * head_size; }
};

/// Reads it from the metadata of a file. `vocab` is the tokenizer's.
Error read_config(const gguf::File& file, size_t vocab, Config& out);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_CONFIG_H_

// SPDX-License-Identifier: MIT
// Logits of every position of a prompt, as llama.cpp computes them with a KV cache in f32, for
// make.py.
//   record MODEL PROMPT OUT        OUT: f32 [positions, vocabulary]
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "llama.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) return 1;
  const llama_vocab* vocab = llama_model_get_vocab(model);
  std::vector<llama_token> tokens(512);
  const int count = llama_tokenize(vocab, argv[2], static_cast<int32_t>(std::strlen(argv[2])),
                                   tokens.data(), static_cast<int32_t>(tokens.size()), true, true);
  if (count <= 0) return 1;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 512;
  params.n_batch = params.n_ubatch = 512;
  params.n_threads = params.n_threads_batch = 1;
  params.type_k = params.type_v = GGML_TYPE_F32;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) return 1;
  llama_batch batch = llama_batch_init(count, 0, 1);
  batch.n_tokens = count;
  for (int i = 0; i < count; ++i) {
    batch.token[i] = tokens[static_cast<size_t>(i)];
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  if (llama_decode(context, batch) != 0) return 1;
  std::FILE* out = std::fopen(argv[3], "wb");
  if (out == nullptr) return 1;
  const size_t width = static_cast<size_t>(llama_vocab_n_tokens(vocab));
  for (int i = 0; i < count; ++i) {
    if (std::fwrite(llama_get_logits_ith(context, i), sizeof(float), width, out) != width) return 1;
  }
  return std::fclose(out) == 0 ? 0 : 1;
}

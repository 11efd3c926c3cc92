// SPDX-License-Identifier: MIT
// Logits of every position of a prompt and of tokens that follow it at temperature 0, as llama.cpp
// computes them with a KV cache in f32, for make.py here and in ../experts.
//   record MODEL PROMPT OUT [FOLLOWING]        OUT: f32 [positions, vocabulary]
// Prints the tokens of the prompt, and in a second line those that follow.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "llama.h"

namespace {

// Decodes tokens from a position on and appends the logits behind each; false if that fails.
bool decode(llama_context* context, const std::vector<llama_token>& tokens, llama_pos position,
            std::vector<float>& logits) {
  const size_t width =
      static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context))));
  const int count = static_cast<int>(tokens.size());
  llama_batch batch = llama_batch_init(count, 0, 1);
  batch.n_tokens = count;
  for (int i = 0; i < count; ++i) {
    batch.token[i] = tokens[static_cast<size_t>(i)];
    batch.pos[i] = position + i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  const bool good = llama_decode(context, batch) == 0;
  for (int i = 0; good && i < count; ++i) {
    const float* row = llama_get_logits_ith(context, i);
    logits.insert(logits.end(), row, row + width);
  }
  llama_batch_free(batch);
  return good;
}

void print(const std::vector<llama_token>& tokens) {
  for (const llama_token token : tokens) std::printf("%d ", token);
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) return 2;
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) return 1;
  const llama_vocab* vocab = llama_model_get_vocab(model);
  std::vector<llama_token> tokens(512);
  const int count = llama_tokenize(vocab, argv[2], static_cast<int32_t>(std::strlen(argv[2])),
                                   tokens.data(), static_cast<int32_t>(tokens.size()), true, true);
  if (count <= 0) return 1;
  tokens.resize(static_cast<size_t>(count));
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 512;
  params.n_batch = params.n_ubatch = 512;
  params.n_threads = params.n_threads_batch = 1;
  params.type_k = params.type_v = GGML_TYPE_F32;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) return 1;
  std::vector<float> logits;
  if (!decode(context, tokens, 0, logits)) return 1;
  std::vector<llama_token> following;
  const auto width = static_cast<std::ptrdiff_t>(llama_vocab_n_tokens(vocab));
  for (int i = 0; i < (argc == 5 ? std::atoi(argv[4]) : 0); ++i) {
    const auto last = logits.end() - width;
    following.push_back(static_cast<llama_token>(std::max_element(last, logits.end()) - last));
    if (!decode(context, {following.back()}, count + i, logits)) return 1;
  }
  print(tokens);
  print(following);
  std::FILE* out = std::fopen(argv[3], "wb");
  if (out == nullptr) return 1;
  if (std::fwrite(logits.data(), sizeof(float), logits.size(), out) != logits.size()) return 1;
  return std::fclose(out) == 0 ? 0 : 1;
}

// SPDX-License-Identifier: MIT
// What the subcommands of tessera-llm do. Text and data go to stdout, everything else to stderr.
#ifndef TESSERA_EXAMPLES_LLM_COMMANDS_H_
#define TESSERA_EXAMPLES_LLM_COMMANDS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "error.h"
#include "loaded.h"

namespace llm {

struct GenerateArguments {
  ModelArguments model;
  std::string prompt;
  int64_t count = -1;  // tokens to generate; -1: until the model ends or the context is full
  float temperature = 0.8f;
  float top_p = 0.95f;
  int64_t seed = -1;  // -1: another one each time
  bool display_prompt = true;
  bool ids = false;
  bool ignore_eos = false;
  bool context_shift = false;  // forget half of a full context, do not stop
  std::string logits_path;     // empty: do not write them
};

struct PerplexityArguments {
  ModelArguments model;
  std::string text_path;
};

/// Continues a prompt.
Error generate(const GenerateArguments& arguments);
/// How badly the model predicts a text, as llama.cpp's perplexity tool counts it: the text is cut
/// into chunks of `context` tokens, each begins with BOS, and predictions in its second half count.
Error perplexity(const PerplexityArguments& arguments);
/// Shows metadata and tensors of a file.
Error info(const std::string& path);
/// Lists the targets that are compiled in.
Error list_targets();

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_COMMANDS_H_

// SPDX-License-Identifier: MIT
// What the subcommands of tessera-llm do. Text and data go to stdout, everything else to stderr.
#ifndef TESSERA_EXAMPLES_LLM_COMMANDS_H_
#define TESSERA_EXAMPLES_LLM_COMMANDS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "error.h"
#include "sampler.h"

namespace llm {

struct ModelArguments {
  std::string path;
  std::string target;    // empty: the best one
  size_t threads = 0;    // 0: the cores that may be used
  size_t context = 0;    // positions; 0: the model's own, at most 4096
  bool exact = false;    // do not round the inputs of products
  bool pack = false;     // copy the weights into panels
  std::string log_json;  // file for the closing report; empty: none
};

struct GenerateArguments {
  ModelArguments model;
  std::string prompt, prompt_path;  // the path, if there is one, is read into the prompt
  int64_t count = -1;  // tokens to generate; -1: until the model ends or the context is full
  SamplerOptions sampling;
  int64_t seed = -1;  // -1: another one each time
  bool display_prompt = true;
  bool ids = false;
  bool ignore_eos = false;
  bool chat = false;                  // talk: prompt and stdin are what the user says
  std::string system, chat_template;  // in a chat; empty: none, and the file's own
  std::string logits_path;            // empty: do not write them
};

struct PerplexityArguments {
  ModelArguments model;
  std::string text_path;
};

struct TokenizeArguments {
  std::string model_path, text, text_path;  // the path, if there is one, is read into the text
  bool bos = true;
  bool parse_special = true;
};

/// Continues a prompt or chats.
Error generate(const GenerateArguments& arguments);
/// How badly the model predicts a text, as llama.cpp's perplexity tool counts it: the text is cut
/// into chunks of `context` tokens, each begins with BOS, and predictions in its second half count.
Error perplexity(const PerplexityArguments& arguments);
/// Prints the ids of a text's tokens. The file needs no more than the tokenizer's keys.
Error tokenize(const TokenizeArguments& arguments);
/// Shows metadata and tensors of a file.
Error info(const std::string& path);
/// Lists the targets that are compiled in.
Error list_targets();

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_COMMANDS_H_

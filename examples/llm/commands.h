// SPDX-License-Identifier: MIT
// What the subcommands of tessera-llm do. Text and data go to stdout, everything else to stderr.
#ifndef TESSERA_EXAMPLES_LLM_COMMANDS_H_
#define TESSERA_EXAMPLES_LLM_COMMANDS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model.h"
#include "sampler.h"

namespace llm {

struct ModelArguments {
  std::string path;
  std::string target;  // empty: the best one
  size_t threads = 0;  // 0: the cores that may be used
  size_t context = 0;  // positions; 0: the model's own, at most 4096
  tessera::Accuracy accuracy = tessera::Accuracy::fast;
  Packing packing = Packing::automatic;
  std::string pack_cache;                   // folder for panels; empty: they are not kept
  tessera::DType kv = tessera::DType::f32;  // of keys and values, or f16 or q8_0
  std::optional<tessera::DType> kv_values;  // if it was asked for: the same
  bool lock_memory = false;                 // keep all of it out of swap space
  std::string log_json;                     // file for the closing report; empty: none
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
  bool context_shift = false;         // forget half of a full context, do not stop
  bool chat = false;                  // talk: prompt and stdin are what the user says
  std::string system, chat_template;  // in a chat; empty: none, and the model's own
  std::string chat_template_path;     // file with a template; empty: none
  bool escapes = false;               // in prompt and system's text, "\\n" is a new line
  size_t batch = 2048, ubatch = 512;  // the smaller one: most prompt tokens in one pass
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

struct BenchArguments {
  ModelArguments model;
  std::vector<size_t> prompts = {512};      // tests ppN: N tokens in batches
  std::vector<size_t> generations = {128};  // tests tgN: N tokens, one at a time
  size_t depth = 0;                         // tokens in the context before each test
  size_t batch = 2048, ubatch = 512;        // the smaller one: most prompt tokens in one pass
  size_t repetitions = 5;
  std::string format = "md";  // or csv, json
  bool verbose = false;       // say where the time goes
};

struct QuantizeArguments {
  std::string in, out;
  std::string type;    // one of those that the library multiplies
  size_t threads = 0;  // 0: the cores that may be used
};

/// Continues a prompt or chats.
void generate(GenerateArguments arguments);
/// How badly the model predicts a text, as llama.cpp's perplexity tool counts it: the text is cut
/// into chunks of `context` tokens, each begins with BOS, and predictions in its second half count.
void perplexity(const PerplexityArguments& arguments);
/// Times each test after one run to warm up and prints a row for each, as llama-bench does.
void bench(const BenchArguments& arguments);
/// Writes a copy of a file of f32, f16 and bf16 tensors: matrices as the type (as f16 where their
/// rows are not whole blocks), the rest as f32. `out` appears complete or not at all.
void quantize(const QuantizeArguments& arguments);
/// The types that it writes, with commas.
std::string quantize_types();
/// Prints the ids of a text's tokens. The file needs no more than the tokenizer's keys.
void tokenize(const TokenizeArguments& arguments);
/// Shows metadata and tensors of a file.
void info(const std::string& path);
/// Lists the targets that are compiled in.
void list_targets();

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_COMMANDS_H_

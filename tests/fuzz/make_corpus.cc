// SPDX-License-Identifier: MIT
// usage: fuzz_corpus FOLDER
// Writes a few seeds for each fuzz target, each in a folder of its name.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "gguf_builder.h"
#include "support/random.h"

namespace {

using namespace llm::test;

std::filesystem::path root;

void seed(const char* target, const std::string& name, std::string_view bytes) {
  std::filesystem::create_directories(root / target);
  std::ofstream(root / target / name, std::ios::binary) << bytes;
}

void seed(const char* target, const std::string& name, const Builder& builder) {
  const std::vector<std::byte> bytes = builder.build();
  seed(target, name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: fuzz_corpus FOLDER\n";
    return 2;
  }
  root = argv[1];
  const std::string texts[] = {
      "",
      "Hello world, it's 1234  5,\n\n x",
      "  \t\r\n\n  a",
      "b</s>b<tool>ab<|im_end|>\xE2\x96\x81",
      "caf\xC3\xA9 \xF0\x9F\x98\x80 \xE6\x97\xA5\xE6\x9C\xAC \xC2\x85\xE2\x80\xA8",
      "\xFF\xC3 a\xE2\x82 \xED\xA0\x80 \xF4\x90\x80\x80"};
  for (char which = 0; which < 5; ++which) {
    int number = 0;
    for (const std::string& text : texts) {
      seed("tokenizer", std::to_string(which) + "-" + std::to_string(number++), which + text);
    }
  }
  for (const std::string& text : texts) {
    seed("vocabulary", std::to_string(text.size()), text + text + "a b\\\\ab\\\\" + text);
  }
  const char* const templates[] = {
      "{{'<|im_start|>' + role + '\n'}}",
      "<|im_start|><|im_sep|>",
      "<|start_header_id|>{{role}}<|end_header_id|>",
      "{{'<|start_header_id|>' + m.role + '<|end_header_id|>' + m | trim}}"
      "{{ \"Cutting Knowledge Date: x\" }}{{ 'Today Date: ' + d }}",
      "{{ '<|im_start|>system\\nBe kind.<|im_end|>' }}",
      "{% if 'user' %}{{ bos_token + '[INST] ' + m.strip() + ' [/INST]' }}"
      "{% if 'assistant' %}{{ ' ' + m + ' ' + eos_token }}<<SYS>>",
      "[INST] <<SYS>>\n",
      "[INST] {{m}} [/INST]",
      "[AVAILABLE_TOOLS][INST]",
      "[SYSTEM_PROMPT][INST]",
      "{{'<|user|>\n' + m + eos_token }}<|assistant|>",
      "<|user|><|assistant|><|end|>"};
  int number = 0;
  for (const char* text : templates) seed("chat", std::to_string(number++), text);

  const char* const command_lines[] = {
      "",
      "-m\na.gguf\n-p\nOnce\n-n\n16\n--temp\n0\n-t\n2",
      "generate\n-m\na\n-cnv\n-sys\nBe kind.\n--chat-template\nchatml\n-e\n-c\n0",
      "-ngl\n99\n-fa\n-b\n512\n-ub\n512\n-np\n1\n--mlock\n--no-mmap\n-no-cnv\n-m\na\n-f\n-",
      "bench\n-m\na\n-p\n512,128\n-n\n0,64\n-r\n3\n-o\njson\n-fa=on",
      "perplexity\n-m\na\n-f\nb\n--accuracy\nEXACT\n--kv=f16\n--pack\nnever",
      "tokenize\n-m\na\n-p\nb\n--no-bos\n--no-parse-special",
      "quantize\na\nb\nq8_0\n-t2",
      "info\n-m\na",
      "targets",
      "help\nbench",
      "--temp\nnan\n--top-k\n-1\n--top-p\n1e400\n-s\n-1\n-n-1\n-hf\na/b"};
  number = 0;
  for (const char* words : command_lines) seed("options", std::to_string(number++), words);

  seed("gguf", "spm", tiny_model());
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "default"}) {
    seed("gguf", pre, tiny_bpe_model(pre));
  }
  tessera::test::Rng rng(1);
  for (number = 0; number < 64; ++number) {  // as many bytes as a case draws
    std::string bytes(160, '\0');
    for (char& byte : bytes) byte = static_cast<char>(rng.below(256));
    seed("matmul", std::to_string(number), bytes);
  }

  Builder small;  // a file of some hundred bytes reaches further in the same time
  small.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", {"<unk>", "a"});
  small.number("general.alignment", Kind::u32, uint32_t{32}).f32("t", {4, 2});
  seed("gguf", "small", small);
  small.n_tensors = ~uint64_t{0};
  seed("gguf", "tensors", small);
  small.n_tensors.reset();
  small.n_pairs = uint64_t{1} << 63;
  seed("gguf", "pairs", small);
  return 0;
}

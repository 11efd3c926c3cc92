// SPDX-License-Identifier: MIT
// Any vocabulary, refused or used: tokens, types, scores and merges out of the input, then a text.
#include <fuzzer/FuzzedDataProvider.h>

#include "fuzz.h"

using namespace llm::test;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kMost = 40;
  FuzzedDataProvider in(data, size);
  Builder b;
  const bool bpe = in.ConsumeBool();
  b.string("tokenizer.ggml.model", bpe ? "gpt2" : "llama");
  b.string("tokenizer.ggml.pre",
           in.PickValueInArray({"gpt-2", "smollm", "llama-bpe", "qwen2", "default"}));
  for (const char* id : {"bos", "eos", "eot", "unknown"}) {
    if (!in.ConsumeBool()) continue;
    b.u32(std::string("tokenizer.ggml.").append(id).append("_token_id"),
          in.ConsumeIntegralInRange<uint32_t>(0, kMost));
  }
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
  std::vector<float> scores;
  for (size_t n = in.ConsumeIntegralInRange<size_t>(0, kMost); n > 0; --n) {
    tokens.push_back(in.ConsumeRandomLengthString(8));
    types.push_back(in.ConsumeIntegralInRange<int32_t>(0, 7));
    scores.push_back(static_cast<float>(in.ConsumeIntegral<int8_t>()));
  }
  for (size_t n = in.ConsumeIntegralInRange<size_t>(0, kMost); bpe && n > 0; --n) {
    merges.push_back(in.ConsumeRandomLengthString(9));
  }
  b.strings("tokenizer.ggml.tokens", tokens).strings("tokenizer.ggml.merges", merges);
  b.numbers("tokenizer.ggml.token_type", Kind::i32, types);
  b.numbers("tokenizer.ggml.scores", Kind::f32, scores);
  Made made(b);
  try {
    made.tokenizer = llm::Tokenizer::create(made.file);
  } catch (const llm::Error&) {
    return 0;
  }
  const std::string text = in.ConsumeRemainingBytesAsString();
  there_and_back(*made.tokenizer, text, llm::Specials::parse, llm::Bos::usual);
  there_and_back(*made.tokenizer, text, llm::Specials::as_text, llm::Bos::never);
  return 0;
}

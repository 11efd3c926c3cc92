// SPDX-License-Identifier: MIT
// Any text under sound vocabularies. The first byte chooses the vocabulary, the rest is the text.
#include "fuzz.h"

using namespace llm::test;

namespace {

llm::Tokenizer& tokenizer(size_t which) {
  static const auto all = [] {
    std::vector<std::unique_ptr<Made>> made;
    made.push_back(std::make_unique<Made>(tiny_model()));
    for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2"}) {
      made.push_back(std::make_unique<Made>(tiny_bpe_model(pre)));
    }
    for (auto& m : made) m->tokenizer = llm::Tokenizer::create(m->file);
    return made;
  }();
  return *all[which % all.size()]->tokenizer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t which = data[0] % 5;
  const llm::Tokenizer& t = tokenizer(which);
  const std::string_view text = text_of(data + 1, size - 1);
  there_and_back(t, text, llm::Specials::parse, llm::Bos::usual);
  const std::string back = there_and_back(t, text, llm::Specials::as_text, llm::Bos::never);
  // Nothing is lost. Under SPM a blank comes in front and behind each token that a user defined,
  // and U+2581 is a blank.
  const bool same = text.find("\xE2\x96\x81") == text.npos && text.find("<tool>") == text.npos;
  if (which > 0) must(back == text);
  if (which == 0 && same) must(back == (text.empty() ? "" : " " + std::string(text)));
  return 0;
}

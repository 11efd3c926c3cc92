// SPDX-License-Identifier: MIT
// Any chat template, recognized or not, and what the user says.
#include "chat.h"
#include "fuzz.h"

using namespace llm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static test::Made made(test::tiny_model());
  if (made.tokenizer == nullptr) made.tokenizer = Tokenizer::create(made.file);
  const std::string_view text = test::text_of(data, size);
  const std::string_view form = ChatTemplate::recognize(text);
  if (form.empty()) return 0;
  const ChatTemplate chat(made.file, *made.tokenizer, form);
  for (const bool first : {true, false}) {
    const std::string turn = chat.turn(text.substr(0, size / 2), text, first);
    test::must(turn.find(text) != turn.npos && turn.size() < size + size / 2 + 200);
  }
  return 0;
}

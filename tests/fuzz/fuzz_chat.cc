// SPDX-License-Identifier: MIT
// Any chat template, recognized or not, and what the user says.
#include "chat.h"
#include "fuzz.h"

using namespace llm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static test::Made made(test::tiny_model());
  static const bool created = !Tokenizer::create(made.file, made.tokenizer);
  test::must(created);
  const std::string_view text = test::text_of(data, size);
  const std::string_view form = ChatTemplate::recognize(text);
  if (form.empty()) return 0;
  ChatTemplate chat;
  test::must(!ChatTemplate::find(made.file, *made.tokenizer, form, chat));
  for (const bool first : {true, false}) {
    const std::string turn = chat.turn(text.substr(0, size / 2), text, first);
    test::must(turn.find(text) != turn.npos && turn.size() < size + size / 2 + 200);
  }
  return 0;
}

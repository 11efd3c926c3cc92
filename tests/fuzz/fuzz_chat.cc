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
  const std::string_view system = text.substr(0, size / 2);
  const std::vector<Turn> turns = {{"a", std::string(text)}, {std::string(text), ""}};
  // By its name a form writes everything as it was said.
  const ChatTemplate named(made.file, *made.tokenizer, form);
  for (const size_t from : {0u, 1u}) {
    const std::string out = named.text(system, turns, from);
    test::must(out.find(text) != out.npos && out.size() < 2 * size + size / 2 + 400);
  }
  // The template may trim and write words of its own, and no more than it has.
  const ChatTemplate read(made.file, *made.tokenizer, "", text);
  const std::string whole = read.text(system, turns), last = read.text(system, turns, 1);
  test::must(whole.size() < 16 * size + 800 && last.size() < whole.size());
  return 0;
}

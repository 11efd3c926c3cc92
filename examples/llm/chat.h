// SPDX-License-Identifier: MIT
// Chat: how the turns of a conversation are put into words.
#ifndef TESSERA_EXAMPLES_LLM_CHAT_H_
#define TESSERA_EXAMPLES_LLM_CHAT_H_

#include <string>
#include <string_view>

#include "error.h"
#include "gguf.h"
#include "tokenizer.h"

namespace llm {

/// One of a few well-known forms of conversation. The chat template in a file is a program in
/// Jinja; it is never run: marks in its text tell which form it makes.
class ChatTemplate {
 public:
  /// The name of the form that a Jinja template makes, empty if it is none of ours.
  static std::string_view recognize(std::string_view jinja);
  /// The form by its name or, if that is empty, the one that `jinja` or else the file's template
  /// makes.
  ChatTemplate(const gguf::File& file, const Tokenizer& tokenizer, std::string_view name,
               std::string_view jinja = {});

  /// What the model has to read before it answers the user: the first turn with the system's text,
  /// any other one with what ends the answer before it.
  std::string turn(std::string_view system, std::string_view user, bool first) const;

 private:
  std::string system_begin_, system_end_, user_begin_, user_end_, answer_end_;
  bool system_in_turn_ = false;  // the system's text stands within the first turn of the user
  bool trims_ = false;           // blanks around what is said do not count
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_CHAT_H_

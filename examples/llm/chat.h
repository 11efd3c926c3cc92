// SPDX-License-Identifier: MIT
// Chat: how the turns of a conversation are put into words.
#ifndef TESSERA_EXAMPLES_LLM_CHAT_H_
#define TESSERA_EXAMPLES_LLM_CHAT_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "error.h"
#include "gguf.h"
#include "jinja.h"
#include "tokenizer.h"

namespace llm {

struct Turn {
  std::string user, answer;  // the answer as the model wrote it
};

/// One of a few well-known forms of conversation. The chat template in a file is a program in
/// Jinja; it is never run: marks in its text tell which form it makes, and what it writes around
/// what is said.
class ChatTemplate {
 public:
  /// The name of the form that a Jinja template makes, empty if it is none of ours.
  static std::string_view recognize(std::string_view jinja);
  /// The form by its name or, if that is empty, the one that `jinja` or else the file's template
  /// makes.
  ChatTemplate(const gguf::File& file, const Tokenizer& tokenizer, std::string_view name,
               std::string_view jinja = {});

  /// What the model has to read before it answers the last of the turns: the whole conversation, or
  /// what follows the answer to the turn before `from`. An empty `system` is none.
  std::string text(std::string_view system, std::span<const Turn> turns, size_t from = 0) const;
  /// Whether BOS stands in front of the text.
  Bos bos() const { return bos_; }
  /// A word for the user where special tokens of the form are not in the vocabulary; mostly empty.
  const std::string& note() const { return note_; }

 private:
  struct Names {
    std::string_view bos, eos;
  };
  void read(std::string_view source, const Names& names);
  void read_trims(std::string_view source, const jinja::Statement& s);
  void read_instruction(const jinja::Statement& s, const Names& names);
  void read_system(std::string_view source, const jinja::Statement& s);
  void note_missing(std::string_view specials, const Tokenizer& tokenizer);
  std::string system_turn(std::string_view system) const;
  std::string answer_text(std::string_view answer) const;

  std::string opening_;  // in front of the conversation
  std::string system_begin_, system_end_, user_begin_, user_end_, answer_begin_, answer_end_;
  std::string default_system_;  // where the user gives none
  std::string preamble_;        // in front of the system's text, whether there is one or not
  std::string repeated_bos_;    // in front of each turn but the first
  std::string note_;
  Bos bos_ = Bos::usual;
  bool system_in_turn_ = false;  // the system's text stands within a turn of the user
  bool system_last_ = false;     // in the last one, not the first
  bool drops_thoughts_ = false;  // answers count from behind </think>
  bool has_channels_ = false;  // they count from behind the last answer_begin_, which is a channel
  // Blanks around what they say do not count.
  bool trims_system_ = false, trims_user_ = false, trims_answer_ = false;
};

/// The date as templates write it, "29 Nov 2026", or by digits, "2026-11-29".
std::string today();
std::string today_in_digits();

/// How many tokens a context that holds `held` keeps when a conversation is `whole`: at least one
/// is left to be read.
size_t tokens_to_keep(std::span<const TokenId> held, std::span<const TokenId> whole);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_CHAT_H_

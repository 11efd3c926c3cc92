// SPDX-License-Identifier: MIT
#include "chat.h"

#include "text.h"

#include <algorithm>
#include <iterator>

namespace llm {
namespace {

// BOS and EOS stand for these tokens of the vocabulary.
#define BOS "\x01"
#define EOS "\x02"
constexpr struct Form {
  const char *name, *system_begin, *system_end, *user_begin, *user_end, *answer_end;
  bool system_in_turn;
} kForms[] = {
    {"chatml", "<|im_start|>system\n", "<|im_end|>\n", "<|im_start|>user\n",
     "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n", false},
    {"llama2", "<<SYS>>\n", "\n<</SYS>>\n\n", "[INST] ", " [/INST]", " " EOS BOS, true},
    {"llama3", "<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>",
     "<|start_header_id|>user<|end_header_id|>\n\n",
     "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>", false},
    {"mistral-v1", "", "\n\n", "[INST] ", " [/INST]", EOS, true},
    {"mistral-v3", "", "\n\n", "[INST] ", "[/INST]", EOS, true},
    {"mistral-v3-tekken", "", "\n\n", "[INST]", "[/INST]", EOS, true},
    {"zephyr", "<|system|>\n", EOS "\n", "<|user|>\n", EOS "\n<|assistant|>\n", EOS "\n", false},
};

std::string_view trimmed(std::string_view text) {
  constexpr const char* kBlanks = " \t\n\v\f\r";
  const size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

}  // namespace

std::string_view ChatTemplate::recognize(std::string_view jinja) {
  const auto has = [&](std::string_view mark) { return jinja.find(mark) != jinja.npos; };
  if (has("<|im_start|>")) return has("<|im_sep|>") ? "" : "chatml";
  if (has("<|start_header_id|>") && has("<|end_header_id|>")) return "llama3";
  if (const size_t user = jinja.find("<|user|>"); user != jinja.npos && has("<|assistant|>")) {
    // Others write the same names of roles, but not the end token behind the user's words.
    const std::string_view words = jinja.substr(user, jinja.find("}}", user) - user);
    for (const char* end : {"eos_token", "</s>", "<|endoftext|>"}) {
      if (words.find(end) != words.npos) return "zephyr";
    }
    return "";
  }
  if (!has("[INST]") || has("[SYSTEM_PROMPT]")) return "";
  if (has("<<SYS>>")) return "llama2";
  if (!has("[AVAILABLE_TOOLS]")) return "mistral-v1";
  return has(" [INST]") || has("[INST] ") ? "mistral-v3" : "mistral-v3-tekken";
}

ChatTemplate::ChatTemplate(const gguf::File& file, const Tokenizer& tokenizer,
                           std::string_view name, std::string_view jinja) {
  constexpr const char* kKey = "tokenizer.chat_template";
  const char* source = jinja.empty() ? kKey : "the template";
  const std::string names = names_of(kForms);
  const bool by_name = !name.empty();
  if (!by_name) {
    if (jinja.empty()) jinja = file.get(kKey, std::string_view());
    if (jinja.empty()) {
      throw error("the file has no %s; --chat-template names one of: %s", kKey, names.c_str());
    }
    name = recognize(jinja);
    for (const char* mark : {"| trim", "|trim", ".strip()"}) {
      trims_ = trims_ || jinja.find(mark) != jinja.npos;
    }
  }
  const auto* form = std::find_if(std::begin(kForms), std::end(kForms),
                                  [&](const Form& f) { return name == f.name; });
  if (form == std::end(kForms) && by_name) {
    throw error("--chat-template \"%s\" is not one of: %s", printable(name).c_str(), names.c_str());
  }
  if (form == std::end(kForms)) {
    throw error("%s is of no known form; --chat-template names one of: %s", source, names.c_str());
  }
  const Vocabulary& v = tokenizer.vocabulary();
  const auto filled = [&](std::string_view text) {
    std::string result;
    for (const char c : text) {
      const TokenId id = c == *BOS ? v.bos : c == *EOS ? v.eos : kNoToken;
      if (c != *BOS && c != *EOS) result += c;
      if (id != kNoToken) result += v.texts[static_cast<size_t>(id)];
    }
    return result;
  };
  system_begin_ = filled(form->system_begin);
  system_end_ = filled(form->system_end);
  user_begin_ = filled(form->user_begin);
  user_end_ = filled(form->user_end);
  answer_end_ = filled(form->answer_end);
  system_in_turn_ = form->system_in_turn;
}

std::string ChatTemplate::turn(std::string_view system, std::string_view user, bool first) const {
  if (trims_) {
    system = trimmed(system);
    user = trimmed(user);
  }
  std::string text, instruction;
  if (first && !system.empty()) {
    instruction.append(system_begin_).append(system).append(system_end_);
  }
  if (!first) text += answer_end_;
  if (!system_in_turn_) text += instruction;
  text += user_begin_;
  if (system_in_turn_) text += instruction;
  return text.append(user).append(user_end_);
}

}  // namespace llm

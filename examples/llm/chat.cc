// SPDX-License-Identifier: MIT
#include "chat.h"

#include "system.h"
#include "text.h"

#include <algorithm>
#include <ctime>
#include <initializer_list>
#include <iterator>

namespace llm {
namespace {

// BOS and EOS stand for these tokens of the vocabulary, DAY for the date by digits. `specials` are
// special tokens by their nature, with a blank between them.
#define BOS "\x01"
#define EOS "\x02"
#define DAY "\x03"
constexpr struct Form {
  const char *name, *system_begin, *system_end, *user_begin, *user_end, *answer_begin, *answer_end;
  bool system_in_turn;
  const char* specials;
  const char* opening = "";
} kForms[] = {
    {"chatml", "<|im_start|>system\n", "<|im_end|>\n", "<|im_start|>user\n",
     "<|im_end|>\n<|im_start|>assistant\n", "", "<|im_end|>\n", false, "<|im_start|> <|im_end|>"},
    {"gpt-oss", "<|start|>developer<|message|># Instructions\n\n", "\n\n<|end|>",
     "<|start|>user<|message|>", "<|end|><|start|>assistant", "<|channel|>final<|message|>",
     "<|end|>", false, "<|start|> <|end|> <|message|> <|channel|>",
     "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
     "Knowledge cutoff: 2024-06\nCurrent date: " DAY "\n\nReasoning: medium\n\n"
     "# Valid channels: analysis, commentary, final. Channel must be included for every "
     "message.<|end|>"},
    {"llama2", "<<SYS>>\n", "\n<</SYS>>\n\n", "[INST] ", " [/INST]", " ", " " EOS, true, ""},
    {"llama3", "<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>",
     "<|start_header_id|>user<|end_header_id|>\n\n",
     "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", "", "<|eot_id|>", false,
     "<|start_header_id|> <|end_header_id|> <|eot_id|>"},
    {"mistral-v1", "", "\n\n", "[INST] ", " [/INST]", "", EOS, true, ""},
    {"mistral-v3", "", "\n\n", "[INST] ", "[/INST]", "", EOS, true, "[INST] [/INST]"},
    {"mistral-v3-tekken", "", "\n\n", "[INST]", "[/INST]", "", EOS, true, "[INST] [/INST]"},
    {"zephyr", "<|system|>\n", EOS "\n", "<|user|>\n", EOS "\n<|assistant|>\n", "", EOS "\n", false,
     ""},
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

bool contains_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return contains(text, part); });
}

bool is_token(const jinja::Term& t) {
  return !t.literal && (t.text.starts_with("bos_token") || t.text.starts_with("eos_token"));
}

// What is said, and not who says it.
bool is_said(const jinja::Term& t) {
  return !t.literal && !is_token(t) && !contains(t.text, "role");
}

std::string literals(const jinja::Statement& s) {
  std::string out;
  for (const jinja::Term& t : s.terms) out += t.literal ? t.text : "\n";
  return out;
}

// The last role that is named in the conditions before a statement.
std::string_view role_before(std::string_view source, size_t at) {
  std::string_view role;
  size_t best = 0;
  for (const std::string_view name : {"system", "user", "assistant"}) {
    for (const char quote : {'\'', '"'}) {
      const size_t found = source.rfind(quote + std::string(name) + quote, at);
      if (found == source.npos || found < best) continue;
      best = found;
      role = name;
    }
  }
  return role;
}

// Who says what a statement writes; empty if it may be anybody.
std::string_view speaker(std::string_view source, const jinja::Statement& s) {
  const bool anybody = std::any_of(s.terms.begin(), s.terms.end(), [](const jinja::Term& t) {
    return !t.literal && contains(t.text, "role");
  });
  if (anybody) return {};
  const std::string text = literals(s);
  if (contains_any(text, {"[INST]", "<|user|>", ">user"})) return "user";
  if (contains(text, "assistant")) return "assistant";
  if (contains_any(text, {"<<SYS>>", "system"}) || contains(s.source, "messages[0]") ||
      contains(s.source, "system_message")) {
    return "system";
  }
  return role_before(source, s.begin);
}

}  // namespace

std::string today_in_digits() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  char text[16] = "2024-07-26";
  if (local_time(now, local)) std::strftime(text, sizeof(text), "%Y-%m-%d", &local);
  return text;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm local{};
  if (!local_time(now, local)) return "26 Jul 2024";
  const std::string day = std::to_string(local.tm_mday);
  return (day.size() < 2 ? "0" + day : day) + " " + kMonths[local.tm_mon] + " " +
         std::to_string(1900 + local.tm_year);
}

size_t tokens_to_keep(std::span<const TokenId> held, std::span<const TokenId> whole) {
  const auto end = std::mismatch(held.begin(), held.end(), whole.begin(), whole.end()).first;
  const auto same = static_cast<size_t>(end - held.begin());
  return whole.empty() ? 0 : std::min(same, whole.size() - 1);
}

std::string_view ChatTemplate::recognize(std::string_view jinja) {
  const auto has = [&](std::string_view mark) { return contains(jinja, mark); };
  if (has("<|start|>") && has("<|channel|>") && has("<|message|>")) return "gpt-oss";
  if (has("<|im_start|>")) return has("<|im_sep|>") ? "" : "chatml";
  if (has("<|start_header_id|>") && has("<|end_header_id|>")) return "llama3";
  if (const size_t user = jinja.find("<|user|>"); user != jinja.npos && has("<|assistant|>")) {
    // Others write the same names of roles, but not the end token behind the user's words.
    const std::string_view words = jinja.substr(user, jinja.find("}}", user) - user);
    return contains_any(words, {"eos_token", "</s>", "<|endoftext|>"}) ? "zephyr" : "";
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
  const auto token = [&](TokenId id) {
    return id != kNoToken ? v.texts[static_cast<size_t>(id)] : std::string_view();
  };
  const Names special{token(v.bos), token(v.eos)};
  const auto filled = [&](std::string_view text) {
    std::string result;
    for (const char c : text) {
      if (c == *BOS || c == *EOS) {
        result += c == *BOS ? special.bos : special.eos;
      } else if (c == *DAY) {
        result += today_in_digits();
      } else {
        result += c;
      }
    }
    return result;
  };
  opening_ = filled(form->opening);
  system_begin_ = filled(form->system_begin);
  system_end_ = filled(form->system_end);
  user_begin_ = filled(form->user_begin);
  user_end_ = filled(form->user_end);
  answer_begin_ = filled(form->answer_begin);
  answer_end_ = filled(form->answer_end);
  system_in_turn_ = form->system_in_turn;
  has_channels_ = name == "gpt-oss";
  if (name == "llama2") repeated_bos_ = special.bos;
  if (!by_name) read(jinja, special);
  note_missing(form->specials, tokenizer);
}

void ChatTemplate::note_missing(std::string_view specials, const Tokenizer& tokenizer) {
  std::string missing;
  while (!specials.empty()) {
    const std::string_view name = specials.substr(0, specials.find(' '));
    specials.remove_prefix(std::min(name.size() + 1, specials.size()));
    if (tokenizer.encode(name, Specials::parse, Bos::never).size() == 1) continue;
    missing.append(missing.empty() ? "" : ", ").append(name);
  }
  if (missing.empty()) return;
  note_ = "the vocabulary has no special token " + missing +
          ": the chat is written in letters that the model may not know";
}

void ChatTemplate::read(std::string_view source, const Names& names) {
  std::string own;  // what the form itself writes
  for (const std::string* s : {&system_begin_, &user_begin_, &user_end_, &answer_end_}) own += *s;
  if (system_in_turn_) repeated_bos_.clear();
  for (const jinja::Statement& s : jinja::statements(source)) {
    read_trims(source, s);
    if (system_in_turn_) read_instruction(s, names);
    if (!system_in_turn_) read_system(source, s);
    for (const jinja::Term& t : s.terms) {
      const bool begins = t.literal && !names.bos.empty() && t.text.starts_with(names.bos) &&
                          !contains(own, names.bos);
      if (begins || (!t.literal && t.text.starts_with("bos_token"))) bos_ = Bos::always;
    }
  }
  system_last_ = system_in_turn_ && contains(source, "loop.last and system_message");
  drops_thoughts_ = contains_any(source, {"split('</think>')[-1]", "split(\"</think>\")[-1]"});
}

void ChatTemplate::read_trims(std::string_view source, const jinja::Statement& s) {
  if (std::none_of(s.terms.begin(), s.terms.end(),
                   [](const jinja::Term& t) { return t.trims && is_said(t); })) {
    return;
  }
  const std::string_view who = speaker(source, s);
  // Within a turn of the user the system's text is the one that is set beforehand.
  const bool system =
      !system_in_turn_ || contains(s.source, "messages[0]") || contains(s.source, "system_message");
  trims_system_ = trims_system_ || ((who.empty() || who == "system") && system);
  trims_user_ = trims_user_ || who.empty() || who == "user";
  trims_answer_ = trims_answer_ || who.empty() || who == "assistant";
}

// What stands around the words of the user, or around those of the model.
void ChatTemplate::read_instruction(const jinja::Statement& s, const Names& names) {
  const auto first = std::find_if(s.terms.begin(), s.terms.end(), is_said);
  if (first == s.terms.end()) return;
  const auto last = std::find_if(s.terms.rbegin(), s.terms.rend(), is_said).base();
  const auto joined = [&](auto begin, auto end) {
    std::string out;
    for (auto t = begin; t != end; ++t) {
      if (t->literal) out += t->text;
      if (!t->literal && t->text.starts_with("eos_token")) out += names.eos;
    }
    return out;
  };
  const std::string before = joined(s.terms.begin(), first), after = joined(last, s.terms.end());
  if (contains(before, "[INST]") && contains(after, "[/INST]")) {
    user_begin_ = before;
    user_end_ = after;
    if (is_token(s.terms.front())) repeated_bos_ = names.bos;
  } else if (!names.eos.empty() && contains(after, names.eos)) {
    answer_begin_ = before;
    answer_end_ = after;
  }
}

// What the system says where the user has it say nothing.
void ChatTemplate::read_system(std::string_view source, const jinja::Statement& s) {
  constexpr std::string_view kCutting = "Cutting Knowledge Date: ", kToday = "Today Date: ";
  const std::string_view before = source.substr(0, s.begin);
  const size_t opened = before.rfind("{%");
  const std::string_view condition = before.substr(opened == before.npos ? 0 : opened + 1);
  for (const jinja::Term& t : s.terms) {
    if (!t.literal) continue;
    std::string_view text = t.text;
    if (text.starts_with(kCutting)) preamble_ = text;
    if (text.starts_with(kToday)) {
      const bool knows_day = contains(source, "strftime_now");
      preamble_.append(kToday).append(knows_day ? today() : "26 Jul 2024").append("\n\n");
    }
    if (!text.starts_with(system_begin_) || contains(condition, "tools")) continue;
    text.remove_prefix(system_begin_.size());
    if (!text.empty()) default_system_ = text.substr(0, text.find(system_end_));
  }
}

std::string ChatTemplate::system_turn(std::string_view system) const {
  if (system.empty() && default_system_.empty() && preamble_.empty()) return {};
  const std::string_view given = trims_system_ ? trimmed(system) : system;
  return system_begin_ + preamble_ + std::string(system.empty() ? default_system_ : given) +
         system_end_;
}

std::string ChatTemplate::answer_text(std::string_view answer) const {
  if (const size_t thought = answer.rfind("</think>"); drops_thoughts_ && thought != answer.npos) {
    answer.remove_prefix(thought + 8);
    answer.remove_prefix(std::min(answer.find_first_not_of('\n'), answer.size()));
  }
  if (has_channels_) {  // of a thought alone nothing is left
    const size_t last = answer.rfind(answer_begin_);
    if (last == answer.npos && contains(answer, "<|channel|>")) answer = {};
    if (last != answer.npos) answer.remove_prefix(last);
  }
  if (trims_answer_) answer = trimmed(answer);
  // A model that was taught a blank in front of its answers writes it itself.
  if (!answer_begin_.empty() && answer.starts_with(answer_begin_)) {
    answer.remove_prefix(answer_begin_.size());
  }
  return answer_begin_ + std::string(answer);
}

std::string ChatTemplate::text(std::string_view system, std::span<const Turn> turns,
                               size_t from) const {
  std::string out = from == 0 ? opening_ : std::string();
  for (size_t i = from; i < turns.size(); ++i) {
    if (i > 0) out += answer_end_ + repeated_bos_;
    const bool instructs = !turns.empty() && i == (system_last_ ? turns.size() - 1 : 0);
    const std::string instruction = instructs ? system_turn(system) : std::string();
    std::string said = (system_in_turn_ ? instruction : std::string()) + turns[i].user;
    if (trims_user_) said = std::string(trimmed(said));
    out += system_in_turn_ ? std::string() : instruction;
    out += user_begin_ + said + user_end_;
    if (i + 1 < turns.size()) out += answer_text(turns[i].answer);
  }
  return out;
}

}  // namespace llm

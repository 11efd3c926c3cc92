// SPDX-License-Identifier: MIT
// chat.h, jinja.h: conversations as the templates of models write them.
#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "chat.h"
#include "gguf_builder.h"
#include "jinja.h"
#include "loaded.h"
#include "text.h"
#include "tokenizer.h"

namespace llm::test {
namespace {

TEST_CASE("chat templates are recognized by their marks", "[chat]") {
  const auto form = [](std::string_view jinja) { return ChatTemplate::recognize(jinja); };
  CHECK(form("{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n'}}{% endfor %}") ==
        "chatml");
  CHECK(form("{{ '<|im_start|>user<|im_sep|>' }}") == "");
  CHECK(form("{{'<|start_header_id|>' + role + '<|end_header_id|>\n\n'}}") == "llama3");
  CHECK(form("{{ bos_token + '[INST] <<SYS>>\n' + s + '\n<</SYS>>\n\n' }}") == "llama2");
  CHECK(form("{{ '[INST] ' + m['content'] + ' [/INST]' }}") == "mistral-v1");
  CHECK(form("[AVAILABLE_TOOLS] {{ '[INST] ' + m['content'] + '[/INST]' }}") == "mistral-v3");
  CHECK(form("[AVAILABLE_TOOLS]{{ '[INST]' + m['content'] + '[/INST]' }}") == "mistral-v3-tekken");
  CHECK(form("[SYSTEM_PROMPT]{{ '[INST]' + m['content'] + '[/INST]' }}") == "");
  CHECK(form("{{ '<|user|>\n' + m['content'] + eos_token }}{{ '<|assistant|>' }}") == "zephyr");
  CHECK(form("{{ '<|user|>\n' + m['content'] }}{{ '<|assistant|>' + eos_token }}") == "");
  CHECK(form("{{ '<|user|>' + m['content'] + '<|end|>' }}{{ '<|assistant|>' }}") == "");
  CHECK(form("<|user|><|assistant|>") == "");
  CHECK(form("{{ '<|start|>user<|message|>' + m.content }}{{ '<|channel|>' }}") == "gpt-oss");
  CHECK(form("{{ '<|start|>user<|message|>' + m.content }}") == "");
  CHECK(form("") == "");
}

// What is read before the first answer, or between an answer and the second.
std::string turn(const ChatTemplate& chat, std::string_view system, const std::string& user,
                 bool first) {
  if (first) return chat.text(system, std::vector<Turn>{{user, ""}});
  return chat.text(system, std::vector<Turn>{{"-", "-"}, {user, ""}}, 1);
}

TEST_CASE("turns of a chat", "[chat]") {
  const Loaded loaded(tiny_model());
  const auto find = [&](std::string_view name) {
    return ChatTemplate(loaded.file, *loaded.tokenizer, name);
  };
  ChatTemplate chat = find("chatml");
  CHECK(turn(chat, "S", "U", true) ==
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n");
  CHECK(turn(chat, "S", "U", false) ==
        "<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n");
  chat = find("llama2");
  CHECK(turn(chat, "S", "U", true) == "[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST]");
  CHECK(turn(chat, "", "U", true) == "[INST] U [/INST]");
  CHECK(turn(chat, "S", "U", false) == " </s><s>[INST] U [/INST]");
  chat = find("zephyr");
  CHECK(turn(chat, "S", "U", true) == "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\n");
  chat = find("mistral-v3");
  CHECK(turn(chat, "S", "U", true) == "[INST] S\n\nU[/INST]");
  CHECK(turn(chat, "S", "U", false) == "</s>[INST] U[/INST]");
  chat = find("llama3");
  CHECK(
      turn(chat, "", "U", false).starts_with("<|eot_id|><|start_header_id|>user<|end_header_id|>"));
  constexpr const char* kNames =
      "chatml, gpt-oss, llama2, llama3, mistral-v1, mistral-v3, mistral-v3-tekken, zephyr";
  CHECK(refused([&] { (void)find("jinja"); }) ==
        std::string("--chat-template \"jinja\" is not one of: ") + kNames);
  CHECK(refused([&] { (void)find(""); }) ==
        std::string("the file has no tokenizer.chat_template; --chat-template names one "
                    "of: ") +
            kNames);
}

TEST_CASE("blanks around what is said, as the template has it", "[chat]") {
  const Loaded loaded(tiny_model());
  const auto turn = [&](std::string_view jinja, std::string_view system, const std::string& user) {
    return test::turn(ChatTemplate(loaded.file, *loaded.tokenizer, "", jinja), system, user, true);
  };
  constexpr const char *kPlain = "{{'<|im_start|>' + m['content'] }}",
                       *kTrims = "{{'<|im_start|>' + m['content'] | trim }}",
                       *kStrips = "{{'<|im_start|>' + m['content'].strip() }}";
  CHECK(turn(kPlain, "", " U\n") == "<|im_start|>user\n U\n<|im_end|>\n<|im_start|>assistant\n");
  for (const char* jinja : {kTrims, kStrips}) {
    CHECK(turn(jinja, "\tS ", "  U u\n") == turn(kPlain, "S", "U u"));
    CHECK(turn(jinja, "", " \n") == turn(kPlain, "", ""));
    CHECK(turn(jinja, " ", "U").starts_with("<|im_start|>system\n<|im_end|>\n"));  // it is said
  }
}

TEST_CASE("what a template writes is read out of it", "[chat]") {
  const auto read = [](std::string_view source) {
    std::string out;
    for (const jinja::Statement& s : jinja::statements(source)) {
      out += "|";
      for (const jinja::Term& t : s.terms) {
        const std::string quote = t.literal ? "'" : "";
        out.append(quote).append(t.literal ? printable(t.text) : t.text).append(quote);
        out += t.trims ? "^;" : ";";
      }
    }
    return out;
  };
  CHECK(read("") == "");
  CHECK(read("{{ 'a\\n}}' + m['x'] ~ \"b + 'c'\" }} 'd' {{- e -}}") ==
        "|'a\\x0A}}';m['x'];'b + 'c'';|e;");
  CHECK(read("{% if x == 'a' + b %}{%- set c = d.strip() + (e + f) | trim -%}{% set q %}") ==
        "|d.strip()^;(e + f) | trim^;");
  CHECK(read("{# {{ 'a' }} #}{ {{b}}") == "|b;");
  CHECK(read("{# {{ 'a' }}") == "");
  CHECK(read("{{ 'a") == "|'a;");
  CHECK(read("{{ 'a\\") == "|'a\\;");
  CHECK(read("{{ a[ + ] ) + b }") == "|a[ + ] );b };");
}

// A context as the chat fills it, answers being what the model writes in its own spelling.
struct Context {
  const Tokenizer& tokenizer;
  const ChatTemplate& chat;
  std::vector<Turn> turns = {};
  std::vector<TokenId> held = {};
  size_t taken_back = 0;

  void hear(std::string_view system, const std::string& user) {
    turns.push_back({user, {}});
    const auto whole = tokenizer.encode(chat.text(system, turns), Specials::parse, chat.bos());
    const size_t kept = tokens_to_keep(held, whole);
    REQUIRE(kept <= held.size());
    REQUIRE(kept < whole.size());
    taken_back += held.size() - kept;
    held.resize(kept);
    held.insert(held.end(), whole.begin() + static_cast<std::ptrdiff_t>(kept), whole.end());
  }
  void answer(const std::string& text) {
    turns.back().answer = text;
    const bool begins = tokenizer.is_special(held.back());
    for (const TokenId id : tokenizer.encode(text, Specials::parse, Bos::never, begins)) {
      held.push_back(id);
    }
  }
};

// Vocabularies with <s> and </s>: of letters, and with the special tokens of all forms.
std::vector<Builder> vocabularies() {
  const std::vector<std::string> marks = {"<|im_start|>",      "<|im_end|>",  "<|start_header_id|>",
                                          "<|end_header_id|>", "<|eot_id|>",  "[INST]",
                                          "[/INST]",           "<|start|>",   "<|end|>",
                                          "<|message|>",       "<|channel|>", "<|return|>",
                                          "<|call|>"};
  std::vector<std::string> texts = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  const auto add = [&](const std::string& text, TokenType type) {
    texts.push_back(text);
    types.push_back(static_cast<int32_t>(type));
  };
  for (unsigned i = 0; i < 256; ++i) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", i);
    add(text, TokenType::byte);
  }
  for (const char* text :
       {"\u2581", "\u2581\u2581", "\u2581hi", "hi", "\u2581[", "a", "\u2581a", "ok"}) {
    add(text, TokenType::normal);
  }
  Builder plain;
  plain.string("tokenizer.ggml.model", "llama");
  Builder marked = plain;
  plain.strings("tokenizer.ggml.tokens", texts);
  plain.numbers("tokenizer.ggml.token_type", Kind::i32, types);
  for (const std::string& mark : marks) add(mark, TokenType::control);
  marked.strings("tokenizer.ggml.tokens", texts);
  marked.numbers("tokenizer.ggml.token_type", Kind::i32, types);
  Builder bare = marked;
  bare.number("tokenizer.ggml.add_bos_token", Kind::boolean, uint8_t{0});
  std::vector<Builder> out = {plain, marked, bare};
  for (const char* pre : {"llama-bpe", "qwen2"}) {
    Builder bpe = tiny_bpe_model(pre, {"<s>", "</s>"}, marks);
    out.push_back(bpe);
  }
  return out;
}

std::string with_date(std::string text) {
  const std::pair<std::string, std::string> marks[] = {{"{today}", today()},
                                                       {"{day}", today_in_digits()}};
  for (const auto& [mark, day] : marks) {
    if (const size_t at = text.find(mark); at != text.npos) text.replace(at, mark.size(), day);
  }
  return text;
}

// A record of another program; make_conversations.py wrote it.
TEST_CASE("a chat feeds what the template makes of the whole conversation", "[chat]") {
  const auto record =
      nlohmann::json::parse(std::ifstream(std::string(TESSERA_GOLDEN) + "/conversations.json"));
  const std::string bos = record["bos"];
  size_t conversations = 0, read_again = 0;
  for (const Builder& builder : vocabularies()) {
    const Loaded loaded(builder);
    const Tokenizer& t = *loaded.tokenizer;
    for (const auto& entry : record["templates"]) {
      INFO(entry["name"]);
      const std::string source = entry["source"], form = entry["form"];
      REQUIRE(ChatTemplate::recognize(source) == form);
      const ChatTemplate chat(loaded.file, t, "", source), named(loaded.file, t, form);
      for (const auto& c : entry["cases"]) {
        const std::string system = c["system"], text = with_date(c["text"]);
        const std::vector<std::string> said = c["said"];
        INFO("system: " << system << ", said: " << c["said"].dump());
        // BOS comes once: the template's own, or that of the vocabulary.
        const bool own = text.starts_with(bos);
        const auto whole = t.encode(text, Specials::parse, own ? Bos::never : Bos::usual);
        const std::string blank = entry["blank"];
        Context context{t, chat};
        for (size_t i = 0; i < said.size(); i += 2) {
          context.hear(system, said[i]);
          if (i + 1 < said.size()) context.answer(blank + said[i + 1]);
        }
        CHECK(context.held == whole);
        const std::string rest = own ? text.substr(bos.size()) : text;
        CHECK(chat.text(system, context.turns) == rest);
        if (entry["named"]) CHECK(named.text(system, context.turns) == rest);
        ++conversations;
        read_again += context.taken_back > 0 ? 1 : 0;
      }
    }
  }
  CHECK(conversations == 5 * 619);
  CHECK(read_again > 0);
  CHECK(read_again < conversations / 2);
}

TEST_CASE("an answer in usual spelling is not read again", "[chat]") {
  for (const Builder& builder : vocabularies()) {
    const Loaded loaded(builder);
    for (const char* form : {"chatml", "llama2", "llama3", "mistral-v1", "mistral-v3-tekken"}) {
      const ChatTemplate chat(loaded.file, *loaded.tokenizer, form);
      Context context{*loaded.tokenizer, chat};
      for (int i = 0; i < 4; ++i) {
        context.hear("S", "hi");
        context.answer(std::string(form) == "llama2" ? " ok" : "ok");
      }
      INFO(form);
      CHECK(context.taken_back == 0);
    }
  }
}

TEST_CASE("only the final channel of an answer is read again", "[chat]") {
  const Loaded loaded(vocabularies()[1]);
  const ChatTemplate chat(loaded.file, *loaded.tokenizer, "gpt-oss");
  const auto reread = [&](const std::string& answer) {
    const std::string text = chat.text("", std::vector<Turn>{{"U", answer}, {"V", ""}});
    const std::string before = "<|start|>user<|message|>U<|end|><|start|>assistant",
                      after = "<|end|><|start|>user<|message|>V<|end|><|start|>assistant";
    REQUIRE(text.ends_with(after));
    const size_t begin = text.find(before) + before.size();
    return text.substr(begin, text.size() - after.size() - begin);
  };
  const std::string thought = "<|channel|>analysis<|message|>hm",
                    final = "<|channel|>final<|message|>";
  CHECK(reread(thought + "<|end|><|start|>assistant" + final + "ok") == final + "ok");
  CHECK(reread(final + "ok") == final + "ok");
  CHECK(reread("ok") == final + "ok");
  CHECK(reread(thought) == final);
  CHECK(reread("") == final);
}

TEST_CASE("special tokens of a form that the vocabulary lacks are told", "[chat]") {
  const std::vector<Builder> all = vocabularies();
  const Loaded plain(all[0]), marked(all[1]);
  const auto note = [](const Loaded& loaded, const char* form) {
    return ChatTemplate(loaded.file, *loaded.tokenizer, form).note();
  };
  CHECK(note(plain, "chatml")
            .starts_with("the vocabulary has no special token <|im_start|>, <|im_end|>: "));
  CHECK(note(plain, "gpt-oss")
            .starts_with("the vocabulary has no special token <|start|>, <|end|>, <|message|>, "
                         "<|channel|>: "));
  CHECK(note(plain, "llama3")
            .starts_with("the vocabulary has no special token <|start_header_id|>, "
                         "<|end_header_id|>, <|eot_id|>: "));
  for (const char* form : {"mistral-v3", "mistral-v3-tekken"}) {
    CHECK(note(plain, form).starts_with("the vocabulary has no special token [INST], [/INST]: "));
  }
  for (const char* form : {"llama2", "mistral-v1", "zephyr"}) CHECK(note(plain, form) == "");
  for (const char* form : {"chatml", "gpt-oss", "llama2", "llama3", "mistral-v1", "mistral-v3",
                           "mistral-v3-tekken", "zephyr"}) {
    CHECK(note(marked, form) == "");
  }
}

}  // namespace
}  // namespace llm::test

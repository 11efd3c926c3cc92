// SPDX-License-Identifier: MIT
// text.h, tokenizer.h, sampler.h: text to tokens and back, and the choice of a token.
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <sstream>

#include "gguf_builder.h"
#include "loaded.h"
#include "sampler.h"
#include "splitter.h"
#include "tessera/thread_pool.h"
#include "text.h"
#include "threads.h"
#include "tokenizer.h"

namespace llm::test {
namespace {

std::unique_ptr<Loaded> tiny() { return std::make_unique<Loaded>(tiny_model()); }

std::unique_ptr<Loaded> from_file(const std::string& path) {
  return std::make_unique<Loaded>(path);
}

std::string decode(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  std::string out;
  for (const TokenId id : ids) tokenizer.append_text(id, out);
  return out;
}

TEST_CASE("text is made printable", "[text]") {
  CHECK(printable("plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80") ==
        "plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80");
  CHECK(printable(std::string_view("\n\0\x7F\x1B[2J", 7)) == "\\x0A\\x00\\x7F\\x1B[2J");
  CHECK(printable("\xFF\xC3") == "\\xFF\\xC3");
  CHECK(printable("\xE2\x82") == "\\xE2\\x82");
  CHECK(printable("\xC0\xAF") == "\\xC0\\xAF");  // overlong
  CHECK(printable(std::string(100, 'a'), 10) == "aaaaaaaaaa...");
}

TEST_CASE("a character that is not whole waits", "[text]") {
  CHECK(complete_utf8("") == 0);
  CHECK(complete_utf8("ab") == 2);
  CHECK(complete_utf8("a\xC3") == 1);
  CHECK(complete_utf8("a\xC3\xA9") == 3);
  CHECK(complete_utf8("\xE2\x82") == 0);
  CHECK(complete_utf8("\xF0\x9F\x98") == 0);
  CHECK(complete_utf8("\xF0\x9F\x98\x80") == 4);
  CHECK(complete_utf8("a\xFF") == 2);  // nothing could complete it
  CHECK(complete_utf8("\x80\x80\x80\x80\x80") == 5);
}

TEST_CASE("neighbours are joined by score", "[tokenizer]") {
  const auto loaded = tiny();
  const Tokenizer& t = *loaded->tokenizer;
  const auto encode = [&](std::string_view text) { return t.encode(text, Specials::as_text); };
  using Ids = std::vector<TokenId>;
  constexpr TokenId kBlankId = 259, kA = 260, kB = 261, kC = 262, kAb = 263, kBlankA = 265,
                    kAbc = 266;
  CHECK(encode("") == Ids{1});
  CHECK(encode("a") == Ids{1, kBlankA});
  CHECK(encode("b") == Ids{1, kBlankId, kB});
  // "ab" has a better score than "bc" and blank with "a"; "abc" comes of "ab" and "c".
  CHECK(encode("abc") == Ids{1, kBlankId, kAbc});
  CHECK(encode("ab") == Ids{1, kBlankId, kAb});
  CHECK(encode("cab b") == Ids{1, kBlankId, kC, kAb, kBlankId, kB});
  CHECK(encode("ca") == Ids{1, kBlankId, kC, kA});
  CHECK(encode("\n") == Ids{1, kBlankId, 3 + 10});
  CHECK(encode("\xC3\xA9") == Ids{1, kBlankId, 3 + 0xC3, 3 + 0xA9});
  CHECK(encode("\xFF") == Ids{1, kBlankId, 3 + 0xFF});
  CHECK(decode(t, encode("cab b\xC3\xA9")) == " cab b\xC3\xA9");
  // Found by fuzzing: half a character took the first byte of the blank's U+2581.
  CHECK(encode("\xC3 b") == Ids{1, kBlankId, 3 + 0xC3, kBlankId, kB});
  CHECK(t.is_end(2));
  CHECK_FALSE(t.is_end(1));
}

TEST_CASE("special tokens within a text", "[tokenizer]") {
  const auto loaded = tiny();
  const Tokenizer& t = *loaded->tokenizer;
  using Ids = std::vector<TokenId>;
  constexpr TokenId kBlankId = 259, kB = 261, kTool = 268;
  CHECK(t.encode("b</s>b", Specials::parse) == Ids{1, kBlankId, kB, 2, kBlankId, kB});
  CHECK(t.encode("</s><s>", Specials::parse) == Ids{1, 2, 1});
  CHECK(t.encode("</s>", Specials::as_text).size() == 1 + 1 + 4);  // blank and four bytes
  // A token that a user defined is one either way.
  CHECK(t.encode("b<tool>b", Specials::as_text) == Ids{1, kBlankId, kB, kTool, kBlankId, kB});
  CHECK(decode(t, {1, 2, 0, kTool}) == "<tool>");
}

TEST_CASE("a long text takes no long time", "[tokenizer]") {
  const auto loaded = tiny();
  std::string text;
  for (size_t i = 0; i < 100000; ++i) text += "abc abba"[i * i % 8];
  const std::vector<TokenId> ids = loaded->tokenizer->encode(text, Specials::parse);
  CHECK(decode(*loaded->tokenizer, ids) == " " + text);
}

TEST_CASE("the shipped model's tokens", "[tokenizer]") {
  const auto loaded = from_file(std::string(TESSERA_MODELS) + "/austen-3.7M-q8_0.gguf");
  const Tokenizer& t = *loaded->tokenizer;
  const std::map<std::string, std::vector<TokenId>> cases = {
      {"", {}},
      {"a", {261}},
      {"Hello world", {547, 290, 1992, 1023}},
      {" leading space", {1988, 424, 363, 282, 616, 774}},
      {"  two  spaces  ", {1988, 1988, 697, 1988, 616, 564, 303, 1988, 1988}},
      {"tab\tand\nnewline\n", {259, 381, 12, 446, 13, 1019, 1999, 540, 13}},
      {"\"Oh!\"--said she,--\"no, no, no!\"",
       {330, 879, 820, 356, 1996, 1591, 333, 2007, 1487, 1993, 1992, 2007, 419, 2007, 419, 820}},
      {"\xC2\xA3"
       "20,000 a year, in 1811",
       {1988, 197, 166, 53, 51, 2007, 51, 51, 51, 261, 1713, 2007, 294, 1988, 52, 59, 52, 52}},
      {"[To Mrs. Weston.]", {1988, 94, 2018, 1992, 444, 2011, 993, 2011, 96}},
      {"na\xC3\xAFve caf\xC3\xA9", {287, 1991, 198, 178, 312, 280, 1991, 2004, 198, 172}},
      {"\n\nEmma\n\nEmma", {1988, 13, 13, 2022, 693, 13, 13, 2022, 693}}};
  for (const auto& [text, expected] : cases) {
    INFO(text);
    std::vector<TokenId> ids = t.encode(text, Specials::as_text);
    REQUIRE(ids.size() == expected.size() + 1);
    CHECK(ids[0] == 1);
    ids.erase(ids.begin());
    CHECK(ids == expected);
    CHECK(decode(t, ids) == (text.empty() ? "" : " " + text));
  }
}

// Texts and, for each vocabulary, their ids by another program.
TEST_CASE("recorded tokens of other vocabularies", "[tokenizer]") {
  const std::string data = std::string(TESSERA_TEST_DATA) + "/data/";
  if (data == "/data/") SKIP("TESSERA_TEST_DATA names no folder");
  std::ifstream input(data + "vocab/texts.inp", std::ios::binary);
  if (!input) SKIP("no recorded tokens in " << data << "vocab");
  std::string rest((std::istreambuf_iterator<char>(input)), {});
  std::vector<std::string> texts;
  const std::string end = "\n__ggml_vocab_test__\n";
  for (size_t at; (at = rest.find(end)) != rest.npos; rest.erase(0, at + end.size())) {
    texts.push_back(rest.substr(0, at));
  }
  REQUIRE(texts.size() == 46);
  const std::map<std::string, std::string> vocabularies = {
      {"stories260K.out", "gguf/stories260K-f32.gguf"},
      {"babyllama361.out", "gguf/babyllama361-f32.gguf"},
      {"llama-2-tiny-random.out", "foreign/llama-2-tiny-random.gguf"},
      {"ggml-vocab-llama-spm.gguf.out", "vocab/ggml-vocab-llama-spm.gguf"},
      {"ggml-vocab-gpt-2.gguf.out", "vocab/ggml-vocab-gpt-2.gguf"},
      {"stories260K-bpe.out", "gguf/stories260K-bpe-f32.gguf"},
      {"tiny-bpe-llama3.out", "vocab/tiny-bpe-llama3.gguf"},
      {"tiny-bpe-smollm.out", "vocab/tiny-bpe-smollm.gguf"},
      {"tiny-bpe-qwen2.out", "vocab/tiny-bpe-qwen2.gguf"}};
  for (const auto& [recorded, model] : vocabularies) {
    const auto loaded = from_file(data + model);
    std::ifstream lines(std::string(data).append("vocab/").append(recorded));
    for (const std::string& text : texts) {
      INFO(model << ": \"" << text << "\"");
      std::string line;
      REQUIRE(std::getline(lines, line));
      std::istringstream numbers(line);
      const std::vector<TokenId> expected{std::istream_iterator<TokenId>(numbers), {}};
      const auto ids = loaded->tokenizer->encode(text, Specials::as_text, Bos::never);
      CHECK(ids == expected);
    }
  }
}

// A vocabulary of letters that stand for bytes, some merges and special tokens.
std::unique_ptr<Loaded> tiny_bpe(std::string_view pre) {
  return std::make_unique<Loaded>(tiny_bpe_model(pre));
}

TEST_CASE("byte-level BPE joins by rank within pieces", "[tokenizer]") {
  const auto loaded = tiny_bpe("gpt-2");
  const Tokenizer& t = *loaded->tokenizer;
  const auto texts = [&](std::string_view text, Specials specials = Specials::parse) {
    std::string out;
    for (const TokenId id : t.encode(text, specials)) {
      out.append(out.empty() ? "" : "|").append(t.vocabulary().texts[static_cast<size_t>(id)]);
    }
    return out;
  };
  CHECK(texts("") == "");
  CHECK(texts("abc") == "ab|c");  // "a b" ranks before "b c"
  CHECK(texts("bc abc") == "bc|\u0120|ab|c");
  CHECK(texts("b ac") == "b|\u0120a|c");
  CHECK(texts("a b") == "a|\u0120|b");
  CHECK(texts("a<|im_end|>b") == "a|<|im_end|>|b");
  CHECK(texts("<|im_end|>", Specials::as_text).starts_with("<|||i|m|_|"));
  CHECK(texts("\n") == "\u010A");
  CHECK(decode(t, t.encode("a\n\xC3\xA9 <|im_end|>", Specials::as_text)) ==
        "a\n\xC3\xA9 <|im_end|>");
  CHECK(t.is_end(t.encode("<|im_end|>", Specials::parse).at(0)));
  CHECK_FALSE(t.is_end(0));
}

TEST_CASE("what pre-tokenizers do not agree on", "[tokenizer]") {
  const auto pieces = [](const char* pre, std::string_view text) {
    const Splitter splitter(pre);
    std::string out;
    for (const std::string_view piece : splitter.split(text)) {
      out.append(out.empty() ? "" : "|").append(piece);
    }
    return out;
  };
  CHECK(pieces("gpt-2", "it's 1234  5,\n\nx") == "it|'s| 1234| | 5|,|\n|\n|x");
  CHECK(pieces("olmo", "it's 1234  5,\n\nx") == "it|'s| 1234| | 5|,|\n|\n|x");
  CHECK(pieces("smollm", "it's 1234  5,\n\nx") == "it|'s| |1|2|3|4|  |5|,|\n|\n|x");
  CHECK(pieces("llama-bpe", "it'S 1234  5,\n\nx") == "it|'S| |123|4| | |5|,\n\n|x");
  CHECK(pieces("qwen2", "it's 1234  5,\n\nx") == "it|'s| |1|2|3|4| | |5|,\n\n|x");
  CHECK(pieces("gpt-2", "a\u180Eb") == "a|\u180E|b");  // no white space any more
  CHECK(pieces("gpt-2", "a\u0085\u2028b") == "a|\u0085|\u2028|b");
  CHECK(pieces("gpt-2",
               "\xFF"
               "ab\xE2\x82") == "\xFF|ab|\xE2|\x82");
  CHECK(pieces("gpt-2", "\xED\xA0\x80") == "\xED|\xA0|\x80");  // half of a surrogate pair
  CHECK(refused([] { (void)Splitter("falcon"); }) ==
        "tokenizer.ggml.pre = \"falcon\" is not supported; known are: gpt-2, olmo, smollm, "
        "llama-bpe, "
        "llama3, llama-v3, qwen2, deepseek-r1-qwen, dbrx, tekken, gpt-4o, default");
  // As the published expression has it, by the Python package `regex`.
  CHECK(
      pieces("gpt-4o", "helloWorld HTMLPage it'S 12345 a/\n\u00C9t\u00E9 \u65E5\u672C, e\u0301") ==
      "hello|World| HTMLPage| it'S| |123|45| a|/\n|\u00C9t\u00E9| \u65E5\u672C|,| e\u0301");
  CHECK(pieces("tekken", "helloWorld HTMLPage it's 123 a/\n\u00C9t\u00E9 \u65E5\u672C") ==
        "hello|World| HTMLPage| it|'s| |1|2|3| a|/\n|\u00C9t\u00E9| \u65E5\u672C");
  // Punctuation, then as for GPT-2, then numbers and three digits at a time.
  CHECK(pieces("default", "it's 12345  5,\n\nx<=y") == "it|'|s| |123|45| | |5|,|\n|\n|x|<=|y");
  CHECK(pieces("default", "") == "");
  CHECK(pieces("dbrx", "it'S 1234") == pieces("llama-bpe", "it'S 1234"));
}

TEST_CASE("BPE takes any bytes, and long texts in no long time", "[tokenizer]") {
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "default"}) {
    const auto loaded = tiny_bpe(pre);
    for (const char* unit :
         {" ", "\n", "ab", "AB", "aB", "a \xFF", "\xC3\xA9", "1", " \n", "'s", "\xE2\x80\xA8"}) {
      std::string text;
      while (text.size() < 100000) text += unit;
      const auto ids = loaded->tokenizer->encode(text, Specials::parse, Bos::never);
      CHECK(decode(*loaded->tokenizer, ids) == text);
    }
  }
}

TEST_CASE("BPE vocabularies that make no sense", "[tokenizer]") {
  const auto refusal = [](const Builder& builder) {
    const auto bytes = builder.build();
    const gguf::File file = gguf::File::parse(bytes);
    return refused([&] { (void)Tokenizer::create(file); });
  };
  constexpr const char *kMerges = "tokenizer.ggml.merges", *kPre = "tokenizer.ggml.pre";
  CHECK(refusal(tiny_bpe_model("gpt-2")) == "");
  for (const Builder& b : {tiny_bpe_model("gpt-2").drop(kPre), tiny_bpe_model("default")}) {
    const auto bytes = b.build();
    const gguf::File file = gguf::File::parse(bytes);
    CHECK(
        Tokenizer::create(file)->vocabulary().note.starts_with("tokenizer.ggml.pre says nothing"));
  }
  CHECK(tiny_bpe("gpt-2")->tokenizer->vocabulary().note == "");
  CHECK(refusal(tiny_bpe_model("gpt-2").drop(kMerges)) == "tokenizer.ggml.merges is missing");
  for (const char* merge : {"", " ", "ab", " b", "a ", "a b c"}) {
    const std::string text =
        refusal(tiny_bpe_model("gpt-2").drop(kMerges).strings(kMerges, {merge}));
    CHECK(text ==
          "tokenizer.ggml.merges[0] = \"" + std::string(merge) + "\" is not two parts and a blank");
  }
  // Merges that lead to no token are undone, letters without one are the unknown token.
  const Loaded unjoined(Builder()
                            .string("tokenizer.ggml.model", "gpt2")
                            .string(kPre, "gpt-2")
                            .strings("tokenizer.ggml.tokens", {"?", "a", "b"})
                            .strings(kMerges, {"a b"})
                            .u32("tokenizer.ggml.unknown_token_id", 0));
  CHECK(unjoined.tokenizer->encode("abc", Specials::parse) == std::vector<TokenId>{1, 2, 0});
}

// A vocabulary of these tokens behind the usual three.
std::unique_ptr<Loaded> with_tokens(const std::vector<std::string>& names, TokenType type,
                                    const char* key = nullptr) {
  std::vector<std::string> texts = {"<unk>", "<s>", "end"};
  std::vector<int32_t> types = {2, 3, 3};
  texts.insert(texts.end(), names.begin(), names.end());
  types.resize(texts.size(), static_cast<int32_t>(type));
  Builder b;
  b.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", texts);
  b.numbers("tokenizer.ggml.token_type", Kind::i32, types);
  if (key != nullptr) b.u32(key, 3);
  return std::make_unique<Loaded>(b);
}

TEST_CASE("tokens that end an answer by their names, whatever their type", "[tokenizer]") {
  constexpr TokenId kFirst = 3;
  for (const TokenType type : {TokenType::normal, TokenType::control, TokenType::user_defined}) {
    for (const char* name : {"<|eot_id|>",    "<|im_end|>",
                             "<|end|>",       "<|return|>",
                             "<|call|>",      "<|flush|>",
                             "<|calls|>",     "<end_of_turn>",
                             "<|endoftext|>", "</s>",
                             "<|eom_id|>",    "<EOT>",
                             "_<EOT>",        "[EOT]",
                             "[EOS]",         "<|end_of_text|>",
                             "<eos>",         "<end_of_utterance>",
                             "<turn|>",       "<|tool_response>",
                             "<|fim_pad|>",   "<fim-pad>",
                             "<fim_pad>",     "<PAD>",
                             "[PAD]",         "<|fim_repo|>",
                             "<|repo_name|>", "<fim-repo>",
                             "<REPO>",        "<reponame>",
                             "<|file_sep|>"}) {
      INFO(name << " of type " << static_cast<int>(type));
      const auto loaded = with_tokens({name}, type);
      const Tokenizer& t = *loaded->tokenizer;
      CHECK(t.is_end(kFirst));
      CHECK(t.is_end(2));
      CHECK_FALSE(t.is_end(1));
      CHECK(t.encode(name, Specials::parse) == std::vector<TokenId>{1, kFirst});
      CHECK(t.encode(name, Specials::as_text) != std::vector<TokenId>{1, kFirst});
      CHECK(decode(t, {kFirst}) == "");
    }
  }
  CHECK_FALSE(with_tokens({"<|eot|>"}, TokenType::control)->tokenizer->is_end(kFirst));
  for (const char* key : {"eot", "eom", "fim_pad", "fim_rep", "fim_sep", "eos"}) {
    const std::string name = std::string("tokenizer.ggml.") + key + "_token_id";
    CHECK(with_tokens({"stop"}, TokenType::normal, name.c_str())->tokenizer->is_end(kFirst));
  }
  const auto gap = with_tokens({"<|fim_prefix|>"}, TokenType::normal);
  CHECK_FALSE(gap->tokenizer->is_end(kFirst));
  CHECK(gap->tokenizer->encode("<|fim_prefix|>", Specials::parse) ==
        std::vector<TokenId>{1, kFirst});
}

TEST_CASE("ends of messages that are not ends of answers", "[tokenizer]") {
  const auto ends = [](const std::vector<std::string>& names) {
    const auto loaded = with_tokens(names, TokenType::control);
    std::string out;
    for (size_t i = 0; i < names.size(); ++i) {
      out += loaded->tokenizer->is_end(static_cast<TokenId>(3 + i)) ? 'x' : '-';
    }
    return out;
  };
  CHECK(ends({"<|end|>", "<|return|>", "<|call|>"}) == "-xx");
  CHECK(ends({"<|end|>", "<|calls|>", "<|flush|>"}) == "-xx");
  CHECK(ends({"<|end|>", "<|return|>"}) == "xx");
  CHECK(ends({"<|end|>", "<|call|>"}) == "xx");
  CHECK(ends({"</s>", "<|tool_response>"}) == "-x");
  // Marks that a reader of the answer needs are shown.
  const auto marks = with_tokens({"<|channel|>", "<|message|>", "<|start|>"}, TokenType::control);
  CHECK(decode(*marks->tokenizer, {3, 4, 5}) == "<|channel|><|message|><|start|>");
}

TEST_CASE("where a file of BPE names neither a beginning nor an end", "[tokenizer]") {
  const auto begin = [](std::string_view pre) {
    return tiny_bpe(pre)->tokenizer->encode("", Specials::parse);
  };
  CHECK(begin("gpt-2").empty());
  CHECK(begin("default").empty());
  for (const char* pre : {"llama-bpe", "tekken"}) CHECK(begin(pre) == std::vector<TokenId>{11});
  CHECK(tiny_bpe("gpt-2")->tokenizer->is_end(11));
}

TokenId sample(const SamplerOptions& options, const std::vector<float>& logits) {
  Sampler sampler(options);
  return sampler.sample(logits);
}

TEST_CASE("greedy choice", "[sampler]") {
  CHECK(sample({.temperature = 0.0f}, {1.0f, 3.0f, 3.0f, -1.0f}) == 1);  // the first of equals
  CHECK(sample({.temperature = 1.0f, .top_p = 0.0f}, {1.0f, 3.0f, 3.0f, -1.0f}) == 1);
  CHECK(sample({.temperature = 1e-30f}, {1.0f, 3.0f, 2.9f}) == 1);
  CHECK(sample({.temperature = 0.0f}, {-5.0f}) == 0);
}

TEST_CASE("sampling follows the probabilities", "[sampler]") {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f),
                                     std::log(0.05f)};
  const auto counts = [&](const SamplerOptions& options) {
    Sampler sampler(options);
    std::vector<int> out(logits.size());
    for (int i = 0; i < 20000; ++i) {
      const TokenId id = sampler.sample(logits);
      ++out[static_cast<size_t>(id)];
    }
    return out;
  };
  const std::vector<int> all = counts({.temperature = 1.0f, .top_p = 1.0f, .seed = 7});
  CHECK(std::abs(all[0] - 10000) < 400);
  CHECK(std::abs(all[1] - 6000) < 400);
  CHECK(std::abs(all[2] - 3000) < 300);
  CHECK(std::abs(all[3] - 1000) < 200);
  const std::vector<int> top = counts({.temperature = 1.0f, .top_p = 0.79f, .seed = 7});
  CHECK(std::abs(top[0] - 12500) < 400);
  CHECK(top[2] + top[3] == 0);
  CHECK(counts({.temperature = 1.0f, .top_p = 0.81f, .seed = 7})[2] > 0);
  CHECK(counts({.seed = 7}) == counts({.seed = 7}));
  CHECK(counts({.seed = 7}) != counts({.seed = 8}));
}

TEST_CASE("fewer and fewer tokens to choose from", "[sampler]") {
  // Logits whose probabilities are 40, 30, 20 and 10 %, whatever their order.
  const std::vector<float> logits = {std::log(0.2f), std::log(0.4f), std::log(0.1f),
                                     std::log(0.3f)};
  const auto chosen = [&](SamplerOptions options) {
    std::string seen(logits.size(), '-');
    for (options.seed = 0; options.seed < 200; ++options.seed) {
      seen[static_cast<size_t>(sample(options, logits))] = 'x';
    }
    return seen;
  };
  SamplerOptions all{.temperature = 1.0f, .top_p = 1.0f, .min_p = 0.0f, .top_k = 0};
  CHECK(chosen(all) == "xxxx");
  SamplerOptions o = all;
  o.top_k = 3;
  CHECK(chosen(o) == "xx-x");
  o.top_k = 1;
  CHECK(chosen(o) == "-x--");
  o.top_k = 99;
  CHECK(chosen(o) == "xxxx");
  o = all;
  o.min_p = 0.4f;  // of 40 %
  CHECK(chosen(o) == "xx-x");
  o.min_p = 1.0f;
  CHECK(chosen(o) == "-x--");
  o = all;
  o.top_p = 0.65f;
  CHECK(chosen(o) == "-x-x");
  // top_p counts within what top_k left (40 of 70 %), and before the temperature makes all alike.
  o.top_k = 2;
  o.top_p = 0.55f;
  CHECK(chosen(o) == "-x--");
  o = all;
  o.temperature = 1000.0f;
  o.top_p = 0.65f;
  CHECK(chosen(o) == "-x-x");
  CHECK(chosen({.temperature = 1.0f, .min_p = 0.0f, .top_k = 0}) == "xxxx");
}

TEST_CASE("repetitions are made less likely", "[sampler]") {
  const auto next = [](int64_t last_n, const std::vector<TokenId>& past) {
    Sampler sampler({.temperature = 0.0f, .repeat_penalty = 2.0f, .repeat_last_n = last_n});
    sampler.accept(past);
    return sampler.sample(std::vector<float>{4.0f, 3.0f, -1.0f, 1.9f});
  };
  CHECK(next(64, {}) == 0);
  CHECK(next(64, {0}) == 1);           // 4 / 2 < 3
  CHECK(next(64, {0, 1}) == 0);        // 4 / 2 > 3 / 2
  CHECK(next(64, {0, 0, 0, 1}) == 0);  // once, however often
  CHECK(next(1, {0, 3}) == 0);
  CHECK(next(2, {0, 3}) == 1);
  CHECK(next(0, {0, 3}) == 0);
  CHECK(next(-1, {0, 3}) == 1);
  Sampler below({.temperature = 0.0f, .repeat_penalty = 2.0f});
  below.accept(std::vector<TokenId>{0});
  // A negative logit moves away from 0.
  CHECK(below.sample(std::vector<float>{-1.0f, -1.5f}) == 1);
}

TEST_CASE("logits that are no numbers are refused", "[sampler]") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Sampler sampler({.temperature = 0.0f});
    CHECK(refused([&] {
            (void)sampler.sample(std::vector<float>{1.0f, bad});
          }).starts_with("the logit of token 1 is "));
  }
}

TEST_CASE("every part is worked on once, and the first failure is told", "[threads]") {
  CHECK(usable_cores() >= 1);
  for (const size_t threads : {1u, 2u, 3u, 5u}) {
    tessera::ThreadPool pool(threads);
    for (size_t count = 1; count < 2 * threads; ++count) {
      std::vector<int> calls(count, 0);
      const tessera::Status ok = for_parts(pool.executor(), count, [&](const tessera::Part& part) {
        calls[part.index] += part.count == count ? 1 : 100;
        return tessera::Status();
      });
      CHECK(ok.ok());
      CHECK(calls == std::vector<int>(count, 1));
      const auto failed = for_parts(pool.executor(), count, [&](const tessera::Part& part) {
        if (part.index + 1 == part.count) throw std::bad_alloc();
        return tessera::Status();
      });
      CHECK(failed.code == tessera::StatusCode::out_of_memory);
    }
  }
}

}  // namespace
}  // namespace llm::test

// SPDX-License-Identifier: MIT
#include "splitter.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <new>

#include "error.h"
#include "text.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace llm {
namespace {

// White space is what Unicode calls so: PCRE2's own \s also has U+180E. Every expression takes any
// character in one of its alternatives, so that nothing is left between two matches.
#define SPACE "\\p{Z}\\t-\\r\\x{85}"
#define WORDS "'s|'t|'re|'ve|'m|'ll|'d"

constexpr char kGpt2[] = WORDS "| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|[" SPACE
                               "]+(?![^" SPACE "])|[" SPACE "]+";
// Digits stand alone, and the rest is split as for GPT-2 as if there were nothing beside it.
constexpr char kSmolLm[] = "\\p{N}|" WORDS "| ?\\p{L}+| ?[^" SPACE "\\p{L}\\p{N}]+|[" SPACE
                           "]+(?![^" SPACE "\\p{N}])|[" SPACE "]+";
// Llama 3 and Qwen differ in how many digits make a piece.
#define MODERN(digits)                                                       \
  "(?i:" WORDS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits "| ?[^" SPACE \
  "\\p{L}\\p{N}]+[\\r\\n]*|[" SPACE "]*[\\r\\n]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"

// Mistral: a capital begins a new piece, and each digit is one. A class with \P{L} has letters
// only.
constexpr char kTekken[] =
    "[^\\r\\n\\p{L}\\p{N}]?[^a-z\\P{L}]*[^A-Z\\P{L}]+|[^\\r\\n\\p{L}\\p{N}]?[^a-z\\P{L}]+[^A-Z\\P{"
    "L}]*"
    "|\\p{N}| ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n/]*|[" SPACE "]*[\\r\\n]+|[" SPACE "]+(?![^" SPACE
    "])|[" SPACE "]+";

// GPT-4o and gpt-oss: the same with what Unicode calls capitals, marks, and the endings of a word.
#define CAPITALS "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define SMALL "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
constexpr char kGpt4o[] =
    "[^\\r\\n\\p{L}\\p{N}]?[" CAPITALS "]*[" SMALL "]+(?i:" WORDS
    ")?|[^\\r\\n\\p{L}\\p{N}]?[" CAPITALS "]+[" SMALL "]*(?i:" WORDS ")?|\\p{N}{1,3}| ?[^" SPACE
    "\\p{L}\\p{N}]+[\\r\\n/]*|[" SPACE "]*[\\r\\n]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+";

// What llama.cpp does where nothing is known: punctuation, then as for GPT-2, then numbers and
// three digits at a time.
constexpr char kPunctuation[] = "[\\p{P}$+<=>^~|]+|[^\\p{P}$+<=>^~|]+";
constexpr char kNumbers[] = "\\p{N}+|\\P{N}+";
constexpr char kThreeDigits[] = "[0-9]{3}|(?s:(?![0-9]{3}).)+";

constexpr struct {
  const char* name;
  const char* expression;
} kKnown[] = {{"gpt-2", kGpt2},
              {"olmo", kGpt2},
              {"smollm", kSmolLm},
              {"llama-bpe", MODERN("{1,3}")},
              {"llama3", MODERN("{1,3}")},
              {"llama-v3", MODERN("{1,3}")},
              {"qwen2", MODERN("")},
              {"deepseek-r1-qwen", MODERN("")},
              {"dbrx", MODERN("{1,3}")},
              {"tekken", kTekken},
              {"gpt-4o", kGpt4o},
              {"default", kPunctuation}};  // and more

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

void Splitter::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

Splitter::Splitter(std::string_view name) {
  const auto* known = std::find_if(std::begin(kKnown), std::end(kKnown),
                                   [&](const auto& k) { return name == k.name; });
  if (known == std::end(kKnown)) {
    throw error("tokenizer.ggml.pre = \"%s\" is not supported; known are: %s",
                printable(name).c_str(), names_of(kKnown).c_str());
  }
  const auto add = [&](const char* expression) {
    int code = 0;
    size_t at = 0;
    codes_.emplace_back(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression),
                                      PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at,
                                      nullptr));
    if (codes_.back()) return;
    throw error("PCRE2 error %d at %zu of an expression for %s", code, at, known->name);
  };
  add(known->expression);
  if (known->expression == kPunctuation) {
    for (const char* next : {kGpt2, kNumbers, kThreeDigits}) add(next);
  }
}

std::vector<std::string_view> Splitter::split(std::string_view text) const {
  std::vector<std::string_view> pieces = {text}, next;
  for (const Code& code : codes_) {
    next.clear();
    for (const std::string_view piece : pieces) split_once(code, piece, next);
    pieces.swap(next);
  }
  return pieces;
}

void Splitter::split_once(const Code& code, std::string_view text,
                          std::vector<std::string_view>& pieces) {
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeMatch> context(
      pcre2_match_context_create(nullptr));
  if (!match || !context) throw std::bad_alloc();
  pcre2_set_match_limit(context.get(), std::numeric_limits<uint32_t>::max());
  const auto find = [&](std::string_view in, size_t at, uint32_t options) {
    return pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(in.data()), in.size(), at, options,
                       match.get(), context.get());
  };

  while (!text.empty()) {
    // The first match is for its check of the encoding alone: repeated with every match, that check
    // would make this quadratic.
    const int first = find(text, 0, PCRE2_ANCHORED);
    const bool broken = first <= PCRE2_ERROR_UTF8_ERR1 && first >= PCRE2_ERROR_UTF8_ERR21;
    const std::string_view whole =
        text.substr(0, broken ? pcre2_get_startchar(match.get()) : text.size());
    for (size_t at = 0; at < whole.size();) {
      const int found = find(whole, at, PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK);
      const size_t end = found > 0 ? pcre2_get_ovector_pointer(match.get())[1] : at;
      if (end == at) throw std::bad_alloc();  // all texts match, so nothing else can be wrong
      pieces.push_back(whole.substr(at, end - at));
      at = end;
    }
    if (broken) pieces.push_back(text.substr(whole.size(), 1));
    text.remove_prefix(whole.size() + (broken ? 1 : 0));
  }
}

}  // namespace llm

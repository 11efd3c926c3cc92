// SPDX-License-Identifier: MIT
// What a BPE tokenizer calls pre-tokenization: text falls into words, numbers, blanks, ..., and no
// token reaches from one of these pieces into the next. The rules are regular expressions over
// Unicode's classes of characters. PCRE2 matches them: it has these classes in the version of the
// system's Unicode tables, the expressions are the published ones nearly letter by letter, and
// every distribution has it.
#ifndef TESSERA_EXAMPLES_LLM_SPLITTER_H_
#define TESSERA_EXAMPLES_LLM_SPLITTER_H_

#include <memory>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace llm {

class Splitter {
 public:
  /// By the value of tokenizer.ggml.pre.
  explicit Splitter(std::string_view name);

  /// The pieces of a text, in order; together they are the text. Bytes that are not UTF-8 are a
  /// piece each.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  using Code = std::unique_ptr<pcre2_real_code_8, Free>;
  static void split_once(const Code& code, std::string_view text,
                         std::vector<std::string_view>& pieces);
  std::vector<Code> codes_;  // the pieces of each are what the next one splits
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_SPLITTER_H_

// SPDX-License-Identifier: MIT
// Byte-level BPE, the tokenizer of GPT-2, Llama 3, SmolLM and Qwen.
#include <array>
#include <string>
#include <unordered_map>
#include <utility>

#include "splitter.h"
#include "text.h"
#include "tokenizer.h"

namespace llm {
namespace {

// The texts of such a vocabulary are letters that stand for bytes: visible ones of Latin-1 for
// themselves, U+0100 and so on for the rest.
struct ByteLetters {
  std::array<std::string, 256> letters;
  std::unordered_map<std::string_view, char> bytes;

  ByteLetters() {
    unsigned other = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      const bool visible = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
      const unsigned code = visible ? b : other++;
      if (code >= 0x80) letters[b] += static_cast<char>(0xC0u | code >> 6);
      letters[b] += static_cast<char>(code < 0x80 ? code : 0x80u | (code & 0x3Fu));
      bytes.emplace(letters[b], static_cast<char>(b));
    }
  }

  // The byte that the letter at the beginning of `text` stands for, and the letter's length; for
  // none the text's first byte and 1.
  std::pair<char, size_t> byte(std::string_view text) const {
    for (const size_t length : {size_t{2}, size_t{1}}) {
      const auto at = bytes.find(text.substr(0, length));
      if (at != bytes.end()) return {at->second, at->first.size()};
    }
    return {text[0], 1};
  }
};

const ByteLetters& byte_letters() {
  static const ByteLetters table;
  return table;
}

struct Rules {
  Splitter splitter;
  std::unordered_map<std::string_view, size_t> ranks;  // of "left right", the first is the best
  bool whole_pieces;                                   // a piece that is a token stays in one
};

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(Vocabulary v, Rules rules) : Tokenizer(std::move(v)), rules_(std::move(rules)) {}

 protected:
  void encode_plain(std::string_view plain, bool, std::vector<TokenId>& out) const override {
    std::string letters, key;
    const auto score = [&](std::string_view left, std::string_view right) {
      std::optional<double> value;
      key.assign(left).append(" ").append(right);
      const auto at = rules_.ranks.find(key);
      if (at != rules_.ranks.end()) value = -static_cast<double>(at->second);
      return value;
    };
    for (const std::string_view piece : rules_.splitter.split(plain)) {
      letters.clear();
      for (const char c : piece) letters += byte_letters().letters[static_cast<unsigned char>(c)];
      if (rules_.whole_pieces && vocabulary().ids.contains(letters)) {
        take(letters, out);
      } else {
        for (const std::string_view text : merged(letters, score)) take(text, out);
      }
    }
  }
  std::string plain(std::string_view text) const override {
    std::string out;
    while (!text.empty()) {
      const auto [byte, length] = byte_letters().byte(text);
      out += byte;
      text.remove_prefix(length);
    }
    return out;
  }

 private:
  void take(std::string_view text, std::vector<TokenId>& out) const {
    const auto& ids = vocabulary().ids;
    if (const auto at = ids.find(text); at != ids.end()) return out.push_back(at->second);
    // A broken vocabulary: merges that lead nowhere, or bytes without a token.
    for (size_t length; !text.empty(); text.remove_prefix(length)) {
      length = byte_letters().byte(text).second;
      const auto at = ids.find(text.substr(0, length));
      const TokenId id = at != ids.end() ? at->second : vocabulary().unknown;
      if (id != kNoToken) out.push_back(id);
    }
  }

  Rules rules_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe(const gguf::File& file, Vocabulary vocabulary) {
  constexpr const char* kMerges = "tokenizer.ggml.merges";
  constexpr std::string_view kDefault = "default";
  const auto pre = file.get("tokenizer.ggml.pre", kDefault);
  if (pre == kDefault) {
    vocabulary.note =
        "tokenizer.ggml.pre says nothing of how text is split: in a usual way, which "
        "may not be the model's";
  }
  Rules rules{Splitter(pre), {}, is_like_llama3(pre)};
  const auto merges = file.list<std::string_view>(kMerges);
  for (size_t i = 0; i < merges.size(); ++i) {
    const size_t blank = merges[i].find(' ');
    const bool two = blank != merges[i].npos && blank > 0 && blank + 1 < merges[i].size();
    if (!two || merges[i].rfind(' ') != blank) {
      throw error("%s[%zu] = \"%s\" is not two parts and a blank", kMerges, i,
                  printable(merges[i]).c_str());
    }
    rules.ranks.emplace(merges[i], i);
  }
  return std::make_unique<BpeTokenizer>(std::move(vocabulary), std::move(rules));
}

}  // namespace llm

// SPDX-License-Identifier: MIT
// Byte-level BPE, the tokenizer of GPT-2, Llama 3, SmolLM and Qwen.
#include "bpe.h"

#include <array>
#include <string>
#include <unordered_map>
#include <utility>

#include "merger.h"
#include "splitter.h"

namespace llm {
namespace {

// The texts of such a vocabulary are letters that stand for bytes: visible ones of Latin-1 for
// themselves, U+0100 and so on for the rest.
struct ByteLetters {
  std::array<std::string, 256> letters;
  std::array<int, 0x144> bytes;  // by code point; -1: none

  ByteLetters() {
    bytes.fill(-1);
    unsigned other = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      const bool visible = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
      const unsigned code = visible ? b : other++;
      bytes[code] = static_cast<int>(b);
      if (code >= 0x80) letters[b] += static_cast<char>(0xC0u | code >> 6);
      letters[b] += static_cast<char>(code < 0x80 ? code : 0x80u | (code & 0x3Fu));
    }
  }

  // The byte that the letter at the beginning of `text` stands for, and the letter's length; -1 and
  // 1 if it stands for none.
  std::pair<int, size_t> byte(std::string_view text) const {
    const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    if (at(0) < 0x80) return {bytes[at(0)], 1};
    const bool two = (at(0) & 0xE0u) == 0xC0u && text.size() > 1 && (at(1) & 0xC0u) == 0x80u;
    const size_t code = two ? (at(0) & 0x1Fu) << 6 | (at(1) & 0x3Fu) : bytes.size();
    if (code >= bytes.size() || bytes[code] < 0) return {-1, 1};
    return {bytes[code], 2};
  }
};

const ByteLetters& byte_letters() {
  static const ByteLetters table;
  return table;
}

struct Rules {
  Splitter splitter;
  std::unordered_map<std::string_view, size_t> ranks;  // of "left right", the first is the best
  bool whole_pieces = false;                           // a piece that is a token stays in one
};

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(Vocabulary v, Rules rules) : Tokenizer(std::move(v)), rules_(std::move(rules)) {}

  void append_text(TokenId id, std::string& out) const override {
    std::string_view text = vocabulary().texts[static_cast<size_t>(id)];
    const TokenType type = vocabulary().types[static_cast<size_t>(id)];
    if (type == TokenType::unknown || type == TokenType::control) return;
    if (type == TokenType::user_defined) {
      out += text;
      return;
    }
    while (!text.empty()) {
      const auto [byte, length] = byte_letters().byte(text);
      out += byte >= 0 ? static_cast<char>(byte) : text[0];
      text.remove_prefix(length);
    }
  }

 protected:
  void encode_plain(std::string_view plain, bool, std::vector<TokenId>& out) const override {
    std::string letters, key;
    const auto rank = [&](std::string_view left, std::string_view right, double& score) {
      key.assign(left).append(" ").append(right);
      const auto at = rules_.ranks.find(key);
      if (at == rules_.ranks.end()) return false;
      score = -static_cast<double>(at->second);
      return true;
    };
    const auto take = [&](std::string_view text) {
      const auto& ids = vocabulary().ids;
      if (const auto at = ids.find(text); at != ids.end()) return out.push_back(at->second);
      // A broken vocabulary: merges that lead nowhere, or bytes without a token.
      for (size_t length; !text.empty(); text.remove_prefix(length)) {
        length = byte_letters().byte(text).second;
        const auto at = ids.find(text.substr(0, length));
        const TokenId id = at != ids.end() ? at->second : vocabulary().unknown;
        if (id != kNoToken) out.push_back(id);
      }
    };
    for (const std::string_view piece : rules_.splitter.split(plain)) {
      letters.clear();
      for (const char c : piece) letters += byte_letters().letters[static_cast<unsigned char>(c)];
      if (rules_.whole_pieces && vocabulary().ids.contains(letters)) {
        take(letters);
      } else {
        Merger(letters, rank).run(take);
      }
    }
  }

 private:
  Rules rules_;
};

}  // namespace

Error make_bpe(const gguf::File& file, Vocabulary vocabulary, std::unique_ptr<Tokenizer>& out) {
  constexpr const char* kMerges = "tokenizer.ggml.merges";
  using gguf::Need;
  std::string_view pre;
  std::vector<std::string_view> merges;
  Rules rules;
  if (Error e = file.read("tokenizer.ggml.pre", Need::required, pre)) return e;
  if (Error e = Splitter::create(pre, rules.splitter)) return e;
  if (Error e = file.read(kMerges, Need::required, merges)) return e;
  for (size_t i = 0; i < merges.size(); ++i) {
    const size_t blank = merges[i].find(' ');
    const bool two = blank != merges[i].npos && blank > 0 && blank + 1 < merges[i].size();
    if (!two || merges[i].rfind(' ') != blank) {
      return error("%s[%zu] = \"%s\" is not two parts and a blank", kMerges, i,
                   printable(merges[i]).c_str());
    }
    rules.ranks.emplace(merges[i], i);
  }
  rules.whole_pieces = is_llama3(pre);
  out = std::make_unique<BpeTokenizer>(std::move(vocabulary), std::move(rules));
  return {};
}

}  // namespace llm

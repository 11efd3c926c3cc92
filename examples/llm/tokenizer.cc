// SPDX-License-Identifier: MIT
#include "tokenizer.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cmath>
#include <limits>
#include <utility>

#include "bpe.h"
#include "merger.h"

namespace llm {
namespace {

using gguf::Need;

// Tokens that end an answer in one family of models or another, whatever the file's keys say.
constexpr std::string_view kEnds[] = {"<|im_end|>",    "<|eot_id|>",      "<|eom_id|>",
                                      "<|endoftext|>", "<|end_of_text|>", "<|end|>"};

constexpr std::string_view kBlank = "\xE2\x96\x81";  // U+2581, which stands for a blank

// The byte that a text of the form <0x0A> names, or -1.
int named_byte(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEFabcdef";
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  const size_t high = kDigits.find(text[3]), low = kDigits.find(text[4]);
  if (high == kDigits.npos || low == kDigits.npos) return -1;
  const auto digit = [](size_t at) { return static_cast<int>(at < 16 ? at : at - 6); };
  return digit(high) * 16 + digit(low);
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t at; (at = text.find(from)) != text.npos; text.remove_prefix(at + from.size())) {
    out.append(text.substr(0, at)).append(to);
  }
  return out.append(text);
}

// A special token's id. Without the key, or with 2^32 - 1 (writers put it there for "none"), the
// usual one if the vocabulary has it.
Error read_id(const gguf::File& file, const char* key, TokenId usual, size_t size, TokenId& out) {
  constexpr uint64_t kNone = std::numeric_limits<uint32_t>::max();
  uint64_t id = kNone;
  if (Error e = file.read(key, Need::optional, id)) return e;
  if (id != kNone && id >= size) {
    return error("%s = %" PRIu64 ", but there are %zu tokens", key, id, size);
  }
  if (id == kNone) id = static_cast<uint64_t>(usual);
  out = id < size ? static_cast<TokenId>(id) : kNoToken;
  return {};
}

Error read_types(const gguf::File& file, Vocabulary& v) {
  constexpr const char* kKey = "tokenizer.ggml.token_type";
  std::vector<int32_t> raw(v.texts.size(), static_cast<int32_t>(TokenType::normal));
  if (Error e = file.read(kKey, Need::optional, raw)) return e;
  if (raw.size() != v.texts.size()) {
    return error("%s has %zu entries for %zu tokens", kKey, raw.size(), v.texts.size());
  }
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] < 0 || raw[i] > static_cast<int32_t>(TokenType::byte)) {
      return error("%s[%zu] = %" PRId32 " is not in 0 .. 6", kKey, i, raw[i]);
    }
    v.types.push_back(static_cast<TokenType>(raw[i]));
    if (v.types[i] == TokenType::byte && named_byte(v.texts[i]) < 0) {
      return error("tokenizer.ggml.tokens[%zu] is of type byte, but \"%s\" is not <0x00> .. <0xFF>",
                   i, printable(v.texts[i]).c_str());
    }
  }
  return {};
}

// `bpe` says that the model is "gpt2", else it is "llama": what is usual depends on it.
Error read_vocabulary(const gguf::File& file, bool bpe, Vocabulary& v) {
  constexpr const char* kScores = "tokenizer.ggml.scores";
  if (Error e = file.read("tokenizer.ggml.tokens", Need::required, v.texts)) return e;
  const size_t size = v.texts.size();
  if (size == 0 || size > std::numeric_limits<TokenId>::max()) {
    return error("tokenizer.ggml.tokens has %zu tokens", size);
  }
  v.scores.resize(size);
  if (Error e = file.read(kScores, Need::optional, v.scores)) return e;
  if (v.scores.size() != size) {
    return error("%s has %zu entries for %zu tokens", kScores, v.scores.size(), size);
  }
  for (size_t i = 0; i < size; ++i) {
    if (std::isnan(v.scores[i])) return error("%s[%zu] is not a number", kScores, i);
  }
  const struct {
    const char* key;
    TokenId usual;
    TokenId& id;
  } specials[] = {{"tokenizer.ggml.unknown_token_id", bpe ? kNoToken : 0, v.unknown},
                  {"tokenizer.ggml.bos_token_id", bpe ? kNoToken : 1, v.bos},
                  {"tokenizer.ggml.eos_token_id", bpe ? kNoToken : 2, v.eos},
                  {"tokenizer.ggml.eot_token_id", kNoToken, v.eot}};
  for (const auto& s : specials) {
    if (Error e = read_id(file, s.key, s.usual, size, s.id)) return e;
  }
  if (Error e = read_types(file, v)) return e;
  std::string_view pre;
  if (Error e = file.read("tokenizer.ggml.pre", Need::optional, pre)) return e;
  v.add_bos = !bpe || is_llama3(pre);
  if (Error e = file.read("tokenizer.ggml.add_bos_token", Need::optional, v.add_bos)) return e;
  if (Error e = file.read("tokenizer.ggml.add_space_prefix", Need::optional, v.add_space_prefix)) {
    return e;
  }
  v.add_bos = v.add_bos && v.bos != kNoToken;
  v.ids.reserve(size);
  for (size_t i = 0; i < size; ++i) v.ids.emplace(v.texts[i], static_cast<TokenId>(i));
  return {};
}

// The tokenizer of Llama 2: what does not become a token becomes bytes.
class SpmTokenizer final : public Tokenizer {
 public:
  explicit SpmTokenizer(Vocabulary v) : Tokenizer(std::move(v)) {
    const Vocabulary& own = vocabulary();
    for (size_t b = 0; b < bytes_.size(); ++b) {  // second choice: the byte as a token of its own
      const char c = static_cast<char>(b);
      const auto at = own.ids.find({&c, 1});
      bytes_[b] = at != own.ids.end() ? at->second : own.unknown;
    }
    for (size_t i = 0; i < own.texts.size(); ++i) {
      if (const int b = named_byte(own.texts[i]); b >= 0) {
        bytes_[static_cast<size_t>(b)] = static_cast<TokenId>(i);
      }
    }
  }

  void append_text(TokenId id, std::string& out) const override {
    const std::string_view text = vocabulary().texts[static_cast<size_t>(id)];
    const TokenType type = vocabulary().types[static_cast<size_t>(id)];
    if (type == TokenType::unknown || type == TokenType::control) return;
    if (type == TokenType::byte) {
      out += static_cast<char>(named_byte(text));
      return;
    }
    out += type == TokenType::user_defined ? std::string(text) : replaced(text, kBlank, " ");
  }

 protected:
  void encode_plain(std::string_view plain, bool begins, std::vector<TokenId>& out) const override {
    std::string text(begins && vocabulary().add_space_prefix ? kBlank : std::string_view());
    text += replaced(plain, " ", kBlank);
    const Vocabulary& own = vocabulary();
    const auto score = [&](std::string_view left, std::string_view right, double& value) {
      const auto at =
          own.ids.find({left.data(), left.size() + right.size()});  // they are neighbours
      if (at == own.ids.end()) return false;
      value = static_cast<double>(own.scores[static_cast<size_t>(at->second)]);
      return true;
    };
    Merger(text, score).run([&](std::string_view symbol) {
      const auto at = own.ids.find(symbol);
      if (at != own.ids.end()) return out.push_back(at->second);
      for (const char c : symbol) {
        const TokenId id = bytes_[static_cast<unsigned char>(c)];
        if (id != kNoToken) out.push_back(id);
      }
    });
  }

 private:
  std::array<TokenId, 256> bytes_;
};

}  // namespace

Error Tokenizer::create(const gguf::File& file, std::unique_ptr<Tokenizer>& out) {
  std::string_view kind;
  if (Error e = file.read("tokenizer.ggml.model", Need::required, kind)) return e;
  const bool bpe = kind == "gpt2";
  if (kind != "llama" && !bpe) {
    return error("tokenizer.ggml.model = \"%s\" is not supported, \"llama\" and \"gpt2\" are",
                 printable(kind).c_str());
  }
  Vocabulary vocabulary;
  if (Error e = read_vocabulary(file, bpe, vocabulary)) return e;
  if (bpe) return make_bpe(file, std::move(vocabulary), out);
  out = std::make_unique<SpmTokenizer>(std::move(vocabulary));
  return {};
}

Tokenizer::Tokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {
  const auto& texts = vocabulary_.texts;
  for (size_t i = 0; i < texts.size(); ++i) {
    const TokenType type = vocabulary_.types[i];
    const bool special =
        type == TokenType::control || type == TokenType::unknown || type == TokenType::user_defined;
    if (special && !texts[i].empty()) specials_.push_back(i);
    const bool ends =
        special && std::find(std::begin(kEnds), std::end(kEnds), texts[i]) != std::end(kEnds);
    if (ends) ends_.push_back(static_cast<TokenId>(i));
  }
  for (const TokenId id : {vocabulary_.eos, vocabulary_.eot}) {
    if (id != kNoToken) ends_.push_back(id);
  }
  std::sort(specials_.begin(), specials_.end(), [&](size_t a, size_t b) {
    return texts[a].size() != texts[b].size() ? texts[a].size() > texts[b].size() : a < b;
  });
}

bool Tokenizer::is_end(TokenId id) const {
  return std::find(ends_.begin(), ends_.end(), id) != ends_.end();
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, Specials specials, Bos bos) const {
  // The text falls into pieces at each occurrence of each special token, longest tokens first.
  struct Piece {
    std::string_view text;
    TokenId id;  // kNoToken: plain text
  };
  std::vector<Piece> pieces, next;
  if (!text.empty()) pieces.push_back({text, kNoToken});
  for (const size_t id : specials_) {
    // Tokens that a user defined are part of the language; the others only if asked for.
    if (specials == Specials::as_text && vocabulary_.types[id] != TokenType::user_defined) continue;
    const std::string_view name = vocabulary_.texts[id];
    next.clear();
    for (const Piece& piece : pieces) {
      std::string_view rest = piece.text;
      for (size_t at; piece.id == kNoToken && (at = rest.find(name)) != rest.npos;) {
        if (at > 0) next.push_back({rest.substr(0, at), kNoToken});
        next.push_back({name, static_cast<TokenId>(id)});
        rest.remove_prefix(at + name.size());
      }
      if (!rest.empty()) next.push_back({rest, piece.id});
    }
    pieces.swap(next);
  }

  std::vector<TokenId> out;
  if (vocabulary_.add_bos && bos == Bos::usual) out.push_back(vocabulary_.bos);
  bool begins = true;
  for (const Piece& piece : pieces) {
    if (piece.id != kNoToken) out.push_back(piece.id);
    if (piece.id == kNoToken) encode_plain(piece.text, begins, out);
    begins = piece.id != kNoToken;
  }
  return out;
}

}  // namespace llm

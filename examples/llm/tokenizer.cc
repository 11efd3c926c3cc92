// SPDX-License-Identifier: MIT
#include "tokenizer.h"

#include "text.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <queue>
#include <utility>

namespace llm {
namespace {

// Tokens that end an answer in one family of models or another, whatever the file says of them. The
// names in this file are those that llama.cpp knows.
constexpr std::string_view kEnds[] = {"<|eot_id|>",
                                      "<|im_end|>",
                                      "<|end|>",
                                      "<|return|>",
                                      "<|call|>",
                                      "<|flush|>",
                                      "<|calls|>",
                                      "<end_of_turn>",
                                      "<|endoftext|>",
                                      "</s>",
                                      "<|eom_id|>",
                                      "<EOT>",
                                      "_<EOT>",
                                      "[EOT]",
                                      "[EOS]",
                                      "<|end_of_text|>",
                                      "<end_of_utterance>",
                                      "<eos>",
                                      "<turn|>",
                                      "<|tool_response>"};

// Tokens for filling a gap in a text: those that end an answer too, and those that do not.
struct GapToken {
  const char* key;  // names one, else the vocabulary is searched
  std::initializer_list<std::string_view> names;
  bool ends;
};
const GapToken gap_tokens[] = {
    {"fim_pre_token_id",
     {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "<|code_prefix|>", "<|prefix|>"},
     false},
    {"fim_suf_token_id",
     {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "<|code_suffix|>", "<|suffix|>"},
     false},
    {"fim_mid_token_id",
     {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "<|code_middle|>", "<|middle|>"},
     false},
    {"fim_pad_token_id", {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}, true},
    {"fim_rep_token_id",
     {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"},
     true},
    {"fim_sep_token_id", {"<|file_sep|>"}, true}};

// Marks within an answer, which are shown.
constexpr std::string_view kMarks[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

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
TokenId read_id(const gguf::File& file, const std::string& key, TokenId usual, size_t size) {
  constexpr uint64_t kNone = std::numeric_limits<uint32_t>::max();
  uint64_t id = file.natural(key, kNone);
  if (id != kNone && id >= size) {
    throw error("%s = %" PRIu64 ", but there are %zu tokens", key.c_str(), id, size);
  }
  if (id == kNone) id = static_cast<uint64_t>(usual);
  return id < size ? static_cast<TokenId>(id) : kNoToken;
}

// A list with an entry for each token, or `usual` for all of them.
template <class T>
std::vector<T> read_each(const gguf::File& file, const char* key, T usual, size_t size) {
  std::vector<T> out = file.list(key, std::vector<T>(size, usual));
  if (out.size() == size) return out;
  throw error("%s has %zu entries for %zu tokens", key, out.size(), size);
}

std::vector<TokenType> read_types(const gguf::File& file,
                                  const std::vector<std::string_view>& texts) {
  constexpr const char* kKey = "tokenizer.ggml.token_type";
  std::vector<TokenType> types;
  for (const int32_t type : read_each(file, kKey, int32_t{1}, texts.size())) {
    const size_t i = types.size();
    if (type < 0 || type > static_cast<int32_t>(TokenType::byte)) {
      throw error("%s[%zu] = %" PRId32 " is not in 0 .. 6", kKey, i, type);
    }
    types.push_back(static_cast<TokenType>(type));
    if (types[i] == TokenType::byte && named_byte(texts[i]) < 0) {
      throw error("tokenizer.ggml.tokens[%zu] is of type byte, but \"%s\" is not <0x00> .. <0xFF>",
                  i, printable(texts[i]).c_str());
    }
  }
  return types;
}

// The token of a name, or none.
TokenId find_token(const Vocabulary& v, std::string_view name) {
  const auto at = v.ids.find(name);
  return at != v.ids.end() ? at->second : kNoToken;
}

// Tokens that are special by their names become so, whatever type a converter gave them.
void mark_specials(const gguf::File& file, Vocabulary& v) {
  const auto set_type = [&](TokenId id, TokenType type) {
    v.types[static_cast<size_t>(id)] = type;
  };
  for (const GapToken& gap : gap_tokens) {
    const std::string key = std::string("tokenizer.ggml.") + gap.key;
    TokenId id = read_id(file, key, kNoToken, v.texts.size());
    for (const std::string_view name : gap.names) {
      if (id != kNoToken) break;
      id = find_token(v, name);
      if (id != kNoToken) set_type(id, TokenType::control);
    }
    if (gap.ends && id != kNoToken) v.ends.push_back(id);
  }
  for (const std::string_view name : kEnds) {
    const TokenId id = find_token(v, name);
    if (id == kNoToken) continue;
    v.ends.push_back(id);
    set_type(id, TokenType::control);
  }
  for (const std::string_view name : kMarks) {
    if (const TokenId id = find_token(v, name); id != kNoToken) {
      set_type(id, TokenType::user_defined);
    }
  }
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    const TokenId usual = std::string_view(key) == "eos_token_id" ? v.eos : kNoToken;
    const TokenId id = read_id(file, std::string("tokenizer.ggml.") + key, usual, v.texts.size());
    if (id != kNoToken) v.ends.push_back(id);
  }
  const auto has = [&](std::string_view name) { return find_token(v, name) != kNoToken; };
  const auto goes_on = [&](std::string_view name, TokenType type) {
    const TokenId id = find_token(v, name);
    if (id == kNoToken) return;
    std::erase(v.ends, id);
    set_type(id, type);
  };
  // In these families the end of a message is not that of an answer, and </s> is a tag of HTML.
  const bool calls = has("<|call|>") || has("<|calls|>");
  if (calls && (has("<|return|>") || has("<|flush|>"))) {
    goes_on("<|end|>", TokenType::user_defined);
  }
  if (has("<|tool_response>")) goes_on("</s>", TokenType::normal);
}

// `bpe` says that the model is "gpt2", else it is "llama": what is usual depends on it.
Vocabulary read_vocabulary(const gguf::File& file, bool bpe) {
  const std::string prefix = "tokenizer.ggml.";
  Vocabulary v;
  v.texts = file.list<std::string_view>(prefix + "tokens");
  const size_t size = v.texts.size();
  if (size == 0 || size > std::numeric_limits<TokenId>::max()) {
    throw error("tokenizer.ggml.tokens has %zu tokens", size);
  }
  v.scores = read_each(file, "tokenizer.ggml.scores", 0.0f, size);
  for (size_t i = 0; i < size; ++i) {
    if (std::isnan(v.scores[i])) throw error("tokenizer.ggml.scores[%zu] is not a number", i);
  }
  constexpr TokenId kBpeEnd = 11;  // llama.cpp's, in a file that does not say
  v.unknown = read_id(file, prefix + "unknown_token_id", bpe ? kNoToken : 0, size);
  v.bos = read_id(file, prefix + "bos_token_id", bpe ? kBpeEnd : 1, size);
  v.eos = read_id(file, prefix + "eos_token_id", bpe ? kBpeEnd : 2, size);
  v.types = read_types(file, v.texts);
  const bool usual = !bpe || is_like_llama3(file.get(prefix + "pre", std::string_view()));
  v.add_bos = file.get(prefix + "add_bos_token", usual) && v.bos != kNoToken;
  v.add_space_prefix = file.get(prefix + "add_space_prefix", true);
  v.ids.reserve(size);
  for (size_t i = 0; i < size; ++i) v.ids.emplace(v.texts[i], static_cast<TokenId>(i));
  mark_specials(file, v);
  return v;
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

 protected:
  void encode_plain(std::string_view plain, bool begins, std::vector<TokenId>& out) const override {
    std::string text(begins && vocabulary().add_space_prefix ? kBlank : std::string_view());
    text += replaced(plain, " ", kBlank);
    const Vocabulary& own = vocabulary();
    const auto score = [&](std::string_view left, std::string_view right) {
      std::optional<double> value;
      const auto at = own.ids.find({left.data(), left.size() + right.size()});  // neighbours
      if (at != own.ids.end()) value = own.scores[static_cast<size_t>(at->second)];
      return value;
    };
    for (const std::string_view symbol : merged(text, score)) {
      if (const auto at = own.ids.find(symbol); at != own.ids.end()) {
        out.push_back(at->second);
        continue;
      }
      for (const char c : symbol) {
        const TokenId id = bytes_[static_cast<unsigned char>(c)];
        if (id != kNoToken) out.push_back(id);
      }
    }
  }
  std::string plain(std::string_view text) const override { return replaced(text, kBlank, " "); }

 private:
  std::array<TokenId, 256> bytes_;
};

// A character of a text, or several that were joined.
constexpr size_t kNone = std::numeric_limits<size_t>::max();
struct Symbol {
  size_t begin, bytes;    // in the text
  size_t previous, next;  // symbols; outside the list: none
};

struct Pair {
  size_t left, right, bytes;
  double score;
  bool operator<(const Pair& other) const {
    return score < other.score || (score == other.score && left > other.left);
  }
};

// A character ends early where a byte does not continue it: half a one takes nothing along.
std::vector<Symbol> characters(std::string_view text) {
  constexpr uint8_t kLength[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
  std::vector<Symbol> symbols;
  for (size_t at = 0; at < text.size(); at += symbols.back().bytes) {
    const size_t length = kLength[static_cast<unsigned char>(text[at]) >> 4];
    size_t end = at + 1;
    while (end < std::min(at + length, text.size()) && is_continuation(text[end])) ++end;
    const size_t i = symbols.size();
    symbols.push_back({at, end - at, i > 0 ? i - 1 : kNone, i + 1});
  }
  return symbols;
}

}  // namespace

std::vector<std::string_view> merged(std::string_view text, const Score& score) {
  std::vector<Symbol> symbols = characters(text);
  std::priority_queue<Pair> pairs;
  const auto text_of = [&](size_t i) { return text.substr(symbols[i].begin, symbols[i].bytes); };
  const auto offer = [&](size_t left, size_t right) {
    if (left >= symbols.size() || right >= symbols.size()) return;
    const std::optional<double> value = score(text_of(left), text_of(right));
    if (value) pairs.push({left, right, symbols[left].bytes + symbols[right].bytes, *value});
  };
  for (size_t i = 1; i < symbols.size(); ++i) offer(i - 1, i);
  while (!pairs.empty()) {
    const Pair pair = pairs.top();
    pairs.pop();
    Symbol &left = symbols[pair.left], &right = symbols[pair.right];
    // One of the two may have been joined elsewhere since: it is longer then, or empty.
    if (left.bytes == 0 || right.bytes == 0 || left.bytes + right.bytes != pair.bytes) continue;
    left.bytes = pair.bytes;
    right.bytes = 0;
    left.next = right.next;
    if (right.next < symbols.size()) symbols[right.next].previous = pair.left;
    offer(left.previous, pair.left);
    offer(pair.left, left.next);
  }
  std::vector<std::string_view> out;
  for (size_t i = 0; i < symbols.size(); i = symbols[i].next) out.push_back(text_of(i));
  return out;
}

std::unique_ptr<Tokenizer> Tokenizer::create(const gguf::File& file) {
  const auto kind = file.get<std::string_view>("tokenizer.ggml.model");
  const bool bpe = kind == "gpt2";
  if (kind != "llama" && !bpe) {
    throw error("tokenizer.ggml.model = \"%s\" is not supported, \"llama\" and \"gpt2\" are",
                printable(kind).c_str());
  }
  Vocabulary vocabulary = read_vocabulary(file, bpe);
  if (bpe) return make_bpe(file, std::move(vocabulary));
  return std::make_unique<SpmTokenizer>(std::move(vocabulary));
}

Tokenizer::Tokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {
  const auto& texts = vocabulary_.texts;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (is_special(static_cast<TokenId>(i)) && !texts[i].empty()) specials_.push_back(i);
  }
  std::sort(specials_.begin(), specials_.end(), [&](size_t a, size_t b) {
    return texts[a].size() != texts[b].size() ? texts[a].size() > texts[b].size() : a < b;
  });
}

void Tokenizer::append_text(TokenId id, std::string& out) const {
  const std::string_view text = vocabulary_.texts[static_cast<size_t>(id)];
  switch (vocabulary_.types[static_cast<size_t>(id)]) {
    case TokenType::unknown:
    case TokenType::control:
      return;
    case TokenType::user_defined:
      out += text;
      return;
    case TokenType::byte:
      out += static_cast<char>(named_byte(text));
      return;
    default:
      out += plain(text);
  }
}

bool Tokenizer::is_end(TokenId id) const {
  const auto& ends = vocabulary_.ends;
  return std::find(ends.begin(), ends.end(), id) != ends.end();
}

bool Tokenizer::is_special(TokenId id) const {
  const TokenType type = vocabulary_.types[static_cast<size_t>(id)];
  return type == TokenType::control || type == TokenType::unknown ||
         type == TokenType::user_defined;
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, Specials specials, Bos bos,
                                       bool begins) const {
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
  const bool wanted = bos == Bos::usual ? vocabulary_.add_bos : bos == Bos::always;
  if (wanted && vocabulary_.bos != kNoToken) out.push_back(vocabulary_.bos);
  for (const Piece& piece : pieces) {
    if (piece.id != kNoToken) out.push_back(piece.id);
    if (piece.id == kNoToken) encode_plain(piece.text, begins, out);
    begins = piece.id != kNoToken;
  }
  return out;
}

}  // namespace llm

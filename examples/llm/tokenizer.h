// SPDX-License-Identifier: MIT
// Text to token ids and back, by the tokenizer that a GGUF file describes. The vocabulary and the
// treatment of special tokens are common to all kinds of tokenizers; how plain text becomes tokens
// is what a subclass adds.
#ifndef TESSERA_EXAMPLES_LLM_TOKENIZER_H_
#define TESSERA_EXAMPLES_LLM_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "error.h"
#include "gguf.h"

namespace llm {

using TokenId = int32_t;
inline constexpr TokenId kNoToken = -1;

/// What a token is, by its number in tokenizer.ggml.token_type.
enum class TokenType : uint8_t { undefined, normal, unknown, control, user_defined, unused, byte };

struct Vocabulary {
  std::vector<std::string_view> texts;  // in the file's bytes
  std::vector<float> scores;            // one for each token
  std::vector<TokenType> types;
  std::unordered_map<std::string_view, TokenId> ids;  // the first token of each text
  TokenId bos = kNoToken, eos = kNoToken, unknown = kNoToken;
  std::vector<TokenId> ends;     // end an answer
  std::string note;              // what a user should know of it; mostly empty
  bool add_bos = true;           // in front of a text; never without a bos
  bool add_space_prefix = true;  // a blank in front of text that begins or follows a special token
};

/// What the names of special tokens within a text are: themselves, or letters like any others.
enum class Specials : uint8_t { parse, as_text };

/// Whether a text begins with BOS: as the model wants it, if there is one, or never.
enum class Bos : uint8_t { usual, always, never };

/// Tokenizers that begin a text with BOS and leave a piece whole that is a token, Llama 3's and
/// Mistral's, by the value of tokenizer.ggml.pre.
inline bool is_like_llama3(std::string_view pre) {
  return pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3" || pre == "tekken";
}

class Tokenizer {
 public:
  /// Makes one of the tokenizer.ggml keys of `file`, which must outlive it.
  static std::unique_ptr<Tokenizer> create(const gguf::File& file);
  virtual ~Tokenizer() = default;

  size_t size() const { return vocabulary_.texts.size(); }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  /// The model has said all it wants to say.
  bool is_end(TokenId id) const;

  /// `begins` as in encode_plain().
  std::vector<TokenId> encode(std::string_view text, Specials specials, Bos bos = Bos::usual,
                              bool begins = true) const;
  /// A token that is no text: words behind it begin anew.
  bool is_special(TokenId id) const;
  /// Appends what a token stands for, maybe a part of a character; nothing for control tokens.
  void append_text(TokenId id, std::string& out) const;

 protected:
  explicit Tokenizer(Vocabulary vocabulary);
  /// Appends the tokens of text without special tokens. `begins` says that the text stands at the
  /// beginning or behind a special token.
  virtual void encode_plain(std::string_view text, bool begins,
                            std::vector<TokenId>& out) const = 0;
  /// The text of an ordinary token, as the vocabulary spells it, in plain.
  virtual std::string plain(std::string_view text) const = 0;

 private:
  Vocabulary vocabulary_;
  std::vector<size_t> specials_;  // ids that a text may name; longest first
};

/// A byte-level BPE tokenizer with the merges of a file.
std::unique_ptr<Tokenizer> make_bpe(const gguf::File& file, Vocabulary vocabulary);

/// How good it is to join two neighbours; nothing if they may not be joined.
using Score = std::function<std::optional<double>(std::string_view, std::string_view)>;
/// What both kinds of tokenizers do with a stretch of text: the characters of it are joined, the
/// best pair first, the leftmost of equals; n of them in O(n log n).
std::vector<std::string_view> merged(std::string_view text, const Score& score);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_TOKENIZER_H_

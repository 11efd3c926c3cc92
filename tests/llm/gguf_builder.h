// SPDX-License-Identifier: MIT
// Writes GGUF files in memory, with every count and length open to lies, for tests of the reader.
#ifndef TESSERA_TESTS_LLM_GGUF_BUILDER_H_
#define TESSERA_TESTS_LLM_GGUF_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "gguf.h"

namespace llm::test {

using gguf::Kind;

/// The text of the Error that a call throws, "" if it throws none.
template <class Call>
std::string refused(const Call& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

/// Appends numbers as they lie, and strings with their 64-bit length.
class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    static_assert(std::is_arithmetic_v<T>);
    return add(&value, sizeof(T));
  }
  Bytes& raw(std::string_view text) { return add(text.data(), text.size()); }
  Bytes& text(std::string_view text) { return put(uint64_t{text.size()}).raw(text); }
  Bytes& kind(Kind kind) { return put(static_cast<uint32_t>(kind)); }
  Bytes& pad(size_t alignment) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  Bytes& append(const Bytes& other) { return add(other.data.data(), other.data.size()); }
  std::vector<std::byte> data;

 private:
  Bytes& add(const void* bytes, size_t count) {
    const size_t at = data.size();
    data.resize(at + count);
    if (count > 0) std::memcpy(data.data() + at, bytes, count);
    return *this;
  }
};

/// One tensor's record; the fields that are set replace the true ones.
struct TensorRecord {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type = 0;
  uint64_t offset = 0;
  std::optional<uint32_t> n_dims = {};
  std::optional<uint64_t> name_length = {};
};

class Builder {
 public:
  uint32_t magic = 0x46554747u;
  uint32_t version = 3;
  std::optional<uint64_t> n_tensors, n_pairs;        // what the header says, if not the truth
  size_t alignment = 32;                             // of the data; says nothing of the key
  std::vector<std::pair<std::string, Bytes>> pairs;  // key, and all of its bytes
  std::vector<TensorRecord> tensors;
  size_t data_bytes = 0;

  template <class T>
  Builder& number(std::string_view key, Kind kind, T value) {
    return pair(key, Bytes().text(key).kind(kind).put(value));
  }
  Builder& u32(std::string_view key, uint32_t value) { return number(key, Kind::u32, value); }
  Builder& string(std::string_view key, std::string_view value) {
    return pair(key, Bytes().text(key).kind(Kind::string).text(value));
  }
  Builder& strings(std::string_view key, const std::vector<std::string>& values) {
    Bytes pair = Bytes().text(key).kind(Kind::array).kind(Kind::string);
    pair.put(uint64_t{values.size()});
    for (const std::string& value : values) pair.text(value);
    return this->pair(key, pair);
  }
  template <class T>
  Builder& numbers(std::string_view key, Kind element, const std::vector<T>& values) {
    Bytes pair = Bytes().text(key).kind(Kind::array).kind(element);
    pair.put(uint64_t{values.size()});
    for (const T value : values) pair.put(value);
    return this->pair(key, pair);
  }
  Builder& pair(std::string_view key, const Bytes& bytes) {
    pairs.emplace_back(key, bytes);
    return *this;
  }
  /// Takes a key out again, or a tensor.
  Builder& drop(std::string_view name) {
    std::erase_if(pairs, [&](const auto& p) { return p.first == name; });
    std::erase_if(tensors, [&](const TensorRecord& t) { return t.name == name; });
    return *this;
  }
  Builder& tensor(const TensorRecord& record) {
    tensors.push_back(record);
    return *this;
  }

  std::vector<std::byte> build() const {
    Bytes out;
    out.put(magic).put(version);
    out.put(n_tensors.value_or(tensors.size())).put(n_pairs.value_or(pairs.size()));
    for (const auto& [key, bytes] : pairs) out.append(bytes);
    for (const TensorRecord& t : tensors) {
      out.put(t.name_length.value_or(t.name.size())).raw(t.name);
      out.put(t.n_dims.value_or(static_cast<uint32_t>(t.dims.size())));
      for (const uint64_t d : t.dims) out.put(d);
      out.put(t.type).put(t.offset);
    }
    out.pad(alignment);
    out.data.resize(out.data.size() + data_bytes);
    return out.data;
  }

  /// A tensor of type f32 behind the others, filled with zeros.
  Builder& f32(const std::string& name, const std::vector<uint64_t>& dims) {
    size_t bytes = sizeof(float);
    for (const uint64_t d : dims) bytes *= d;
    tensors.push_back({name, dims, 0, data_bytes});
    data_bytes += (bytes + alignment - 1) / alignment * alignment;
    return *this;
  }
};

/// A whole model: width 32, one layer, 4 heads over 2, 272 tokens.
inline Builder tiny_model(uint32_t dim = 32) {
  const uint32_t kv = dim / 2, ffn = 2 * dim;
  Builder b;
  b.string("general.architecture", "llama").u32("llama.block_count", 1);
  b.u32("llama.embedding_length", dim).u32("llama.feed_forward_length", ffn);
  b.u32("llama.context_length", 64).u32("llama.attention.head_count", 4);
  b.u32("llama.attention.head_count_kv", 2);
  b.number("llama.attention.layer_norm_rms_epsilon", Kind::f32, 1e-5f);
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  for (unsigned i = 0; i < 256; ++i) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", i);
    tokens.emplace_back(text);
    types.push_back(6);
  }
  for (const char* text :
       {"\u2581", "a", "b", "c", "ab", "bc", "\u2581a", "abc", "d", "<tool>", "e", "f", "g"}) {
    tokens.emplace_back(text);
    types.push_back(tokens.back() == "<tool>" ? 4 : 1);
  }
  std::vector<float> scores(tokens.size(), 0.0f);
  for (size_t i = 259; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
  b.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", tokens);
  b.numbers("tokenizer.ggml.scores", Kind::f32, scores);
  b.numbers("tokenizer.ggml.token_type", Kind::i32, types);
  b.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
  b.f32("token_embd.weight", {dim, tokens.size()}).f32("output_norm.weight", {dim});
  b.f32("blk.0.attn_norm.weight", {dim}).f32("blk.0.ffn_norm.weight", {dim});
  b.f32("blk.0.attn_q.weight", {dim, dim}).f32("blk.0.attn_k.weight", {dim, kv});
  b.f32("blk.0.attn_v.weight", {dim, kv}).f32("blk.0.attn_output.weight", {dim, dim});
  b.f32("blk.0.ffn_gate.weight", {dim, ffn}).f32("blk.0.ffn_up.weight", {dim, ffn});
  b.f32("blk.0.ffn_down.weight", {ffn, dim});
  return b;
}

/// The tokenizer of a byte-level BPE model, without tensors: letters for all bytes, a few merges;
/// BOS and EOS, if they have names, and more special tokens.
inline Builder tiny_bpe_model(std::string_view pre, const std::vector<std::string>& bos_eos = {},
                              const std::vector<std::string>& specials = {"<|im_end|>"}) {
  const auto utf8 = [](unsigned code) {
    std::string letter;
    if (code >= 0x80) letter += static_cast<char>(0xC0u | code >> 6);
    return letter += static_cast<char>(code < 0x80 ? code : 0x80u | (code & 0x3Fu));
  };
  std::vector<std::string> tokens;
  for (unsigned code = 0x21; code < 0x144; ++code) {
    const bool letter = code < 0x7F || (code > 0xA0 && code != 0xAD);
    if (letter) tokens.push_back(utf8(code));
  }
  tokens.insert(tokens.end(), {"ab", "bc", "\u0120a", "\u0120ab"});
  std::vector<int32_t> types(tokens.size(), 1);
  tokens.insert(tokens.end(), specials.begin(), specials.end());
  tokens.insert(tokens.end(), bos_eos.begin(), bos_eos.end());
  types.resize(tokens.size(), 3);
  Builder b;
  if (bos_eos.size() == 2) {
    b.u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(tokens.size() - 2));
    b.u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(tokens.size() - 1));
  }
  b.string("general.architecture", "gpt2").string("tokenizer.ggml.model", "gpt2");
  b.string("tokenizer.ggml.pre", pre).strings("tokenizer.ggml.tokens", tokens);
  b.numbers("tokenizer.ggml.token_type", Kind::i32, types);
  return b.strings("tokenizer.ggml.merges", {"a b", "b c", "\u0120 a", "\u0120a b"});
}

}  // namespace llm::test

#endif  // TESSERA_TESTS_LLM_GGUF_BUILDER_H_

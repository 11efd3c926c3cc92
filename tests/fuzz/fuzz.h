// SPDX-License-Identifier: MIT
// What the fuzz targets share.
#ifndef TESSERA_TESTS_FUZZ_FUZZ_H_
#define TESSERA_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gguf.h"
#include "gguf_builder.h"
#include "tokenizer.h"

namespace llm::test {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Ends the program, which the fuzzer reports, unless what must hold holds.
inline void must(bool holds) {
  if (!holds) std::abort();
}

struct Made {
  std::vector<std::byte> bytes;
  gguf::File file;
  std::unique_ptr<Tokenizer> tokenizer;
  explicit Made(const Builder& builder) : bytes(builder.build()), file(gguf::File::parse(bytes)) {}
};

/// Tokens and back: all ids are of the vocabulary.
inline std::string there_and_back(const Tokenizer& tokenizer, std::string_view text,
                                  Specials specials, Bos bos) {
  std::string out;
  for (const TokenId id : tokenizer.encode(text, specials, bos)) {
    must(id >= 0 && static_cast<size_t>(id) < tokenizer.size());
    (void)tokenizer.is_end(id);
    tokenizer.append_text(id, out);
  }
  return out;
}

}  // namespace llm::test

#endif  // TESSERA_TESTS_FUZZ_FUZZ_H_

// SPDX-License-Identifier: MIT
// A model's file in memory and its tokenizer.
#ifndef TESSERA_TESTS_LLM_LOADED_H_
#define TESSERA_TESTS_LLM_LOADED_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "gguf.h"
#include "gguf_builder.h"
#include "tokenizer.h"

namespace llm::test {

struct Loaded {
  std::vector<std::byte> bytes;  // of a file that was never written
  gguf::File file;
  std::unique_ptr<Tokenizer> tokenizer;

  explicit Loaded(const Builder& builder)
      : bytes(builder.build()),
        file(gguf::File::parse(bytes)),
        tokenizer(Tokenizer::create(file)) {}
  explicit Loaded(const std::string& path)
      : file(gguf::File::open(path)), tokenizer(Tokenizer::create(file)) {}
  Loaded(const Loaded&) = delete;  // the tokenizer reads the file
  Loaded& operator=(const Loaded&) = delete;
};

}  // namespace llm::test

#endif  // TESSERA_TESTS_LLM_LOADED_H_

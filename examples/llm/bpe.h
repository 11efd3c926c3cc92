// SPDX-License-Identifier: MIT
#ifndef TESSERA_EXAMPLES_LLM_BPE_H_
#define TESSERA_EXAMPLES_LLM_BPE_H_

#include <memory>

#include "tokenizer.h"

namespace llm {

/// A byte-level BPE tokenizer with the merges of a file, which must outlive it.
Error make_bpe(const gguf::File& file, Vocabulary vocabulary, std::unique_ptr<Tokenizer>& out);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_BPE_H_

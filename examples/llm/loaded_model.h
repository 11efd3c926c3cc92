// SPDX-License-Identifier: MIT
// A model that is ready to run, with its file, its tokenizer and its threads.
#ifndef TESSERA_EXAMPLES_LLM_LOADED_MODEL_H_
#define TESSERA_EXAMPLES_LLM_LOADED_MODEL_H_

#include <cstddef>
#include <memory>

#include "commands.h"
#include "files.h"
#include "gguf.h"
#include "model.h"
#include "tessera/thread_pool.h"
#include "tokenizer.h"

namespace llm {

/// A model with all that belongs to it. Later members refer to earlier ones.
struct LoadedModel {
  ModelArguments arguments;
  gguf::File file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<tessera::ThreadPool> pool;
  Model model;
  size_t context = 0;  // positions to use
  double load_seconds = 0.0;
  OwnedFile log;  // for the report as JSON, if the arguments want it
};

/// Loads a model and says on stderr what its user should know.
LoadedModel load(const ModelArguments& arguments);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_LOADED_MODEL_H_

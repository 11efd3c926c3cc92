// SPDX-License-Identifier: MIT
// A model with all that belongs to it, as the subcommands that run one share it.
#ifndef TESSERA_EXAMPLES_LLM_LOADED_H_
#define TESSERA_EXAMPLES_LLM_LOADED_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "error.h"
#include "gguf.h"
#include "model.h"
#include "threads.h"
#include "tokenizer.h"

namespace llm {

struct ModelArguments {
  std::string path;
  std::string target;  // empty: the best one
  size_t threads = 0;  // 0: the cores that may be used
  size_t context = 0;  // positions; 0: the model's own, at most 4096
  bool exact = false;  // do not round the inputs of products
  Packing packing = Packing::automatic;
  tessera::DType kv = tessera::DType::f32;  // of keys and values, or f16
};

// Later members refer to earlier ones.
struct Loaded {
  gguf::File file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Team> team;
  Model model;
  size_t context = 0;    // positions to use
  double seconds = 0.0;  // that loading took
};

/// Loads a model and says on stderr what its user should know.
Error load(const ModelArguments& arguments, Loaded& out);

/// Says on stderr on what it runs.
void report_machine(const Loaded& loaded);

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// A line on stderr that says how far something is, while it lasts and if stderr is a terminal.
class Progress {
 public:
  Progress(const char* what, size_t all);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void at(size_t done) const;

 private:
  const char* what_;
  size_t all_;
  bool shown_;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_LOADED_H_

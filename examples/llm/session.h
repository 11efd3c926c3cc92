// SPDX-License-Identifier: MIT
// What the subcommands have in common: a loaded model, files, the closing report, the terminal.
#ifndef TESSERA_EXAMPLES_LLM_SESSION_H_
#define TESSERA_EXAMPLES_LLM_SESSION_H_

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>  // JSON, with its escapes and numbers, is not worth writing again

#include "commands.h"
#include "forward.h"

namespace llm {

constexpr size_t kBatch = 512;       // prompt tokens in one pass
constexpr size_t kLogitBatch = 128;  // the same where logits of all of them are wanted

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
  Progress(const char* what, size_t all) : what_(what), all_(all) {}
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void at(size_t done);

 private:
  const char* what_;
  size_t all_;
  bool shown_ = false;
};

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using OwnedFile = std::unique_ptr<std::FILE, CloseFile>;

/// A model with all that belongs to it. Later members refer to earlier ones.
struct Loaded {
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
Loaded load(const ModelArguments& arguments);

/// Runs tokens in batches, with progress shown if there are several; stops at Ctrl-C. Returns the
/// row in which the logits behind the last token are. Those of all positions go to `logits`, unless
/// it is null.
size_t run_prompt(Forward& forward, std::span<const TokenId> tokens, std::FILE* logits);

/// Work that was timed. The first token of an answer comes with the prompt, so that fewer can be
/// timed than there are.
struct Speed {
  const char* what;
  size_t tokens = 0, timed_tokens = 0;
  double seconds = 0.0;
};
/// The closing report: on stderr and, if the arguments name a file for it, as JSON with `more`
/// added.
void report(const Loaded& loaded, const std::vector<Speed>& speeds, const nlohmann::json& more);

/// The last word on a FILE that was written: an error if anything went wrong.
void flush(std::FILE* file, const std::string& name);
/// A new file to write to.
OwnedFile create_file(const std::string& path);
/// All of a file, which may be a pipe.
std::string read_text(const std::string& path);

/// From now on Ctrl-C only sets a flag; while it is set, a further one ends the program.
void catch_interrupts();
bool interrupted();
constexpr int kInterruptedStatus = 130;  // as shells have it: 128 + SIGINT
void clear_interrupt();

/// A line from the terminal, where it can be edited and old ones be had again, or from whatever
/// else stdin is; without its end. False if there is no more, or at Ctrl-C.
bool read_line(std::string& out);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_SESSION_H_

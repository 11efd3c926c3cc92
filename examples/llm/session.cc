// SPDX-License-Identifier: MIT
#include "session.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>
#include <utility>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "threads.h"
#ifdef TESSERA_LLM_LIBEDIT
#include <editline/readline.h>
#endif

namespace llm {
namespace {

constexpr size_t kDefaultContext = 4096;  // at most, where the user names none

volatile std::sig_atomic_t interrupt_flag = 0;

double rate(const Speed& s) {
  return s.seconds > 0.0 ? static_cast<double>(s.timed_tokens) / s.seconds : 0.0;
}

}  // namespace

Loaded load(const ModelArguments& arguments) {
  const Stopwatch watch;
  Loaded out;
  out.arguments = arguments;
  if (!arguments.log_json.empty()) out.log = create_file(arguments.log_json);
  out.file = gguf::File::open(arguments.path);
  const size_t threads = arguments.threads > 0 ? arguments.threads : usable_cores();
  out.pool = std::make_unique<tessera::ThreadPool>(threads);
  ModelOptions options{.plan = {.accuracy = arguments.accuracy}, .packing = arguments.packing};
  if (!arguments.target.empty()) options.plan.target = arguments.target.c_str();
  in_file(arguments.path, [&] {
    out.tokenizer = Tokenizer::create(out.file);
    out.model = load_model(out.file, out.tokenizer->size(), options, out.pool->executor());
  });
  const size_t trained = out.model.config.context;
  out.context = arguments.context > 0 ? arguments.context : std::min(trained, kDefaultContext);
  if (out.context > trained) {
    std::fprintf(stderr, "note: the context of %zu is longer than the model's own of %zu\n",
                 out.context, trained);
  }
  for (const std::string& note : out.model.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  out.load_seconds = watch.seconds();
  return out;
}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);  // to the beginning of the line, which is erased
}

void Progress::at(size_t done) {
  shown_ = ::isatty(STDERR_FILENO) != 0;
  if (shown_) std::fprintf(stderr, "\r%s: %zu of %zu", what_, done, all_);
}

size_t run_prompt(Forward& forward, std::span<const TokenId> tokens, std::FILE* logits) {
  const size_t all = tokens.size();
  Progress progress("prompt tokens", all);
  size_t rows = 0;
  while (!tokens.empty() && !interrupted()) {
    if (all > forward.batch()) progress.at(all - tokens.size());
    const size_t count = std::min(tokens.size(), forward.batch());
    rows = logits != nullptr ? count : count == tokens.size() ? 1 : 0;
    forward.run(tokens.first(count), rows);
    for (size_t row = 0; logits != nullptr && row < rows; ++row) {
      std::fwrite(forward.logits(row).data(), sizeof(float), forward.logits(row).size(), logits);
    }
    tokens = tokens.subspan(count);
  }
  return rows > 0 ? rows - 1 : 0;
}

void report(const Loaded& loaded, const std::vector<Speed>& speeds, const nlohmann::json& more) {
  const char* target = loaded.model.output.explain(1).target;
  const size_t mapped = loaded.file.size(), packed = loaded.model.packed_bytes;
  nlohmann::json log = {{"model", loaded.arguments.path},
                        {"load_ms", loaded.load_seconds * 1e3},
                        {"target", target},
                        {"threads", loaded.pool->threads()},
                        {"bytes_mapped", mapped},
                        {"bytes_packed", packed}};
  std::fprintf(stderr, "%-10s  %.0f ms\n", "load", loaded.load_seconds * 1e3);
  for (const Speed& s : speeds) {
    std::fprintf(stderr, "%-10s  %zu tokens, %.3f s, %.1f tokens/s\n", s.what, s.tokens, s.seconds,
                 rate(s));
    log[s.what] = {{"tokens", s.tokens}, {"seconds", s.seconds}, {"tokens_per_second", rate(s)}};
  }
  std::map<tessera::DType, size_t> matrices;
  for (const gguf::Tensor& t : loaded.file.tensors()) matrices[t.dtype] += t.n_dims == 2 ? 1 : 0;
  std::fprintf(stderr, "target %s, %zu threads, weights", target, loaded.pool->threads());
  for (const auto& [dtype, count] : matrices) {
    if (count > 0) std::fprintf(stderr, " %s (%zu matrices)", tessera::dtype_name(dtype), count);
  }
  std::fprintf(stderr, ", %.1f MiB mapped, %.1f MiB packed\n", mebibytes(mapped),
               mebibytes(packed));
  if (!loaded.log) return;
  log.update(more);
  constexpr auto kReplace = nlohmann::json::error_handler_t::replace;  // what is not UTF-8
  std::fprintf(loaded.log.get(), "%s\n", log.dump(2, ' ', false, kReplace).c_str());
  flush(loaded.log.get(), loaded.arguments.log_json);
}

void flush(std::FILE* file, const std::string& name) {
  if (std::fflush(file) != 0 || std::ferror(file)) throw file_error(name);
}

OwnedFile create_file(const std::string& path) {
  OwnedFile out(std::fopen(path.c_str(), "wb"));
  return out != nullptr ? std::move(out) : throw file_error(path);
}

std::string read_text(const std::string& path) {
  const OwnedFile file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr) throw file_error(path);
  std::string out;
  for (char piece[1 << 14]; !std::feof(file.get());) {
    out.append(piece, std::fread(piece, 1, sizeof(piece), file.get()));
    if (std::ferror(file.get())) throw file_error(path);
  }
  return out;
}

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) {
    if (interrupt_flag != 0) ::_exit(kInterruptedStatus);
    interrupt_flag = 1;
  };
  ::sigaction(SIGINT, &action, nullptr);  // without SA_RESTART: it also ends the wait for a line
}
bool interrupted() { return interrupt_flag != 0; }
void clear_interrupt() { interrupt_flag = 0; }

bool read_line(std::string& out) {
  constexpr const char* kPrompt = "> ";
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  bool found = false;
  out.clear();
#ifdef TESSERA_LLM_LIBEDIT
  if (terminal) {
    rl_outstream = stderr;
    const std::unique_ptr<char, decltype(&std::free)> line(::readline(kPrompt), &std::free);
    found = line != nullptr;
    if (found && *line != '\0') ::add_history(line.get());
    if (found) out = line.get();
  }
  const bool edited = terminal;
#else
  const bool edited = false;
#endif
  if (!edited) {
    if (terminal) std::fputs(kPrompt, stderr);
    int c = std::getchar();
    found = c != EOF;
    for (; c != EOF && c != '\n'; c = std::getchar()) out += static_cast<char>(c);
  }
  if (terminal && !found) std::fputc('\n', stderr);
  return found && !interrupted();
}

}  // namespace llm

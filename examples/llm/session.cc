// SPDX-License-Identifier: MIT
#include "session.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>
#include <utility>

#include <unistd.h>

#include <nlohmann/json.hpp>
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

Error load(const ModelArguments& arguments, Loaded& out) {
  const Stopwatch watch;
  out.arguments = arguments;
  if (!arguments.log_json.empty()) {
    if (Error e = create_file(arguments.log_json, out.log)) return e;
  }
  if (Error e = gguf::File::open(arguments.path, out.file)) return e;
  const auto in_file = [&](const Error& e) { return Error(arguments.path + ": " + e.text()); };
  if (Error e = Tokenizer::create(out.file, out.tokenizer)) return in_file(e);
  out.team = std::make_unique<Team>(arguments.threads > 0 ? arguments.threads : usable_cores());
  ModelOptions options{.plan = {.accuracy = arguments.accuracy}, .packing = arguments.packing};
  if (!arguments.target.empty()) options.plan.target = arguments.target.c_str();
  const Error e =
      load_model(out.file, out.tokenizer->size(), options, out.team->executor(), out.model);
  if (e) return in_file(e);
  const size_t trained = out.model.config.context;
  out.context = arguments.context > 0 ? arguments.context : std::min(trained, kDefaultContext);
  if (out.context > trained) {
    std::fprintf(stderr, "note: the context of %zu is longer than the model's own of %zu\n",
                 out.context, trained);
  }
  for (const std::string& note : out.model.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  out.load_seconds = watch.seconds();
  return {};
}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);  // to the beginning of the line, which is erased
}

void Progress::at(size_t done) {
  shown_ = ::isatty(STDERR_FILENO) != 0;
  if (shown_) std::fprintf(stderr, "\r%s: %zu of %zu", what_, done, all_);
}

Error run_prompt(Forward& forward, std::span<const TokenId> tokens, std::FILE* logits,
                 size_t& row_of_last) {
  const size_t all = tokens.size();
  Progress progress("prompt tokens", all);
  while (!tokens.empty() && !interrupted()) {
    if (all > forward.batch()) progress.at(all - tokens.size());
    const size_t count = std::min(tokens.size(), forward.batch());
    const size_t rows = logits != nullptr ? count : count == tokens.size() ? 1 : 0;
    if (Error e = forward.run(tokens.first(count), rows)) return e;
    for (size_t row = 0; logits != nullptr && row < rows; ++row) {
      std::fwrite(forward.logits(row).data(), sizeof(float), forward.logits(row).size(), logits);
    }
    row_of_last = rows > 0 ? rows - 1 : 0;
    tokens = tokens.subspan(count);
  }
  return {};
}

Error report(const Loaded& loaded, const std::vector<Speed>& speeds, const nlohmann::json& more) {
  const char* target = loaded.model.output.explain(1).target;
  const size_t mapped = loaded.file.size(), packed = loaded.model.packed_bytes;
  nlohmann::json log = {{"model", loaded.arguments.path},
                        {"load_ms", loaded.load_seconds * 1e3},
                        {"target", target},
                        {"threads", loaded.team->size()},
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
  std::fprintf(stderr, "target %s, %zu threads, weights", target, loaded.team->size());
  for (const auto& [dtype, count] : matrices) {
    if (count > 0) std::fprintf(stderr, " %s (%zu matrices)", tessera::dtype_name(dtype), count);
  }
  std::fprintf(stderr, ", %.1f MiB mapped, %.1f MiB packed\n", mebibytes(mapped),
               mebibytes(packed));
  if (!loaded.log) return {};
  log.update(more);
  constexpr auto kReplace = nlohmann::json::error_handler_t::replace;  // what is not UTF-8
  std::fprintf(loaded.log.get(), "%s\n", log.dump(2, ' ', false, kReplace).c_str());
  return flushed(loaded.log.get(), loaded.arguments.log_json);
}

Error flushed(std::FILE* file, const std::string& name) {
  return std::fflush(file) == 0 && !std::ferror(file) ? Error() : file_error(name);
}

Error create_file(const std::string& path, OwnedFile& out) {
  out.reset(std::fopen(path.c_str(), "wb"));
  return out != nullptr ? Error() : file_error(path);
}

Error read_text(const std::string& path, std::string& out) {
  const OwnedFile file(std::fopen(path.c_str(), "rb"));
  char piece[1 << 14];
  size_t bytes = file != nullptr ? sizeof(piece) : 0;
  while (bytes == sizeof(piece)) {
    bytes = std::fread(piece, 1, sizeof(piece), file.get());
    out.append(piece, bytes);
  }
  return file != nullptr && !std::ferror(file.get()) ? Error() : file_error(path);
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

// SPDX-License-Identifier: MIT
#include "commands.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "forward.h"
#include "gguf.h"
#include "loaded.h"
#include "sampler.h"
#include "tokenizer.h"

namespace llm {
namespace {

constexpr size_t kBatch = 512;       // prompt tokens in one pass
constexpr size_t kLogitBatch = 128;  // the same where logits of all of them are wanted

void report_speed(const char* what, size_t tokens, size_t timed_tokens, double seconds) {
  std::fprintf(stderr, "%-10s  %zu tokens, %.3f s, %.1f tokens/s\n", what, tokens, seconds,
               seconds > 0.0 ? static_cast<double>(timed_tokens) / seconds : 0.0);
}

// The last word on a FILE that was written: flushed, and nothing went wrong.
Error flushed(std::FILE* file, const char* name) {
  if (std::fflush(file) == 0 && !std::ferror(file)) return {};
  return error("%s: %s", name, std::strerror(errno));
}

// Text that streams to stdout. The bytes of an unfinished character wait for the rest of it.
class TextStream {
 public:
  std::string& buffer() { return waiting_; }
  Error flush() { return write(complete_utf8(waiting_)); }
  Error end_line() {
    waiting_ += '\n';
    return write(waiting_.size());
  }

 private:
  Error write(size_t bytes) {
    std::fwrite(waiting_.data(), 1, bytes, stdout);
    waiting_.erase(0, bytes);
    return flushed(stdout, "stdout");
  }
  std::string waiting_;
};

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using OwnedFile = std::unique_ptr<std::FILE, CloseFile>;

// All of a file, which may be a pipe.
Error read_text(const std::string& path, std::string& out) {
  const OwnedFile file(std::fopen(path.c_str(), "rb"));
  char piece[1 << 14];
  size_t bytes = file != nullptr ? sizeof(piece) : 0;
  while (bytes == sizeof(piece)) {
    bytes = std::fread(piece, 1, sizeof(piece), file.get());
    out.append(piece, bytes);
  }
  if (file != nullptr && !std::ferror(file.get())) return {};
  return error("%s: %s", path.c_str(), std::strerror(errno));
}

// Runs the prompt in batches. In the end `row_of_last` is where the logits behind its last token
// are. Those of all positions go to `logits`, unless it is null.
Error run_prompt(Forward& forward, std::span<const TokenId> tokens, std::FILE* logits,
                 size_t& row_of_last) {
  const Progress progress("prompt tokens", tokens.size());
  const size_t begin = forward.position(), all = tokens.size();
  while (!tokens.empty()) {
    if (all > forward.batch()) progress.at(forward.position() - begin);
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

// What came out of generate_tokens().
struct Generation {
  uint64_t tokens = 0, steps = 0;  // steps: forward passes, as the first token came with the prompt
  double seconds = 0.0;
  bool full = false;  // stopped because the context is
};

// The heart of generate(): token after token, the first one from row `row` of the logits.
Error generate_tokens(const GenerateArguments& arguments, const Tokenizer& tokenizer,
                      Forward& forward, Sampler& sampler, size_t row, TextStream& out,
                      Generation& done) {
  const auto wanted = static_cast<uint64_t>(arguments.count);  // -1: more than there can be
  const Stopwatch watch;
  while (done.tokens < wanted) {
    TokenId token = kNoToken;
    if (Error e = sampler.sample(forward.logits(row), token)) return e;
    if (tokenizer.is_end(token) && !arguments.ignore_eos) break;
    if (arguments.ids) {
      if (done.tokens > 0) out.buffer() += ' ';
      out.buffer() += std::to_string(token);
    } else {
      tokenizer.append_text(token, out.buffer());
    }
    if (Error e = out.flush()) return e;
    if (++done.tokens == wanted) break;
    if (forward.position() == forward.context()) {
      const size_t kept = tokenizer.vocabulary().add_bos ? 1 : 0;
      const size_t dropped = (forward.context() - kept) / 2;
      done.full = !arguments.context_shift || dropped == 0;
      if (done.full) break;
      forward.shift(kept, dropped);
    }
    if (Error e = forward.run({&token, 1}, 1)) return e;
    row = 0;
    ++done.steps;
  }
  done.seconds = watch.seconds();
  return {};
}

// -log of the probability that a row of logits gives to a token.
double surprise(std::span<const float> logits, TokenId token) {
  const auto highest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - highest);
  return std::log(sum) + highest - static_cast<double>(logits[static_cast<size_t>(token)]);
}

}  // namespace

Error generate(const GenerateArguments& arguments) {
  Loaded loaded;
  if (Error e = load(arguments.model, loaded)) return e;
  const std::vector<TokenId> prompt = loaded.tokenizer->encode(arguments.prompt, Specials::parse);
  if (prompt.empty()) return error("the prompt has no tokens, and the model begins without one");
  if (prompt.size() > loaded.context) {
    return error("the prompt has %zu tokens, the context holds %zu", prompt.size(), loaded.context);
  }
  OwnedFile logits;
  if (!arguments.logits_path.empty()) {
    logits.reset(std::fopen(arguments.logits_path.c_str(), "wb"));
    if (!logits) return error("%s: %s", arguments.logits_path.c_str(), std::strerror(errno));
  }
  // No more room than the tokens that were asked for can fill: -1 is a large number here.
  const uint64_t room =
      std::min<uint64_t>(loaded.context - prompt.size(), static_cast<uint64_t>(arguments.count));
  const size_t batch = std::min(prompt.size(), logits ? kLogitBatch : kBatch);
  std::unique_ptr<Forward> forward;
  if (Error e = Forward::create(
          loaded.model, *loaded.team,
          {prompt.size() + room, batch, logits ? batch : 1, arguments.model.kv}, forward)) {
    return e;
  }

  TextStream out;
  if (arguments.display_prompt && !arguments.ids) out.buffer() += arguments.prompt;
  if (Error e = out.flush()) return e;
  const Stopwatch watch;
  size_t row = 0;
  if (Error e = run_prompt(*forward, prompt, logits.get(), row)) return e;
  const double prompt_seconds = watch.seconds();
  if (logits) {
    if (Error e = flushed(logits.get(), arguments.logits_path.c_str())) return e;
  }
  const uint64_t seed =
      arguments.seed >= 0 ? static_cast<uint64_t>(arguments.seed) : std::random_device()();
  Sampler sampler({arguments.temperature, arguments.top_p, seed});
  Generation done;
  const Error failure =
      generate_tokens(arguments, *loaded.tokenizer, *forward, sampler, row, out, done);
  if (Error e = out.end_line(); failure || e) return failure ? failure : e;
  if (done.full) std::fprintf(stderr, "stopped: the context of %zu is full\n", loaded.context);
  report_speed("prompt", prompt.size(), prompt.size(), prompt_seconds);
  report_speed("generation", done.tokens, done.steps, done.seconds);
  if (arguments.temperature > 0.0f) std::fprintf(stderr, "seed %" PRIu64 "\n", seed);
  report_machine(loaded);
  return {};
}

Error perplexity(const PerplexityArguments& arguments) {
  std::string text;
  if (Error e = read_text(arguments.text_path, text)) return e;
  Loaded loaded;
  if (Error e = load(arguments.model, loaded)) return e;
  const Vocabulary& vocabulary = loaded.tokenizer->vocabulary();
  std::vector<TokenId> tokens = loaded.tokenizer->encode(text, Specials::as_text);
  const size_t context = loaded.context, chunks = tokens.size() / context;
  if (chunks == 0 || context < 3) {
    return error("%s has %zu tokens: not one chunk of %zu", arguments.text_path.c_str(),
                 tokens.size(), context);
  }
  std::unique_ptr<Forward> forward;
  if (Error e = Forward::create(loaded.model, *loaded.team,
                                {context, kLogitBatch, kLogitBatch, arguments.model.kv}, forward)) {
    return e;
  }

  const Stopwatch watch;
  const size_t first = context / 2;  // predictions from positions first .. context - 2 count
  double total = 0.0;
  const Progress progress("chunks", chunks);
  for (size_t chunk = 0; chunk < chunks; ++chunk) {
    progress.at(chunk);
    const std::span<TokenId> ids = std::span(tokens).subspan(chunk * context, context);
    if (vocabulary.add_bos) ids[0] = vocabulary.bos;
    forward->reset();
    while (forward->position() < context) {
      const size_t begin = forward->position(), end = std::min(context, begin + forward->batch());
      const size_t scored = std::clamp(first, begin, end);
      if (Error e = forward->run(ids.subspan(begin, end - begin), end - scored)) return e;
      for (size_t p = scored; p < end && p + 1 < context; ++p) {
        total += surprise(forward->logits(p - scored), ids[p + 1]);
      }
    }
  }
  const double value = std::exp(total / static_cast<double>(chunks * (context - 1 - first)));
  if (!std::isfinite(value)) return error("the perplexity is %g: the weights make no sense", value);
  report_speed("perplexity", chunks * context, chunks * context, watch.seconds());
  report_machine(loaded);
  std::printf("%.4f\n", value);
  return flushed(stdout, "stdout");
}

Error info(const std::string& path) {
  gguf::File file;
  if (Error e = gguf::File::open(path, file)) return e;
  std::printf("GGUF version %" PRIu32 ", %zu bytes, %zu metadata pairs, %zu tensors\n\n",
              file.version(), file.size(), file.metadata().size(), file.tensors().size());
  for (const auto& [key, value] : file.metadata()) {
    std::printf("%-44s %-6s %s\n", printable(key).c_str(), gguf::kind_name(value.element),
                value.text().c_str());
  }
  std::printf("\n");
  for (const gguf::Tensor& t : file.tensors()) {
    std::printf("%-32s %-7s %-16s %12zu bytes at %" PRIu64 "\n", printable(t.name).c_str(),
                tessera::dtype_name(t.dtype), t.shape().c_str(), t.data.size(), t.offset);
  }
  return flushed(stdout, "stdout");
}

Error list_targets() {
  for (const tessera::Target& target : tessera::targets()) {
    std::printf("%-12s %s\n", target.name,
                target.available ? "runs here" : "does not run on this CPU");
  }
  return flushed(stdout, "stdout");
}

}  // namespace llm

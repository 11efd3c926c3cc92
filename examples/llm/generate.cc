// SPDX-License-Identifier: MIT
// The subcommand `generate`: goes on from a prompt, or talks.
#include <algorithm>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "chat.h"
#include "commands.h"
#include "files.h"
#include "forward.h"
#include "loaded_model.h"
#include "report.h"
#include "sampler.h"
#include "terminal.h"
#include "text.h"

namespace llm {
namespace {

// Runs tokens in batches, with progress shown if there are several; stops at Ctrl-C. Returns the
// row in which the logits behind the last token are. Those of all positions go to `logits`, unless
// it is null.
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

// Text that streams to stdout. The bytes of an unfinished character wait for the rest of it.
class TextStream {
 public:
  TextStream() = default;
  // An error that ends the program in the middle of a line begins on its own.
  ~TextStream() {
    if (within_line_) std::fputc('\n', stdout);
    (void)std::fflush(stdout);
  }
  TextStream(const TextStream&) = delete;
  TextStream& operator=(const TextStream&) = delete;

  std::string& buffer() { return waiting_; }
  void put_whole() { put(complete_utf8(waiting_)); }
  void end_line() {
    waiting_ += '\n';
    put(waiting_.size());
  }

 private:
  void put(size_t bytes) {
    if (bytes > 0) within_line_ = waiting_[bytes - 1] != '\n';
    std::fwrite(waiting_.data(), 1, bytes, stdout);
    waiting_.erase(0, bytes);
    flush(stdout, "stdout");
  }
  std::string waiting_;
  bool within_line_ = false;
};

// A model, and the text that it has read and written so far.
class Writer {
 public:
  Writer(const GenerateArguments& arguments, const LoadedModel& loaded, Forward& forward)
      : arguments_(arguments), loaded_(loaded), forward_(forward), sampler_(arguments.sampling) {}

  TextStream out;
  Speed prompt{"prompt"}, generation{"generation"};

  bool full() const { return full_; }
  /// Of what was written last.
  const std::string& answer() const { return answer_; }
  /// Text that comes next begins behind a special token, or at the very beginning.
  bool begins() const { return held_.empty() || loaded_.tokenizer->is_special(held_.back()); }

  void read(std::span<const TokenId> tokens, std::FILE* logits = nullptr) {
    sampler_.accept(tokens);
    held_.insert(held_.end(), tokens.begin(), tokens.end());
    const auto unread = std::span<const TokenId>(held_).subspan(forward_.position());
    const Stopwatch watch;
    row_ = run_prompt(forward_, unread, logits);
    prompt.tokens += unread.size();
    prompt.timed_tokens = prompt.tokens;
    prompt.seconds += watch.seconds();
  }

  /// Reads what the context does not hold yet of the tokens of a conversation. What it holds
  /// otherwise, since the model spells its answers as it likes, is taken back. Once older tokens
  /// were dropped, the tokens of the last turn come behind what is left. False if there is no room.
  bool read_on(std::span<const TokenId> whole, std::span<const TokenId> turn) {
    std::span<const TokenId> tokens = turn;
    if (!shifted_ && whole.size() <= forward_.context()) {
      const size_t kept = tokens_to_keep(held_, whole);
      held_.resize(kept);
      sampler_.keep(kept);
      forward_.reset(kept);
      tokens = whole.subspan(kept);
    }
    if (!make_room(tokens.size())) return false;
    read(tokens);
    return true;
  }

  /// Token after token until the model ends, the count is reached, the context is full or the user
  /// has had enough.
  void write() {
    const Tokenizer& tokenizer = *loaded_.tokenizer;
    const auto wanted = static_cast<uint64_t>(arguments_.count);  // -1: more than there can be
    const Stopwatch watch;
    answer_.clear();
    for (uint64_t i = 0; i < wanted && !interrupted(); ++i) {
      if (i > 0) {
        if (!make_room(0)) break;
        forward_.run({&held_.back(), 1}, 1);
        row_ = 0;
        ++generation.timed_tokens;
      }
      const TokenId token = sampler_.sample(forward_.logits(row_));
      if (tokenizer.is_end(token) && !arguments_.ignore_eos) break;
      sampler_.accept({&token, 1});
      held_.push_back(token);
      ++generation.tokens;
      tokenizer.append_text(token, answer_);
      if (arguments_.ids) {
        out.buffer().append(i > 0 ? " " : "").append(std::to_string(token));
      } else {
        tokenizer.append_text(token, out.buffer());
      }
      out.put_whole();
    }
    generation.seconds += watch.seconds();
    out.end_line();
  }

 private:
  // Whether so many more tokens can be read: at the price of older ones, if that is wanted.
  bool make_room(size_t tokens) {
    const size_t end = held_.size() + tokens;
    if (end <= forward_.context()) return true;
    const size_t kept = loaded_.tokenizer->vocabulary().add_bos ? 1 : 0;
    const size_t dropped = std::max((forward_.context() - kept) / 2, end - forward_.context());
    full_ = !arguments_.context_shift || kept + dropped > forward_.position();
    if (full_) return false;
    forward_.shift(kept, dropped);
    const auto begin = held_.begin() + static_cast<std::ptrdiff_t>(kept);
    held_.erase(begin, begin + static_cast<std::ptrdiff_t>(dropped));
    shifted_ = true;
    return true;
  }

  const GenerateArguments& arguments_;
  const LoadedModel& loaded_;
  Forward& forward_;
  Sampler sampler_;
  std::vector<TokenId> held_;  // of the context; the model may not have read the last one yet
  std::string answer_;
  size_t row_ = 0;  // of the logits behind the last token read
  bool full_ = false, shifted_ = false;
};

Error too_long(const char* what, size_t tokens, size_t context) {
  return error("the %s has %zu tokens, the context holds %zu", what, tokens, context);
}

void continue_text(const GenerateArguments& arguments, std::span<const TokenId> prompt,
                   std::FILE* logits, Writer& writer) {
  writer.read(prompt, logits);
  if (arguments.display_prompt && !arguments.ids) writer.out.buffer() += arguments.prompt;
  writer.out.put_whole();
  if (logits != nullptr) flush(logits, arguments.logits_path);
  writer.write();
}

void talk(const GenerateArguments& arguments, const LoadedModel& loaded, const ChatTemplate& chat,
          Writer& writer) {
  const Tokenizer& tokenizer = *loaded.tokenizer;
  std::vector<Turn> turns;
  std::string line = arguments.prompt;
  bool given = !line.empty();
  while (given || read_line(line)) {
    given = false;
    if (line.empty()) continue;
    turns.push_back({line, {}});
    const bool first = turns.size() == 1;
    const std::vector<TokenId> whole =
        tokenizer.encode(chat.text(arguments.system, turns), Specials::parse, chat.bos());
    const std::vector<TokenId> turn =
        first ? whole
              : tokenizer.encode(chat.text(arguments.system, turns, turns.size() - 1),
                                 Specials::parse, Bos::never, writer.begins());
    if (turn.size() > loaded.context) {
      const Error error = too_long(first ? "prompt" : "message", turn.size(), loaded.context);
      if (first) throw error;
      std::fprintf(stderr, "not read: %s\n", error.what());
      turns.pop_back();
      continue;
    }
    if (!writer.read_on(whole, turn)) return;
    if (interrupted()) return;  // in the middle of the prompt: no answer could follow
    writer.write();
    turns.back().answer = writer.answer();
    if (writer.full()) return;
    clear_interrupt();
  }
  ignore_interrupts();  // between answers it is a way to leave like any other
}

}  // namespace

void generate(GenerateArguments arguments) {
  if (!arguments.prompt_path.empty()) arguments.prompt = read_text(arguments.prompt_path);
  if (arguments.escapes) {
    if (arguments.prompt_path.empty()) arguments.prompt = unescaped(arguments.prompt);
    arguments.system = unescaped(arguments.system);
  }
  std::string jinja;
  if (!arguments.chat_template_path.empty()) jinja = read_text(arguments.chat_template_path);
  const LoadedModel loaded = load(arguments.model);
  std::optional<ChatTemplate> chat;
  std::vector<TokenId> prompt;
  if (arguments.chat) {
    chat.emplace(loaded.file, *loaded.tokenizer, arguments.chat_template, jinja);
    if (!chat->note().empty()) std::fprintf(stderr, "note: %s\n", chat->note().c_str());
  } else {
    prompt = loaded.tokenizer->encode(arguments.prompt, Specials::parse);
    if (prompt.empty()) throw error("the prompt has no tokens, and the model begins without one");
    if (prompt.size() > loaded.context) throw too_long("prompt", prompt.size(), loaded.context);
  }
  OwnedFile logits;
  if (!arguments.logits_path.empty()) logits = create_file(arguments.logits_path);
  // No more room than the tokens that were asked for can fill: -1 is a large number here.
  const uint64_t room = chat ? loaded.context
                             : std::min<uint64_t>(loaded.context - prompt.size(),
                                                  static_cast<uint64_t>(arguments.count));
  const size_t most =
      std::min({arguments.batch, arguments.ubatch, logits ? kLogitRows : ~size_t{0}});
  const size_t batch = chat ? most : std::min(prompt.size(), most);
  Forward forward(loaded.model, *loaded.pool,
                  {prompt.size() + room, batch, logits ? batch : 1, arguments.model.kv});
  arguments.sampling.seed =
      arguments.seed >= 0 ? static_cast<uint64_t>(arguments.seed) : std::random_device()();
  Writer writer(arguments, loaded, forward);
  catch_interrupts();
  if (chat) {
    talk(arguments, loaded, *chat, writer);
  } else {
    continue_text(arguments, prompt, logits.get(), writer);
  }
  if (writer.full()) std::fprintf(stderr, "stopped: the context of %zu is full\n", loaded.context);
  if (arguments.sampling.temperature > 0.0f) {
    std::fprintf(stderr, "seed %" PRIu64 "\n", arguments.sampling.seed);
  }
  report(loaded, {writer.prompt, writer.generation}, {{"seed", arguments.sampling.seed}});
}

}  // namespace llm

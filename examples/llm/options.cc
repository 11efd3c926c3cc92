// SPDX-License-Identifier: MIT
#include "options.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <CLI/CLI.hpp>

#include "command_line.h"
#include "commands.h"
#include "error.h"
#include "tessera/base/config.h"
#include "text.h"

namespace llm {
namespace {

constexpr size_t kMostThreads = 512;
constexpr size_t kMostTokens = size_t{1} << 62;  // of a context, a prompt, an answer
constexpr size_t kMostBatch = size_t{1} << 20;
constexpr auto kMost = std::numeric_limits<int64_t>::max();

void add_threads(CLI::App& command, size_t& threads) {
  add_number(command, "-t,--threads", threads, size_t{1}, kMostThreads,
             "Threads (default: the physical cores in reach)");
}

// An option whose words stand for values.
template <class T>
void add_choice(CLI::App& command, const char* name, T& value,
                const std::map<std::string, T>& choices, const char* help) {
  command
      .add_option_function<std::string>(
          name, [&value, choices](const std::string& word) { value = choices.at(word); }, help)
      ->transform(CLI::IsMember(choices, CLI::ignore_case))
      ->type_name("WORD");
}

void add_model_options(CLI::App& command, ModelArguments& m) {
  using tessera::Accuracy, tessera::DType;
  command.add_option("-m,--model", m.path, "GGUF file")->required();
  add_threads(command, m.threads);
  add_number(command, "-c,--ctx-size", m.context, size_t{0}, kMostTokens,
             "Context in tokens; 0 (default): the model's own, at most 4096");
  command.add_option("--target", m.target, "Instruction set, see `tessera-llm targets`");
  add_choice<Accuracy>(
      command, "--accuracy", m.accuracy,
      {{"fast", Accuracy::fast}, {"exact", Accuracy::exact}, {"coarse", Accuracy::coarse}},
      "Of products: fast (default) rounds their inputs, exact does not, coarse rounds more");
  add_choice<Packing>(
      command, "--pack", m.packing,
      {{"auto", Packing::automatic}, {"never", Packing::never}, {"always", Packing::always}},
      "Copy the weights into panels, which are faster: auto (default; if memory allows), "
      "never (starts at once) or always");
  command.add_option("--pack-cache", m.pack_cache,
                     "Folder that keeps the panels, which the next start then maps");
  const std::map<std::string, DType> kinds = {
      {"f32", DType::f32}, {"f16", DType::f16}, {"q8_0", DType::q8_0}};
  add_choice<DType>(command, "--kv,--cache-type-k", m.kv, kinds,
                    "-ctk: keys and values are kept as f32 (default), f16 or q8_0");
  add_choice<std::optional<DType>>(
      command, "--cache-type-v", m.kv_values,
      {{"f32", DType::f32}, {"f16", DType::f16}, {"q8_0", DType::q8_0}},
      "-ctv: the same for values, which are kept as keys are");
  command.parse_complete_callback([&m] {
    if (m.kv_values.value_or(m.kv) == m.kv) return;
    throw error("--cache-type-v %s: values are kept as keys are, %s",
                tessera::dtype_name(*m.kv_values), tessera::dtype_name(m.kv));
  });
  command.add_option("--log-json", m.log_json, "File for the closing report, as JSON");
  command.add_flag("--mlock", m.lock_memory, "Keep the model in memory, never in swap space");
  // What scripts for llama.cpp carry.
  add_meaningless(command, "--n-gpu-layers,--gpu-layers", {"0"}, "everything runs on the CPU");
  add_meaningless(command, "--flash-attn", {"off", "auto", "0"},
                  "attention is always computed in blocks");
  add_meaningless(command, "--threads-batch", {}, "-t counts for prompts too");
  add_meaningless_flag(command, "--no-mmap",
                       "the file is mapped, and packed weights are copied from it");
}

void add_sampling_options(CLI::App& command, GenerateArguments& g) {
  SamplerOptions& s = g.sampling;
  add_number(command, "--temp", s.temperature, 0.0f, 1e6f,
             "Temperature (0.8); 0: always the likeliest token");
  add_number(command, "--top-k", s.top_k, -kMost, kMost,
             "Draw from so many of the likeliest tokens (40); 0: all");
  add_number(command, "--top-p", s.top_p, 0.0f, 1.0f,
             "Draw from the likeliest tokens with this share (0.95)");
  add_number(command, "--min-p", s.min_p, 0.0f, 1.0f,
             "Draw from tokens with this share of the likeliest one's probability (0.05)");
  add_number(command, "--repeat-penalty", s.repeat_penalty, 1e-6f, 1e6f,
             "Divide the logits of recent tokens by this (1: do not)");
  add_number(command, "--repeat-last-n", s.repeat_last_n, int64_t{-1}, kMost,
             "Tokens that count as recent (64); 0: none, -1: all");
  add_number(command, "-s,--seed", g.seed, int64_t{-1}, kMost,
             "Seed; -1 (default): another one each time");
}

void add_generate_options(CLI::App& command, GenerateArguments& g) {
  add_model_options(command, g.model);
  add_sampling_options(command, g);
  CLI::Option* prompt = command.add_option("-p,--prompt", g.prompt, "Text to continue");
  command.add_option("-f,--file", g.prompt_path, "File with that text, taken as it is; -: stdin")
      ->excludes(prompt);
  command.add_flag("-e,--escape,!--no-escape", g.escapes,
                   "Read \\n, \\t, \\x41 and so on in -p and -sys");
  add_number(command, "-n,--predict,--n-predict", g.count, int64_t{-1}, kMost,
             "Tokens to generate; -1 (default): until the end");
  command.add_flag("!--no-display-prompt", g.display_prompt, "Do not print the prompt");
  command.add_flag("--ignore-eos", g.ignore_eos, "Go on after an end token");
  command.add_flag("--context-shift", g.context_shift,
                   "Where the context is full, forget the older half of it and go on");
  command.add_flag("--ids", g.ids, "Print the ids of the generated tokens, not their text");
  CLI::Option* logits = command.add_option(
      "--logits-out", g.logits_path,
      "File for the logits of all prompt positions, as f32 [positions, vocabulary]");
  CLI::Option* chat = command
                          .add_flag("--conversation", g.chat,
                                    "-cnv: chat; the prompt is the first thing the user says")
                          ->excludes(logits);
  command.add_option("--system-prompt", g.system, "-sys: what the model shall know in a chat")
      ->needs(chat);
  CLI::Option* form =
      command
          .add_option("--chat-template", g.chat_template,
                      "Form of a chat: chatml, llama2, llama3, ... (default: the model says)")
          ->needs(chat);
  command
      .add_option("--chat-template-file", g.chat_template_path,
                  "File with a Jinja template, to be used for the model's")
      ->needs(chat)
      ->excludes(form);
  command
      .add_flag_callback(
          "--no-conversation", [] {}, "-no-cnv: no chat (the default)")
      ->excludes(chat);
  add_number(command, "-b,--batch-size", g.batch, size_t{1}, kMostBatch,
             "Most prompt tokens in one pass (2048)");
  add_number(command, "--ubatch-size", g.ubatch, size_t{1}, kMostBatch,
             "-ub: the same (512); the smaller one counts");
  add_meaningless(command, "--parallel", {"1"}, "there is one sequence");
}

void add_perplexity_options(CLI::App& command, PerplexityArguments& p) {
  add_model_options(command, p.model);
  command.add_option("-f,--file", p.text_path, "Text file; -: stdin")->required();
}

void add_tokenize_options(CLI::App& command, TokenizeArguments& t) {
  command.add_option("-m,--model", t.model_path, "GGUF file")->required();
  CLI::Option* text = command.add_option("-p,--prompt", t.text, "Text");
  command.add_option("-f,--file", t.text_path, "File with the text, taken as it is; -: stdin")
      ->excludes(text);
  command.add_flag("!--no-bos", t.bos, "Without the token that begins a text");
  command.add_flag("!--no-parse-special", t.parse_special,
                   "Names of special tokens are text like any other");
}

void add_bench_options(CLI::App& command, BenchArguments& b) {
  add_model_options(command, b.model);
  add_numbers(command, "-p,--n-prompt", b.prompts, size_t{0}, kMostTokens,
              "Tokens of prompts (512)");
  add_numbers(command, "-n,--n-gen", b.generations, size_t{0}, kMostTokens,
              "Tokens to generate (128)");
  add_number(command, "-d,--n-depth", b.depth, size_t{0}, kMostTokens,
             "Tokens that the context holds before each test (0)");
  add_number(command, "-b,--batch-size", b.batch, size_t{1}, kMostBatch,
             "Most prompt tokens in one pass (2048)");
  add_number(command, "--ubatch-size", b.ubatch, size_t{1}, kMostBatch,
             "-ub: the same (512); the smaller one counts");
  add_number(command, "-r,--repetitions", b.repetitions, size_t{1}, size_t{1000000},
             "Timed runs of each test (5)");
  command.add_option("-o,--output", b.format, "md (default), csv or json")
      ->transform(CLI::IsMember({"md", "csv", "json"}, CLI::ignore_case))
      ->type_name("WORD");
  command.add_flag("-v,--verbose", b.verbose, "Say where the time goes");
}

void add_quantize_options(CLI::App& command, QuantizeArguments& q) {
  command.add_option("in", q.in, "GGUF file of f32, f16 or bf16 tensors")->required();
  command.add_option("out", q.out, "GGUF file to write")->required();
  command.add_option("type", q.type, "One of " + quantize_types())->required();
  add_threads(command, q.threads);
}

void add_info_options(CLI::App& command, std::string& path) {
  command.add_option("-m,--model", path, "GGUF file")->required();
}

// A subcommand: its options fill arguments that live as long as it does, and `run` gets them.
template <class Arguments, class Run>
void add_command(CLI::App& app, const char* name, const char* help,
                 void (*add_options)(CLI::App&, Arguments&), const Run& run) {
  CLI::App* command = app.add_subcommand(name, help);
  const auto arguments = std::make_shared<Arguments>();
  add_options(*command, *arguments);
  command->callback([arguments, run] { run(*arguments); });
}

// The command line, first the subcommand: options in front belong to the default one, and `help` is
// another word for --help.
std::vector<std::string> with_subcommand(std::vector<std::string> words) {
  if (words[0] == "help") {
    words.erase(words.begin());
    words.insert(words.begin() + (words.empty() ? 0 : 1), "--help");
  }
  const std::string& first = words[0];
  if (first[0] == '-' && first != "-h" && first != "--help" && first != "--version") {
    words.insert(words.begin(), "generate");
  }
  return words;
}

const CLI::App* subcommand(const CLI::App& app, const std::string& name) {
  try {
    return app.get_subcommand(name);
  } catch (const CLI::OptionNotFound&) {
    throw error("unknown subcommand \"%s\", see --help", printable(name).c_str());
  }
}

void parse(CLI::App& app, std::vector<std::string> words) {
  words = with_subcommand(words);
  if (words[0][0] != '-') {
    const std::string name = words[0];
    words.erase(words.begin());
    words = spelled_out(*subcommand(app, name), words);
    words.insert(words.begin(), name);
  }
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  app.parse(std::move(words));
}

}  // namespace

int run_command_line(const std::vector<std::string>& words) {
  CLI::App app("Runs Llama models in GGUF files. Without a subcommand: generate.", "tessera-llm");
  app.formatter(std::make_shared<HelpText>());
  app.set_version_flag("--version", TESSERA_VERSION_STRING);
  app.require_subcommand(1);
  add_command(app, "generate", "Continue a prompt (the default)", add_generate_options, generate);
  add_command(app, "perplexity", "Measure how well a text is predicted", add_perplexity_options,
              perplexity);
  add_command(app, "tokenize", "Show the ids of a text's tokens", add_tokenize_options, tokenize);
  add_command(app, "bench", "Measure speed, in tokens a second", add_bench_options, bench);
  add_command(app, "quantize", "Copy a model with another type of tensors", add_quantize_options,
              quantize);
  add_command(app, "info", "Show metadata and tensors of a file", add_info_options, info);
  app.add_subcommand("targets", "List instruction sets and which run here")->callback(list_targets);
  app.add_subcommand("help", "Show this, or the options of a subcommand");
  if (words.empty()) {
    std::fputs(app.help().c_str(), stderr);
    return 1;
  }
  try {
    parse(app, words);
  } catch (const CLI::Success& e) {
    return app.exit(e);  // --help, --version
  }
  return 0;
}

}  // namespace llm

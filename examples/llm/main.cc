// SPDX-License-Identifier: MIT
// tessera-llm: runs Llama models in GGUF files with Tessera's matrix products. This file reads the
// command line; what is done is in commands.cc.
#include <csignal>
#include <cstdio>
#include <exception>
#include <limits>
#include <map>
#include <new>
#include <string>
#include <vector>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "commands.h"
#include "session.h"
#include "tessera/base/config.h"

namespace {

constexpr size_t kMostThreads = 512;

// Reading a mapped page that the file no longer has raises SIGBUS: say so instead of dying mutely.
void on_bus_error(int) {
  constexpr char kText[] = "tessera-llm: the model file became shorter while it was in use\n";
  (void)!::write(STDERR_FILENO, kText, sizeof(kText) - 1);
  ::_exit(1);
}

void add_threads(CLI::App& command, size_t& threads) {
  command.add_option("-t,--threads", threads, "Threads (default: the physical cores in reach)")
      ->check(CLI::Range(size_t{1}, kMostThreads));
}

// An option whose words stand for values.
template <class T>
void add_choice(CLI::App& command, const char* name, T& value,
                const std::map<std::string, T>& choices, const char* help) {
  command
      .add_option_function<std::string>(
          name, [&value, choices](const std::string& word) { value = choices.at(word); }, help)
      ->check(CLI::IsMember(choices));
}

void add_model_options(CLI::App& command, llm::ModelArguments& m) {
  using tessera::Accuracy, tessera::DType, llm::Packing;
  command.add_option("-m,--model", m.path, "GGUF file")->required();
  add_threads(command, m.threads);
  command.add_option("-c,--ctx-size", m.context,
                     "Context in tokens (default: the model's own, at most 4096)");
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
  add_choice<DType>(command, "--kv", m.kv, {{"f32", DType::f32}, {"f16", DType::f16}},
                    "Keys and values are kept as f32 (default) or f16");
  command.add_option("--log-json", m.log_json, "File for the closing report, as JSON");
}

void add_sampling_options(CLI::App& command, llm::GenerateArguments& g) {
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  command
      .add_option("--temp", g.sampling.temperature,
                  "Temperature (0.8); 0: always the likeliest token")
      ->check(CLI::Range(0.0, 1e6));
  command.add_option("--top-k", g.sampling.top_k,
                     "Draw from so many of the likeliest tokens (40); 0: all");
  command
      .add_option("--top-p", g.sampling.top_p,
                  "Draw from the likeliest tokens with this share (0.95)")
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option("--min-p", g.sampling.min_p,
                  "Draw from tokens with this share of the likeliest one's probability (0.05)")
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option("--repeat-penalty", g.sampling.repeat_penalty,
                  "Divide the logits of recent tokens by this (1: do not)")
      ->check(CLI::Range(1e-6, 1e6));
  command
      .add_option("--repeat-last-n", g.sampling.repeat_last_n,
                  "Tokens that count as recent (64); 0: none, -1: all")
      ->check(CLI::Range(int64_t{-1}, kMost));
  command.add_option("-s,--seed", g.seed, "Seed; -1 (default): another one each time")
      ->check(CLI::Range(int64_t{-1}, kMost));
}

void add_generate_options(CLI::App& command, llm::GenerateArguments& g) {
  add_model_options(command, g.model);
  add_sampling_options(command, g);
  CLI::Option* prompt = command.add_option("-p,--prompt", g.prompt, "Text to continue");
  command.add_option("-f,--file", g.prompt_path, "File with that text, taken as it is")
      ->excludes(prompt);
  command.add_option("-n,--predict", g.count, "Tokens to generate; -1 (default): until the end")
      ->check(CLI::Range(int64_t{-1}, std::numeric_limits<int64_t>::max()));
  command.add_flag("!--no-display-prompt", g.display_prompt, "Do not print the prompt");
  command.add_flag("--ignore-eos", g.ignore_eos, "Go on after an end token");
  command.add_flag("--context-shift", g.context_shift,
                   "Where the context is full, forget the older half of it and go on");
  command.add_flag("--ids", g.ids, "Print the ids of the generated tokens, not their text");
  command.add_option("--logits-out", g.logits_path,
                     "File for the logits of all prompt positions, as f32 [positions, vocabulary]");
  CLI::Option* chat = command.add_flag("--conversation", g.chat,
                                       "-cnv: chat; the prompt is the first thing the user says");
  command.add_option("--system-prompt", g.system, "-sys: what the model shall know in a chat")
      ->needs(chat);
  command
      .add_option("--chat-template", g.chat_template,
                  "Form of a chat: chatml, llama2, llama3, ... (default: the file says)")
      ->needs(chat);
}

// CLI11 knows no short options of several letters, but llama.cpp's users do.
void spell_out(std::vector<std::string>& arguments) {
  const std::string* before = nullptr;
  for (std::string& a : arguments) {
    const bool value = before != nullptr && (*before == "-p" || *before == "--prompt");
    if (!value && a == "-cnv") a = "--conversation";
    if (!value && a == "-sys") a = "--system-prompt";
    before = &a;
  }
}

int run(std::vector<std::string> arguments) {
  CLI::App app("Runs Llama models in GGUF files. Without a subcommand: generate.", "tessera-llm");
  app.set_version_flag("--version", TESSERA_VERSION_STRING);
  app.require_subcommand(1);
  llm::Error error;

  llm::GenerateArguments g;
  CLI::App* generate = app.add_subcommand("generate", "Continue a prompt (the default)");
  add_generate_options(*generate, g);
  generate->callback([&] { error = llm::generate(g); });

  llm::PerplexityArguments p;
  CLI::App* perplexity = app.add_subcommand("perplexity", "Measure how well a text is predicted");
  add_model_options(*perplexity, p.model);
  perplexity->add_option("-f,--file", p.text_path, "Text file")->required();
  perplexity->callback([&] { error = llm::perplexity(p); });

  llm::TokenizeArguments t;
  CLI::App* tokenize = app.add_subcommand("tokenize", "Show the ids of a text's tokens");
  tokenize->add_option("-m,--model", t.model_path, "GGUF file")->required();
  CLI::Option* text = tokenize->add_option("-p,--prompt", t.text, "Text");
  tokenize->add_option("-f,--file", t.text_path, "File with the text, taken as it is")
      ->excludes(text);
  tokenize->add_flag("!--no-bos", t.bos, "Without the token that begins a text");
  tokenize->add_flag("!--no-parse-special", t.parse_special,
                     "Names of special tokens are text like any other");
  tokenize->callback([&] { error = llm::tokenize(t); });

  llm::BenchArguments b;
  CLI::App* bench = app.add_subcommand("bench", "Measure speed, in tokens a second");
  add_model_options(*bench, b.model);
  bench->add_option("-p,--n-prompt", b.prompts, "Tokens of prompts (512)")->delimiter(',');
  bench->add_option("-n,--n-gen", b.generations, "Tokens to generate (128)")->delimiter(',');
  bench->add_option("-b,--batch-size", b.batch, "Most prompt tokens in one pass (512)")
      ->check(CLI::PositiveNumber);
  bench->add_option("-r,--repetitions", b.repetitions, "Timed runs of each test (5)")
      ->check(CLI::PositiveNumber);
  bench->add_option("-o,--output", b.format, "md (default), csv or json")
      ->check(CLI::IsMember({"md", "csv", "json"}));
  bench->add_flag("-v,--verbose", b.verbose, "Say where the time goes");
  bench->callback([&] { error = llm::bench(b); });

  llm::QuantizeArguments q;
  CLI::App* quantize = app.add_subcommand("quantize", "Copy a model with another type of tensors");
  quantize->add_option("in", q.in, "GGUF file of f32, f16 or bf16 tensors")->required();
  quantize->add_option("out", q.out, "GGUF file to write")->required();
  quantize->add_option("type", q.type, "f32, f16, bf16, q8_0, q4_0 or q4_1")->required();
  add_threads(*quantize, q.threads);
  quantize->callback([&] { error = llm::quantize(q); });

  std::string info_path;
  CLI::App* info = app.add_subcommand("info", "Show metadata and tensors of a file");
  info->add_option("-m,--model", info_path, "GGUF file")->required();
  info->callback([&] { error = llm::info(info_path); });

  CLI::App* targets = app.add_subcommand("targets", "List instruction sets and which run here");
  targets->callback([&] { error = llm::list_targets(); });

  spell_out(arguments);
  // Options in front belong to the default subcommand.
  if (arguments.empty() || (arguments[0][0] == '-' && arguments[0] != "-h" &&
                            arguments[0] != "--help" && arguments[0] != "--version")) {
    arguments.insert(arguments.begin(), "generate");
  }
  try {
    if (arguments[0][0] != '-') (void)app.get_subcommand(arguments[0]);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    error = llm::Error(e.what());
  } catch (const CLI::OptionNotFound&) {
    error = llm::error("unknown subcommand \"%s\", see --help", arguments[0].c_str());
  }
  if (!error) return llm::interrupted() ? llm::kInterruptedStatus : 0;
  std::fprintf(stderr, "tessera-llm: %s\n", error.text().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGBUS, on_bus_error);
  try {
    return run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "tessera-llm: not enough memory\n");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tessera-llm: %s\n", e.what());
  }
  return 1;
}

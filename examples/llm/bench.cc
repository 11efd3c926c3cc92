// SPDX-License-Identifier: MIT
// The subcommand `bench`: how fast a model reads and writes.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include <nlohmann/json.hpp>

#include "commands.h"
#include "files.h"
#include "forward.h"
#include "loaded_model.h"
#include "report.h"

namespace llm {
namespace {

// A test and what came of it.
struct Test {
  size_t prompt, generation;   // tokens; one of them is 0
  size_t depth;                // tokens in the context before them
  std::vector<double> speeds;  // tokens a second
  Profile profile;             // of all repetitions
  size_t tokens() const { return prompt + generation; }
  std::string name() const {
    const std::string what = (prompt > 0 ? "pp" : "tg") + std::to_string(tokens());
    return depth == 0 ? what : what + " @ d" + std::to_string(depth);
  }
  double mean() const {
    return std::accumulate(speeds.begin(), speeds.end(), 0.0) / static_cast<double>(speeds.size());
  }
  double deviation() const {
    double squares = 0.0;
    for (const double s : speeds) squares += (s - mean()) * (s - mean());
    return speeds.size() < 2 ? 0.0 : std::sqrt(squares / static_cast<double>(speeds.size() - 1));
  }
};

void run_tokens(Forward& forward, size_t count, size_t batch, std::mt19937& random, size_t vocab) {
  std::vector<TokenId> tokens;
  for (size_t done = 0; done < count; done += tokens.size()) {
    tokens.resize(std::min(count - done, batch));
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % vocab);
    forward.run(tokens, 1);
  }
}

void time_test(const BenchArguments& arguments, const LoadedModel& loaded, Test& test) {
  const size_t most = std::min(arguments.batch, arguments.ubatch);
  const size_t batch = test.generation > 0 ? 1 : std::min(most, test.prompt);
  Forward forward(loaded.model, *loaded.pool,
                  {test.depth + test.tokens(), std::max(batch, std::min(most, test.depth)), 1,
                   arguments.model.kv});
  std::mt19937 random(1);
  const size_t vocab = loaded.model.config.vocab;
  run_tokens(forward, test.depth, most, random, vocab);
  run_tokens(forward, test.tokens(), batch, random, vocab);
  forward.reset_profile();
  for (size_t i = 0; i < arguments.repetitions; ++i) {
    forward.reset(test.depth);
    const Stopwatch watch;
    run_tokens(forward, test.tokens(), batch, random, vocab);
    test.speeds.push_back(static_cast<double>(test.tokens()) / watch.seconds());
  }
  test.profile = forward.profile();
}

// Where the time went; and how fast the weights were read, if each token reads all of them.
void explain(const Test& test, const Model& model) {
  const Profile& p = test.profile;
  const double percent = 100.0 / (p.products + p.attention + p.rest);
  std::fprintf(
      stderr,
      "%s: %.1f %% in products (%.1f %% with weights, %.1f %% in attention), %.1f %% in the "
      "rest of attention, %.1f %% in the rest",
      test.name().c_str(), (p.products + p.attention_products) * percent, p.products * percent,
      p.attention_products * percent, (p.attention - p.attention_products) * percent,
      p.rest * percent);
  if (test.generation > 0) {
    std::fprintf(stderr, "; %.1f MiB of weights a token, %.2f GB/s", mebibytes(model.weight_bytes),
                 static_cast<double>(model.weight_bytes) * test.mean() / 1e9);
  }
  std::fprintf(stderr, "\n");
}

// What is known of a test, under the names of llama-bench.
nlohmann::ordered_json row_of(const BenchArguments& arguments, const LoadedModel& loaded,
                              const Test& test) {
  size_t bytes = 0;
  uint64_t values = 0;
  std::map<tessera::DType, size_t> bytes_of;
  for (const gguf::Tensor& t : loaded.file.tensors()) {
    bytes += t.data.size();
    values += t.dims[0] * t.rows();
    bytes_of[t.dtype] += t.data.size();
  }
  const auto most = std::max_element(bytes_of.begin(), bytes_of.end(), [](auto& a, auto& b) {
                      return a.second < b.second;
                    })->first;  // experts are of another type than the rest in some models
  const tessera::Explanation how = loaded.model.layers[0].q.explain(1);
  return {{"model_filename", arguments.model.path},
          {"model_type", loaded.model.config.architecture + " " + tessera::dtype_name(most)},
          {"model_size", bytes},
          {"model_n_params", values},
          {"weight_bytes", loaded.model.weight_bytes},  // that a token reads
          {"target", how.target},
          {"packed", loaded.model.packed_bytes > 0},
          {"n_threads", loaded.pool->threads()},
          {"type_kv", tessera::dtype_name(arguments.model.kv)},
          {"n_prompt", test.prompt},
          {"n_gen", test.generation},
          {"n_depth", test.depth},
          {"avg_ts", test.mean()},
          {"stddev_ts", test.deviation()},
          {"samples_ts", test.speeds}};
}

std::string text_of(const nlohmann::ordered_json& json, int indent = -1) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Every cell in quotes, and quotes in it doubled.
void print_csv(const nlohmann::ordered_json& row, bool first) {
  std::string head, line;
  for (const auto& [name, value] : row.items()) {
    head.append(head.empty() ? "" : ",").append(name);
    line += line.empty() ? "\"" : ",\"";
    for (const char c : value.is_string() ? value.get<std::string>() : text_of(value)) {
      line.append(c == '"' ? 2 : 1, c);
    }
    line += '"';
  }
  std::printf("%s%s%s\n", first ? head.c_str() : "", first ? "\n" : "", line.c_str());
}

void print_md(const nlohmann::ordered_json& row, const Test& test, bool first) {
  if (first) {
    std::printf(
        "| model                |       size |     params | backend | threads |    test |"
        "                  t/s |\n"
        "| -------------------- | ---------: | ---------: | ------- | ------: | ------: |"
        " -------------------: |\n");
  }
  const auto bytes = row["model_size"].get<double>(), values = row["model_n_params"].get<double>();
  const bool gib = bytes >= 1073741824.0, billions = values >= 1e9;
  std::printf("| %-20s | %6.2f %s | %8.2f %s | tessera | %7zu | %7s | %9.2f ± %8.2f |\n",
              row["model_type"].get<std::string>().c_str(),
              bytes / (gib ? 1073741824.0 : 1048576.0), gib ? "GiB" : "MiB",
              values / (billions ? 1e9 : 1e6), billions ? "B" : "M", row["n_threads"].get<size_t>(),
              test.name().c_str(), test.mean(), test.deviation());
}

}  // namespace

void bench(const BenchArguments& arguments) {
  const LoadedModel loaded = load(arguments.model);
  std::vector<Test> tests;
  tests.reserve(arguments.prompts.size() + arguments.generations.size());
  for (const size_t n : arguments.prompts) tests.push_back({n, 0, arguments.depth, {}, {}});
  for (const size_t n : arguments.generations) tests.push_back({0, n, arguments.depth, {}, {}});
  std::erase_if(tests, [](const Test& test) { return test.tokens() == 0; });
  if (tests.empty()) throw error("nothing to time: give -p or -n a number above 0");
  nlohmann::ordered_json rows;
  for (Test& test : tests) {
    time_test(arguments, loaded, test);
    rows.push_back(row_of(arguments, loaded, test));
    if (arguments.format == "md") print_md(rows.back(), test, rows.size() == 1);
    if (arguments.format == "csv") print_csv(rows.back(), rows.size() == 1);
    flush(stdout, "stdout");
    if (arguments.verbose) explain(test, loaded.model);
  }
  if (arguments.format == "json") std::printf("%s\n", text_of(rows, 2).c_str());
  report(loaded, {}, {{"tests", rows}});
}

}  // namespace llm

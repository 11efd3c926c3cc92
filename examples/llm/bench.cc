// SPDX-License-Identifier: MIT
#include "bench.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>

#include "forward.h"

namespace llm {
namespace {

// A test and what came of it.
struct Test {
  size_t prompt, generation;   // tokens; one of them is 0
  std::vector<double> speeds;  // tokens a second
  Profile profile;             // of all repetitions
  size_t tokens() const { return prompt + generation; }
  std::string name() const {
    return std::string(prompt > 0 ? "pp" : "tg").append(std::to_string(tokens()));
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

// One column of the output.
struct Column {
  const char* name;
  std::string text;
  bool number = true;
};

Error run_once(Forward& forward, const Test& test, std::mt19937& random, size_t vocab) {
  forward.reset();
  std::vector<TokenId> tokens;
  for (size_t done = 0; done < test.tokens(); done += tokens.size()) {
    const size_t left = test.tokens() - done;
    tokens.resize(test.generation > 0 ? 1 : std::min(left, forward.batch()));
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % vocab);
    if (Error e = forward.run(tokens, 1)) return e;
  }
  return {};
}

Error time_test(const BenchArguments& arguments, const Loaded& loaded, Test& test) {
  std::unique_ptr<Forward> forward;
  const size_t batch = test.generation > 0 ? 1 : std::min(arguments.batch, test.prompt);
  if (Error e = Forward::create(loaded.model, *loaded.team,
                                {test.tokens(), batch, 1, arguments.model.kv}, forward)) {
    return e;
  }
  std::mt19937 random(1);
  const size_t vocab = loaded.model.config.vocab;
  if (Error e = run_once(*forward, test, random, vocab)) return e;
  const Profile before = forward->profile();
  for (size_t i = 0; i < arguments.repetitions; ++i) {
    const Stopwatch watch;
    if (Error e = run_once(*forward, test, random, vocab)) return e;
    test.speeds.push_back(static_cast<double>(test.tokens()) / watch.seconds());
  }
  test.profile.products = forward->profile().products - before.products;
  test.profile.attention = forward->profile().attention - before.attention;
  test.profile.rest = forward->profile().rest - before.rest;
  return {};
}

std::string number(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

// Where the time went; and how fast the weights were read, if each token reads all of them.
void explain(const Test& test, const Model& model) {
  const Profile& p = test.profile;
  const double percent = 100.0 / (p.products + p.attention + p.rest);
  std::fprintf(stderr, "%s: %.1f %% in products, %.1f %% in attention, %.1f %% in the rest",
               test.name().c_str(), p.products * percent, p.attention * percent, p.rest * percent);
  if (test.generation > 0) {
    std::fprintf(stderr, "; %.1f MiB of weights a token, %.2f GB/s",
                 static_cast<double>(model.weight_bytes) / 1048576.0,
                 static_cast<double>(model.weight_bytes) * test.mean() / 1e9);
  }
  std::fprintf(stderr, "\n");
}

std::vector<Column> columns(const BenchArguments& arguments, const Loaded& loaded,
                            const Test& test) {
  size_t bytes = 0;
  uint64_t values = 0;
  for (const gguf::Tensor& t : loaded.file.tensors()) {
    bytes += t.data.size();
    values += t.dims[0] * t.rows();
  }
  const tessera::Explanation how = loaded.model.layers[0].q.explain(1);
  std::string file;
  for (const char c : printable(arguments.model.path, arguments.model.path.size() * 4)) {
    if (c == '"' || c == '\\') file += '\\';
    file += c;
  }
  std::string samples;
  for (const double speed : test.speeds) {
    samples.append(samples.empty() ? "" : ", ").append(number(speed, 3));
  }
  return {{"model_filename", file, false},
          {"model_type", loaded.model.config.architecture + " " + how.w, false},
          {"model_size", std::to_string(bytes)},
          {"model_n_params", std::to_string(values)},
          {"target", how.target, false},
          {"packed", loaded.model.packed_bytes > 0 ? "1" : "0"},
          {"n_threads", std::to_string(loaded.team->size())},
          {"type_kv", tessera::dtype_name(arguments.model.kv), false},
          {"n_prompt", std::to_string(test.prompt)},
          {"n_gen", std::to_string(test.generation)},
          {"avg_ts", number(test.mean(), 3)},
          {"stddev_ts", number(test.deviation(), 3)},
          {"samples_ts", samples}};
}

void print_csv(const std::vector<Column>& row, bool first) {
  for (const Column& c : row) {
    if (first) std::printf("%s%s", &c == row.data() ? "" : ",", c.name);
  }
  if (first) std::printf("\n");
  for (const Column& c : row) {
    std::printf("%s\"%s\"", &c == row.data() ? "" : ",", c.text.c_str());
  }
  std::printf("\n");
}

void print_json(const std::vector<Column>& row, bool first) {
  std::printf("%s  {\n", first ? "[\n" : ",\n");
  for (const Column& c : row) {
    const bool list = std::string_view(c.name) == "samples_ts";
    std::printf("    \"%s\": %s%s%s%s\n", c.name,
                list       ? "["
                : c.number ? ""
                           : "\"",
                c.text.c_str(),
                list       ? "]"
                : c.number ? ""
                           : "\"",
                &c == &row.back() ? "" : ",");
  }
  std::printf("  }");
}

void print_md(const std::vector<Column>& row, const Test& test, bool first) {
  if (first) {
    std::printf(
        "| model                |       size |     params | backend | threads |    test |"
        "                  t/s |\n"
        "| -------------------- | ---------: | ---------: | ------- | ------: | ------: |"
        " -------------------: |\n");
  }
  const auto value = [&](size_t i, double unit) { return std::stod(row[i].text) / unit; };
  std::printf("| %-20s | %6.2f GiB | %8.2f B | tessera | %7s | %7s | %9.2f ± %8.2f |\n",
              row[1].text.c_str(), value(2, 1073741824.0), value(3, 1e9), row[6].text.c_str(),
              test.name().c_str(), test.mean(), test.deviation());
}

}  // namespace

Error bench(const BenchArguments& arguments) {
  Loaded loaded;
  if (Error e = load(arguments.model, loaded)) return e;
  std::vector<Test> tests;
  for (const size_t n : arguments.prompts) tests.push_back({n, 0, {}, {}});
  for (const size_t n : arguments.generations) tests.push_back({0, n, {}, {}});
  std::erase_if(tests, [](const Test& test) { return test.tokens() == 0; });
  if (tests.empty()) return error("nothing to time: give -p or -n a number above 0");
  bool first = true;
  for (Test& test : tests) {
    if (Error e = time_test(arguments, loaded, test)) return e;
    const std::vector<Column> row = columns(arguments, loaded, test);
    if (arguments.format == "md") print_md(row, test, first);
    if (arguments.format == "csv") print_csv(row, first);
    if (arguments.format == "json") print_json(row, first);
    std::fflush(stdout);
    if (arguments.verbose) explain(test, loaded.model);
    first = false;
  }
  if (arguments.format == "json") std::printf("\n]\n");
  if (arguments.verbose) report_machine(loaded);
  return std::fflush(stdout) == 0 ? Error() : error("stdout: it cannot be written");
}

}  // namespace llm

// SPDX-License-Identifier: MIT
// Any command line, a word in each line of the input. What the subcommands would do is not done; their
// arguments have to be in range.
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "fuzz.h"
#include "options.h"

namespace llm {
namespace {

bool is_in(float value, float least, float most) { return value >= least && value <= most; }

void check_model(const ModelArguments& m) {
  test::must(m.threads <= 512 && m.context <= size_t{1} << 62);
  test::must(m.accuracy <= tessera::Accuracy::coarse);
  test::must(m.kv == tessera::DType::f32 || m.kv == tessera::DType::f16);
}

void check_batch(size_t batch, size_t ubatch) {
  for (const size_t b : {batch, ubatch}) test::must(b > 0 && b <= size_t{1} << 20);
}

}  // namespace

void generate(GenerateArguments g) {
  check_model(g.model);
  check_batch(g.batch, g.ubatch);
  const SamplerOptions& s = g.sampling;
  test::must(is_in(s.temperature, 0, 1e6) && is_in(s.top_p, 0, 1) && is_in(s.min_p, 0, 1));
  test::must(s.repeat_penalty > 0 && std::isfinite(s.repeat_penalty) && s.repeat_last_n >= -1);
  test::must(g.count >= -1 && g.seed >= -1);
  test::must(g.chat || (g.system.empty() && g.chat_template.empty()));
}
void perplexity(const PerplexityArguments& p) { check_model(p.model); }
void tokenize(const TokenizeArguments&) {}
void bench(const BenchArguments& b) {
  check_model(b.model);
  check_batch(b.batch, b.ubatch);
  test::must(b.repetitions > 0 && b.repetitions <= 1000000);
  for (const auto* list : {&b.prompts, &b.generations}) {
    for (const size_t tokens : *list) test::must(tokens <= size_t{1} << 62);
  }
}
void quantize(const QuantizeArguments& q) { test::must(q.threads <= 512); }
std::string quantize_types() { return "q8_0"; }
void info(const std::string&) {}
void list_targets() {}

}  // namespace llm

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  return std::freopen("/dev/null", "w", stdout) == nullptr;  // help texts
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> words(1);
  for (const char c : llm::test::text_of(data, size)) {
    if (c == '\n') {
      words.emplace_back();
    } else if (c != '\0') {  // which no argument of a program has
      words.back().push_back(c);
    }
  }
  try {
    llm::test::must(llm::run_command_line(words) == 0);
  } catch (const std::exception& e) {
    llm::test::must(*e.what() != '\0');
  }
  return 0;
}

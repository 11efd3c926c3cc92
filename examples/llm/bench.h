// SPDX-License-Identifier: MIT
// How fast a model reads and writes.
#ifndef TESSERA_EXAMPLES_LLM_BENCH_H_
#define TESSERA_EXAMPLES_LLM_BENCH_H_

#include <cstddef>
#include <string>
#include <vector>

#include "error.h"
#include "loaded.h"

namespace llm {

struct BenchArguments {
  ModelArguments model;
  std::vector<size_t> prompts = {512};      // tests ppN: N tokens in batches
  std::vector<size_t> generations = {128};  // tests tgN: N tokens, one at a time
  size_t batch = 512;
  size_t repetitions = 5;
  std::string format = "md";  // or csv, json
  bool verbose = false;       // say where the time goes
};

/// Times each test after one run to warm up and prints a row for each, as llama-bench does.
Error bench(const BenchArguments& arguments);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_BENCH_H_

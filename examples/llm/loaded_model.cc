// SPDX-License-Identifier: MIT
#include "loaded_model.h"

#include <algorithm>
#include <cstdio>

#include "report.h"
#include "threads.h"

namespace llm {
namespace {

constexpr size_t kDefaultContext = 4096;  // at most, where the user names none

}  // namespace

LoadedModel load(const ModelArguments& arguments) {
  const Stopwatch watch;
  LoadedModel out;
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

}  // namespace llm

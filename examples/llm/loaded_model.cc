// SPDX-License-Identifier: MIT
#include "loaded_model.h"

#include <algorithm>
#include <cstdio>

#include "report.h"
#include "system.h"
#include "text.h"
#include "threads.h"

namespace llm {
namespace {

constexpr size_t kDefaultContext = 4096;  // at most, where the user names none

// The library's spelling of a target; of an unknown one the user's, for the library to refuse.
const char* known_target(const std::string& name) {
  for (const tessera::Target& target : tessera::targets()) {
    if (uppercase(name) == target.name) return target.name;
  }
  return name.c_str();
}

}  // namespace

LoadedModel load(const ModelArguments& arguments) {
  const Stopwatch watch;
  LoadedModel out;
  out.arguments = arguments;
  if (!arguments.log_json.empty()) out.log = create_file(arguments.log_json);
  out.file = gguf::File::open_parts(arguments.path);
  const size_t threads = arguments.threads > 0 ? arguments.threads : usable_cores();
  out.pool = std::make_unique<tessera::ThreadPool>(threads);
  ModelOptions options{.plan = {.accuracy = arguments.accuracy}, .packing = arguments.packing};
  if (!arguments.target.empty()) options.plan.target = known_target(arguments.target);
  in_file(arguments.path, [&] {
    check_architecture(out.file);
    out.tokenizer = Tokenizer::create(out.file);
    if (!arguments.pack_cache.empty()) {
      const char* target = options.plan.target;
      options.cache = panel_cache(arguments.pack_cache, arguments.path, out.file,
                                  target != nullptr ? target : tessera::default_target());
    }
    out.model = load_model(out.file, out.tokenizer->size(), options, out.pool->executor());
  });
  if (arguments.lock_memory) {
    const std::string problem = lock_memory();
    if (!problem.empty()) std::fprintf(stderr, "note: --mlock: %s\n", problem.c_str());
  }
  const size_t trained = out.model.config.context;
  out.context = arguments.context > 0 ? arguments.context : std::min(trained, kDefaultContext);
  if (out.context > trained) {
    std::fprintf(stderr, "note: the context of %zu is longer than the model's own of %zu\n",
                 out.context, trained);
  }
  const std::string& note_of_tokens = out.tokenizer->vocabulary().note;
  if (!note_of_tokens.empty()) std::fprintf(stderr, "note: %s\n", note_of_tokens.c_str());
  for (const std::string& note : out.model.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  out.load_seconds = watch.seconds();
  return out;
}

}  // namespace llm

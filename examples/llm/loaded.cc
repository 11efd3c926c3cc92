// SPDX-License-Identifier: MIT
#include "loaded.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>

namespace llm {
namespace {

constexpr size_t kDefaultContext = 4096;  // at most, where the user names none

}  // namespace

Error load(const ModelArguments& arguments, Loaded& out) {
  const Stopwatch watch;
  if (Error e = gguf::File::open(arguments.path, out.file)) return e;
  const auto in_file = [&](const Error& e) { return Error(arguments.path + ": " + e.text()); };
  if (Error e = Tokenizer::create(out.file, out.tokenizer)) return in_file(e);
  out.team = std::make_unique<Team>(arguments.threads > 0 ? arguments.threads : usable_cores());
  ModelOptions options{.plan = {}, .packing = arguments.packing};
  if (!arguments.target.empty()) options.plan.target = arguments.target.c_str();
  if (arguments.exact) options.plan.accuracy = tessera::Accuracy::exact;
  const Error e =
      load_model(out.file, out.tokenizer->size(), options, out.team->executor(), out.model);
  if (e) return in_file(e);
  const size_t trained = out.model.config.context;
  out.context = arguments.context > 0 ? arguments.context : std::min(trained, kDefaultContext);
  if (out.context > trained) {
    std::fprintf(stderr, "note: the context of %zu is longer than the model's own of %zu\n",
                 out.context, trained);
  }
  for (const std::string& note : out.model.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  out.seconds = watch.seconds();
  return {};
}

void report_machine(const Loaded& loaded) {
  std::map<tessera::DType, size_t> matrices;
  for (const gguf::Tensor& t : loaded.file.tensors()) matrices[t.dtype] += t.n_dims == 2 ? 1 : 0;
  std::fprintf(stderr, "target %s, %zu threads, weights", loaded.model.output.explain(1).target,
               loaded.team->size());
  for (const auto& [dtype, count] : matrices) {
    if (count > 0) std::fprintf(stderr, " %s (%zu matrices)", tessera::dtype_name(dtype), count);
  }
  const auto packed = static_cast<double>(loaded.model.packed_bytes);
  if (packed == 0.0) std::fprintf(stderr, ", read in place\n");
  if (packed > 0.0) std::fprintf(stderr, ", packed in %.1f MiB\n", packed / 1048576.0);
}

Progress::Progress(const char* what, size_t all)
    : what_(what), all_(all), shown_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);  // to the beginning of the line, which is erased
}

void Progress::at(size_t done) const {
  if (shown_) std::fprintf(stderr, "\r%s: %zu of %zu", what_, done, all_);
}

}  // namespace llm

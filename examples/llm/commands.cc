// SPDX-License-Identifier: MIT
#include "commands.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include <nlohmann/json.hpp>

#include "session.h"

namespace llm {
namespace {

// -log of the probability that a row of logits gives to a token.
double surprise(std::span<const float> logits, TokenId token) {
  const auto highest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - highest);
  return std::log(sum) + highest - static_cast<double>(logits[static_cast<size_t>(token)]);
}

// Over the second halves of all chunks as long as the context.
Error sum_surprise(Forward& forward, const Vocabulary& vocabulary, std::span<TokenId> tokens,
                   double& total) {
  const size_t context = forward.context();
  const size_t first = context / 2;  // predictions from positions first .. context - 2 count
  Progress progress("tokens", tokens.size());
  for (size_t chunk = 0; chunk < tokens.size(); chunk += context) {
    const std::span<TokenId> ids = tokens.subspan(chunk, context);
    if (vocabulary.add_bos) ids[0] = vocabulary.bos;
    forward.reset();
    while (forward.position() < context) {
      const size_t begin = forward.position(), end = std::min(context, begin + forward.batch());
      const size_t scored = std::clamp(first, begin, end);
      progress.at(chunk + begin);
      if (Error e = forward.run(ids.subspan(begin, end - begin), end - scored)) return e;
      for (size_t p = scored; p < end && p + 1 < context; ++p) {
        total += surprise(forward.logits(p - scored), ids[p + 1]);
      }
    }
  }
  return {};
}

}  // namespace

Error perplexity(const PerplexityArguments& arguments) {
  std::string text;
  if (Error e = read_text(arguments.text_path, text)) return e;
  Loaded loaded;
  if (Error e = load(arguments.model, loaded)) return e;
  std::vector<TokenId> tokens = loaded.tokenizer->encode(text, Specials::as_text);
  const size_t context = loaded.context, chunks = tokens.size() / context;
  if (chunks == 0 || context < 3) {
    return error("%s has %zu tokens: not one chunk of %zu", arguments.text_path.c_str(),
                 tokens.size(), context);
  }
  std::unique_ptr<Forward> forward;
  if (Error e = Forward::create(loaded.model, *loaded.team,
                                {context, kLogitBatch, kLogitBatch, arguments.model.kv}, forward)) {
    return e;
  }

  const Stopwatch watch;
  double total = 0.0;
  const std::span<TokenId> whole_chunks = std::span(tokens).first(chunks * context);
  if (Error e = sum_surprise(*forward, loaded.tokenizer->vocabulary(), whole_chunks, total)) {
    return e;
  }
  const double value = std::exp(total / static_cast<double>(chunks * (context - 1 - context / 2)));
  if (!std::isfinite(value)) return error("the perplexity is %g: the weights make no sense", value);
  const Speed speed{"perplexity", chunks * context, chunks * context, watch.seconds()};
  if (Error e = report(loaded, {speed}, {{"value", value}})) return e;
  std::printf("%.4f\n", value);
  return flushed(stdout, "stdout");
}

Error info(const std::string& path) {
  gguf::File file;
  if (Error e = gguf::File::open(path, file)) return e;
  std::printf("GGUF version %" PRIu32 ", %zu bytes, %zu metadata pairs, %zu tensors\n\n",
              file.version(), file.size(), file.metadata().size(), file.tensors().size());
  for (const auto& [key, value] : file.metadata()) {
    std::printf("%-44s %-6s %s\n", printable(key).c_str(), gguf::kind_name(value.element),
                value.text().c_str());
  }
  std::printf("\n");
  for (const gguf::Tensor& t : file.tensors()) {
    std::printf("%-32s %-7s %-16s %12zu bytes at %" PRIu64 "\n", printable(t.name).c_str(),
                tessera::dtype_name(t.dtype), t.shape().c_str(), t.data.size(), t.offset);
  }
  return flushed(stdout, "stdout");
}

Error tokenize(const TokenizeArguments& arguments) {
  std::string text = arguments.text;
  if (!arguments.text_path.empty()) {
    if (Error e = read_text(arguments.text_path, text)) return e;
  }
  gguf::File file;
  if (Error e = gguf::File::open(arguments.model_path, file)) return e;
  std::unique_ptr<Tokenizer> tokenizer;
  if (Error e = Tokenizer::create(file, tokenizer)) {
    return Error(arguments.model_path + ": " + e.text());
  }
  std::string line;
  const auto specials = arguments.parse_special ? Specials::parse : Specials::as_text;
  for (const TokenId id :
       tokenizer->encode(text, specials, arguments.bos ? Bos::usual : Bos::never)) {
    line.append(line.empty() ? "" : " ").append(std::to_string(id));
  }
  std::puts(line.c_str());
  return flushed(stdout, "stdout");
}

Error list_targets() {
  for (const tessera::Target& target : tessera::targets()) {
    std::printf("%-12s %s\n", target.name,
                target.available ? "runs here" : "does not run on this CPU");
  }
  return flushed(stdout, "stdout");
}

}  // namespace llm

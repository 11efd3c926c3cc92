// SPDX-License-Identifier: MIT
#include "commands.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include <nlohmann/json.hpp>

#include "files.h"
#include "forward.h"
#include "loaded_model.h"
#include "report.h"
#include "terminal.h"
#include "text.h"

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
double sum_surprise(Forward& forward, const Vocabulary& vocabulary, std::span<TokenId> tokens) {
  const size_t context = forward.context();
  const size_t first = context / 2;  // predictions from positions first .. context - 2 count
  Progress progress("tokens", tokens.size());
  double total = 0.0;
  for (size_t chunk = 0; chunk < tokens.size(); chunk += context) {
    const std::span<TokenId> ids = tokens.subspan(chunk, context);
    if (vocabulary.add_bos) ids[0] = vocabulary.bos;
    forward.reset();
    while (forward.position() < context) {
      const size_t begin = forward.position(), end = std::min(context, begin + forward.batch());
      const size_t scored = std::clamp(first, begin, end);
      progress.at(chunk + begin);
      forward.run(ids.subspan(begin, end - begin), end - scored);
      for (size_t p = scored; p < end && p + 1 < context; ++p) {
        total += surprise(forward.logits(p - scored), ids[p + 1]);
      }
    }
  }
  return total;
}

}  // namespace

void perplexity(const PerplexityArguments& arguments) {
  const std::string text = read_text(arguments.text_path);
  const LoadedModel loaded = load(arguments.model);
  std::vector<TokenId> tokens = loaded.tokenizer->encode(text, Specials::as_text);
  const size_t context = loaded.context, chunks = tokens.size() / context;
  if (chunks == 0 || context < 3) {
    throw error("%s has %zu tokens: not one chunk of %zu", arguments.text_path.c_str(),
                tokens.size(), context);
  }
  Forward forward(loaded.model, *loaded.pool,
                  {context, kLogitRows, kLogitRows, arguments.model.kv});
  const Stopwatch watch;
  tokens.resize(chunks * context);
  const double total = sum_surprise(forward, loaded.tokenizer->vocabulary(), tokens);
  const size_t scored = context - 1 - context / 2;  // tokens of a chunk
  const double value = std::exp(total / static_cast<double>(chunks * scored));
  if (!std::isfinite(value)) throw error("the perplexity is %g: the weights make no sense", value);
  const Speed speed{"perplexity", tokens.size(), tokens.size(), watch.seconds()};
  report(loaded, {speed}, {{"value", value}});
  std::printf("%.4f\n", value);
}

void info(const std::string& path) {
  const gguf::File file = gguf::File::open(path);
  std::printf("GGUF version %" PRIu32 ", %zu bytes, %zu metadata pairs, %zu tensors\n\n",
              file.version(), file.size(), file.metadata().size(), file.tensors().size());
  for (const auto& [key, value] : file.metadata()) {
    std::printf("%-44s %-6s %s\n", printable(key).c_str(), gguf::kind_name(value.element),
                value.text().c_str());
  }
  std::printf("\n");
  for (const gguf::Tensor& t : file.tensors()) {
    std::printf("%-32s %-7s %-16s %12zu bytes at %" PRIu64 "\n", printable(t.name).c_str(),
                gguf::type_name(t.dtype), t.shape().c_str(), t.data.size(), t.offset);
  }
}

void tokenize(const TokenizeArguments& arguments) {
  const std::string text =
      arguments.text_path.empty() ? arguments.text : read_text(arguments.text_path);
  const gguf::File file = gguf::File::open(arguments.model_path);
  const auto tokenizer = in_file(arguments.model_path, [&] { return Tokenizer::create(file); });
  const std::string& note = tokenizer->vocabulary().note;
  if (!note.empty()) std::fprintf(stderr, "note: %s\n", note.c_str());
  std::string line;
  for (const TokenId id :
       tokenizer->encode(text, arguments.parse_special ? Specials::parse : Specials::as_text,
                         arguments.bos ? Bos::usual : Bos::never)) {
    line.append(line.empty() ? "" : " ").append(std::to_string(id));
  }
  std::puts(line.c_str());
}

void list_targets() {
  for (const tessera::Target& target : tessera::targets()) {
    std::printf("%-12s %s\n", target.name,
                target.available ? "runs here" : "does not run on this CPU");
  }
}

}  // namespace llm

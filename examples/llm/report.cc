// SPDX-License-Identifier: MIT
#include "report.h"

#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include "loaded_model.h"

namespace llm {
namespace {

double rate(const Speed& s) {
  return s.seconds > 0.0 ? static_cast<double>(s.timed_tokens) / s.seconds : 0.0;
}

}  // namespace

void report(const LoadedModel& loaded, const std::vector<Speed>& speeds,
            const nlohmann::json& more) {
  const char* target = loaded.model.output.explain(1).target;
  const size_t mapped = loaded.file.size(), packed = loaded.model.packed_bytes;
  nlohmann::json log = {{"model", loaded.arguments.path},
                        {"load_ms", loaded.load_seconds * 1e3},
                        {"target", target},
                        {"threads", loaded.pool->threads()},
                        {"bytes_mapped", mapped},
                        {"bytes_packed", packed}};
  std::fprintf(stderr, "%-10s  %.0f ms\n", "load", loaded.load_seconds * 1e3);
  for (const Speed& s : speeds) {
    std::fprintf(stderr, "%-10s  %zu tokens, %.3f s, %.1f tokens/s\n", s.what, s.tokens, s.seconds,
                 rate(s));
    log[s.what] = {{"tokens", s.tokens}, {"seconds", s.seconds}, {"tokens_per_second", rate(s)}};
  }
  std::map<tessera::DType, size_t> matrices;
  for (const gguf::Tensor& t : loaded.file.tensors()) {  // of experts, each has one
    if (t.n_dims > 1 && t.name.ends_with(".weight")) matrices[t.dtype] += t.rows() / t.dims[1];
  }
  std::fprintf(stderr, "target %s, %zu threads, weights", target, loaded.pool->threads());
  for (const auto& [dtype, count] : matrices) {
    if (count > 0) std::fprintf(stderr, " %s (%zu matrices)", tessera::dtype_name(dtype), count);
  }
  std::fprintf(stderr, ", %.1f MiB mapped, %.1f MiB packed\n", mebibytes(mapped),
               mebibytes(packed));
  if (!loaded.log) return;
  log.update(more);
  constexpr auto kReplace = nlohmann::json::error_handler_t::replace;  // what is not UTF-8
  std::fprintf(loaded.log.get(), "%s\n", log.dump(2, ' ', false, kReplace).c_str());
  flush(loaded.log.get(), loaded.arguments.log_json);
}

}  // namespace llm

// SPDX-License-Identifier: MIT
// How long things took, and the closing report of it.
#ifndef TESSERA_EXAMPLES_LLM_REPORT_H_
#define TESSERA_EXAMPLES_LLM_REPORT_H_

#include <chrono>
#include <cstddef>
#include <vector>

#include <nlohmann/json_fwd.hpp>  // JSON, with its escapes and numbers, is not worth writing again

namespace llm {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

struct LoadedModel;

/// Work that was timed. The first token of an answer comes with the prompt, so that fewer can be
/// timed than there are.
struct Speed {
  const char* what;
  size_t tokens = 0, timed_tokens = 0;
  double seconds = 0.0;
};
/// The closing report: on stderr and, if the arguments name a file for it, as JSON with `more`
/// added.
void report(const LoadedModel& loaded, const std::vector<Speed>& speeds,
            const nlohmann::json& more);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_REPORT_H_

// SPDX-License-Identifier: MIT
// tessera-llm: runs Llama models in GGUF files with Tessera's matrix products. Its options are in
// options.cc; what is done is in commands.cc.
#include <cstdio>
#include <exception>
#include <new>

#include "files.h"
#include "options.h"
#include "system.h"
#include "terminal.h"

int main(int argc, char** argv) {
  llm::prepare_process();
  llm::set_utf8_locale();
  try {
    const int status = llm::run_command_line({argv + 1, argv + argc});
    llm::flush(stdout, "stdout");
    return llm::interrupted() ? llm::kInterruptedStatus : status;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "tessera-llm: not enough memory\n");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tessera-llm: %s\n", e.what());
  }
  return 1;
}

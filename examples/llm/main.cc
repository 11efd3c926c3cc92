// SPDX-License-Identifier: MIT
// tessera-llm: runs Llama models in GGUF files with Tessera's matrix products. Its options are in
// options.cc; what is done is in commands.cc.
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include <unistd.h>

#include "files.h"
#include "options.h"
#include "terminal.h"

namespace {

// Reading a mapped page that the file no longer has raises SIGBUS: say so instead of dying mutely.
void on_bus_error(int) {
  constexpr char kText[] = "tessera-llm: the model file became shorter while it was in use\n";
  (void)!::write(STDERR_FILENO, kText, sizeof(kText) - 1);
  ::_exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGBUS, on_bus_error);
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

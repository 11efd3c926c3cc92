// SPDX-License-Identifier: MIT
#include "terminal.h"

#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <unistd.h>

#include "system.h"

#ifdef TESSERA_LLM_LIBEDIT
#include <editline/readline.h>
#endif

namespace llm {
namespace {

volatile std::sig_atomic_t interrupt_flag = 0;

}  // namespace

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);  // to the beginning of the line, which is erased
}

void Progress::at(size_t done) {
  shown_ = ::isatty(STDERR_FILENO) != 0;
  if (shown_) std::fprintf(stderr, "\r%s: %zu of %zu", what_, done, all_);
}

void catch_interrupts() {
  on_interrupt([](int) {
    if (interrupt_flag != 0) ::_exit(kInterruptedStatus);
    interrupt_flag = 1;
  });
}
bool interrupted() { return interrupt_flag != 0; }
void clear_interrupt() { interrupt_flag = 0; }
void ignore_interrupts() {
  on_interrupt(SIG_IGN);
  interrupt_flag = 0;
}

void set_utf8_locale() {
  const bool known = std::setlocale(LC_CTYPE, "") != nullptr;
  if (known && is_locale_utf8()) return;
  for (const char* name : {"C.UTF-8", "C.utf8", "en_US.UTF-8"}) {
    if (std::setlocale(LC_CTYPE, name) != nullptr) return;
  }
}

bool read_line(std::string& out) {
  constexpr const char* kPrompt = "> ";
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  bool found = false;
  out.clear();
#ifdef TESSERA_LLM_LIBEDIT
  if (terminal) {
    rl_outstream = stderr;
    const std::unique_ptr<char, decltype(&std::free)> line(::readline(kPrompt), &std::free);
    found = line != nullptr;
    if (found && *line != '\0') ::add_history(line.get());
    if (found) out = line.get();
  }
  const bool edited = terminal;
#else
  const bool edited = false;
#endif
  if (!edited) {
    if (terminal) std::fputs(kPrompt, stderr);
    int c = std::getchar();
    found = c != EOF;
    for (; c != EOF && c != '\n'; c = std::getchar()) out += static_cast<char>(c);
  }
  if (terminal && !found) std::fputc('\n', stderr);
  return found && !interrupted();
}

}  // namespace llm

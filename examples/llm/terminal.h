// SPDX-License-Identifier: MIT
// The terminal: lines typed into it, Ctrl-C, and how far something is.
#ifndef TESSERA_EXAMPLES_LLM_TERMINAL_H_
#define TESSERA_EXAMPLES_LLM_TERMINAL_H_

#include <cstddef>
#include <string>

namespace llm {

/// A line on stderr that says how far something is, while it lasts and if stderr is a terminal.
class Progress {
 public:
  Progress(const char* what, size_t all) : what_(what), all_(all) {}
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void at(size_t done);

 private:
  const char* what_;
  size_t all_;
  bool shown_ = false;
};

/// From now on Ctrl-C only sets a flag; while it is set, a further one ends the program.
void catch_interrupts();
bool interrupted();
constexpr int kInterruptedStatus = 130;  // as shells have it: 128 + SIGINT
void clear_interrupt();
/// Forgets the flag, and from now on Ctrl-C does nothing: the program is about to end.
void ignore_interrupts();

/// Makes text UTF-8 for the line editor, whatever locale the environment names: in another one it
/// drops what is not ASCII.
void set_utf8_locale();

/// A line from the terminal, where it can be edited and old ones be had again, or from whatever
/// else stdin is; without its end. False if there is no more, or at Ctrl-C.
bool read_line(std::string& out);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_TERMINAL_H_

// SPDX-License-Identifier: MIT
// The options of tessera-llm's subcommands.
#ifndef TESSERA_EXAMPLES_LLM_OPTIONS_H_
#define TESSERA_EXAMPLES_LLM_OPTIONS_H_

#include <string>
#include <vector>

namespace llm {

/// Does what the words behind the program's name ask for: the function of commands.h, or help. The
/// status that the program ends with; throws what is wrong with the words or went wrong later.
int run_command_line(const std::vector<std::string>& words);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_OPTIONS_H_

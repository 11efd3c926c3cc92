// SPDX-License-Identifier: MIT
// What the command line needs beside CLI11: options as llama.cpp spells them, numbers that are
// checked, and a help text that fits a page.
#ifndef TESSERA_EXAMPLES_LLM_COMMAND_LINE_H_
#define TESSERA_EXAMPLES_LLM_COMMAND_LINE_H_

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include <CLI/CLI.hpp>

namespace llm {

/// The words behind a subcommand, in the spelling that CLI11 knows: it would take an option of one
/// dash and several letters apart, and says only at the end, in any order, what it does not know.
/// Throws at the first word that `command` has no use for.
std::vector<std::string> spelled_out(const CLI::App& command, std::vector<std::string> words);

/// A number that is all of `text` and in a range. Throws an error that begins with the option.
int64_t whole_number(const std::string& option, const std::string& text, int64_t least,
                     int64_t most);
double real_number(const std::string& option, const std::string& text, double least, double most);

template <class T>
T number_in(const std::string& option, const std::string& text, T least, T most) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(
        real_number(option, text, static_cast<double>(least), static_cast<double>(most)));
  } else {
    return static_cast<T>(
        whole_number(option, text, static_cast<int64_t>(least), static_cast<int64_t>(most)));
  }
}

/// An option for a number in a range; the range fits int64_t.
template <class T>
CLI::Option* add_number(CLI::App& command, const char* names, T& value, T least, T most,
                        const char* help) {
  const std::string option = names;
  return command
      .add_option_function<std::string>(
          names,
          [&value, option, least, most](const std::string& text) {
            value = number_in<T>(option, text, least, most);
          },
          help)
      ->type_name("NUMBER");
}

/// The same for several of them, separated by commas.
template <class T>
CLI::Option* add_numbers(CLI::App& command, const char* names, std::vector<T>& values, T least,
                         T most, const char* help) {
  const std::string option = names;
  return command
      .add_option_function<std::vector<std::string>>(
          names,
          [&values, option, least, most](const std::vector<std::string>& texts) {
            values.clear();
            for (const std::string& text : texts) {
              values.push_back(number_in<T>(option, text, least, most));
            }
          },
          help)
      ->delimiter(',')
      ->type_name("NUMBER,...");
}

/// An option that scripts for llama.cpp carry and that changes nothing here; a note says why,
/// unless the value is one of those that ask for nothing.
void add_meaningless(CLI::App& command, const char* names, const std::vector<std::string>& silent,
                     const char* reason);
void add_meaningless_flag(CLI::App& command, const char* names, const char* reason);

/// Breaks help texts into lines of at most 100 columns.
class HelpText : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_COMMAND_LINE_H_

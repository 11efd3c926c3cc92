// SPDX-License-Identifier: MIT
#include "command_line.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <sstream>
#include <string_view>
#include <system_error>

#include "error.h"
#include "text.h"

namespace llm {
namespace {

constexpr struct {
  std::string_view letters, name;
} kManyLetters[] = {{"-cnv", "--conversation"},  {"-no-cnv", "--no-conversation"},
                    {"-sys", "--system-prompt"}, {"-ngl", "--n-gpu-layers"},
                    {"-ub", "--ubatch-size"},    {"-fa", "--flash-attn"},
                    {"-np", "--parallel"},       {"-tb", "--threads-batch"},
                    {"-ctk", "--cache-type-k"},  {"-ctv", "--cache-type-v"}};

Error unknown_option(const std::string& name) {
  return error("unknown option %s, see --help", printable(name).c_str());
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// "-n5": a letter whose option takes a value, and a number.
bool has_number(const CLI::App& command, const std::string& word) {
  const CLI::Option* option = command.get_option_no_throw(word.substr(0, 2));
  return option != nullptr && takes_value(*option) &&
         std::string_view("0123456789.-+").find(word[2]) != std::string_view::npos;
}

// --flash-attn takes a word or none: it always gets one.
void join_optional_value(std::vector<std::string>& words, size_t i) {
  if (words[i] != "--flash-attn") return;
  constexpr std::string_view kValues[] = {"on", "off", "auto", "0", "1"};
  const bool next = i + 1 < words.size() && std::find(std::begin(kValues), std::end(kValues),
                                                      words[i + 1]) != std::end(kValues);
  words[i].append("=").append(next ? words[i + 1] : "on");
  if (next) words.erase(words.begin() + static_cast<std::ptrdiff_t>(i) + 1);
}

std::string first_name(std::string_view names) {
  return std::string(names.substr(0, names.find(',')));
}

template <class T>
T parsed(const std::string& option, const std::string& text, const char* kind, bool& in_range) {
  T value{};
  const char *begin = text.data(), *end = begin + text.size();
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') ++begin;
  const auto [at, code] = std::from_chars(begin, end, value);
  if (at != end || code == std::errc::invalid_argument) {
    throw error("%s: \"%s\" is not a %s", option.c_str(), printable(text).c_str(), kind);
  }
  in_range = code == std::errc();
  return value;
}

}  // namespace

std::vector<std::string> spelled_out(const CLI::App& command, std::vector<std::string> words) {
  size_t places = 0;  // for words that are no options
  for (const CLI::Option* option : command.get_options()) places += option->get_positional();
  for (size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    if (words[i].size() < 2 || words[i][0] != '-') {
      if (places == 0) throw error("unexpected argument \"%s\"", printable(words[i]).c_str());
      --places;
      continue;
    }
    const auto* known = std::find_if(std::begin(kManyLetters), std::end(kManyLetters),
                                     [&](const auto& k) { return k.letters == words[i]; });
    const std::string typed = words[i].substr(0, words[i].find('='));
    if (known != std::end(kManyLetters)) words[i] = known->name;
    const bool several = words[i][1] != '-' && words[i].size() > 2;
    if (several && !has_number(command, words[i])) throw unknown_option(typed);
    if (several) continue;
    join_optional_value(words, i);
    const size_t equals = words[i].find('=');
    const CLI::Option* option = command.get_option_no_throw(words[i].substr(0, equals));
    if (option == nullptr) throw unknown_option(typed);
    if (takes_value(*option) && equals == std::string::npos) ++i;
  }
  return words;
}

int64_t whole_number(const std::string& option, const std::string& text, int64_t least,
                     int64_t most) {
  bool in_range = false;
  const auto value = parsed<int64_t>(option, text, "whole number", in_range);
  if (in_range && value >= least && value <= most) return value;
  throw error("%s: %s is not in range %lld .. %lld", option.c_str(), printable(text).c_str(),
              static_cast<long long>(least), static_cast<long long>(most));
}

double real_number(const std::string& option, const std::string& text, double least, double most) {
  bool in_range = false;
  const auto value = parsed<double>(option, text, "number", in_range);
  if (in_range && value >= least && value <= most) return value;  // false for NaN
  throw error("%s: %s is not in range %g .. %g", option.c_str(), printable(text).c_str(), least,
              most);
}

void add_meaningless(CLI::App& command, const char* names, const std::vector<std::string>& silent,
                     const char* reason) {
  const std::string option = first_name(names);
  command
      .add_option_function<std::string>(
          names,
          [option, silent, reason](const std::string& value) {
            if (std::find(silent.begin(), silent.end(), value) != silent.end()) return;
            std::fprintf(stderr, "note: %s changes nothing: %s\n", option.c_str(), reason);
          },
          "Taken and ignored")
      ->type_name("VALUE");
}

void add_meaningless_flag(CLI::App& command, const char* names, const char* reason) {
  const std::string option = first_name(names);
  command.add_flag_callback(
      names,
      [option, reason] {
        std::fprintf(stderr, "note: %s changes nothing: %s\n", option.c_str(), reason);
      },
      "Taken and ignored");
}

std::string HelpText::make_option_desc(const CLI::Option* option) const {
  const size_t width = 100 - get_column_width();
  std::istringstream words(Formatter::make_option_desc(option));
  std::string out, line, word;
  while (words >> word) {
    if (!line.empty() && line.size() + 1 + word.size() > width) {
      out.append(line).append("\n");
      line.clear();
    }
    line.append(line.empty() ? "" : " ").append(word);
  }
  return out + line;
}

}  // namespace llm

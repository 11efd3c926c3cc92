// SPDX-License-Identifier: MIT
// Text: UTF-8, and what of a file's text may be shown.
#ifndef TESSERA_EXAMPLES_LLM_TEXT_H_
#define TESSERA_EXAMPLES_LLM_TEXT_H_

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

namespace llm {

/// "a, b, c": the names of all elements of a table, for a message that lists what is known.
template <class Table>
std::string names_of(const Table& table) {
  std::string names;
  for (const auto& entry : table) names.append(names.empty() ? "" : ", ").append(entry.name);
  return names;
}

/// Bytes of the character of white space that `text` begins with, 0 if it begins with another. What
/// is white is Python's choice, since templates are rendered by Python.
constexpr size_t white_length(std::string_view text) {
  if (text.empty()) return 0;
  if ((text[0] >= '\t' && text[0] <= '\r') || (text[0] >= '\x1C' && text[0] <= ' ')) return 1;
  for (const std::string_view other :
       {"\u0085", "\u00A0", "\u1680", "\u2028", "\u2029", "\u202F", "\u205F", "\u3000"}) {
    if (text.starts_with(other)) return other.size();
  }
  // U+2000 to U+200A
  const unsigned char last = text.size() < 3 ? '\0' : static_cast<unsigned char>(text[2]);
  return text.starts_with("\xE2\x80") && last >= 0x80 && last <= 0x8A ? 3 : 0;
}

/// Without the white space around it.
constexpr std::string_view trimmed(std::string_view text) {
  for (size_t length; (length = white_length(text)) > 0;) text.remove_prefix(length);
  for (size_t length = 1; length <= 3 && length <= text.size();) {
    const bool white = white_length(text.substr(text.size() - length)) == length;
    if (white) text.remove_suffix(length);
    length = white ? 1 : length + 1;
  }
  return text;
}

/// With the letters of ASCII in upper case.
inline std::string uppercase(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

/// A byte within a UTF-8 character.
constexpr bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0u) == 0x80u; }

/// Bytes of the character that `lead` begins, 0 if none begins so.
constexpr size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80   ? 1
         : byte < 0xC2 ? 0
         : byte < 0xE0 ? 2
         : byte < 0xF0 ? 3
         : byte < 0xF5 ? 4
                       : 0;
}

/// How many bytes of `text` are whole UTF-8 characters: less than all only if more bytes could
/// complete the last one.
constexpr size_t complete_utf8(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t at = text.size() - back;
    if (!is_continuation(text[at])) return utf8_length(text[at]) > back ? at : text.size();
  }
  return text.size();
}

/// Text from a file as it may be shown: about `limit` bytes of it at most, control characters and
/// what is not UTF-8 as \xNN.
inline std::string printable(std::string_view text, size_t limit = 64) {
  std::string out;
  while (!text.empty() && out.size() < limit) {
    const size_t length = utf8_length(text[0]);
    const std::string_view character = text.substr(0, length);
    const bool control = length == 1 && (text[0] < ' ' || text[0] == '\x7F');
    if (!control && length > 0 && character.size() == length &&
        std::all_of(character.begin() + 1, character.end(), is_continuation)) {
      out += character;
      text.remove_prefix(length);
    } else {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\x%02X", static_cast<unsigned char>(text[0]));
      out += escape;
      text.remove_prefix(1);
    }
  }
  return text.empty() ? out : out + "...";
}

/// Text of a command line, with \n, \r, \t, \\, \", \' and \x41 in it read as what they stand for;
/// other backslashes stay.
inline std::string unescaped(std::string_view text) {
  constexpr std::string_view kLetters = "nrt\\\"'", kMeanings = "\n\r\t\\\"'";
  std::string out;
  while (!text.empty()) {
    const size_t letter = text[0] == '\\' && text.size() > 1 ? kLetters.find(text[1]) : text.npos;
    unsigned code = 0;
    size_t length = 1;
    if (letter != text.npos) {
      out += kMeanings[letter];
      length = 2;
    } else if (text.starts_with("\\x") && text.size() >= 4 &&
               std::from_chars(text.data() + 2, text.data() + 4, code, 16).ptr == text.data() + 4) {
      out += static_cast<char>(code);
      length = 4;
    } else {
      out += text[0];
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_TEXT_H_

// SPDX-License-Identifier: MIT
#include "error.h"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace llm {
namespace {

// Bytes of the character that `lead` begins, 0 if none begins so.
size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80   ? 1
         : byte < 0xC2 ? 0
         : byte < 0xE0 ? 2
         : byte < 0xF0 ? 3
         : byte < 0xF5 ? 4
                       : 0;
}

}  // namespace

Error error(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return Error(text);
}

void check(const tessera::Status& status, const std::string& what) {
  if (!status.ok()) throw Error(what + ": " + status.message().c_str());
}

Error file_error(const std::string& name) {
  const int reason = errno;  // before memory is asked for
  return Error(name + ": " + std::strerror(reason));
}

std::string printable(std::string_view text, size_t limit) {
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

size_t complete_utf8(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t at = text.size() - back;
    if (!is_continuation(text[at])) return utf8_length(text[at]) > back ? at : text.size();
  }
  return text.size();
}

}  // namespace llm

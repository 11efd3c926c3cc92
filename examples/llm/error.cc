// SPDX-License-Identifier: MIT
#include "error.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace llm {

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

}  // namespace llm

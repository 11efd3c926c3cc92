// SPDX-License-Identifier: MIT
#include "files.h"

#include <utility>

#include "error.h"

namespace llm {

void flush(std::FILE* file, const std::string& name) {
  if (std::fflush(file) != 0 || std::ferror(file)) throw file_error(name);
}

OwnedFile create_file(const std::string& path) {
  OwnedFile out(std::fopen(path.c_str(), "wb"));
  return out != nullptr ? std::move(out) : throw file_error(path);
}

std::string read_text(const std::string& path) {
  const bool is_stdin = path == "-";
  const OwnedFile owned(is_stdin ? nullptr : std::fopen(path.c_str(), "rb"));
  std::FILE* file = is_stdin ? stdin : owned.get();
  if (file == nullptr) throw file_error(path);
  std::string out;
  for (char piece[1 << 14]; !std::feof(file);) {
    out.append(piece, std::fread(piece, 1, sizeof(piece), file));
    if (std::ferror(file)) throw file_error(is_stdin ? "stdin" : path);
  }
  return out;
}

}  // namespace llm

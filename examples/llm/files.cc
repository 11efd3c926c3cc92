// SPDX-License-Identifier: MIT
#include "files.h"

#include <unistd.h>

#include <csignal>
#include <utility>

#include "error.h"
#include "system.h"

namespace llm {
namespace {

// Of the file that is being written, for the signal handler; empty if there is none.
char unfinished[4096];

// Whoever ends the program in the middle leaves nothing behind.
void on_end_signal(int signal) {
  if (unfinished[0] != '\0') ::unlink(unfinished);
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

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

NewFile::NewFile(const std::string& name)
    : name_(name),
      temporary_(name + "." + std::to_string(::getpid()) + ".tmp"),
      file_(std::fopen(temporary_.c_str(), "wbx")) {
  if (file_ == nullptr) throw file_error(name);
  unfinished[temporary_.copy(unfinished, sizeof(unfinished) - 1)] = '\0';
  for (const int signal : end_signals()) std::signal(signal, on_end_signal);
}

NewFile::~NewFile() {
  if (file_ != nullptr) std::remove(temporary_.c_str());
  unfinished[0] = '\0';
}

void NewFile::write(const void* bytes, size_t count) {
  if (std::fwrite(bytes, 1, count, file_.get()) != count) throw file_error(name_);
  written_ += count;
}

void NewFile::text(std::string_view text) {
  put(uint64_t{text.size()});
  write(text.data(), text.size());
}

void NewFile::pad(size_t alignment) {
  while (written_ % alignment != 0) put('\0');
}

void NewFile::keep() {
  if (!write_through(file_.get())) throw file_error(name_);
  file_.reset();  // no open file gets another name on Windows
  if (replace_file(temporary_, name_)) return;
  const Error problem = file_error(name_);
  std::remove(temporary_.c_str());
  throw problem;
}

}  // namespace llm

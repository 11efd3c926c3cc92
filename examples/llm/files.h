// SPDX-License-Identifier: MIT
// Files that are written and read whole.
#ifndef TESSERA_EXAMPLES_LLM_FILES_H_
#define TESSERA_EXAMPLES_LLM_FILES_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace llm {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using OwnedFile = std::unique_ptr<std::FILE, CloseFile>;

/// The last word on a FILE that was written: an error if anything went wrong.
void flush(std::FILE* file, const std::string& name);
/// A new file to write to.
OwnedFile create_file(const std::string& path);
/// All of a file, which may be a pipe; "-" is stdin.
std::string read_text(const std::string& path);

/// A file under a temporary name, which takes its own when it is complete, or is removed: also when
/// a signal ends the program. One at a time. Throws what goes wrong.
class NewFile {
 public:
  explicit NewFile(const std::string& name);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(const void* bytes, size_t count);
  template <class T>
  void put(T value) {
    write(&value, sizeof(value));
  }
  /// Its length in 64 bits, and the text.
  void text(std::string_view text);
  /// Zeros up to a multiple of so many bytes.
  void pad(size_t alignment);
  /// All is written: brings it to the disk and gives it its name.
  void keep();

 private:
  std::string name_, temporary_;
  OwnedFile file_;
  size_t written_ = 0;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_FILES_H_

// SPDX-License-Identifier: MIT
// Files that are written and read whole.
#ifndef TESSERA_EXAMPLES_LLM_FILES_H_
#define TESSERA_EXAMPLES_LLM_FILES_H_

#include <cstdio>
#include <memory>
#include <string>

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

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_FILES_H_

// SPDX-License-Identifier: MIT
// Errors of the example, as values: a sentence that names the field and the numbers. Nothing here
// throws on purpose; what the standard library throws (out of memory) ends in main().
#ifndef TESSERA_EXAMPLES_LLM_ERROR_H_
#define TESSERA_EXAMPLES_LLM_ERROR_H_

#include <string>
#include <string_view>
#include <utility>

#include "tessera/base/status.h"

namespace llm {

/// Nothing, or the sentence to show. True if there is one: `if (Error e = f()) return e;`
class [[nodiscard]] Error {
 public:
  Error() = default;
  explicit Error(std::string text) : text_(std::move(text)) {}
  explicit operator bool() const { return !text_.empty(); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// An error, written as printf would.
[[gnu::format(printf, 1, 2)]] Error error(const char* format, ...);

/// The library's outcome as ours: nothing if it is ok, else "what: its message".
Error error_of(const tessera::Status& status, std::string_view what);

/// What errno says about a file.
Error file_error(const std::string& name);

/// Text from a file as it may be shown: about `limit` bytes of it at most, control characters and
/// what is not UTF-8 as \xNN.
std::string printable(std::string_view text, size_t limit = 64);

/// How many bytes of `text` are whole UTF-8 characters: less than all only if more bytes could
/// complete the last one.
size_t complete_utf8(std::string_view text);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_ERROR_H_

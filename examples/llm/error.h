// SPDX-License-Identifier: MIT
// Errors of the example: what cannot go on throws a sentence that names the field and the numbers,
// and main() shows it. The library itself throws nothing; its Status becomes an Error here.
#ifndef TESSERA_EXAMPLES_LLM_ERROR_H_
#define TESSERA_EXAMPLES_LLM_ERROR_H_

#include <stdexcept>
#include <string>

#include "tessera/base/status.h"

namespace llm {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An error, written as printf would: `throw error("%zu is too many", n);`
#if defined(__MINGW32__) && !defined(__clang__)
[[gnu::format(gnu_printf, 1, 2)]]  // with %zu, which Microsoft's printf did not know
#else
[[gnu::format(printf, 1, 2)]]
#endif
Error error(const char* format, ...);

/// What errno says about a file.
Error file_error(const std::string& name);

/// Throws "what: its message" unless the library's outcome is ok.
void check(const tessera::Status& status, const std::string& what);
/// The same, for a result -> its value.
template <class T>
T value_of(const tessera::Result<T>& result, const std::string& what) {
  check(result.status(), what);
  return *result;
}

/// Calls work(), and puts "name: " in front of what it throws.
template <class Work>
auto in_file(const std::string& name, const Work& work) {
  try {
    return work();
  } catch (const Error& e) {
    throw Error(name + ": " + e.what());
  }
}

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_ERROR_H_

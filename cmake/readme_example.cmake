# SPDX-License-Identifier: MIT
# Run as `cmake -D ROOT=<repository> -P readme_example.cmake`: the example in README.md is
# examples/hello_matmul.cc, character for character, less its first line (the licence).
cmake_minimum_required(VERSION 3.24)
file(READ "${ROOT}/README.md" readme)
file(READ "${ROOT}/examples/hello_matmul.cc" source)

string(FIND "${source}" "\n" end)
math(EXPR start "${end} + 1")
string(SUBSTRING "${source}" ${start} -1 source)

set(expected "<!-- examples/hello_matmul.cc -->\n```cpp\n${source}```\n")
string(FIND "${readme}" "${expected}" found)
if(found EQUAL -1)
  message(FATAL_ERROR
    "README.md does not quote examples/hello_matmul.cc as it is. It should say:\n${expected}")
endif()

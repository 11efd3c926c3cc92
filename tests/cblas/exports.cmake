# SPDX-License-Identifier: MIT
# cmake -D NM=... -D LIBRARY=<libtessera_cblas> -D HEADER=<tessera/cblas.h> -P exports.cmake: the
# library exports what the header declares and nothing else.
cmake_minimum_required(VERSION 3.24)
execute_process(COMMAND "${NM}" -D --defined-only "${LIBRARY}" OUTPUT_VARIABLE output
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^ \n]+\n" exported "${output}")
list(TRANSFORM exported STRIP)
list(SORT exported)
file(STRINGS "${HEADER}" declared REGEX "^TESSERA_CBLAS ")
list(TRANSFORM declared REPLACE ".* ([A-Za-z0-9_]+)[(;].*" "\\1")
list(SORT declared)
if(NOT exported STREQUAL declared OR NOT exported)
  message(FATAL_ERROR "exported: ${exported}\ndeclared: ${declared}")
endif()

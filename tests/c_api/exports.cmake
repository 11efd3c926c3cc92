# SPDX-License-Identifier: MIT
# cmake -D NM=... -D LIBRARY=<shared library> -D "HEADER=<c_api.h, or empty>" -P exports.cmake: a shared
# library exports what the header declares and nothing else, or without one no symbol of ours; and none
# that is unique in the process (STB_GNU_UNIQUE, type u), which would keep it from being unloaded.
cmake_minimum_required(VERSION 3.24)
execute_process(COMMAND "${NM}" -D --defined-only "${LIBRARY}" OUTPUT_VARIABLE output
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" lines "${output}")
set(exported)
foreach(line IN LISTS lines)
  if(NOT line MATCHES "^[0-9a-f]+ ([A-Za-z]) (.+)$")
    message(FATAL_ERROR "not understood: ${line}")
  elseif(CMAKE_MATCH_1 STREQUAL "u")
    message(FATAL_ERROR "unique in the process: ${CMAKE_MATCH_2}")
  endif()
  list(APPEND exported "${CMAKE_MATCH_2}")
endforeach()
list(SORT exported)

if(HEADER)
  file(STRINGS "${HEADER}" lines REGEX "^TESSERA_C ")
  list(TRANSFORM lines REPLACE ".*(tessera_[a-z_]+)[(].*" "\\1" OUTPUT_VARIABLE declared)
  list(SORT declared)
  if(NOT exported STREQUAL declared OR NOT exported)
    message(FATAL_ERROR "exported: ${exported}\ndeclared: ${declared}")
  endif()
else()
  list(FILTER exported INCLUDE REGEX "tessera|hwy|plugin")
  if(NOT exported STREQUAL "plugin_multiply")
    message(FATAL_ERROR "exported: ${exported}")
  endif()
endif()

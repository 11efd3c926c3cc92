# SPDX-License-Identifier: MIT
# cmake -D COMPILER=... -D SOURCE=... -D "INCLUDES=a|b" -D "FLAGS=-x|-y" [-D ERROR=<regex>] -P check.cmake
# Compiles without output. With ERROR the compilation must fail with a matching message, else it must
# succeed without any message at all. Prints SKIPPED if there is no such compiler.
cmake_minimum_required(VERSION 3.24)
if(NOT COMPILER)
  message(NOTICE "SKIPPED: this compiler is not installed")
  return()
endif()
string(REPLACE "|" ";" FLAGS "${FLAGS}")
string(REPLACE "|" ";" INCLUDES "${INCLUDES}")
list(TRANSFORM INCLUDES PREPEND "-I")
if(DEFINED ERROR)
  list(APPEND FLAGS -Wfatal-errors)  # the first one is enough: all targets behind it take a minute
endif()
set(command "${COMPILER}" -std=c++20 -fsyntax-only ${FLAGS} ${INCLUDES} "${SOURCE}")
execute_process(COMMAND ${command} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
list(JOIN command " " command)
if(DEFINED ERROR)
  if(result EQUAL 0)
    message(FATAL_ERROR "compiled, but should not:\n${command}")
  elseif(NOT output MATCHES "${ERROR}")
    message(FATAL_ERROR "failed without saying \"${ERROR}\":\n${command}\n${output}")
  endif()
elseif(NOT result EQUAL 0 OR NOT output STREQUAL "")
  message(FATAL_ERROR "${command}\n${output}")
endif()

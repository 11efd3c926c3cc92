# SPDX-License-Identifier: MIT
# cmake -D CASE=... -D ROOT=<repository> -D WORK=<folder> -D COMPILER=... -D GENERATOR=... -D "HIGHWAY=<its
# sources, if not installed>" -P host_project.cmake: configures the host in compile/host_project as
# CASE says, and builds and runs it where that is the point.
cmake_minimum_required(VERSION 3.24)
file(REMOVE_RECURSE "${WORK}")
set(host "${CMAKE_CURRENT_LIST_DIR}/host_project")

# configure(<expected result: 0 or 1> <option>...): sets `output`.
function(configure expected)
  set(command "${CMAKE_COMMAND}" -S "${host}" -B "${WORK}" -G "${GENERATOR}" -D "TESSERA=${ROOT}"
      -D "CMAKE_CXX_COMPILER=${COMPILER}" -D CMAKE_EXPORT_COMPILE_COMMANDS=ON ${ARGN})
  if(HIGHWAY)
    list(APPEND command -D "FETCHCONTENT_SOURCE_DIR_HIGHWAY=${HIGHWAY}")
  endif()
  # What the environment says to this build is not meant for the host's.
  execute_process(COMMAND "${CMAKE_COMMAND}" -E env --unset=CXXFLAGS --unset=CMAKE_BUILD_TYPE ${command}
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if((result EQUAL 0) EQUAL expected)
    message(FATAL_ERROR "${result}: ${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# What compiles the bodies, in `command`.
function(read_command)
  file(STRINGS "${WORK}/compile_commands.json" lines REGEX "\"command\".*cmake/impl\\.cc")
  if(NOT lines)
    message(FATAL_ERROR "cmake/impl.cc is not compiled")
  endif()
  set(command "${lines}" PARENT_SCOPE)
endfunction()

if(CASE STREQUAL "no build type")
  configure(0)
  read_command()
  if(NOT command MATCHES " -O2 " OR NOT output MATCHES "no build type is set")
    message(FATAL_ERROR "not optimised, or nothing said of it:\n${command}\n${output}")
  endif()
  foreach(option CMAKE_BUILD_TYPE=Debug CMAKE_CXX_FLAGS=-O1)  # a choice of the host stays
    file(REMOVE_RECURSE "${WORK}")
    configure(0 -D ${option})
    read_command()
    if(command MATCHES " -O2 " OR output MATCHES "no build type is set")
      message(FATAL_ERROR "with ${option}:\n${command}\n${output}")
    endif()
  endforeach()
elseif(CASE STREQUAL "old Highway")
  configure(1 -D "OLD_HIGHWAY=${CMAKE_CURRENT_LIST_DIR}/old_highway")
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  if(NOT output MATCHES "Tessera needs Highway 1.2 or newer; 1.1 is in ")
    message(FATAL_ERROR "failed without saying why:\n${output}")
  endif()
elseif(CASE STREQUAL "flags and unity")
  configure(0 -D CMAKE_UNITY_BUILD=ON -D TESSERA_HWY_DEFINITIONS=HWY_COMPILE_ONLY_STATIC
            -D TESSERA_FORMATS=F32,Q4_0 -D "CMAKE_CXX_FLAGS=-ffast-math -funsigned-char")
  execute_process(COMMAND "${CMAKE_COMMAND}" --build "${WORK}" --target host COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND "${WORK}/host" COMMAND_ERROR_IS_FATAL ANY)
else()
  message(FATAL_ERROR "no such case: ${CASE}")
endif()
file(REMOVE_RECURSE "${WORK}")

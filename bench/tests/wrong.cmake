# SPDX-License-Identifier: MIT
# Run as `cmake -D PROGRAM=<tessera-bench> -P wrong.cmake`.
set(file "${CMAKE_CURRENT_BINARY_DIR}/wrong.json")
execute_process(
  COMMAND "${PROGRAM}" --quick --no-ceilings --seconds=0.01 --backends=tessera,wrong
          --benchmark_filter=f32/in_place/odd --benchmark_out=${file} --benchmark_out_format=json
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE status)
message(STATUS "${output}")
file(READ "${file}" json)
file(REMOVE "${file}")
if(NOT status EQUAL 0)
  message(FATAL_ERROR "exit ${status}")
endif()
if(NOT output MATCHES "  wrong +wrong: y.0, 0. = [-0-9.e]+, not [-0-9.e]+ within")
  message(FATAL_ERROR "the wrong backend is not reported")
endif()
if(NOT output MATCHES "  tessera +[0-9.]+ median")
  message(FATAL_ERROR "the right one is not timed")
endif()
# Its entry has an error in place of a time.
string(JSON count LENGTH "${json}" benchmarks)
math(EXPR last "${count} - 1")
foreach(i RANGE ${last})
  string(JSON name GET "${json}" benchmarks ${i} name)
  string(JSON error ERROR_VARIABLE none GET "${json}" benchmarks ${i} error_message)
  if(name MATCHES "/wrong" AND NOT error MATCHES "^wrong: ")
    message(FATAL_ERROR "${name} was timed")
  endif()
endforeach()

# SPDX-License-Identifier: MIT
# cmake -D LIBRARY=... -D TESTER=xblat3s -D INPUT=sblat3.in -D ROUTINE=SGEMM -D LINES=<n> -D WORK=<folder>
# -P debian_tester.cmake: runs a tester of the reference BLAS, from Debian's package libblas-test, with
# the library in front of the reference BLAS. That many lines must say that the routine passed, and none
# that it failed. The other routines are the reference's own.
cmake_minimum_required(VERSION 3.24)
file(GLOB folder "/usr/lib/*/blas/${TESTER}")
cmake_path(GET folder PARENT_PATH folder)
if(NOT EXISTS "${folder}/libblas.so.3" OR NOT EXISTS "${folder}/${INPUT}")
  message("SKIPPED: no ${TESTER}; it is in Debian's packages libblas-test and libblas3")
  return()
endif()
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env "LD_LIBRARY_PATH=${folder}" "LD_PRELOAD=${LIBRARY}" "${folder}/${TESTER}"
  INPUT_FILE "${folder}/${INPUT}" WORKING_DIRECTORY "${WORK}"
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
file(GLOB summaries "${WORK}/*")  # where Fortran's testers write
foreach(file IN LISTS summaries)
  file(READ "${file}" text)
  string(APPEND output "${text}")
endforeach()
string(REGEX MATCHALL "[^\n]*${ROUTINE} [^\n]*" lines "${output}")
set(passed 0)
foreach(line IN LISTS lines)
  message("${line}")
  if(line MATCHES "PASSED")
    math(EXPR passed "${passed} + 1")
  endif()
endforeach()
if(NOT result EQUAL 0 OR NOT passed EQUAL LINES OR lines MATCHES "FAIL|SUSPECT|NOT")
  message(FATAL_ERROR "exit status ${result}, ${passed} of ${LINES} passed:\n${output}")
endif()

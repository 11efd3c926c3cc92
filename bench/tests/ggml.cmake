# SPDX-License-Identifier: MIT
# Run as `cmake -D PROGRAM=<tessera-bench> -D ANY_LIBRARY=<a shared library> -P ggml.cmake`.
set(folder "${CMAKE_CURRENT_BINARY_DIR}/ggml_test")
file(REMOVE_RECURSE "${folder}")
file(MAKE_DIRECTORY "${folder}/empty" "${folder}/other")
configure_file("${ANY_LIBRARY}" "${folder}/other/libggml.so" COPYONLY)

# What is said of ik_llama.cpp with this setting of the environment.
function(expect setting regex)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env ${setting} "${PROGRAM}" --backends-only
                          --backends=ik_llama.cpp
                  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE status)
  if(NOT status EQUAL 0 OR NOT output MATCHES "^missing ik_llama.cpp +unsupported: ${regex}")
    message(FATAL_ERROR "${setting}: exit ${status}: ${output}")
  endif()
endfunction()
expect(--unset=TESSERA_IK_DIR "TESSERA_IK_DIR is not set; .*set TESSERA_IK_DIR to the folder")
expect("TESSERA_IK_DIR=${folder}/empty" "not found .*/empty/libggml.so: ")
expect("TESSERA_IK_DIR=${folder}/other" "[^ ]*/other/libggml.so has no iqk_repack_tensor")
file(REMOVE_RECURSE "${folder}")

execute_process(
  COMMAND "${PROGRAM}" --quick --no-ceilings --seconds=0.01 --backends=ggml,ik_llama.cpp
          "--benchmark_filter=odd|tinyllama-1.1b.attn_q/m:32/"
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE status)
message(STATUS "${output}")
if(NOT status EQUAL 0 OR output MATCHES "wrong: |failed: |terminate")
  message(FATAL_ERROR "exit ${status}; a result is wrong")
endif()
foreach(name ggml ik_llama.cpp)
  if(output MATCHES "backend ${name} " AND NOT output MATCHES "  ${name} +[0-9.]+ median")
    message(FATAL_ERROR "${name} is here but not timed")
  endif()
endforeach()

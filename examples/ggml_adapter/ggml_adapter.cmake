# SPDX-License-Identifier: MIT
# Builds llama.cpp (or ggml alone) with Tessera's products, without a change to its files: CMake
# reads this file where ggml's own project begins. In the folder of llama.cpp:
#
#   cmake -B build -DCMAKE_BUILD_TYPE=Release \
#     -DCMAKE_PROJECT_ggml_INCLUDE=TESSERA/examples/ggml_adapter/ggml_adapter.cmake
#   cmake --build build --parallel
#
# An installed Tessera is taken if CMake finds one (-Dtessera_ROOT=PREFIX), else this tree is built,
# which takes some minutes once. -DGGML_BACKEND_DL=ON with several libraries of the CPU backend is
# not covered.

find_package(tessera CONFIG QUIET)
if(NOT TARGET tessera::impl)
  add_subdirectory("${CMAKE_CURRENT_LIST_DIR}/../.." tessera EXCLUDE_FROM_ALL)
endif()
set(TESSERA_GGML_ADAPTER "${CMAKE_CURRENT_LIST_DIR}/ggml_adapter.cc")
set(TESSERA_GGML_CHECK "${CMAKE_CURRENT_LIST_DIR}/check.cc")

function(tessera_ggml_adapter)
  # An object of its own, as it needs C++20 and ggml's files are built as C++17.
  add_library(tessera_ggml OBJECT "${TESSERA_GGML_ADAPTER}")
  target_compile_features(tessera_ggml PRIVATE cxx_std_20)
  target_include_directories(tessera_ggml PRIVATE
    $<TARGET_PROPERTY:ggml-cpu,INCLUDE_DIRECTORIES>)
  set_target_properties(tessera_ggml PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(tessera_ggml PRIVATE tessera::impl ggml-base)
  target_sources(ggml-cpu PRIVATE $<TARGET_OBJECTS:tessera_ggml>)
  target_link_libraries(ggml-cpu PRIVATE $<LINK_ONLY:tessera::impl>)
  # Nothing refers to the object by name: without this, a static library would lose it.
  target_link_options(ggml-cpu INTERFACE "LINKER:-u,tessera_ggml_is_on")

  add_executable(tessera-ggml-check EXCLUDE_FROM_ALL "${TESSERA_GGML_CHECK}")
  target_compile_features(tessera-ggml-check PRIVATE cxx_std_20)
  target_link_libraries(tessera-ggml-check PRIVATE ggml ggml-base ggml-cpu)
endfunction()
cmake_language(DEFER CALL tessera_ggml_adapter)

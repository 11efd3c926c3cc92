# SPDX-License-Identifier: MIT
# Tests that look at the sources rather than run them.
foreach(name docs include_rules readme_example versions)
  add_test(NAME repository.${name}
    COMMAND ${CMAKE_COMMAND} -D "ROOT=${PROJECT_SOURCE_DIR}" -D "VERSION=${PROJECT_VERSION}"
            -P "${CMAKE_CURRENT_LIST_DIR}/${name}.cmake")
  set_tests_properties(repository.${name} PROPERTIES LABELS repository)
endforeach()

# README's table of targets, CONTRIBUTING's of machines and the presets of those have one source.
find_package(Python3 3.11 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME repository.targets
    COMMAND "${Python3_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/targets.py" --check)
  set_tests_properties(repository.targets PROPERTIES LABELS repository)
endif()

# Every header compiles alone, the -inl headers too. Two presets ask for it: no-exceptions and clang.
if(CMAKE_VERIFY_INTERFACE_HEADER_SETS)
  add_test(NAME repository.headers_compile_alone
    COMMAND ${CMAKE_COMMAND} --build "${PROJECT_BINARY_DIR}" --config $<CONFIG>
            --target tessera_verify_interface_header_sets)
  set_tests_properties(repository.headers_compile_alone PROPERTIES LABELS repository TIMEOUT 900)
endif()

if(TARGET hello_matmul)
  add_test(NAME repository.hello_matmul COMMAND hello_matmul)
  set_tests_properties(repository.hello_matmul PROPERTIES LABELS repository
    PASS_REGULAR_EXPRESSION "^ok: 1 2 3 3 4 7")
endif()

# SPDX-License-Identifier: MIT
# cmake -D CASE=... -D ROOT=<repository> -D WORK=<folder> -D COMPILER=<C++> -D C_COMPILER=...
# -D GENERATOR=... -D "HIGHWAY=<its sources, if not installed>" -D "HIGHWAY_INCLUDES=a|b" -D HIGHWAY_LIBRARY=<file> -P consumers.cmake
# Builds the program in this folder in the way that CASE says, outside the repository's build, and
# runs it. Few formats and one instruction set, so that each case takes seconds.
cmake_minimum_required(VERSION 3.24)
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")
set(consumer "${CMAKE_CURRENT_LIST_DIR}")
set(few -D TESSERA_FORMATS=F32,Q4_0 -D TESSERA_TARGETS=SCALAR)

foreach(name CXXFLAGS LDFLAGS CMAKE_BUILD_TYPE)  # what is said to this build is not for others
  unset(ENV{${name}})
endforeach()

# run(<command>...): it must succeed.
function(run)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY "${WORK}"
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\n${result}: ${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# configure(<sources> <build folder> <option>...)
function(configure sources build)
  run("${CMAKE_COMMAND}" -S "${sources}" -B "${WORK}/${build}" -G "${GENERATOR}"
      -D "CMAKE_CXX_COMPILER=${COMPILER}" -D "CMAKE_C_COMPILER=${C_COMPILER}"
      -D CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_FLAGS_RELEASE=-O1 ${ARGN})
endfunction()

# build_consumer(<build folder> <option>...)
function(build_consumer build)
  configure("${consumer}" ${build} ${ARGN})
  run("${CMAKE_COMMAND}" --build "${WORK}/${build}" --parallel 2)
  run("${WORK}/${build}/consumer")
endfunction()

# Installs Tessera with <option>..., moves what was installed, and uses it there.
function(use_package)
  configure("${ROOT}" tessera -D TESSERA_BUILD_TESTS=OFF -D TESSERA_BUILD_EXAMPLES=OFF
    -D TESSERA_BUILD_BENCH=OFF -D "CMAKE_INSTALL_PREFIX=${WORK}/first" -D CMAKE_INSTALL_LIBDIR=lib -D TESSERA_SHARED=ON
    -D TESSERA_CBLAS=ON ${few} ${ARGN})
  run("${CMAKE_COMMAND}" --build "${WORK}/tessera" --parallel 2)
  run("${CMAKE_COMMAND}" --install "${WORK}/tessera")
  file(RENAME "${WORK}/first" "${WORK}/moved")
  file(REMOVE_RECURSE "${WORK}/tessera")

  set(prefixes "${WORK}/moved" ${installed_highway})
  cmake_path(CONVERT "${prefixes}" TO_NATIVE_PATH_LIST folders)
  set(ENV{CMAKE_PREFIX_PATH} "${folders}")
  build_consumer(find_package -D WAY=find_package)
  run("${WORK}/find_package/consumer_with_bodies")
  build_consumer(find_package_for_c -D "WAY=find_package for C")
  build_consumer(find_package_for_blas -D "WAY=find_package for BLAS")

  find_program(pkg_config NAMES pkg-config pkgconf)
  if(NOT pkg_config)
    message(NOTICE "SKIPPED: the way by pkg-config, which is not installed")
    return()
  endif()
  list(TRANSFORM prefixes APPEND "/lib/pkgconfig")
  cmake_path(CONVERT "${prefixes}" TO_NATIVE_PATH_LIST folders)
  set(ENV{PKG_CONFIG_PATH} "${folders}:$ENV{PKG_CONFIG_PATH}")
  run("${pkg_config}" --cflags --libs tessera)
  separate_arguments(flags UNIX_COMMAND "${output}")
  run("${COMPILER}" -std=c++20 "${consumer}/main.cc" -o pkg_config ${flags})
  run("${WORK}/pkg_config")
  run("${pkg_config}" --cflags --libs tessera_c)
  separate_arguments(flags UNIX_COMMAND "${output}")
  run("${C_COMPILER}" -std=c99 "${consumer}/main.c" -o pkg_config_for_c ${flags})
  run("${CMAKE_COMMAND}" -E env "LD_LIBRARY_PATH=${WORK}/moved/lib" "${WORK}/pkg_config_for_c")
  run("${pkg_config}" --cflags --libs tessera_cblas)
  separate_arguments(flags UNIX_COMMAND "${output}")
  run("${C_COMPILER}" -std=c99 "${consumer}/blas.c" -o pkg_config_for_blas ${flags})
  run("${CMAKE_COMMAND}" -E env "LD_LIBRARY_PATH=${WORK}/moved/lib" "${WORK}/pkg_config_for_blas")
endfunction()

if(CASE STREQUAL "package with its own Highway")
  use_package(-D "FETCHCONTENT_SOURCE_DIR_HIGHWAY=${HIGHWAY}")
elseif(CASE STREQUAL "package on an installed Highway")
  set(installed_highway)
  if(HIGHWAY)
    configure("${HIGHWAY}" highway -D HWY_ENABLE_TESTS=OFF -D HWY_ENABLE_EXAMPLES=OFF
      -D HWY_ENABLE_CONTRIB=OFF -D CMAKE_INSTALL_LIBDIR=lib "-DCMAKE_INSTALL_PREFIX=${WORK}/installed")
    run("${CMAKE_COMMAND}" --build "${WORK}/highway" --parallel 2)
    run("${CMAKE_COMMAND}" --install "${WORK}/highway")
    set(installed_highway "${WORK}/installed")
  endif()
  use_package(-D "CMAKE_PREFIX_PATH=${installed_highway}")
  if(EXISTS "${WORK}/moved/include/tessera_highway")
    message(FATAL_ERROR "Highway is installed twice")
  endif()
elseif(CASE STREQUAL "add_subdirectory" OR CASE STREQUAL "FetchContent")
  set(highway)
  if(HIGHWAY)
    set(highway -D "FETCHCONTENT_SOURCE_DIR_HIGHWAY=${HIGHWAY}")
  endif()
  build_consumer(build -D "WAY=${CASE}" -D "TESSERA=${ROOT}" ${few} ${highway})
elseif(CASE STREQUAL "no network")
  # A proxy that nobody answers for, and a copy of the library in whose .deps nothing lies.
  file(COPY "${ROOT}/CMakeLists.txt" "${ROOT}/LICENSE" "${ROOT}/cmake" "${ROOT}/include"
       DESTINATION "${WORK}/copy")
  set(ENV{https_proxy} "http://127.0.0.1:9")
  string(TIMESTAMP before "%s" UTC)
  execute_process(COMMAND "${CMAKE_COMMAND}" -S "${consumer}" -B "${WORK}/build" -G "${GENERATOR}"
      -D "CMAKE_CXX_COMPILER=${COMPILER}" -D "CMAKE_C_COMPILER=${C_COMPILER}" -D WAY=add_subdirectory -D "TESSERA=${WORK}/copy"
      -D FETCHCONTENT_TRY_FIND_PACKAGE_MODE=NEVER
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(TIMESTAMP after "%s" UTC)
  math(EXPR seconds "${after} - ${before}")
  string(REGEX REPLACE "[ \n]+" " " text "${output}")
  if(result EQUAL 0 OR NOT text MATCHES "not download https.*save that file as .*/[.]deps/highway-.*[.]tar[.]gz")
    message(FATAL_ERROR "configured, or failed without naming the file:\n${output}")
  elseif(seconds GREATER 20)  # eight of them are the limit of the download, the others the compiler's
    message(FATAL_ERROR "failed only after ${seconds} s:\n${output}")
  endif()
elseif(CASE STREQUAL "by hand")
  string(REPLACE "|" ";" includes "${HIGHWAY_INCLUDES}")
  list(TRANSFORM includes PREPEND "-I")
  run("${COMPILER}" -std=c++20 -O1 -DTESSERA_FORMATS=F32,Q4_0 -DHWY_COMPILE_ONLY_STATIC
      "-I${ROOT}/include" ${includes} "${consumer}/main.cc" "${consumer}/bodies.cc"
      "${HIGHWAY_LIBRARY}" -o by_hand)
  run("${WORK}/by_hand")
else()
  message(FATAL_ERROR "no such case: ${CASE}")
endif()
file(REMOVE_RECURSE "${WORK}")

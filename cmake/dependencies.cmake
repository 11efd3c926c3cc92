# SPDX-License-Identifier: MIT
# What the project builds upon. An installed package is taken first, then the pinned release: from
# the folder .deps if its archive lies there (./bootstrap puts it there), else from the network.
# CMake checks the SHA-256 either way.
include(FetchContent)
set(tessera_deps "${PROJECT_SOURCE_DIR}/.deps")
list(PREPEND CMAKE_PREFIX_PATH "${tessera_deps}/usr")  # packages that ./bootstrap unpacked

# tessera_pinned(<variable> <archive's name in .deps> <SHA-256> <address>) sets the variable to the
# arguments that FetchContent_Declare needs.
function(tessera_pinned variable archive sha256 address)
  if(EXISTS "${tessera_deps}/${archive}")
    set(address "${tessera_deps}/${archive}")
  endif()
  set(${variable} URL "${address}" URL_HASH "SHA256=${sha256}" DOWNLOAD_EXTRACT_TIMESTAMP TRUE
      PARENT_SCOPE)
endfunction()

# tessera_download(<variable> <content name> <archive's name in .deps> <find_package's arguments>...): if
# nothing else brings this content, downloads what the variable of tessera_pinned pins. Without a
# network it says so after eight seconds; FetchContent would try for more than a minute, and does not
# say which file would do.
function(tessera_download variable name archive)
  list(GET ${variable} 1 address)
  string(TOUPPER "${name}" upper)
  # A host's own declaration comes first. That there is one, CMake tells by this only.
  get_property(declared GLOBAL PROPERTY "_FetchContent_${name}_savedDetails" DEFINED)
  if(EXISTS "${address}" OR declared OR FETCHCONTENT_SOURCE_DIR_${upper} OR FETCHCONTENT_FULLY_DISCONNECTED)
    return()
  endif()
  if(NOT FETCHCONTENT_TRY_FIND_PACKAGE_MODE STREQUAL "NEVER")
    find_package(${name} ${ARGN} QUIET)
    if(${name}_FOUND)
      return()
    endif()
  endif()
  set(file "${FETCHCONTENT_BASE_DIR}/${archive}")
  if(NOT EXISTS "${file}")
    file(DOWNLOAD "${address}" "${file}.part" STATUS result TIMEOUT 8)
    file(SIZE "${file}.part" bytes)
    if(result MATCHES "^28;" AND bytes GREATER 0)  # slow, but a network
      file(DOWNLOAD "${address}" "${file}.part" STATUS result INACTIVITY_TIMEOUT 30)
    endif()
    if(NOT result MATCHES "^0;")
      list(GET result 1 reason)
      file(REMOVE "${file}.part")
      message(FATAL_ERROR "Tessera needs ${name}, which is not installed, and could not download "
        "${address} (${reason}). Install it, or save that file as ${tessera_deps}/${archive}")
    endif()
    file(RENAME "${file}.part" "${file}")
  endif()
  string(REPLACE "${address}" "${file}" pinned "${${variable}}")
  set(${variable} "${pinned}" PARENT_SCOPE)
endfunction()

# tessera_foreign(<content name> <target>...): a source build is left out of "all", and its headers
# become system headers, as an installed package's are. (The SYSTEM keyword of FetchContent_Declare
# would say so too, but CMake 3.25 takes it for a part of URL_HASH.)
function(tessera_foreign name)
  if(${name}_SOURCE_DIR)
    set_property(DIRECTORY "${${name}_SOURCE_DIR}" PROPERTY EXCLUDE_FROM_ALL TRUE)
    foreach(target IN LISTS ARGN)
      get_target_property(include ${target} INTERFACE_INCLUDE_DIRECTORIES)
      set_property(TARGET ${target} PROPERTY INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${include}")
    endforeach()
  endif()
endfunction()

# Highway: 1.2 is the first with the targets that we build. 1.3.0 is what the tests ran with; 1.2.0
# is used only where its archive lies in .deps and that of 1.3.0 does not.
set(HWY_ENABLE_TESTS OFF CACHE BOOL "")
set(HWY_ENABLE_EXAMPLES OFF CACHE BOOL "")
set(HWY_ENABLE_CONTRIB OFF CACHE BOOL "")
set(HWY_ENABLE_INSTALL OFF CACHE BOOL "")
set(HWY_FORCE_STATIC_LIBS ON CACHE BOOL "")
if(EXISTS "${tessera_deps}/highway-1.2.0.tar.gz"
   AND NOT EXISTS "${tessera_deps}/highway-1.3.0.tar.gz")
  tessera_pinned(pin highway-1.2.0.tar.gz
    7e0be78b8318e8bdbf6fa545d2ecb4c90f947df03f7aadc42c1967f019e63343
    https://github.com/google/highway/archive/refs/tags/1.2.0.tar.gz)
else()
  tessera_pinned(pin highway-1.3.0.tar.gz
    07b3c1ba2c1096878a85a31a5b9b3757427af963b1141ca904db2f9f4afe0bc2
    https://github.com/google/highway/archive/refs/tags/1.3.0.tar.gz)
endif()
if(NOT TARGET hwy AND NOT TARGET hwy::hwy)  # a host may have brought its own
  tessera_download(pin highway highway-1.3.0.tar.gz 1.2 NAMES hwy CONFIG)
  FetchContent_Declare(highway ${pin} FIND_PACKAGE_ARGS 1.2 NAMES hwy CONFIG)
  FetchContent_MakeAvailable(highway)
  tessera_foreign(highway hwy)
  set(tessera_highway_sources "${highway_SOURCE_DIR}")  # empty where a package was found
endif()
if(NOT TARGET hwy::hwy)  # a source build has the plain name only
  add_library(hwy::hwy ALIAS hwy)
endif()

# Wherever it comes from. (Before 1.2 the version was in another header.)
get_target_property(folders hwy::hwy INTERFACE_INCLUDE_DIRECTORIES)
string(REGEX REPLACE "\\$<(BUILD|INSTALL)_INTERFACE:([^>]*)>" "\\2" folders "${folders}")
foreach(folder IN LISTS folders)
  foreach(header base.h highway.h)
    set(version)
    if(EXISTS "${folder}/hwy/${header}")
      file(STRINGS "${folder}/hwy/${header}" version REGEX "define HWY_(MAJOR|MINOR) ")
    endif()
    if(version MATCHES "HWY_MAJOR ([0-9]+).*HWY_MINOR ([0-9]+)")
      set(version "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
      if(version VERSION_LESS 1.2)
        message(FATAL_ERROR "Tessera needs Highway 1.2 or newer; ${version} is in ${folder}")
      endif()
    endif()
  endforeach()
endforeach()

if(TESSERA_BUILD_TESTS AND NOT TESSERA_PLAIN_TESTS)
  tessera_pinned(pin catch2-3.7.1.tar.gz
    c991b247a1a0d7bb9c39aa35faf0fe9e19764213f28ffba3109388e62ee0269c
    https://github.com/catchorg/Catch2/archive/refs/tags/v3.7.1.tar.gz)
  FetchContent_Declare(Catch2 ${pin} FIND_PACKAGE_ARGS 3.3)
  FetchContent_MakeAvailable(Catch2)
  if(catch2_SOURCE_DIR)
    list(APPEND CMAKE_MODULE_PATH "${catch2_SOURCE_DIR}/extras")
    tessera_foreign(catch2 Catch2 Catch2WithMain)
  endif()
  include(Catch)  # catch_discover_tests
endif()

if(TESSERA_BUILD_EXAMPLES OR TESSERA_BUILD_BENCH)
  # Debian 12 has 2.1.2. The hash of 2.4.2 is that of the tag's tree, archived and hashed again.
  set(CLI11_BUILD_TESTS OFF CACHE BOOL "")
  set(CLI11_BUILD_EXAMPLES OFF CACHE BOOL "")
  set(CLI11_BUILD_DOCS OFF CACHE BOOL "")
  tessera_pinned(pin cli11-2.4.2.tar.gz
    f2d893a65c3b1324c50d4e682c0cdc021dd0477ae2c048544f39eed6654b699a
    https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.4.2.tar.gz)
  FetchContent_Declare(CLI11 ${pin} FIND_PACKAGE_ARGS 2.1)
  FetchContent_MakeAvailable(CLI11)
  tessera_foreign(cli11 CLI11)
endif()

if(TESSERA_BUILD_EXAMPLES)
  # PCRE2: Unicode's classes of characters, which tokenizers split text by. Its packages have no
  # CMake files, so pkg-config finds it.
  find_package(PkgConfig)
  if(PkgConfig_FOUND)
    pkg_check_modules(PCRE2 IMPORTED_TARGET libpcre2-8>=10.40)
    # libedit: the line that a user types in a chat can be edited. Without it, it is read as it comes.
    pkg_check_modules(LIBEDIT IMPORTED_TARGET libedit)
  endif()
  if(PCRE2_FOUND)
    add_library(tessera_pcre2 INTERFACE)
    target_link_libraries(tessera_pcre2 INTERFACE PkgConfig::PCRE2)
  else()
    set(PCRE2_BUILD_PCRE2GREP OFF CACHE BOOL "")
    set(PCRE2_BUILD_TESTS OFF CACHE BOOL "")
    tessera_pinned(pin pcre2-10.42.tar.gz
      c33b418e3b936ee3153de2c61cc638e7e4fe3156022a5c77d0711bcbb9d64f1f
      https://github.com/PCRE2Project/pcre2/releases/download/pcre2-10.42/pcre2-10.42.tar.gz)
    FetchContent_Declare(pcre2 ${pin})
    FetchContent_MakeAvailable(pcre2)
    set_property(DIRECTORY "${pcre2_SOURCE_DIR}" PROPERTY EXCLUDE_FROM_ALL TRUE)
    add_library(tessera_pcre2 INTERFACE)
    target_link_libraries(tessera_pcre2 INTERFACE pcre2-8)
    target_include_directories(tessera_pcre2 SYSTEM INTERFACE "${pcre2_BINARY_DIR}")
    target_compile_definitions(tessera_pcre2 INTERFACE PCRE2_STATIC)
  endif()

  set(JSON_BuildTests OFF CACHE INTERNAL "")
  tessera_pinned(pin nlohmann-json-3.11.2.tar.gz
    d69f9deb6a75e2580465c6c4c5111b89c4dc2fa94e3a85fcd2ffcd9a143d9273
    https://github.com/nlohmann/json/archive/refs/tags/v3.11.2.tar.gz)
  FetchContent_Declare(nlohmann_json ${pin} FIND_PACKAGE_ARGS 3.10)
  FetchContent_MakeAvailable(nlohmann_json)
  tessera_foreign(nlohmann_json nlohmann_json)
endif()

if(TESSERA_BUILD_BENCH)
  set(BENCHMARK_ENABLE_TESTING OFF CACHE BOOL "")
  set(BENCHMARK_ENABLE_INSTALL OFF CACHE BOOL "")
  set(BENCHMARK_ENABLE_WERROR OFF CACHE BOOL "")  # GCC 12 warns in it under the sanitizers
  tessera_pinned(pin benchmark-1.9.1.tar.gz
    32131c08ee31eeff2c8968d7e874f3cb648034377dfc32a4c377fa8796d84981
    https://github.com/google/benchmark/archive/refs/tags/v1.9.1.tar.gz)
  FetchContent_Declare(benchmark ${pin} FIND_PACKAGE_ARGS 1.7)
  FetchContent_MakeAvailable(benchmark)
  tessera_foreign(benchmark benchmark benchmark_main)
endif()

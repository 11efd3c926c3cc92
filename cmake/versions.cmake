# SPDX-License-Identifier: MIT
# Run as `cmake -D ROOT=<repository> -D VERSION=<of project()> -P versions.cmake`: every file that tells
# the version tells the same.
cmake_minimum_required(VERSION 3.24)
string(REPLACE "." "\\." version "${VERSION}")
string(REGEX MATCHALL "[0-9]+" parts "${VERSION}")
list(JOIN parts "[^0-9]*" parts)
set(include/tessera/base/config.h
  "MAJOR ${parts}\n#define TESSERA_VERSION_STRING \"${version}\"")
set(packaging/vcpkg/tessera/vcpkg.json "\"version\": \"${version}\"")
set(CHANGELOG.md "\n## ${version}[ \n]")
foreach(file include/tessera/base/config.h packaging/vcpkg/tessera/vcpkg.json CHANGELOG.md)
  file(READ "${ROOT}/${file}" text)
  if(NOT text MATCHES "${${file}}")
    message(FATAL_ERROR "${file} does not tell version ${VERSION}")
  endif()
endforeach()

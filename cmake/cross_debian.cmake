# SPDX-License-Identifier: MIT
# A toolchain file for Debian's cross compilers. TESSERA_CROSS names the machine by the triple of its
# compiler, such as aarch64-linux-gnu; TESSERA_CROSS_CLANG, if set, a Clang that compiles instead of
# that GCC, whose libraries it still needs. Programs are static and run under qemu-user, on the CPU
# that the environment variable QEMU_CPU names, those of Windows (x86_64-w64-mingw32) under wine.
# `./bootstrap deps ci` installs what 64-bit Arm needs and unpacks its libraries in .deps/<triple>;
# `./bootstrap deps cross` installs the other compilers.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TESSERA_CROSS TESSERA_CROSS_CLANG)
string(REGEX REPLACE "-.*" "" CMAKE_SYSTEM_PROCESSOR "${TESSERA_CROSS}")
set(CMAKE_SYSTEM_NAME Linux)

if(TESSERA_CROSS_CLANG)
  string(REPLACE "clang" "clang++" cxx "${TESSERA_CROSS_CLANG}")
  set(CMAKE_C_COMPILER "${TESSERA_CROSS_CLANG}")
  set(CMAKE_CXX_COMPILER "${cxx}")
  set(CMAKE_C_COMPILER_TARGET "${TESSERA_CROSS}")
  set(CMAKE_CXX_COMPILER_TARGET "${TESSERA_CROSS}")
elseif(TESSERA_CROSS MATCHES "mingw32")  # the one with std::thread
  set(CMAKE_SYSTEM_NAME Windows)
  set(CMAKE_C_COMPILER "${TESSERA_CROSS}-gcc-posix")
  set(CMAKE_CXX_COMPILER "${TESSERA_CROSS}-g++-posix")
else()
  set(CMAKE_C_COMPILER "${TESSERA_CROSS}-gcc")
  set(CMAKE_CXX_COMPILER "${TESSERA_CROSS}-g++")
endif()
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
if(CMAKE_SYSTEM_NAME STREQUAL "Windows")
  set(CMAKE_CROSSCOMPILING_EMULATOR wine)
else()
  string(REPLACE "powerpc64le" "ppc64le" emulator "qemu-${CMAKE_SYSTEM_PROCESSOR}")
  set(CMAKE_CROSSCOMPILING_EMULATOR "${emulator}")
endif()

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH source)
set(CMAKE_FIND_ROOT_PATH "${source}/.deps/${TESSERA_CROSS}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
foreach(kind LIBRARY INCLUDE PACKAGE)
  set(CMAKE_FIND_ROOT_PATH_MODE_${kind} ONLY)
endforeach()
set(ENV{PKG_CONFIG_LIBDIR} "${CMAKE_FIND_ROOT_PATH}/usr/lib/${TESSERA_CROSS}/pkgconfig")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${CMAKE_FIND_ROOT_PATH}")

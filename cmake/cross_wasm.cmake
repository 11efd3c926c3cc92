# SPDX-License-Identifier: MIT
# A toolchain file for WebAssembly with its vectors of 128 bits, by Debian's Emscripten, run by Node.
# Threads are workers of Node's, which are started before main().
find_file(emscripten Emscripten.cmake REQUIRED NO_CACHE
          PATHS "$ENV{EMSDK}/upstream/emscripten/cmake/Modules/Platform"
                /usr/share/emscripten/cmake/Modules/Platform)
include("${emscripten}")
set(CMAKE_C_FLAGS_INIT -pthread)  # the linker wants it of every object
set(CMAKE_CXX_FLAGS_INIT "-msimd128 -pthread")
set(CMAKE_EXE_LINKER_FLAGS_INIT
    "-sENVIRONMENT=node,worker -sPTHREAD_POOL_SIZE=8 -sPROXY_TO_PTHREAD -sEXIT_RUNTIME -sINITIAL_MEMORY=1GB")
set(CMAKE_CROSSCOMPILING_EMULATOR "node;--no-experimental-fetch")
# Node of another source than Debian's does not look for Debian's modules by itself.
set(CMAKE_CXX_LINKER_LAUNCHER "${CMAKE_COMMAND};-E;env;NODE_PATH=/usr/share/nodejs")

#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: get_peers.sh FOLDER
# Fetches the competitors that PyPI has, and matplotlib for the report, into a Python environment in
# FOLDER; builds ggml from the sources of llama.cpp b11549 (October 2026) in xllamacpp, for this CPU and
# for AVX2 alone. What cannot be had is a printed line; what is there already is left alone, so that a
# second run needs no network. (Debian's packages of BLIS, OpenBLAS and libxsmm are installed by
# ./bootstrap bench.)
set -eu
mkdir -p "$1"
cd "$1"
here=$PWD
log=$here/get_peers.log
: > "$log"

# step FILE TEXT COMMAND...: runs the command unless FILE is there.
step() {
  [ -e "$1" ] && return
  file=$1
  echo "$2 ..."
  shift 2
  if ! "$@" >> "$log" 2>&1 < /dev/null; then
    rm -rf "$file"
    echo "  could not be had; the benchmark goes on without it. The log: $log"
    tail -n 2 "$log" | sed 's/^/  /'
  fi
}
fetch() { bin/pip install --disable-pip-version-check --no-input "$@"; }

environment() { python3 -m venv .; }
mkl() { fetch mkl==2026.2.0; }
onednn_sycl() { fetch onednn==2026.1.0; }
# The last version that PyPI has with OpenMP. Its own folder, as both are called libdnnl.so.3.
onednn_omp() { fetch --prefix="$here/onednn-omp" onednn-devel-cpu-gomp==2023.2.0; }
openblas() {
  fetch scipy-openblas32==0.3.34.481.3 &&
    ln -s "$(bin/python -c 'import scipy_openblas32 as o; print(o.get_lib_dir())')" openblas
}
matplotlib() { fetch matplotlib==3.11.2; }
# build_ggml FOLDER CMAKE_OPTION...
build_ggml() {
  to=$here/$1
  shift
  if [ ! -e ggml-source/llama.cpp ]; then
    rm -rf ggml-source && mkdir ggml-source &&
      bin/pip download --disable-pip-version-check --no-deps --no-binary :all: -d ggml-source xllamacpp==2026.10.11549 &&
      tar -xzf ggml-source/*.tar.gz -C ggml-source --strip-components=2 --wildcards '*/thirdparty/llama.cpp' || return
  fi
  source=ggml-source/llama.cpp/ggml
  { [ -e "$source/ggml.pc.in" ] || : > "$source/ggml.pc.in"; } &&  # left out of the archive
    rm -rf ggml-source/build &&
    cmake -S "$source" -B ggml-source/build -DCMAKE_BUILD_TYPE=Release -DGGML_LLAMAFILE=ON -DGGML_CCACHE=OFF \
      -DGGML_BUILD_TESTS=OFF -DGGML_BUILD_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX="$to" "$@" &&
    cmake --build ggml-source/build --parallel "$(getconf _NPROCESSORS_ONLN)" &&
    cmake --install ggml-source/build
}
ggml() { build_ggml ggml-b11549 -DGGML_NATIVE=ON; }
ggml_avx2() {
  build_ggml ggml-b11549-avx2 -DGGML_NATIVE=OFF -DGGML_SSE42=ON -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON \
    -DGGML_F16C=ON -DGGML_BMI2=ON
}

step bin/pip "Python environment for competitors" environment
[ -e bin/pip ] || exit 0
step lib/libmkl_rt.so.3 "Intel MKL, from PyPI (300 MB)" mkl
step lib/libdnnl.so.3 "oneDNN 3.13 with its SYCL runtime, from PyPI (400 MB)" onednn_sycl
step onednn-omp/lib/libdnnl.so.3 "oneDNN 3.2 with OpenMP, from PyPI" onednn_omp
step openblas "OpenBLAS, from PyPI" openblas
step lib/python3*/site-packages/matplotlib "matplotlib, from PyPI" matplotlib
step ggml-b11549/lib/libggml-cpu.so "ggml of llama.cpp b11549, built from the sources in PyPI's xllamacpp (minutes)" ggml
if [ "$(uname -m)" = x86_64 ]; then
  step ggml-b11549-avx2/lib/libggml-cpu.so "the same for AVX2 alone (minutes)" ggml_avx2
fi
rm -rf ggml-source

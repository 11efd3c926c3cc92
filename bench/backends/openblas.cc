// SPDX-License-Identifier: MIT
// OpenBLAS: the current one of PyPI's scipy-openblas32, and Debian's.
#include "cblas.h"
#include "list.h"

namespace bench {
namespace {

Library current() {
  return Library({peers_dir() + "/openblas/libscipy_openblas.so"}, "PyPI: scipy-openblas32");
}
Library debian() {
  return Library(
      {"/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0", "libopenblas.so.0"},
      "Debian: libopenblas0-pthread");
}

}  // namespace

void add_openblas(std::vector<BackendInfo>& list) {
  list.push_back({"openblas", f32_in_place,
                  [] {
                    const Library l = current();
                    return std::string(l.get<char*()>("scipy_openblas_get_config")()) + " " +
                           l.get<char*()>("scipy_openblas_get_corename")();
                  },
                  [] { return std::make_unique<CblasInPlace>(current(), "scipy_cblas_"); }});
  BackendInfo older{"openblas-debian", f32_in_place,
                    [] {
                      const Library l = debian();
                      return std::string(l.get<char*()>("openblas_get_config")()) + " " +
                             l.get<char*()>("openblas_get_corename")();
                    },
                    [] { return std::make_unique<CblasInPlace>(debian()); }};
  older.is_variant = true;
  list.push_back(older);
}

}  // namespace bench

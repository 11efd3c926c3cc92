// SPDX-License-Identifier: MIT
// What the two libraries of compile/two_libraries.cc offer: calls of Tessera from a file that holds
// the bodies, where the compiler may inline them.
#ifndef TESSERA_TESTS_COMPILE_TWO_LIBRARIES_H_
#define TESSERA_TESTS_COMPILE_TWO_LIBRARIES_H_

#include <span>

#include "tessera/tessera.h"

struct Library {
  const char* name;
  size_t targets_compiled;  // into this library's own copy of the bodies
  std::span<const tessera::Target> (*targets)();
  const char* (*default_target)();
  tessera::Result<tessera::Matmul> (*plan)(const tessera::MatView& w, const char* target);
  tessera::Status (*matmul)(const tessera::MutMatView& y, const tessera::MatView& x,
                            const tessera::MatView& w, const char* target);
};
Library library_a();
Library library_b();

#endif  // TESSERA_TESTS_COMPILE_TWO_LIBRARIES_H_

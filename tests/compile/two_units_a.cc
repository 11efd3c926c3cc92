// SPDX-License-Identifier: MIT
// One of two files of one program that both hold the library's bodies, as two libraries that embed
// it would. They must link, be one library, and agree.
#include "tessera/impl.h"

#include <cstdio>

#include "compile/two_units.h"

Unit unit_a() { return {&tessera::matmul, tessera::targets().data(), tessera::default_target()}; }

int main() {
  const Unit a = unit_a(), b = unit_b();
  if (a.matmul != b.matmul || a.targets != b.targets) {
    std::printf("the two files do not share one library\n");
    return 1;
  }
  // Compiled with TESSERA_NO_ENV: what the environment names does not matter.
  if (!tessera::Matmul::plan({nullptr, 0, 0, 0, tessera::DType::f32}, tessera::DType::f32).ok()) {
    std::printf("the environment was read\n");
    return 1;
  }
  int failures = 0;
  for (const tessera::Target& target : tessera::targets()) {
    if (!target.available) continue;
    const std::vector<float> from_a = product(a, target.name), from_b = product(b, target.name);
    const bool same = !from_a.empty() && from_a == from_b;
    std::printf("%s: %s\n", target.name, same ? "agree" : "differ");
    failures += same ? 0 : 1;
  }
  return failures == 0 ? 0 : 1;
}

// SPDX-License-Identifier: MIT
// main() of the Catch2 programs: a fixed seed unless --rng-seed gives one, and at the end the
// largest used fraction of each derived bound.
#include <catch2/catch_session.hpp>

#include "support/tolerance.h"

// Tests that provoke out_of_memory need an allocator that returns null, not one that ends the
// program. Read by the sanitizers' run-time, if there is one.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): their names
extern "C" const char* __asan_default_options();
extern "C" const char* __tsan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

int main(int argc, char* argv[]) {
  Catch::Session session;
  session.configData().rngSeed = 20240817;
  const int usage_error = session.applyCommandLine(argc, argv);
  if (usage_error != 0) return usage_error;
  const int result = session.run();
  tessera::test::bound_report().print();
  return result;
}

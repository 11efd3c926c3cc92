// SPDX-License-Identifier: MIT
// Two static libraries that each embed Tessera's bodies, for different targets and formats and so
// with tables of different lengths. The linker keeps one copy of each public function; whichever
// that is, and whatever the compiler inlined, no table of one library may be read as the other's.
#include "compile/two_libraries.h"

#include <cstdio>
#include <cstring>
#include <vector>

namespace {

int failures = 0;

void check(bool ok, const Library& library, const char* target, const char* what) {
  if (ok) return;
  ++failures;
  std::printf("FAILED: library %s, target %s: %s\n", library.name, target, what);
}

constexpr size_t kM = 7, kN = 37, kK = 64;

// Integers: exact in any order.
float value(size_t i) { return static_cast<float>(i % 13) - 6.0f; }

bool is_product(const std::vector<float>& y, const std::vector<float>& x,
                const std::vector<float>& w) {
  for (size_t i = 0; i < kM * kN; ++i) {
    float sum = 0.0f;
    for (size_t k = 0; k < kK; ++k) sum += x[i / kN * kK + k] * w[i % kN * kK + k];
    if (!(y[i] == sum)) return false;
  }
  return true;
}

void check_library(const Library& library) {
  std::vector<float> x(kM * kK), w(kN * kK);
  for (size_t i = 0; i < x.size(); ++i) x[i] = value(i);
  for (size_t i = 0; i < w.size(); ++i) w[i] = value(i / 3);
  bool listed = false;
  for (const tessera::Target& target : library.targets()) {
    listed = listed || std::strcmp(target.name, library.default_target()) == 0;
    const auto plan = library.plan(tessera::rows_of(w, kN, kK), target.name);
    if (!target.available) {
      check(plan.status().code == tessera::StatusCode::unavailable_target, library, target.name,
            plan.status().message().c_str());
      continue;
    }
    check(plan.ok(), library, target.name, plan.status().message().c_str());
    check(plan.ok() && std::strcmp(plan->explain(1).target, target.name) == 0, library, target.name,
          "the plan is for another target");
    std::vector<float> y(kM * kN);
    const tessera::Status s =
        library.matmul(tessera::rows_of(y, kM, kN), tessera::rows_of(x, kM, kK),
                       tessera::rows_of(w, kN, kK), target.name);
    check(s.ok(), library, target.name, s.message().c_str());
    check(is_product(y, x, w), library, target.name, "wrong product");
    std::printf("library %s (%zu targets compiled): %s, %zu bytes\n", library.name,
                library.targets_compiled, target.name, target.vector_bytes);
  }
  // A format that one library multiplies and the other does not: a product or a refusal.
  for (const tessera::DType format :
       {tessera::DType::q8_0, tessera::DType::q4_0, tessera::DType::q4_k}) {
    std::vector<float> row(kM * 256), sums(kM * kN);
    std::vector<std::byte> blocks(kN * 256 * 2);  // zeros
    const tessera::MatView zeros{blocks.data(), kN, 256, 256 * 2, format};
    const tessera::Status s =
        library.matmul(tessera::rows_of(sums, kM, kN), tessera::rows_of(row, kM, 256), zeros,
                       library.default_target());
    check(s.ok() || s.code == tessera::StatusCode::unsupported_dtype, library,
          tessera::dtype_name(format), s.message().c_str());
  }
  check(listed, library, library.default_target(), "the default target is not on the list");
  const auto unknown = library.plan(tessera::rows_of(w, kN, kK), "none");
  check(unknown.status().code == tessera::StatusCode::unknown_target, library, "none",
        unknown.status().message().c_str());
}

}  // namespace

int main() {
  check_library(library_a());
  check_library(library_b());
  return failures == 0 ? 0 : 1;
}

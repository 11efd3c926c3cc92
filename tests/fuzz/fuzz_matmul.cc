// SPDX-License-Identifier: MIT
// Products of the library over all axes, as tessera_random_test has them, drawn from the input.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "support/case_check.h"
#include "support/random_case.h"

namespace {

/// Draws as Rng does, from bytes; zeros, the first of each list, once they are used up.
class ByteSource {
 public:
  ByteSource(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  uint64_t next() {
    uint64_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | byte();
    return value;
  }
  /// 0 .. count - 1. Few bytes, so that a change to one of them is one to few axes.
  size_t below(size_t count) {
    size_t value = byte();
    for (size_t reach = 255; reach + 1 < count; reach = reach << 8 | 255)
      value = value << 8 | byte();
    return value % count;
  }

 private:
  uint8_t byte() { return at_ == end_ ? uint8_t{0} : *at_++; }

  const uint8_t *at_, *end_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteSource source(data, size);
  const tessera::test::RandomCase c = tessera::test::draw_case(source);
  const std::string error = tessera::test::check_case(c);
  if (error.empty()) return 0;
  std::printf("FAILED: %s\n  %s\n", error.c_str(), tessera::test::describe(c).c_str());
  std::fflush(stdout);
  std::abort();
}

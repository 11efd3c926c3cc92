// SPDX-License-Identifier: MIT
// Random numbers that are the same on every machine (splitmix64).
#ifndef TESSERA_TESTS_SUPPORT_RANDOM_H_
#define TESSERA_TESTS_SUPPORT_RANDOM_H_

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace tessera::test {

class Rng {
 public:
  explicit constexpr Rng(uint64_t seed) : state_(seed) {}

  constexpr uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// 0 .. count - 1.
  constexpr size_t below(size_t count) {
    const uint64_t drawn = next();
    return count == 0 ? 0 : static_cast<size_t>(drawn % count);
  }
  /// low .. high, both included.
  constexpr int between(int low, int high) {
    return low + static_cast<int>(below(static_cast<size_t>(high - low) + 1));
  }
  /// In [low, high), on a grid of 2^-24 of the range.
  constexpr float uniform(float low, float high) {
    return low + (high - low) * (static_cast<float>(next() >> 40) * 0x1p-24f);
  }
  float power_of_two(int low, int high) { return std::ldexp(1.0f, between(low, high)); }

 private:
  uint64_t state_;
};

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_RANDOM_H_

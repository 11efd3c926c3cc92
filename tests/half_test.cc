// SPDX-License-Identifier: MIT
// base/half.h: all 65536 codes of f16 and bf16 decoded, and the encoders against the definition of
// rounding to nearest even, computed in double over the list of all finite values.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

/// A 16-bit float with `kExponentBits`, as IEEE 754 defines it.
template <class Half, int kExponentBits>
struct Definition {
  static constexpr int kFractionBits = 15 - kExponentBits;
  static constexpr int kBias = (1 << (kExponentBits - 1)) - 1;
  static constexpr uint32_t kInfinity = ((1u << kExponentBits) - 1) << kFractionBits;

  /// The magnitude that bits 0 .. 14 stand for; also for kInfinity, as if it were finite: the
  /// value at which overflow ends.
  static double magnitude(uint32_t bits) {
    const int exponent = static_cast<int>(bits >> kFractionBits);
    const double fraction = bits & ((1u << kFractionBits) - 1);
    const int subnormal = exponent == 0 ? 1 : 0;
    return std::ldexp(fraction + (subnormal != 0 ? 0 : 1 << kFractionBits),
                      exponent + subnormal - kBias - kFractionBits);
  }

  /// The nearest code to a magnitude, the even one of two.
  static uint32_t nearest(double value) {
    static const std::vector<double> all = [] {
      std::vector<double> list;
      for (uint32_t bits = 0; bits <= kInfinity; ++bits) list.push_back(magnitude(bits));
      return list;
    }();
    if (value >= all.back()) return kInfinity;
    const auto above = std::upper_bound(all.begin(), all.end(), value);
    const uint32_t high = static_cast<uint32_t>(above - all.begin()), low = high - 1;
    const double to_low = value - all[low], to_high = all[high] - value;
    if (to_low != to_high) return to_low < to_high ? low : high;
    return low % 2 == 0 ? low : high;
  }

  static void check_decoding() {
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      const float got = to_float(Half{static_cast<uint16_t>(bits)});
      const uint32_t rest = bits & 0x7FFFu;
      INFO("bits " << bits << ", got " << got);
      if (rest > kInfinity) {
        if (!std::isnan(got)) FAIL("a NaN must stay one");
        continue;
      }
      const float size = rest == kInfinity ? std::numeric_limits<float>::infinity()
                                           : static_cast<float>(magnitude(rest));
      const float want = bits < 0x8000u ? size : -size;
      if (std::bit_cast<uint32_t>(got) != std::bit_cast<uint32_t>(want)) FAIL("want " << want);
    }
    SUCCEED();
  }

  template <class Encode>
  static void check_encoding(float value, const Encode& encode) {
    const uint32_t got = encode(value).bits;
    uint32_t want = std::signbit(value) ? 0x8000u : 0u;
    if (std::isnan(value)) {
      if ((got & 0x7FFFu) <= kInfinity) FAIL("NaN became " << got);
      if ((got & 0x8000u) != want) FAIL("NaN lost its sign");
      if ((got & (1u << (kFractionBits - 1))) == 0) FAIL("NaN is not quiet: " << got);
      return;
    }
    want |= std::isinf(value) ? kInfinity : nearest(std::fabs(static_cast<double>(value)));
    if (got != want) {
      FAIL(value << " (bits " << std::bit_cast<uint32_t>(value) << ") became " << got << ", not "
                 << want);
    }
  }

  template <class Encode>
  static void check_all_encoding(const Encode& encode) {
    Rng rng = suite_rng();
    const auto around = [&](float v) {
      const float inf = std::numeric_limits<float>::infinity();
      for (const float near : {v, std::nextafter(v, inf), std::nextafter(v, -inf)}) {
        check_encoding(near, encode);
        check_encoding(-near, encode);
      }
    };
    // Each value, and each tie between two, with its neighbours among the f32.
    for (uint32_t bits = 0; bits < kInfinity; ++bits) {
      around(static_cast<float>(magnitude(bits)));
      const double tie = (magnitude(bits) + magnitude(bits + 1)) / 2;
      if (tie <= static_cast<double>(std::numeric_limits<float>::max())) {
        around(static_cast<float>(tie));
      }
    }
    for (int i = 0; i < 1'000'000; ++i) {
      check_encoding(std::bit_cast<float>(static_cast<uint32_t>(rng.next())), encode);
    }
    using Limits = std::numeric_limits<float>;
    for (const float v : {0.0f, Limits::max(), Limits::min(), Limits::denorm_min(),
                          Limits::infinity(), Limits::quiet_NaN()}) {
      check_encoding(v, encode);
      check_encoding(-v, encode);
    }
    // NaNs whose payload lies in the lowest bits only must not turn into infinities.
    for (const uint32_t bits : {0x7F800001u, 0xFF800001u, 0x7FA00000u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
      check_encoding(std::bit_cast<float>(bits), encode);
    }
    SUCCEED();
  }
};

using F16Definition = Definition<f16_t, 5>;
using Bf16Definition = Definition<bf16_t, 8>;

TEST_CASE("f16: all codes decoded", "[half]") { F16Definition::check_decoding(); }
TEST_CASE("bf16: all codes decoded", "[half]") { Bf16Definition::check_decoding(); }
TEST_CASE("f16: rounding to nearest even", "[half]") { F16Definition::check_all_encoding(to_f16); }
TEST_CASE("bf16: rounding to nearest even", "[half]") {
  Bf16Definition::check_all_encoding(to_bf16);
}

TEST_CASE("f16 and bf16: every number survives decoding and encoding", "[half]") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const f16_t h{static_cast<uint16_t>(bits)};
    const bf16_t b{static_cast<uint16_t>(bits)};
    if (!std::isnan(to_float(h)) && to_f16(to_float(h)).bits != bits) FAIL("f16 " << bits);
    if (!std::isnan(to_float(b)) && to_bf16(to_float(b)).bits != bits) FAIL("bf16 " << bits);
  }
  SUCCEED();
}

TEST_CASE("half: usable in constant expressions", "[half]") {
  STATIC_REQUIRE(to_f16(1.0f).bits == 0x3C00);
  STATIC_REQUIRE(to_f16(65519.0f).bits == 0x7BFF);
  STATIC_REQUIRE(to_f16(65520.0f).bits == 0x7C00);
  STATIC_REQUIRE(to_bf16(1.0f).bits == 0x3F80);
  STATIC_REQUIRE(to_float(f16_t{0x3555}) == 0.333251953125f);
  STATIC_REQUIRE(to_float(bf16_t{0x3F80}) == 1.0f);
}

}  // namespace
}  // namespace tessera::test

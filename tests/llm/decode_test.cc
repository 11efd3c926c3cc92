// SPDX-License-Identifier: MIT
// decode.h: the values of foreign types bit for bit, and how far off what they are run as is.
#include "decode.h"

#include <catch2/catch_test_macros.hpp>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gguf.h"

namespace llm::test {
namespace {

using tessera::DType;

struct Golden {
  DType type;
  std::vector<std::byte> bytes;
  std::vector<float> values;
};

// golden/foreign.bin, whose script describes it.
std::vector<Golden> read_golden() {
  std::ifstream file(TESSERA_GOLDEN "/foreign.bin", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  gguf::Cursor cursor(std::as_bytes(std::span(text)));
  REQUIRE(std::string(reinterpret_cast<const char*>(cursor.take(8).data()), 8) == "TSRDECO1");
  std::vector<Golden> all;
  while (cursor.left() > 0) {
    Golden g;
    g.type = static_cast<DType>(cursor.get<uint32_t>());
    g.values.resize(cursor.get<uint32_t>());
    const auto bytes = cursor.take(cursor.get<uint32_t>());
    g.bytes.assign(bytes.begin(), bytes.end());
    for (float& value : g.values) value = cursor.get<float>();
    all.push_back(g);
  }
  return all;
}

TEST_CASE("foreign types are decoded bit for bit", "[decode]") {
  const std::vector<Golden> all = read_golden();
  CHECK(all.size() == 3);
  for (const Golden& g : all) {
    INFO(tessera::dtype_name(g.type));
    REQUIRE(can_decode(g.type));
    std::vector<float> out(g.values.size());
    decode(g.type, g.bytes.data(), out.size(), out.data());
    size_t different = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      different += std::bit_cast<uint32_t>(out[i]) != std::bit_cast<uint32_t>(g.values[i]);
    }
    CHECK(different == 0);
  }
  std::vector<std::byte> q8_k(292);  // the package has no decoder for this one
  const float scale = 0.25f;
  std::memcpy(q8_k.data(), &scale, sizeof(scale));
  for (int i = 0; i < 256; ++i) q8_k[4 + static_cast<size_t>(i)] = static_cast<std::byte>(i);
  std::vector<float> out(256);
  decode(DType::q8_k, q8_k.data(), 256, out.data());
  CHECK(out[127] == 31.75f);
  CHECK(out[128] == -32.0f);
  for (const DType type :
       {DType::f32, DType::q4_0, DType::q4_k, DType::iq2_xxs, DType::i32, DType::tq1_0}) {
    CHECK_FALSE(can_decode(type));
  }
}

TEST_CASE("what foreign types run as is near", "[decode]") {
  for (const Golden& g : read_golden()) {
    const size_t count = g.values.size();
    std::vector<std::byte> converted(count / 32 * 34);
    std::vector<float> values(count), back(count);
    REQUIRE(convert(g.type, g.bytes.data(), values, converted.data()).ok());
    REQUIRE(tessera::quantize({converted.data(), 1, count, converted.size(), kNearest},
                              tessera::rows_of(back, 1, count))
                .ok());
    for (size_t block = 0; block < count; block += 32) {
      double largest = 0.0, worst = 0.0;
      for (size_t i = block; i < block + 32; ++i) {
        const auto value = static_cast<double>(g.values[i]);
        largest = std::max(largest, std::fabs(value));
        worst = std::max(worst, std::fabs(value - static_cast<double>(back[i])));
      }
      // Half a step of 127; and the rounding of a scale to f16, maybe a subnormal one.
      const double step = 0.5 / 127.0;
      INFO(tessera::dtype_name(g.type)
           << " block at " << block << ": " << worst << " of " << largest);
      CHECK((worst <= largest * (step + 0x1p-10) + 64 * 0x1p-24 || largest > 60000.0));
    }
  }
}

}  // namespace
}  // namespace llm::test

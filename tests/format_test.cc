// SPDX-License-Identifier: MIT
// format/*.h, the scalar definitions: bytes and values against golden files that an independent
// implementation wrote (golden/make_golden.py), corner cases by hand, and, where TESSERA_TEST_DATA
// has them, models whose tensors ggml's own quantizers made.
#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/gguf_tensors.h"
#include "support/suite.h"

namespace tessera::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TESSERA_FORMAT_TEST(golden, "golden bytes", "[format]") {
  const std::string path = std::string(TESSERA_GOLDEN_DIR) + "/" + dtype_name(w_dtype) + ".bin";
  const std::vector<char> file = read_bytes(path);
  INFO(path << " (made by make_golden.py beside it)");
  REQUIRE(file.size() > 16);
  REQUIRE(std::string(file.data(), 8) == "TSRGOLD1");
  uint32_t count = 0, bytes = 0;
  std::memcpy(&count, file.data() + 8, 4);
  std::memcpy(&bytes, file.data() + 12, 4);
  REQUIRE(file.size() == 16 + 8 * size_t{count} + bytes);
  REQUIRE(count >= 1000);
  REQUIRE(bytes == *row_bytes(w_dtype, count));
  std::vector<float> values(count), decoded(count);
  std::memcpy(values.data(), file.data() + 16, 4 * size_t{count});
  const char* encoded = file.data() + 16 + 4 * size_t{count};
  std::memcpy(decoded.data(), encoded + bytes, 4 * size_t{count});

  Matrix a =
      can_encode(w_dtype) ? encode(w_dtype, 1, count, values) : empty_matrix(w_dtype, 1, count);
  const DTypeInfo info = dtype_info(w_dtype);
  for (size_t i = 0; i < bytes && can_encode(w_dtype); ++i) {
    if (static_cast<char>(a.bytes[i]) != encoded[i]) {
      FAIL("byte " << i % info.block_bytes << " of block " << i / info.block_bytes << " is "
                   << static_cast<int>(a.bytes[i]) << ", not "
                   << static_cast<int>(static_cast<unsigned char>(encoded[i])));
    }
  }
  std::memcpy(a.bytes.data(), encoded, bytes);
  decode(a);
  for (size_t i = 0; i < count; ++i) {
    const float got = static_cast<float>(a.value[i]);
    const bool same = std::isnan(decoded[i])
                          ? std::isnan(got)
                          : std::bit_cast<uint32_t>(got) == std::bit_cast<uint32_t>(decoded[i]);
    if (!same) FAIL("value " << i << " is " << got << ", not " << decoded[i]);
  }
}

// ---- What a code means, by hand -----------------------------------------------------------------

TEST_CASE("q4_0: nibble order and offset", "[format]") {
  Q4_0::Block block;
  block.scale = to_f16(2.0f).bits;
  for (size_t j = 0; j < 16; ++j) block.codes[j] = static_cast<uint8_t>(j | ((15 - j) << 4));
  float values[32];
  Q4_0::decode(block, values);
  for (int j = 0; j < 16; ++j) {
    CHECK(values[j] == 2.0f * static_cast<float>(j - 8));
    CHECK(values[16 + j] == 2.0f * static_cast<float>(7 - j));
  }
}

TEST_CASE("q4_1: nibble order and min", "[format]") {
  Q4_1::Block block;
  block.scale = to_f16(0.5f).bits;
  block.min = to_f16(-3.0f).bits;
  for (size_t j = 0; j < 16; ++j) block.codes[j] = static_cast<uint8_t>(j | ((15 - j) << 4));
  float values[32];
  Q4_1::decode(block, values);
  for (int j = 0; j < 16; ++j) {
    CHECK(values[j] == 0.5f * static_cast<float>(j) - 3.0f);
    CHECK(values[16 + j] == 0.5f * static_cast<float>(15 - j) - 3.0f);
  }
}

TEST_CASE("q5_0: order of nibbles and high bits, and offset", "[format]") {
  Q5_0::Block block;
  block.scale = to_f16(2.0f).bits;
  for (int at = 0; at < 32; ++at) {  // one code after the other is not 0
    for (int code = 0; code < 32; ++code) {
      std::memset(block.high, 0, sizeof(block.high));
      std::memset(block.low, 0, sizeof(block.low));
      block.high[at / 8] = static_cast<uint8_t>(code / 16 << at % 8);
      block.low[at % 16] = static_cast<uint8_t>(code % 16 << at / 16 * 4);
      float values[32];
      Q5_0::decode(block, values);
      for (int i = 0; i < 32; ++i) {
        if (values[i] != 2.0f * static_cast<float>(i == at ? code - 16 : -16)) {
          FAIL("value " << i << " is " << values[i] << " where code " << at << " is " << code);
        }
      }
    }
  }
  SUCCEED();
}

TEST_CASE("q8_0: signed codes to -128", "[format]") {
  Q8_0::Block block;
  block.scale = to_f16(0.25f).bits;
  for (int i = 0; i < 32; ++i) block.codes[i] = static_cast<int8_t>(i * 8 - 128);
  float values[32];
  Q8_0::decode(block, values);
  for (int i = 0; i < 32; ++i) CHECK(values[i] == 0.25f * static_cast<float>(i * 8 - 128));
}

// ---- Where the golden files' maker is not ggml: by hand
// -------------------------------------------

template <class F>
typename F::Block encoded(const std::vector<float>& values) {
  typename F::Block block;
  F::encode(values.data(), block);
  return block;
}

// ggml's C searches with "<", so that a negative zero is never its maximum, and divides 0 by -8.
TEST_CASE("q4_0: a block of negative zeros", "[format]") {
  for (const float zero : {0.0f, -0.0f}) {
    const Q4_0::Block block = encoded<Q4_0>(std::vector<float>(32, zero));
    CHECK(block.scale == 0x8000);
    for (const uint8_t pair : block.codes) CHECK(pair == 0x88);
  }
}

TEST_CASE("q5_0: a block of negative zeros", "[format]") {
  for (const float zero : {0.0f, -0.0f}) {
    const Q5_0::Block block = encoded<Q5_0>(std::vector<float>(32, zero));
    CHECK(block.scale == 0x8000);
    for (const uint8_t bits : block.high) CHECK(bits == 0xFF);
    for (const uint8_t pair : block.low) CHECK(pair == 0);
  }
}

TEST_CASE("q8_0: a block of negative zeros", "[format]") {
  const Q8_0::Block block = encoded<Q8_0>(std::vector<float>(32, -0.0f));
  CHECK(block.scale == 0);
  for (const int8_t code : block.codes) CHECK(code == 0);
}

// The first value is the min and the max: ggml compares with "<" and ">", which no zero passes
// twice.
TEST_CASE("q4_1: blocks of zeros keep the first one's sign", "[format]") {
  std::vector<float> zeros(32, 0.0f);
  zeros[0] = -0.0f;
  Q4_1::Block block = encoded<Q4_1>(zeros);
  CHECK(block.scale == 0);
  CHECK(block.min == 0x8000);
  for (const uint8_t pair : block.codes) CHECK(pair == 0);
  zeros[0] = 0.0f;
  zeros[1] = -0.0f;
  block = encoded<Q4_1>(zeros);
  CHECK(block.min == 0);
}

// The inverse of the scale is infinite, the code a conversion of infinity or NaN: 0 on x86.
TEST_CASE("block formats: values so tiny that the inverse of the scale is infinite", "[format]") {
  for (const float tiny : {FLT_TRUE_MIN, 1e-44f, 1e-40f, -1e-40f}) {
    std::vector<float> values(32, 0.0f);
    for (size_t i = 0; i < 32; i += 2) values[i] = i % 4 == 0 ? tiny : -tiny;
    const Q8_0::Block q8 = encoded<Q8_0>(values);
    CHECK((q8.scale & 0x7FFF) == 0);
    const Q4_0::Block q4 = encoded<Q4_0>(values);
    CHECK((q4.scale & 0x7FFF) == 0);
    const Q4_1::Block q41 = encoded<Q4_1>(values);
    CHECK((q41.scale & 0x7FFF) == 0);
    const Q5_0::Block q5 = encoded<Q5_0>(values);
    CHECK((q5.scale & 0x7FFF) == 0);
    for (const int8_t code : q8.codes) CHECK(code == 0);
    // A true zero times infinity is NaN, which becomes 0 as well. Where the scale is a zero after
    // all, every code is that of 0.
    const bool q4_zero = 1e-40f / 8.0f == 0 || FLT_TRUE_MIN == std::fabs(tiny);
    for (const uint8_t pair : q4.codes) CHECK(pair == (q4_zero ? 0x88 : 0x00));
    for (const uint8_t pair : q41.codes) CHECK(pair == 0);
    const bool q5_zero = tiny / 16.0f == 0.0f;
    for (size_t i = 0; i < 32; ++i) CHECK(Q5_0::get_code(q5, i) == (q5_zero ? 16 : 0));
  }
}

TEST_CASE("block formats: an infinity makes an infinite scale and codes of zero", "[format]") {
  std::vector<float> values(32, 1.0f);
  values[4] = -kInf;
  const Q8_0::Block q8 = encoded<Q8_0>(values);
  CHECK(q8.scale == 0x7C00);
  for (const int8_t code : q8.codes) CHECK(code == 0);
  const Q4_0::Block q4 = encoded<Q4_0>(values);
  CHECK((q4.scale & 0x7FFF) == 0x7C00);
  for (size_t i = 0; i < 32; ++i) CHECK(get_nibble(q4.codes, i) == (i == 4 ? 0 : 8));
  const Q5_0::Block q5 = encoded<Q5_0>(values);
  CHECK((q5.scale & 0x7FFF) == 0x7C00);
  for (size_t i = 0; i < 32; ++i) CHECK(Q5_0::get_code(q5, i) == (i == 4 ? 0 : 16));
  float decoded[32];
  Q4_0::decode(q4, decoded);
  CHECK_FALSE(std::isfinite(decoded[4]));  // it does not vanish
  Q5_0::decode(q5, decoded);
  CHECK_FALSE(std::isfinite(decoded[4]));
  Q8_0::decode(q8, decoded);
  CHECK_FALSE(std::isfinite(decoded[4]));
}

TEST_CASE("block formats: a NaN does not disturb the other values' codes", "[format]") {
  std::vector<float> values(32);
  for (size_t i = 0; i < 32; ++i) values[i] = static_cast<float>(i) - 16.0f;
  const Q4_0::Block clean4 = encoded<Q4_0>(values);
  const Q4_1::Block clean41 = encoded<Q4_1>(values);
  const Q5_0::Block clean5 = encoded<Q5_0>(values);
  values[20] = kNaN;
  const Q4_0::Block q4 = encoded<Q4_0>(values);
  const Q4_1::Block q41 = encoded<Q4_1>(values);
  const Q5_0::Block q5 = encoded<Q5_0>(values);
  CHECK(q4.scale == clean4.scale);
  CHECK(q5.scale == clean5.scale);
  CHECK(q41.scale == clean41.scale);
  CHECK(q41.min == clean41.min);
  for (size_t i = 0; i < 32; ++i) {
    CHECK(get_nibble(q4.codes, i) == (i == 20 ? 0 : get_nibble(clean4.codes, i)));
    CHECK(get_nibble(q41.codes, i) == (i == 20 ? 0 : get_nibble(clean41.codes, i)));
    CHECK(Q5_0::get_code(q5, i) == (i == 20 ? 0 : Q5_0::get_code(clean5, i)));
  }
}

// 0.49999997 + 0.5 rounds up to 1 in f32: an encoder that adds a half gives 1, roundf gives 0.
TEST_CASE("q8_0: the value just below a half", "[format]") {
  std::vector<float> values(32, std::nextafter(0.5f, 0.0f));
  values[0] = 127.0f;
  values[1] = 0.5f;
  values[2] = -0.5f;
  values[3] = -std::nextafter(0.5f, 0.0f);
  const Q8_0::Block block = encoded<Q8_0>(values);
  CHECK(block.codes[0] == 127);
  CHECK(block.codes[1] == 1);
  CHECK(block.codes[2] == -1);
  CHECK(block.codes[3] == 0);
  CHECK(block.codes[4] == 0);
}

// The reference takes floor(log2f(largest)), and log2f of floats just below a power of two is that
// power's: how many of them, the C library decides, so this asks it.
TEST_CASE("mxfp4: the scale of every power of two and its neighbours", "[format]") {
  for (uint32_t exponent = 1; exponent < 255; ++exponent) {
    for (int from_power = -80; from_power <= 80; ++from_power) {
      const uint32_t bits = (exponent << 23) + static_cast<uint32_t>(from_power);
      const float largest = std::bit_cast<float>(bits);
      if (!std::isnormal(largest)) continue;
      const int wanted = std::max(0, static_cast<int>(std::floor(std::log2(largest))) + 125);
      std::vector<float> values(32);
      values[7] = -largest;
      const MXFP4::Block block = encoded<MXFP4>(values);
      if (block.exponent != wanted) {
        FAIL("largest " << largest << ": exponent " << int{block.exponent} << ", not " << wanted);
      }
    }
  }
  SUCCEED();
}

// ---- Every format: what encoding may lose
// -----------------------------------------------------------

TESSERA_FORMAT_TEST(round_trip, "encoding loses no more than half a step", "[format]") {
  if (!can_encode(w_dtype)) return;
  Rng rng = suite_rng();
  for (int i = 0; i < 2000; ++i) {
    std::vector<float> values(32);
    const float unit = rng.power_of_two(-6, 6);
    float max = 0;
    for (float& v : values) {
      v = unit * rng.uniform(-1, 1);
      max = std::max(max, std::fabs(v));
    }
    const Matrix a = encode(w_dtype, 1, 32, values);
    // Half a step of the code, relative to the largest value, for what 8 bits can say; with fewer
    // there is no code for the largest value's opposite, so up to a whole step there. 2^-10 for the
    // rounding of scale and min to f16. mxfp4's largest is 6, for values up to 8, and its widest
    // step, from 4 to 6, is as much. iq4_nl takes the scale by which sum(v^2 error^2) is least; it
    // is no more than by the first scale, with which no error is above (127 - 113) / 127 of the
    // largest, so that |v| * error is no more than this times the root of sum(v^2).
    const double largest = static_cast<double>(max);
    double step = 0, squares = 0;
    visit_format(w_dtype, [&]<class F>(F) {
      if constexpr (F::kIsBlock) {
        step = largest * (F::kMostCode == 255 ? 0.5 / 127 : 2.0 / (F::kMostCode + 1));
      }
    });
    if (w_dtype == DType::mxfp4) step = largest / 4;
    for (const float v : values) squares += static_cast<double>(v) * static_cast<double>(v);
    for (size_t j = 0; j < 32; ++j) {
      const double v = static_cast<double>(values[j]);
      double allowed = step + largest * 0x1p-9;
      if (w_dtype == DType::iq4_nl) {
        allowed = largest * (14.0 / 127 * std::sqrt(squares) / std::fabs(v) + 0x1p-9);
      }
      if (w_dtype == DType::f32) allowed = 0;
      if (w_dtype == DType::f16) allowed = std::max(std::fabs(v) * 0x1p-11, 0x1p-25);
      if (w_dtype == DType::bf16) allowed = std::fabs(v) * 0x1p-8;
      if (std::fabs(a.value[j] - v) > allowed) {
        FAIL(values[j] << " became " << a.value[j] << " in a block whose largest is " << max);
      }
    }
  }
  SUCCEED();
}

// ---- Models made with ggml's quantizers
// -----------------------------------------------------------------

TESSERA_FORMAT_TEST(models, "bytes of models made with ggml's quantizers", "[format][data]") {
  const std::string folder = std::string(TESSERA_TEST_DATA) + "/data/gguf/";
  if (folder == "/data/gguf/") SKIP("TESSERA_TEST_DATA names no folder");
  if (!can_encode(w_dtype)) SKIP("can be decoded only");
  size_t compared = 0;
  for (const char* model : {"stories260K", "babyllama361"}) {
    const GgufTensors f32(folder + model + "-f32.gguf");
    const GgufTensors other(folder + model + "-" + dtype_name(w_dtype) + ".gguf");
    for (const GgufTensor& want : other.tensors()) {
      if (want.type != static_cast<uint32_t>(w_dtype)) continue;
      for (const GgufTensor& from : f32.tensors()) {
        if (from.name != want.name) continue;
        REQUIRE(from.type == 0);
        REQUIRE(from.shape == want.shape);
        size_t count = 1;
        for (const uint64_t n : want.shape) count *= n;
        const size_t bytes = *row_bytes(w_dtype, count);
        REQUIRE(from.offset + 4 * count <= f32.size());
        REQUIRE(want.offset + bytes <= other.size());
        std::vector<float> values(count);
        std::memcpy(values.data(), f32.data(from), 4 * count);
        const Matrix got = encode(w_dtype, 1, count, values);
        INFO(model << " " << want.name);
        CHECK(std::memcmp(got.bytes.data(), other.data(want), bytes) == 0);
        ++compared;
      }
    }
  }
  if (compared == 0) SKIP("no models for " << dtype_name(w_dtype) << " in " << folder);
  CHECK(compared >= 40);
}

}  // namespace
}  // namespace tessera::test

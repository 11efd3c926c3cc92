// SPDX-License-Identifier: MIT
// Every type here is a sum over blocks of the same kind: a value is scale * code - least, where a
// scale and a least value serve a group of 16 or 32 codes. A type's function takes one block apart
// into these; one function puts them together.
#include "decode.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "gguf.h"

namespace llm {
namespace {

using tessera::DType;

constexpr size_t kGroup = 16;  // codes that each scale of a Block serves

struct Block {
  int8_t codes[256];
  float scales[256 / kGroup];
  float leasts[256 / kGroup];  // zero unless a type sets them
};

float half_at(const uint8_t* bytes) {
  tessera::f16_t half;
  std::memcpy(&half, bytes, sizeof(half));
  return tessera::to_float(half);
}

// A field of `bits` bits, the low one of which is bit `shift` of a byte.
int field(uint8_t byte, size_t shift, int bits) { return (byte >> shift) & ((1 << bits) - 1); }

int8_t code(int value) { return static_cast<int8_t>(value); }

void set_scales(Block& b, size_t group, float scale, float least = 0.0f) {
  b.scales[group] = scale;
  b.leasts[group] = least;
}

// 32 codes of 4 bits: first the low halves of 16 bytes, then the high ones.
template <class Code>
void nibbles(const uint8_t* from, size_t bytes, int8_t* out, const Code& make) {
  for (size_t i = 0; i < 2 * bytes; ++i) {
    out[i] = code(make(field(from[i % bytes], i / bytes * 4, 4), i));
  }
}

void q8_k(const uint8_t* p, Block& b) {  // f32 scale, 256 codes, sums
  float scale;
  std::memcpy(&scale, p, sizeof(scale));
  for (size_t g = 0; g < 16; ++g) set_scales(b, g, scale);
  std::memcpy(b.codes, p + 4, 256);
}

void q2_k(const uint8_t* p, Block& b) {  // 16 x (scale, least) of 4 bits, 256 x 2 bits, 2 x f16
  const float scale = half_at(p + 80), least = half_at(p + 82);
  for (size_t g = 0; g < 16; ++g) {
    set_scales(b, g, scale * static_cast<float>(field(p[g], 0, 4)),
               least * static_cast<float>(field(p[g], 4, 4)));
  }
  for (size_t i = 0; i < 256; ++i) {
    b.codes[i] = code(field(p[16 + i / 128 * 32 + i % 32], i / 32 % 4 * 2, 2));
  }
}

void q3_k(const uint8_t* p, Block& b) {  // 256 high bits, 256 x 2 bits, 16 scales of 6 bits, f16
  const float scale = half_at(p + 108);
  for (size_t g = 0; g < 16; ++g) {
    const int low = field(p[96 + g % 8], g / 8 * 4, 4), high = field(p[104 + g % 4], g / 4 * 2, 2);
    set_scales(b, g, scale * static_cast<float>((low | high << 4) - 32));
  }
  for (size_t i = 0; i < 256; ++i) {  // a high bit that is set takes nothing away
    const int low = field(p[32 + i / 128 * 32 + i % 32], i / 32 % 4 * 2, 2);
    b.codes[i] = code(low - (field(p[i % 32], i / 32, 1) == 1 ? 0 : 4));
  }
}

void iq4_xs(const uint8_t* p, Block& b) {  // f16, 8 scales of 2 + 4 bits, 256 nibbles
  for (size_t g = 0; g < 8; ++g) {
    const int low = field(p[4 + g / 2], g % 2 * 4, 4), high = field(p[2 + g / 4], g % 4 * 2, 2);
    const float scale = half_at(p) * static_cast<float>((low | high << 4) - 32);
    for (size_t half = 0; half < 2; ++half) set_scales(b, 2 * g + half, scale);
    nibbles(p + 8 + 16 * g, 16, b.codes + 32 * g,
            [](int n, size_t) { return tessera::IQ4_NL::kCodes[n] - tessera::IQ4_NL::kOffset; });
  }
}

constexpr struct {
  DType type;
  void (*take_apart)(const uint8_t*, Block&);
} kTypes[] = {
    {DType::q2_k, q2_k}, {DType::q3_k, q3_k}, {DType::q8_k, q8_k}, {DType::iq4_xs, iq4_xs}};

// What the library multiplies runs as it is: its format is taken off this list.
constexpr bool none_is_multiplied() {
  return std::none_of(std::begin(kTypes), std::end(kTypes), [](const auto& known) {
    return tessera::dtype_info(known.type).block_values != 0;
  });
}
static_assert(none_is_multiplied());

// Calls each(block, index) for the blocks of a row.
template <class Each>
void for_blocks(DType type, const std::byte* row, size_t values, const Each& each) {
  const auto* t = std::find_if(std::begin(kTypes), std::end(kTypes),
                               [&](const auto& known) { return known.type == type; });
  const gguf::BlockSize& size = *gguf::block_size(static_cast<uint32_t>(type));
  Block block;
  for (size_t i = 0; i < values / size.values; ++i) {
    t->take_apart(reinterpret_cast<const uint8_t*>(row) + i * size.bytes, block);
    each(block, i * size.values, size.values);
  }
}

}  // namespace

bool can_decode(DType type) {
  return std::any_of(std::begin(kTypes), std::end(kTypes),
                     [&](const auto& known) { return known.type == type; });
}

void decode(DType type, const std::byte* row, size_t values, float* out) {
  for_blocks(type, row, values, [&](const Block& b, size_t at, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      // Two roundings, as ggml does it: the file is compiled without fused multiply-add.
      out[at + i] = b.scales[i / kGroup] * static_cast<float>(b.codes[i]) - b.leasts[i / kGroup];
    }
  });
}

tessera::Status convert(DType type, const std::byte* row, std::span<float> values, std::byte* out) {
  decode(type, row, values.size(), values.data());
  return tessera::quantize(tessera::rows_of(values, 1, values.size()),
                           {out, 1, values.size(), values.size() / 32 * 34, kNearest});
}

}  // namespace llm

// SPDX-License-Identifier: MIT
// A host may be compiled with -ffast-math; the library's bodies and what they share with the host's
// files are not changed by that. Compares the bits of every plain function as a host compiles it
// with those of a file without such flags.
#include "compile/fast_math.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "tessera/format/list.h"

namespace {

size_t compared = 0, differences = 0;

template <class From, class To>
void compare(const std::string& what, const std::vector<From>& from, const std::vector<To>& host,
             const std::vector<To>& reference) {
  size_t shown = 0;
  for (size_t i = 0; i < host.size(); ++i) {
    ++compared;
    if (host[i] == reference[i]) continue;
    ++differences;
    if (shown++ == 4) break;
    const size_t source = i * from.size() / host.size();
    std::printf("FAILED: %s, item %zu, from %llx or near it: %llx, should be %llx\n", what.c_str(),
                i, static_cast<unsigned long long>(from[source]),
                static_cast<unsigned long long>(host[i]),
                static_cast<unsigned long long>(reference[i]));
  }
}

// An f16 by arithmetic in double, whose results are no subnormals: hosts with -ffast-math may have
// the CPU flush those.
uint32_t float_of_f16(uint32_t h) {
  const uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
  if (exponent == 31)
    return sign | 0x7F800000u | (fraction << 13) | (fraction != 0 ? 0x400000u : 0u);
  const double value = exponent == 0 ? std::ldexp(fraction, -24)
                                     : std::ldexp(1024 + fraction, static_cast<int>(exponent) - 25);
  return sign | std::bit_cast<uint32_t>(static_cast<float>(value));
}

// Every f16 and bf16, what lies halfway between neighbours, the neighbours of all those, and a
// sample of everything else.
std::vector<uint32_t> floats() {
  std::vector<uint32_t> list;
  const auto add = [&](uint32_t bits) { list.insert(list.end(), {bits - 1, bits, bits + 1}); };
  for (uint32_t h = 0; h < 0x10000; ++h) {
    add(float_of_f16(h));
    add(float_of_f16(h) + 0x1000);  // halfway for a normal f16
    add(h << 16);
    add((h << 16) + 0x8000);
  }
  for (uint32_t i = 0; i < 1024; ++i) {  // halfway for a subnormal f16
    add(std::bit_cast<uint32_t>(static_cast<float>(2 * i + 1) * 0x1p-25f));
  }
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 1009) {
    list.push_back(static_cast<uint32_t>(bits));
  }
  return list;
}

void compare_halves(const PlainFunctions& host, const PlainFunctions& reference) {
  std::vector<uint16_t> halves(0x10000);
  std::vector<uint32_t> a(halves.size()), b(halves.size());
  for (uint32_t h = 0; h < 0x10000; ++h) {
    halves[h] = static_cast<uint16_t>(h);
    b[h] = float_of_f16(h);
  }
  host.f16_to_float(halves.data(), a.data(), halves.size());
  compare("f16 to float", halves, a, b);
  host.bf16_to_float(halves.data(), a.data(), halves.size());
  reference.bf16_to_float(halves.data(), b.data(), halves.size());
  compare("bf16 to float", halves, a, b);

  const std::vector<uint32_t> values = floats();
  std::vector<uint16_t> c(values.size()), d(values.size());
  host.float_to_f16(values.data(), c.data(), values.size());
  reference.float_to_f16(values.data(), d.data(), values.size());
  compare("float to f16", values, c, d);
  host.float_to_bf16(values.data(), c.data(), values.size());
  reference.float_to_bf16(values.data(), d.data(), values.size());
  compare("float to bf16", values, c, d);
}

// Blocks of values that lie on ties and near them, at any scale, and some of any bits at all.
std::vector<uint32_t> block_values() {
  std::vector<uint32_t> list;
  uint32_t state = 1;
  const auto random = [&state] { return state = state * 1664525u + 1013904223u, state >> 8; };
  for (size_t block = 0; block < 20000; ++block) {
    const float scale = std::bit_cast<float>((random() % 255) << 23);
    const uint32_t kind = random() % 8;
    for (size_t i = 0; i < 32; ++i) {
      const float half_steps = static_cast<float>(random() % 509) - 254.0f;
      uint32_t bits = std::bit_cast<uint32_t>(half_steps * scale);
      if (kind == 1) bits += random() % 3 - 1;
      if (kind == 2 && i == block % 32) bits = 0x7F800000u | random() << 31;  // infinity
      if (kind == 3 && i == block % 32) bits = 0x7FC00000u | random() << 8;   // NaN
      if (kind == 4) bits = random() << 8 ^ random();
      if (kind == 5) bits &= 0x807FFFFFu;  // subnormal
      list.push_back(bits);
    }
  }
  return list;
}

void compare_blocks(const PlainFunctions& host, const PlainFunctions& reference) {
  const std::vector<uint32_t> values = block_values();
  for (uint32_t format = 0; format < 64; ++format) {
    const auto name = tessera::dtype_from_ggml(format);
    if (!name.ok()) continue;
    std::vector<uint8_t> a(values.size() * 4), b(values.size() * 4);
    a.resize(host.encode(format, values.data(), a.data(), values.size()));
    b.resize(reference.encode(format, values.data(), b.data(), values.size()));
    compare(std::string("encode ") + tessera::dtype_name(*name), values, a, b);
    std::vector<uint32_t> c(values.size()), d(values.size());
    host.decode(format, b.data(), c.data(), values.size());
    reference.decode(format, b.data(), d.data(), values.size());
    compare(std::string("decode ") + tessera::dtype_name(*name), b, c, d);
  }
}

}  // namespace

int main() {
  const PlainFunctions host = host_functions(), reference = reference_functions();
  compare_halves(host, reference);
  compare_blocks(host, reference);
  std::printf("%zu results compared, %zu differ\n", compared, differences);
  return differences == 0 && compared != 0 ? 0 : 1;
}

// SPDX-License-Identifier: MIT
// Compiled twice: with -ffast-math and the like, and with REFERENCE and without such flags.
#ifdef REFERENCE
// Another inline namespace, so that the linker does not take one file's functions for the other's.
#define v0_1 reference
#endif
#include "compile/fast_math.h"

#include <cstring>

#include "tessera/tessera.h"

namespace {

template <class From, class To>
To bits_to(From from) {
  static_assert(sizeof(From) == sizeof(To));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

template <class Half>
void to_float(const uint16_t* from, uint32_t* to, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    to[i] = bits_to<float, uint32_t>(tessera::to_float(Half{from[i]}));
  }
}

void to_f16(const uint32_t* from, uint16_t* to, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    to[i] = tessera::to_f16(bits_to<uint32_t, float>(from[i])).bits;
  }
}

void to_bf16(const uint32_t* from, uint16_t* to, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    to[i] = tessera::to_bf16(bits_to<uint32_t, float>(from[i])).bits;
  }
}

size_t encode(uint32_t format, const uint32_t* from, uint8_t* to, size_t count) {
  const uint8_t* const begin = to;
  tessera::visit_format(static_cast<tessera::DType>(format), [&]<class F>(F) {
    for (size_t i = 0; i < count; i += F::kBlockValues, to += sizeof(typename F::Block)) {
      float values[F::kBlockValues];
      typename F::Block block{};
      std::memcpy(values, from + i, sizeof(values));
      if constexpr (tessera::Encodable<F>) F::encode(values, block);
      std::memcpy(to, &block, sizeof(block));
    }
  });
  return static_cast<size_t>(to - begin);
}

size_t decode(uint32_t format, const uint8_t* from, uint32_t* to, size_t count) {
  const uint8_t* const begin = from;
  tessera::visit_format(static_cast<tessera::DType>(format), [&]<class F>(F) {
    for (size_t i = 0; i < count; i += F::kBlockValues, from += sizeof(typename F::Block)) {
      float values[F::kBlockValues];
      typename F::Block block;
      std::memcpy(&block, from, sizeof(block));
      F::decode(block, values);
      std::memcpy(to + i, values, sizeof(values));
    }
  });
  return static_cast<size_t>(from - begin);
}

}  // namespace

#ifdef REFERENCE
PlainFunctions reference_functions() {
#else
PlainFunctions host_functions() {
#endif
  return {
      &to_float<tessera::f16_t>, &to_float<tessera::bf16_t>, &to_f16, &to_bf16, &encode, &decode};
}

// SPDX-License-Identifier: MIT
// Tensor types of ggml that the library does not multiply: their values, and the nearest type that
// it does multiply.
#ifndef TESSERA_EXAMPLES_LLM_DECODE_H_
#define TESSERA_EXAMPLES_LLM_DECODE_H_

#include <cstddef>

#include "tessera/tessera.h"

namespace llm {

/// True for the types that decode() knows.
bool can_decode(tessera::DType type);

/// The values of a row, `values` a multiple of the type's block, bit for bit as ggml decodes them.
void decode(tessera::DType type, const std::byte* row, size_t values, float* out);

/// What convert() makes of a type, to one part in 254 of the largest value of 32.
inline constexpr auto kNearest = tessera::DType::q8_0;

/// A row of `type` as a row of kNearest. `values` has room for all of its values.
tessera::Status convert(tessera::DType type, const std::byte* row, std::span<float> values,
                        std::byte* out);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_DECODE_H_

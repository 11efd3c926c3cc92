// SPDX-License-Identifier: MIT
// The same model with its matrices in another type.
#ifndef TESSERA_EXAMPLES_LLM_QUANTIZE_H_
#define TESSERA_EXAMPLES_LLM_QUANTIZE_H_

#include <cstddef>
#include <string>

#include "error.h"

namespace llm {

struct QuantizeArguments {
  std::string in, out;
  std::string type;    // one of those that the library multiplies
  size_t threads = 0;  // 0: the cores that may be used
};

/// Writes a copy of a file of f32, f16 and bf16 tensors: matrices as the type (as f16 where their
/// rows are not whole blocks), the rest as f32. `out` appears complete or not at all.
Error quantize(const QuantizeArguments& arguments);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_QUANTIZE_H_

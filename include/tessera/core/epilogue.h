// SPDX-License-Identifier: MIT
// The epilogue: what happens to a tile of the product before it is stored.
#ifndef TESSERA_CORE_EPILOGUE_H_
#define TESSERA_CORE_EPILOGUE_H_

#include <cstdint>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {

enum class Activation : uint8_t {
  none,
  relu,  // max(v, 0); NaN stays NaN
  silu,  // v / (1 + exp(-v))
  gelu,  // v / (1 + exp(-2 z)), z = sqrt(2/pi) (v + 0.044715 v^3): the tanh form
};

/// y = activation(scale * row_scale * column_scale * (x W^T) + bias + beta * y), in f32; the result
/// is rounded once to y's format. With beta == 0 the old y is not read, so it may hold anything.
struct Epilogue {
  float scale = 1.0f;
  float beta = 0.0f;
  const float* bias = nullptr;  // [n], added to every row; null for none
  Activation activation = Activation::none;
  const float* row_scale = nullptr;     // [m], of each row of y; null: 1
  const float* column_scale = nullptr;  // [n]; null: 1
};

/// How the two products of a gated layer become one:
///   activation(gate) * (up + offset)
/// where silu is v / (1 + exp(-alpha v)) and, if it clips, gate is min(gate, limit) and up is clamped
/// to [-limit, limit]. gpt-oss has silu, alpha 1.702, a limit of 7 and offset 1.
struct Gating {
  Activation activation = Activation::silu;
  float alpha = 1.0f;
  float offset = 0.0f;
  bool clips = false;
  float limit = 0.0f;
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_CORE_EPILOGUE_H_

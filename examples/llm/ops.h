// SPDX-License-Identifier: MIT
// What a layer computes beside its matrix products, a row at a time, on the best instruction set
// that the CPU has.
#ifndef TESSERA_EXAMPLES_LLM_OPS_H_
#define TESSERA_EXAMPLES_LLM_OPS_H_

#include <cstddef>
#include <cstdint>

#include "tessera/base/half.h"

namespace llm {

/// y = x / sqrt(mean(x^2) + epsilon) * weight; y may be x.
void rms_norm(const float* x, const float* weight, size_t size, float epsilon, float* y);

/// The first `visible` scores become exp(scale * (score - the highest)), the others 0; `scale` is
/// above 0. `sink` is one more score, which only counts; -infinity is none. Returns the sum: who
/// divides by it has the softmax, and mostly fewer values to divide.
float softmax(float* scores, size_t visible, size_t size, float scale, float sink);

/// y = factor * x
void scale(const float* x, size_t size, float factor, float* y);

/// y += x
void add(const float* x, size_t size, float* y);

/// Which two values of a head are rotated together: neighbours, or one of each half.
enum class RopePairs : uint8_t { neighbours, halves };

/// Rotates `pairs` pairs of a head by angles given as cosines and sines; y may be x.
void rotate(const float* x, const float* cosines, const float* sines, size_t pairs, RopePairs kind,
            float* y);

void to_f16(const float* x, size_t size, tessera::f16_t* y);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_OPS_H_

// SPDX-License-Identifier: MIT
#include "kv_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "ops.h"

namespace llm {

void rope_angles(const Rope& rope, double position, double magnitude, float* cosines,
                 float* sines) {
  for (size_t i = 0; i < rope.frequencies.size(); ++i) {
    const double angle = position * rope.frequencies[i];
    cosines[i] = static_cast<float>(std::cos(angle) * magnitude);
    sines[i] = static_cast<float>(std::sin(angle) * magnitude);
  }
}

void KvCache::reserve(const Config& config, tessera::DType dtype, size_t context) {
  dtype_ = dtype;
  element_bytes_ = dtype == tessera::DType::f32 ? sizeof(float) : sizeof(tessera::f16_t);
  kv_heads_ = config.kv_heads;
  head_size_ = config.head_size;
  context_ = context;
  const size_t position_bytes = 2 * config.layers * config.kv_dim() * element_bytes_;
  if (context > std::numeric_limits<size_t>::max() / position_bytes) throw std::bad_alloc();
  bytes_.reserve(context * position_bytes);
}

void KvCache::set(size_t layer, size_t kv_head, size_t position, const float* key,
                  const float* value) {
  std::byte* keys = at(layer, kv_head) + position * head_size_ * element_bytes_;
  std::byte* values = at(layer, kv_head) + (head_size_ * context_ + position) * element_bytes_;
  if (dtype_ == tessera::DType::f32) {
    std::memcpy(keys, key, head_size_ * sizeof(float));
    auto* column = reinterpret_cast<float*>(values);
    for (size_t i = 0; i < head_size_; ++i) column[i * context_] = value[i];
    return;
  }
  to_f16(key, head_size_, reinterpret_cast<tessera::f16_t*>(keys));
  auto* column = reinterpret_cast<tessera::f16_t*>(values);
  constexpr size_t kPiece = 64;
  tessera::f16_t halves[kPiece];
  for (size_t i = 0; i < head_size_; i += kPiece) {
    const size_t count = std::min(kPiece, head_size_ - i);
    to_f16(value + i, count, halves);
    for (size_t j = 0; j < count; ++j) column[(i + j) * context_] = halves[j];
  }
}

void KvCache::move(size_t layer, size_t kv_head, size_t from, size_t to, const Rope& rope) {
  const size_t pairs = rope.frequencies.size();
  std::vector<float> key, value, angles(2 * pairs);
  const std::byte* base = at(layer, kv_head);
  const auto element = [&](size_t index) {
    if (dtype_ == tessera::DType::f32) return reinterpret_cast<const float*>(base)[index];
    return tessera::to_float(reinterpret_cast<const tessera::f16_t*>(base)[index]);
  };
  for (size_t i = 0; i < head_size_; ++i) {
    key.push_back(element(from * head_size_ + i));
    value.push_back(element((head_size_ + i) * context_ + from));
  }
  const double distance = static_cast<double>(to) - static_cast<double>(from);
  rope_angles(rope, distance, 1.0, angles.data(), angles.data() + pairs);
  rotate(key.data(), angles.data(), angles.data() + pairs, pairs, rope.pairs, key.data());
  set(layer, kv_head, to, key.data(), value.data());
}

}  // namespace llm

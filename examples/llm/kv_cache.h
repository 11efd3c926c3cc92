// SPDX-License-Identifier: MIT
// Keys and values of all positions so far, as f32 or f16: for each head keys [context, head_size]
// and values [head_size, context], the W of attention's two products.
#ifndef TESSERA_EXAMPLES_LLM_KV_CACHE_H_
#define TESSERA_EXAMPLES_LLM_KV_CACHE_H_

#include <cstddef>

#include "memory.h"
#include "model.h"

namespace llm {

/// Sets cosines and sines, [pairs] each, of the angles at a position (which may be negative).
void rope_angles(const Rope& rope, double position, double magnitude, float* cosines, float* sines);

class KvCache {
 public:
  /// Makes room for `context` positions in f32 or f16, or throws std::bad_alloc.
  void reserve(const Config& config, tessera::DType dtype, size_t context);

  /// Of a head, `positions` from `first` on.
  tessera::MatView keys(size_t layer, size_t kv_head, size_t first, size_t positions) const {
    return {at(layer, kv_head) + first * head_size_ * element_bytes_, positions, head_size_,
            head_size_ * element_bytes_, dtype_};
  }
  tessera::MatView values(size_t layer, size_t kv_head, size_t first, size_t positions) const {
    return {at(layer, kv_head) + (head_size_ * context_ + first) * element_bytes_, head_size_,
            positions, context_ * element_bytes_, dtype_};
  }

  /// Sets key and value, [head_size] each, of one position.
  void set(size_t layer, size_t kv_head, size_t position, const float* key, const float* value);

  /// Moves the key and value of position `from` to `to`; the key is rotated back by that many
  /// positions.
  void move(size_t layer, size_t kv_head, size_t from, size_t to, const Rope& rope);

 private:
  std::byte* at(size_t layer, size_t kv_head) const {
    return bytes_.data() +
           (layer * kv_heads_ + kv_head) * 2 * head_size_ * context_ * element_bytes_;
  }
  Buffer<std::byte> bytes_;
  tessera::DType dtype_ = tessera::DType::f32;
  size_t element_bytes_ = sizeof(float);
  size_t kv_heads_ = 0, head_size_ = 0, context_ = 0;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_KV_CACHE_H_

// SPDX-License-Identifier: MIT
// Keys and values of all positions so far, as f32, f16 or q8_0: for each head keys
// [context, head_size] and values [head_size, context], the W of attention's two products.
//
// A block of q8_0 holds one value of 32 positions, so values become blocks 32 positions at a time:
// those since the last whole block are kept as f32.
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
  /// Makes room for `context` positions in f32, f16 or q8_0 (whose heads are whole blocks), or
  /// throws std::bad_alloc.
  void reserve(const Config& config, tessera::DType dtype, size_t context);

  /// Values can be read from multiples of this on, and up to one or to the end.
  size_t step() const { return step_; }

  /// Of a head, `positions` from `first` on.
  tessera::MatView keys(size_t layer, size_t kv_head, size_t first, size_t positions) const {
    return {keys_at(layer, kv_head) + first * key_bytes_, positions, head_size_, key_bytes_,
            dtype_};
  }
  /// `first` and `positions` are multiples of step().
  tessera::MatView values(size_t layer, size_t kv_head, size_t first, size_t positions) const {
    return {values_at(layer, kv_head) + *tessera::row_bytes(dtype_, first), head_size_, positions,
            value_bytes_, dtype_};
  }
  /// The values of so many positions behind the last multiple of step(), as f32.
  tessera::MatView recent_values(size_t layer, size_t kv_head, size_t positions) const {
    return {recent_at(layer, kv_head), head_size_, positions, step_ * sizeof(float),
            tessera::DType::f32};
  }

  /// Sets key and value, [head_size] each, of one position; of q8_0 the key alone.
  void set(size_t layer, size_t kv_head, size_t position, const float* key, const float* value);
  /// Of q8_0: sets the values of `count` positions, `stride` floats apart. All before are set.
  void set_values(size_t layer, size_t kv_head, size_t position, size_t count, const float* values,
                  size_t stride);

  /// Of `end` positions only the first `kept` are left.
  void truncate(size_t kept, size_t end);
  /// Of `end` positions, forgets `count` behind the first `kept`; what follows moves up, keys
  /// rotated back by that many positions.
  void shift(size_t kept, size_t count, size_t end, const Rope& rope);

 private:
  std::byte* keys_at(size_t layer, size_t kv_head) const {
    return bytes_.data() +
           (layer * kv_heads_ + kv_head) * (context_ * key_bytes_ + head_size_ * value_bytes_);
  }
  std::byte* values_at(size_t layer, size_t kv_head) const {
    return keys_at(layer, kv_head) + context_ * key_bytes_;
  }
  float* recent_at(size_t layer, size_t kv_head) const {
    return recent_.data() + (layer * kv_heads_ + kv_head) * head_size_ * step_;
  }
  void set_key(size_t layer, size_t kv_head, size_t position, const float* key);
  void set_value(size_t layer, size_t kv_head, size_t position, const float* value);
  void shift_values(size_t layer, size_t kv_head, size_t kept, size_t count, size_t end);

  Buffer<std::byte> bytes_;
  Buffer<float> recent_;  // [layers, kv_heads, head_size, step]
  tessera::DType dtype_ = tessera::DType::f32;
  size_t step_ = 1;
  size_t key_bytes_ = 0, value_bytes_ = 0;  // of a position's key; of one value of all positions
  size_t layers_ = 0, kv_heads_ = 0, head_size_ = 0, context_ = 0;
};

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_KV_CACHE_H_

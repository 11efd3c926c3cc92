// SPDX-License-Identifier: MIT
#include "kv_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "error.h"
#include "ops.h"

namespace llm {
namespace {

using tessera::DType;
using tessera::MatView;
using tessera::MutMatView;

// dst = src in another format
void convert(const MatView& src, const MutMatView& dst) {
  check(tessera::quantize(src, dst), "keys and values");
}

}  // namespace

void rope_angles(const Rope& rope, double position, double magnitude, float* cosines,
                 float* sines) {
  for (size_t i = 0; i < rope.frequencies.size(); ++i) {
    const double angle = position * rope.frequencies[i];
    cosines[i] = static_cast<float>(std::cos(angle) * magnitude);
    sines[i] = static_cast<float>(std::sin(angle) * magnitude);
  }
}

void KvCache::reserve(const Config& config, DType dtype, size_t context) {
  dtype_ = dtype;
  step_ = tessera::dtype_info(dtype).block_values;
  layers_ = config.layers;
  kv_heads_ = config.kv_heads;
  head_size_ = config.head_size;
  context_ = context;
  if (context > std::numeric_limits<size_t>::max() / 64) throw std::bad_alloc();
  key_bytes_ = *tessera::row_bytes(dtype, head_size_);
  value_bytes_ = *tessera::row_bytes(dtype, (context + step_ - 1) / step_ * step_);
  const size_t heads = layers_ * kv_heads_;
  const size_t most = std::numeric_limits<size_t>::max() / 2 / heads / head_size_;
  if (value_bytes_ > most || context > most / sizeof(float)) throw std::bad_alloc();
  bytes_.reserve(heads * (context * key_bytes_ + head_size_ * value_bytes_));
  if (step_ > 1) recent_.reserve(heads * head_size_ * step_);
}

void KvCache::set(size_t layer, size_t kv_head, size_t position, const float* key,
                  const float* value) {
  set_key(layer, kv_head, position, key);
  if (step_ == 1) set_value(layer, kv_head, position, value);
}

void KvCache::set_key(size_t layer, size_t kv_head, size_t position, const float* key) {
  std::byte* to = keys_at(layer, kv_head) + position * key_bytes_;
  if (dtype_ == DType::f32) {
    std::memcpy(to, key, key_bytes_);
  } else if (dtype_ == DType::f16) {
    to_f16(key, head_size_, reinterpret_cast<tessera::f16_t*>(to));
  } else {
    convert({key, 1, head_size_, head_size_ * sizeof(float), DType::f32},
            {to, 1, head_size_, key_bytes_, dtype_});
  }
}

void KvCache::set_value(size_t layer, size_t kv_head, size_t position, const float* value) {
  std::byte* values = values_at(layer, kv_head);
  if (dtype_ == DType::f32) {
    auto* column = reinterpret_cast<float*>(values) + position;
    for (size_t i = 0; i < head_size_; ++i) column[i * context_] = value[i];
    return;
  }
  auto* column = reinterpret_cast<tessera::f16_t*>(values) + position;
  constexpr size_t kPiece = 64;
  tessera::f16_t halves[kPiece];
  for (size_t i = 0; i < head_size_; i += kPiece) {
    const size_t count = std::min(kPiece, head_size_ - i);
    to_f16(value + i, count, halves);
    for (size_t j = 0; j < count; ++j) column[(i + j) * context_] = halves[j];
  }
}

void KvCache::set_values(size_t layer, size_t kv_head, size_t position, size_t count,
                         const float* values, size_t stride) {
  float* recent = recent_at(layer, kv_head);
  const size_t first = position / step_ * step_, end = position + count;
  const size_t whole = end / step_ * step_ - first;  // positions that become blocks
  if (whole > 0) {
    std::vector<float> rows(head_size_ * whole);
    for (size_t i = 0; i < head_size_; ++i) {
      float* row = rows.data() + i * whole;
      std::copy_n(recent + i * step_, position - first, row);
      for (size_t p = position - first; p < whole; ++p) {
        row[p] = values[(first + p - position) * stride + i];
      }
    }
    convert({rows.data(), head_size_, whole, whole * sizeof(float), DType::f32},
            {values_at(layer, kv_head) + *tessera::row_bytes(dtype_, first), head_size_, whole,
             value_bytes_, dtype_});
  }
  for (size_t p = std::max(position, first + whole); p < end; ++p) {
    const float* value = values + (p - position) * stride;
    for (size_t i = 0; i < head_size_; ++i) recent[i * step_ + p % step_] = value[i];
  }
}

void KvCache::truncate(size_t kept, size_t end) {
  const size_t first = kept / step_ * step_;
  if (first == kept || first == end / step_ * step_) return;
  for (size_t i = 0; i < layers_ * kv_heads_; ++i) {
    const size_t layer = i / kv_heads_, kv_head = i % kv_heads_;
    convert(values(layer, kv_head, first, step_),
            {recent_at(layer, kv_head), head_size_, step_, step_ * sizeof(float), DType::f32});
  }
}

void KvCache::shift(size_t kept, size_t count, size_t end, const Rope& rope) {
  const size_t pairs = rope.frequencies.size();
  std::vector<float> key(head_size_), angles(2 * pairs);
  rope_angles(rope, -static_cast<double>(count), 1.0, angles.data(), angles.data() + pairs);
  for (size_t i = 0; i < layers_ * kv_heads_; ++i) {
    const size_t layer = i / kv_heads_, kv_head = i % kv_heads_;
    for (size_t p = kept + count; p < end; ++p) {
      convert(keys(layer, kv_head, p, 1),
              {key.data(), 1, head_size_, head_size_ * sizeof(float), DType::f32});
      rotate(key.data(), angles.data(), angles.data() + pairs, pairs, rope.pairs, key.data());
      set_key(layer, kv_head, p - count, key.data());
    }
    shift_values(layer, kv_head, kept, count, end);
  }
}

void KvCache::shift_values(size_t layer, size_t kv_head, size_t kept, size_t count, size_t end) {
  if (step_ == 1) {
    const size_t bytes = value_bytes_ / context_;
    for (size_t i = 0; i < head_size_; ++i) {
      std::byte* row = values_at(layer, kv_head) + i * value_bytes_;
      std::memmove(row + kept * bytes, row + (kept + count) * bytes, (end - kept - count) * bytes);
    }
    return;
  }
  const size_t first = kept / step_ * step_, whole = end / step_ * step_, positions = end - first;
  std::vector<float> rows(head_size_ * positions);
  const MutMatView all{rows.data(), head_size_, positions, positions * sizeof(float), DType::f32};
  const auto columns = [&](size_t at, size_t size) {
    MutMatView v = all;
    v.data = rows.data() + at;
    v.cols = size;
    return v;
  };
  convert(values(layer, kv_head, first, whole - first), columns(0, whole - first));
  convert(recent_values(layer, kv_head, end - whole), columns(whole - first, end - whole));
  std::vector<float> left;  // [positions that are left, head_size]
  for (size_t p = 0; p < positions; ++p) {
    if (first + p >= kept && first + p < kept + count) continue;
    for (size_t i = 0; i < head_size_; ++i) left.push_back(rows[i * positions + p]);
  }
  set_values(layer, kv_head, first, positions - count, left.data(), head_size_);
}

}  // namespace llm

// SPDX-License-Identifier: MIT
// Matrices of any format, beside what their bytes mean in double, and how tests fill them.
#ifndef TESSERA_TESTS_SUPPORT_MATRIX_H_
#define TESSERA_TESTS_SUPPORT_MATRIX_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "support/random.h"
#include "tessera/tessera.h"

namespace tessera::test {

/// Dense rows of one format. A value scale * (code - offset) + min may enter a sum in parts, so the
/// rounding of the sum is relative to the parts' magnitudes:
///   value          what the bytes mean
///   magnitude      |scale * (code - offset)| + |min|; |value| for a float format
///   magnitude_q8   |scale * code| + |scale * offset| + |min|, as an integer dot takes it
struct Matrix {
  DType dtype = DType::f32;
  size_t rows = 0, cols = 0, row_bytes = 0;
  std::vector<std::byte> bytes;                        // [rows, row_bytes]
  std::vector<double> value, magnitude, magnitude_q8;  // [rows, cols]

  MatView view() const { return {bytes.data(), rows, cols, row_bytes, dtype}; }
  std::byte* row(size_t r) { return bytes.data() + r * row_bytes; }
};

inline bool is_block_format(DType t) { return dtype_info(t).block_values > 1; }

/// Depths that W of a format can have: k up to a whole block.
inline size_t whole_blocks(DType t, size_t k) {
  const size_t block = std::max<size_t>(1, dtype_info(t).block_values);
  return (k + block - 1) / block * block;
}
inline std::vector<size_t> whole_blocks(DType t, std::vector<size_t> depths) {
  for (size_t& k : depths) k = whole_blocks(t, k);
  depths.erase(std::unique(depths.begin(), depths.end()), depths.end());
  return depths;
}

inline Matrix empty_matrix(DType t, size_t rows, size_t cols) {
  Matrix a;
  a.dtype = t;
  a.rows = rows;
  a.cols = cols;
  a.row_bytes = *row_bytes(t, cols);
  a.bytes.resize(rows * a.row_bytes);
  return a;
}

/// Fills in what the bytes mean.
inline void decode(Matrix& a) {
  a.value.resize(a.rows * a.cols);
  a.magnitude.resize(a.rows * a.cols);
  a.magnitude_q8.resize(a.rows * a.cols);
  visit_format(a.dtype, [&]<class F>(F) {
    float values[F::kBlockValues];
    for (size_t at = 0; at < a.value.size(); at += F::kBlockValues) {
      typename F::Block block;
      std::memcpy(&block, a.bytes.data() + at / F::kBlockValues * sizeof(block), sizeof(block));
      F::decode(block, values);
      for (size_t i = 0; i < F::kBlockValues; ++i) {
        double offset = 0, min = 0;
        if constexpr (F::kIsBlock) {
          const SubBlock sub = F::sub_block(block, i / F::kSubValues);
          offset = static_cast<double>(sub.scale) * F::kOffset;
          if constexpr (F::kHasMin) min = static_cast<double>(sub.min);
        }
        const double value = static_cast<double>(values[i]);
        a.value[at + i] = value;
        a.magnitude[at + i] = std::fabs(value - min) + std::fabs(min);
        a.magnitude_q8[at + i] =
            std::fabs(value - min + offset) + std::fabs(offset) + std::fabs(min);
      }
    }
  });
}

/// With its rows moved up, the first `by` of them behind the last.
inline Matrix moved_up(Matrix a, size_t by) {
  if (a.rows == 0) return a;
  const auto move = [&](auto& list, size_t row) {
    std::rotate(list.begin(), list.begin() + static_cast<ptrdiff_t>(by % a.rows * row), list.end());
  };
  move(a.bytes, a.row_bytes);
  for (auto* values : {&a.value, &a.magnitude, &a.magnitude_q8}) move(*values, a.cols);
  return a;
}

/// For a format that has no encoder: every sub-block gets the scale and min that fit its extremes
/// best, and each value the code nearest to it.
template <SuperBlockFormat F>
void encode_roughly(const float* values, typename F::Block& block) {
  constexpr size_t kSubs = F::kBlockValues / F::kSubValues;
  float scale[kSubs], min[kSubs], most_scale = 0, most_min = 0;
  for (size_t s = 0; s < kSubs; ++s) {
    const auto [low, high] =
        std::minmax_element(values + s * F::kSubValues, values + (s + 1) * F::kSubValues);
    min[s] = F::kHasMin ? std::min(*low, 0.0f) : 0.0f;
    scale[s] = F::kHasMin ? (std::max(*high, 0.0f) - min[s]) / F::kMostCode
                          : std::max(-*low, *high) / (F::kMostCode - F::kOffset);
    most_scale = std::max(most_scale, scale[s]);
    most_min = std::min(most_min, min[s]);
  }
  const float unit = most_scale / F::kMostSubScale, min_unit = most_min / F::kMostSubScale;
  F::set_scales(block, unit, min_unit);
  const auto times = [](float v, float of) {
    return of == 0 ? 0 : static_cast<int>(std::lround(std::min(v / of, 1.0f * F::kMostSubScale)));
  };
  for (size_t s = 0; s < kSubs; ++s) {
    F::set_sub_block(block, s, times(scale[s], unit), times(min[s], min_unit));
    const SubBlock sub = F::sub_block(block, s);
    for (size_t i = s * F::kSubValues; i < (s + 1) * F::kSubValues; ++i) {
      const float code = sub.scale == 0 ? 0.0f : std::round((values[i] - sub.min) / sub.scale);
      F::set_code(block, i, std::clamp(F::kOffset + static_cast<int>(code), 0, int{F::kMostCode}));
    }
  }
}

/// Dense rows of f32 in a format, by its own encoder if it has one.
inline Matrix encode(DType t, size_t rows, size_t cols, const std::vector<float>& values) {
  Matrix a = empty_matrix(t, rows, cols);
  visit_format(t, [&]<class F>(F) {
    for (size_t at = 0; at < values.size(); at += F::kBlockValues) {
      typename F::Block block{};
      if constexpr (Encodable<F>) {
        F::encode(values.data() + at, block);
      } else {
        encode_roughly<F>(values.data() + at, block);
      }
      std::memcpy(a.bytes.data() + at / F::kBlockValues * sizeof(block), &block, sizeof(block));
    }
  });
  decode(a);
  return a;
}

// ---- Filling for exact sums ------------------------------------------------------------------
// All values are small integers times a power of two, so few bits wide that every partial sum of a
// product is exact in f32, in any order and on every path: the tolerance is 0.

/// W for exact sums. Blocks get random codes (all that their bytes can say) under a scale that is a
/// power of two.
inline Matrix exact_weights(DType t, size_t rows, size_t cols, Rng& rng, bool largest = false) {
  constexpr uint8_t kExtremes[] = {0x00, 0xFF, 0x80, 0x7F, 0x0F, 0xF0};
  Matrix a = empty_matrix(t, rows, cols);
  visit_format(t, [&]<class F>(F) {
    using Block = typename F::Block;
    if constexpr (F::kIsBlock) {
      for (size_t at = 0; at < a.bytes.size(); at += sizeof(Block)) {
        std::byte bytes[sizeof(Block)];
        const uint8_t two[] = {kExtremes[rng.below(6)], kExtremes[rng.below(6)]};
        for (std::byte& byte : bytes) {
          byte = static_cast<std::byte>(largest ? two[rng.below(2)] : rng.below(256));
        }
        Block block;
        std::memcpy(&block, bytes, sizeof(block));
        const float sign = rng.below(4) == 0 ? -1.0f : 1.0f;
        F::set_scales(block, rng.power_of_two(-1, 0) * sign,
                      static_cast<float>(rng.between(-8, 8)) * 0.5f);
        if constexpr (SuperBlockFormat<F>) {
          for (size_t s = 0; s < F::kBlockValues / F::kSubValues; ++s) {
            F::set_sub_block(block, s, rng.between(0, 3), rng.between(0, 3));
          }
        }
        std::memcpy(a.bytes.data() + at, &block, sizeof(block));
      }
    } else {
      for (size_t r = 0; r < rows; ++r) {
        const float unit = rng.power_of_two(-1, 0);
        for (size_t c = 0; c < cols; ++c) {
          const int code = largest ? 15 - 30 * rng.between(0, 1) : rng.between(-15, 15);
          const float value = unit * static_cast<float>(code);
          Block block;
          F::encode(&value, block);
          std::memcpy(a.row(r) + c * sizeof(Block), &block, sizeof(Block));
        }
      }
    }
  });
  decode(a);
  return a;
}

/// x for exact sums: in each 32 values along k the largest magnitude is 127 units, so that rounding
/// to 8 bits, which divides by it, changes nothing.
inline Matrix exact_x(DType t, size_t rows, size_t cols, Rng& rng, bool largest = false) {
  std::vector<float> values(rows * cols);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t begin = 0; begin < cols; begin += 32) {
      const size_t count = std::min<size_t>(32, cols - begin);
      const float unit = rng.power_of_two(0, 1);
      float* to = values.data() + r * cols + begin;
      for (size_t i = 0; i < count; ++i) to[i] = unit * static_cast<float>(rng.between(-3, 3));
      const int two[] = {127 - 254 * rng.between(0, 1), 127 - 254 * rng.between(0, 1)};
      for (size_t i = 0; i < count && largest; ++i) {
        to[i] = unit * static_cast<float>(two[rng.below(2)]);
      }
      to[rng.below(count)] = rng.below(2) == 0 ? unit * 127.0f : unit * -127.0f;
    }
  }
  return encode(t, rows, cols, values);
}

// ---- Filling for rounded sums ------------------------------------------------------------------

/// W with values of both signs, up to 4 * `largest`; magnitudes differ from block to block.
inline Matrix random_weights(DType t, size_t rows, size_t cols, Rng& rng, float largest = 1.0f) {
  std::vector<float> values(rows * cols);
  float unit = largest;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % 32 == 0) unit = largest * rng.power_of_two(-6, 2);
    values[i] = unit * rng.uniform(-1, 1);
  }
  return encode(t, rows, cols, values);
}

/// x in several characters, one per row in turn: even; with an outlier in each block; with zero
/// blocks; on the ties of the rounding to 8 bits; over many orders of magnitude.
inline Matrix random_x(DType t, size_t rows, size_t cols, Rng& rng) {
  std::vector<float> values(rows * cols);
  for (size_t r = 0; r < rows; ++r) {
    const size_t character = r % 5;
    float* to = values.data() + r * cols;
    for (size_t i = 0; i < cols; ++i) {
      switch (character) {
        case 0:
          to[i] = rng.uniform(-1, 1);
          break;
        case 1:
          to[i] = rng.uniform(-1, 1) * (rng.below(32) == 0 ? 100.0f : 1.0f);
          break;
        case 2:
          to[i] = i / 32 % 2 == 0 ? 0.0f : rng.uniform(-2, 2);
          break;
        case 3:
          to[i] = static_cast<float>(rng.between(-127, 126)) + 0.5f;
          break;
        default:
          to[i] = rng.uniform(-1, 1) * rng.power_of_two(-12, 12);
          break;
      }
    }
    // With a maximum of 127 the scale is 1, and k + 0.5 is a tie.
    for (size_t i = 0; character == 3 && i < cols; i += 32) to[i] = i % 64 == 0 ? 127.0f : -127.0f;
  }
  return encode(t, rows, cols, values);
}

// ---- NaN and Inf -------------------------------------------------------------------------------
// Bytes only: what value and magnitudes say is not changed.

/// One value of a float format.
inline void put_value(Matrix& a, size_t row, size_t col, float value) {
  const Matrix one = encode(a.dtype, 1, 1, {value});
  std::copy(one.bytes.begin(), one.bytes.end(), a.row(row) + col * one.row_bytes);
}

/// Where a row of W can hold a NaN: its values, or the scale and min of each block.
inline size_t places_in_row(const Matrix& w) {
  size_t places = w.cols;
  visit_format(w.dtype, [&]<class F>(F) {
    if constexpr (F::kIsBlock) {
      places = F::kNaNScales ? w.cols / F::kBlockValues * (F::kHasMin ? 2 : 1) : 0;
    }
  });
  return places;
}

inline void put_in_place(Matrix& w, size_t row, size_t place, float value) {
  visit_format(w.dtype, [&]<class F>(F) {
    if constexpr (F::kIsBlock) {
      constexpr size_t kScales = F::kHasMin ? 2 : 1;
      typename F::Block block;
      std::byte* at = w.row(row) + place / kScales * sizeof(block);
      std::memcpy(&block, at, sizeof(block));
      place % kScales == 0 ? F::set_scales(block, value, 0.5f) : F::set_scales(block, 0.5f, value);
      std::memcpy(at, &block, sizeof(block));
    } else {
      put_value(w, row, place, value);
    }
  });
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_MATRIX_H_

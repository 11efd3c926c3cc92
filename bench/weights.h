// SPDX-License-Identifier: MIT
// Weights in any format. One that has no encoder gets random codes, which multiply as fast.
#ifndef TESSERA_BENCH_WEIGHTS_H_
#define TESSERA_BENCH_WEIGHTS_H_

#include <cstddef>
#include <cstring>
#include <random>
#include <span>
#include <stdexcept>

#include "tessera/tessera.h"

namespace bench {

/// `rows` rows of the values, dense.
inline void put_weights(std::span<const float> values, size_t rows, tessera::DType format,
                        std::byte* to) {
  const size_t k = values.size() / rows, bytes = *tessera::row_bytes(format, k);
  if (tessera::can_encode(format)) {
    const tessera::Status s =
        tessera::quantize(tessera::rows_of(values, rows, k), {to, rows, k, bytes, format});
    if (!s.ok()) throw std::runtime_error(s.message().c_str());
    return;
  }
  std::mt19937 random(3);
  tessera::visit_format(format, [&]<class F>(F) {
    if constexpr (tessera::SuperBlockFormat<F>) {
      for (std::byte* end = to + rows * bytes; to < end; to += sizeof(typename F::Block)) {
        typename F::Block block{};
        F::set_scales(block, 0x1p-12f, -0x1p-9f);
        for (size_t s = 0; s < F::kBlockValues / F::kSubValues; ++s) {
          F::set_sub_block(block, s, static_cast<int>(random() % 64),
                           static_cast<int>(random() % 64));
        }
        for (size_t i = 0; i < F::kBlockValues; ++i) {
          F::set_code(block, i, static_cast<int>(random() % (F::kMostCode + 1u)));
        }
        std::memcpy(to, &block, sizeof(block));
      }
    }
  });
}

}  // namespace bench

#endif  // TESSERA_BENCH_WEIGHTS_H_

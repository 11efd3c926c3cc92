// SPDX-License-Identifier: MIT
// f16: IEEE binary16, ggml type 1. Storage only: products are taken in f32.
#ifndef TESSERA_FORMAT_F16_H_
#define TESSERA_FORMAT_F16_H_

#include "tessera/base/half.h"
#include "tessera/format/format.h"

namespace tessera::inline v0_1 {

struct F16 {
  struct Block {
    f16_t value;
  };
  static constexpr DType kDType = DType::f16;
  static constexpr size_t kBlockValues = 1;
  static constexpr bool kIsBlock = false;

  static void decode(const Block& block, float* values) noexcept {
    *values = to_float(block.value);
  }
  static void encode(const float* values, Block& block) noexcept { block.value = to_f16(*values); }
};
static_assert(sizeof(F16::Block) == 2 && Format<F16>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_F16_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_F16_SIMD_) == (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_F16_SIMD_
#undef TESSERA_FORMAT_F16_SIMD_
#else
#define TESSERA_FORMAT_F16_SIMD_
#endif

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<F16> {
  static constexpr size_t kWordValues = 2;

  static HWY_INLINE VF load_values(DF df, const void* p) { return load_f16(df, p); }

  // Panel: [k / 2][2][nr] halves, the even ones first: a conversion instruction wants a vector of
  // halves that are neighbours, so the pairs of a row are parted here, once.
  static HWY_INLINE void store_words(VU words, void* unit, size_t nr, size_t lane) {
    const hn::Rebind<uint16_t, DF> dh;
    uint16_t* to = static_cast<uint16_t*>(unit) + lane;
    hn::StoreU(hn::TruncateTo(dh, words), dh, to);
    hn::StoreU(hn::TruncateTo(dh, hn::ShiftRight<16>(words)), dh, to + nr);
  }
  template <size_t kValue>
  static HWY_INLINE VF panel_value(DF df, const void* unit, size_t nr, size_t lane) {
    return load_f16(df, static_cast<const uint16_t*>(unit) + kValue * nr + lane);
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_F16_SIMD_
#endif  // TESSERA_SIMD_PASS

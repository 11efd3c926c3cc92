// SPDX-License-Identifier: MIT
// f32: IEEE binary32, ggml type 0.
#ifndef TESSERA_FORMAT_F32_H_
#define TESSERA_FORMAT_F32_H_

#include "tessera/format/format.h"

namespace tessera::inline v0_1 {

struct F32 {
  struct Block {
    float value;
  };
  static constexpr DType kDType = DType::f32;
  static constexpr size_t kBlockValues = 1;
  static constexpr bool kIsBlock = false;

  static void decode(const Block& block, float* values) noexcept { *values = block.value; }
  static void encode(const float* values, Block& block) noexcept { block.value = *values; }
};
static_assert(sizeof(F32::Block) == 4 && Format<F32>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_F32_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_F32_SIMD_) == (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_F32_SIMD_
#undef TESSERA_FORMAT_F32_SIMD_
#else
#define TESSERA_FORMAT_F32_SIMD_
#endif

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<F32> {
  static constexpr size_t kWordValues = 1;  // values of a row that one 32-bit word holds

  static HWY_INLINE VF load_values(DF df, const void* p) { return load_bytes(df, p); }

  // Panel: [k][nr] floats.
  static HWY_INLINE void store_words(VU words, void* unit, size_t /*nr*/, size_t lane) {
    hn::StoreU(words, DU(), static_cast<uint32_t*>(unit) + lane);
  }
  template <size_t kValue>
  static HWY_INLINE VF panel_value(DF df, const void* unit, size_t /*nr*/, size_t lane) {
    static_assert(kValue == 0);
    return hn::LoadU(df, static_cast<const float*>(unit) + lane);
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_F32_SIMD_
#endif  // TESSERA_SIMD_PASS

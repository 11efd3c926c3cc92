// SPDX-License-Identifier: MIT
// bf16: the upper half of an f32, ggml type 30. Rounded to nearest, ties to even; a NaN keeps its
// upper bits with one more set, so that it cannot turn into an infinity.
#ifndef TESSERA_FORMAT_BF16_H_
#define TESSERA_FORMAT_BF16_H_

#include "tessera/base/half.h"
#include "tessera/format/format.h"

namespace tessera::inline v0_1 {

struct BF16 {
  struct Block {
    bf16_t value;
  };
  static constexpr DType kDType = DType::bf16;
  static constexpr size_t kBlockValues = 1;
  static constexpr bool kIsBlock = false;

  static void decode(const Block& block, float* values) noexcept {
    *values = to_float(block.value);
  }
  static void encode(const float* values, Block& block) noexcept { block.value = to_bf16(*values); }
};
static_assert(sizeof(BF16::Block) == 2 && Format<BF16>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_FORMAT_BF16_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_BF16_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_BF16_SIMD_
#undef TESSERA_FORMAT_BF16_SIMD_
#else
#define TESSERA_FORMAT_BF16_SIMD_
#endif

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

template <>
struct SimdOf<BF16> {
  static constexpr size_t kWordValues = 2;

  static HWY_INLINE VF load_values(DF df, const void* p) {
    const hn::Rebind<uint16_t, DF> dh;
    return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(DU(), load_bytes(dh, p))));
  }

  // Panel: [k / 2][nr] words of two neighbours along k, the even one in the low half: what a bf16
  // dot instruction reads, and one shift or mask away from two vectors of f32.
  static HWY_INLINE void store_words(VU words, void* unit, size_t /*nr*/, size_t lane) {
    hn::StoreU(words, DU(), static_cast<uint32_t*>(unit) + lane);
  }
  template <size_t kValue>
  static HWY_INLINE VF panel_value(DF df, const void* unit, size_t /*nr*/, size_t lane) {
    const VU words = hn::LoadU(DU(), static_cast<const uint32_t*>(unit) + lane);
    if constexpr (kValue == 0) {
      return hn::BitCast(df, hn::ShiftLeft<16>(words));
    } else if constexpr (kRegisters == 16 && kLanes == 8) {
      // A mask is one register too many for a tile of 6 x 2 vectors: on AVX2, GCC gains half by two
      // shifts. SSE4, without instructions of three operands, loses.
      // (bench/sweeps/micro_kernels.tsv)
      return hn::BitCast(df, hn::ShiftLeft<16>(in_order(hn::ShiftRight<16>(words))));
    } else {
      return hn::BitCast(df, hn::And(words, hn::Set(DU(), 0xFFFF0000u)));
    }
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_BF16_SIMD_
#endif  // TESSERA_SIMD_PASS

// SPDX-License-Identifier: MIT
// Formats whose nibbles (nibble.h) are places in a table of 16 codes.
#ifndef TESSERA_FORMAT_TABLE_H_
#define TESSERA_FORMAT_TABLE_H_

#include "tessera/format/nibble.h"

#endif  // TESSERA_FORMAT_TABLE_H_

#if defined(TESSERA_SIMD_PASS)
#if defined(TESSERA_FORMAT_TABLE_SIMD_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_FORMAT_TABLE_SIMD_
#undef TESSERA_FORMAT_TABLE_SIMD_
#else
#define TESSERA_FORMAT_TABLE_SIMD_
#endif

#include "tessera/format/nibble.h"
#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// F::kCodes are unsigned; those that need eight bits are signed where dots take signed ones.
template <class F>
struct TableCodes : NibbleCodes {
  static constexpr bool kSigned = F::kMostCode > 127 &&
                                  (TESSERA_SIGNED_DOT || TESSERA_WIDENING_DOT);

  static constexpr bool kTilesUnpack = kLooksUpBytes;

  template <class Words>
  static HWY_INLINE VU quad(const Words& word, size_t quad) {
    const VU places = NibbleCodes::quad(word, quad);
#if TESSERA_ONE_LANE
    const uint32_t four = hn::GetLane(places);
    uint32_t codes = 0;
    for (int i = 0; i < 32; i += 8) {
      codes |= static_cast<uint32_t>(F::kCodes[(four >> i) & 15]) << i;
    }
    const VU out = hn::Set(DU(), codes);
#else
    const hn::Repartition<uint8_t, DU> d8;
    const auto table = hn::LoadDup128(d8, F::kCodes);
    const VU out = hn::BitCast(DU(), hn::TableLookupBytes(table, hn::BitCast(d8, places)));
#endif
    return kSigned ? hn::Xor(out, hn::Set(DU(), 0x80808080u)) : out;
  }
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_FORMAT_TABLE_SIMD_
#endif  // TESSERA_SIMD_PASS

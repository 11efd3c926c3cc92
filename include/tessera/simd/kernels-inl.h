// SPDX-License-Identifier: MIT
// A kernel ties together a tile, its matvec, how x is packed and what panels of W hold. Panel units
// are what pack_weights writes; where they are not what the tile reads, widen() makes those. The
// loops count depth in panel units, of kTileUnits units of the tile.
#if defined(TESSERA_SIMD_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_KERNELS_INL_H_
#undef TESSERA_SIMD_KERNELS_INL_H_
#else
#define TESSERA_SIMD_KERNELS_INL_H_
#endif

#include <type_traits>

#include "tessera/simd/matvec-inl.h"
#include "tessera/simd/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

template <class F>
struct FmaKernel {
  using Tile = FmaTile<F>;
  using Dot = FloatDot<FmaStep<F>>;
  using X = XAsF32;
  static constexpr const char* kName = "f32 fma";
  static constexpr size_t kPanelUnitBytes = Tile::kWUnitBytes;
  static constexpr size_t kTileUnits = 1;
  static constexpr bool kWidens = false;
  static constexpr size_t kAheadUnitBytes = Tile::kWUnitBytes, kAheadC = Tile::kAheadC;
  // Matvec and packing, Zen 4, GFLOP/s. n = k = 4096 from memory, f32: m = 32 101 and 79, m = 256
  // 109 and 107; f16 m = 32 109 and 83, m = 512 108 and 105. m x n x k, f32: 37 x 1000 x 992 107
  // and 101, 32 x 1536 x 576 96 and 91, 512 x 1536 x 576 97 and 107, 256^3 93 and 111; f16 110 and
  // 95, 101 and 94, 102 and 111, 92 and 111.
  static constexpr size_t kMatvecM = 16;
  // Emerald Rapids, 4096 x 4096, matvec and packing: f32 m = 32 100 and 94, m = 64 112 and 120, m =
  // 512 91 and 160.
  static constexpr size_t kMatvecDepth = kSapphireRapids ? 80 : kLanes == 16 ? 8 : 0;

  static void pack_panel(const PackWArgs& a, size_t first, size_t end, Range units, std::byte* to) {
    if (a.k_major) {
      pack_k_major_panel(a, first, end, units.begin, units.end, to);
    } else {
      pack_float_panel<F>(a, first, end, units.begin, units.end, to);
    }
  }
};

// A format narrower than f32: a panel that many tiles use is widened into the worker's memory once;
// for few tiles, Narrow widens as it multiplies. Both are exact.
template <class F>
struct WidenFloatKernel : FmaKernel<F> {
  using Narrow = FmaKernel<F>;
  using Tile = FmaTile<F32>;
  static constexpr size_t kTileUnits = Narrow::Tile::kUnitValues;
  static constexpr bool kWidens = true;
  // Panels of packed x up to which Narrow is faster. 16 halves are widened where they could be
  // multiplied, 8 of them, or bf16, are not. Zen 4, 4096 x 4096, GFLOP/s of Narrow and of this: f16
  // m = 25 100 and 100, m = 37 102 and 105, m = 64 102 and 107, m = 96 104 and 109; AVX2 m = 32 112
  // and 100; bf16 on AVX3 m = 32 109 and 103, m = 96 110 and 109.
  static constexpr size_t kNarrowPanels =
      std::is_same_v<F, F16> && kLanes == 16 && !kSapphireRapids ? 2 : 8;
  static constexpr size_t kAheadUnitBytes = Narrow::kPanelUnitBytes / kTileUnits, kAheadC = 1;

  static void widen(const std::byte* panel, size_t units, std::byte* to) {
    widen_float_panel<F>(panel, units, reinterpret_cast<float*>(to));
  }
};

#if TESSERA_BF16_DOT
struct Bf16Kernel : FmaKernel<BF16> {
  using Tile = Bf16Tile;
  using Dot = FloatDot<Bf16Step>;
  using X = XAsBf16;
  static constexpr const char* kName = "bf16 dot";
  // m = 64 207 and 188, m = 128 212 and 207, m = 256 215 and 218; 37 x 1000 x 992 177 and 198,
  // 32 x 1536 x 576 176 and 193.
  static constexpr size_t kMatvecDepth = kLanes == 16 ? 32 : 0;
};
#endif

template <class F, bool kCoarse = false>
struct Int8Kernel {
  using Tile = Int8Tile<F, kCoarse>;
  using Dot = Int8Dot<F, kCoarse>;
  using X = XAsQ8<typename Tile::Dots, F::kOffset, F::kHasMin, kCoarse>;
  static constexpr const char* kName = "int8 dot";
  static constexpr size_t kPanelUnitBytes = Tile::kWUnitBytes;
  static constexpr size_t kTileUnits = 1;
  static constexpr bool kWidens = false;
  static constexpr size_t kAheadUnitBytes = Tile::kWUnitBytes, kAheadC = Tile::kAheadC;
  // Zen 4, 4096 x 4096, matvec and packing: m = 12 q8_0 188 and 157 Gop/s, q4_0 229 and 188, q4_1
  // 224 and 171; m = 24 185 and 216, 230 and 243, 226 and 220.
  static constexpr size_t kMatvecM = 16;
  static constexpr size_t kMatvecDepth = 0;

  static void pack_panel(const PackWArgs& a, size_t first, size_t end, Range units, std::byte* to) {
    pack_block_panel<F>(a, first, end, units.begin, units.end, to);
  }
};

// Codes of four bits on CPUs where unpacking them takes the dot's time: a panel that many tiles use
// is unpacked into the worker's memory once. Two units do all that has 512 bits there: of 160
// instructions for a block of q4_0 in a tile of 6 rows, 96 are dots and 24 unpack. Emerald Rapids,
// n = k = 4096 packed, Gop/s, m = 512 and 128: q4_0 410 -> 436, 412 -> 425; q4_1 357 -> 369, 361 ->
// 379.
template <class F, bool kCoarse>
struct UnpackKernel : Int8Kernel<F, kCoarse> {
  using Narrow = Int8Kernel<F, kCoarse>;
  using Tile = Int8Tile<Unpacked<F>, kCoarse>;
  static constexpr bool kWidens = true;
  static constexpr size_t kNarrowPanels = 8;
  static constexpr size_t kAheadC = 1;

  static void widen(const std::byte* panel, size_t units, std::byte* to) {
    unpack_block_panel<F>(panel, units, to);
  }
};

// Block formats in f32: the same panels, widened into the worker's memory once per pass.
template <class F>
struct WidenKernel : Int8Kernel<F> {
  using Tile = FmaTile<F32>;
  using X = XAsF32;
  static constexpr const char* kName = "widen to f32, fma";
  static constexpr size_t kTileUnits = 32;
  static constexpr bool kWidens = true;
  static constexpr size_t kAheadUnitBytes = Int8Kernel<F>::kPanelUnitBytes / 32, kAheadC = 1;
  static constexpr size_t kMatvecM = 0;
  static constexpr size_t kMatvecDepth = 0;

  static void widen(const std::byte* panel, size_t units, std::byte* to) {
    widen_block_panel<F>(panel, units, reinterpret_cast<float*>(to));
  }
};

}  // namespace tessera::inline v0_1::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_KERNELS_INL_H_

// SPDX-License-Identifier: MIT
// The kernels of this instruction set: for every format on the list and each accuracy, one Kernel
// made of tiles, dots, how x is packed and what panels of W hold. A new kind of kernel is a
// function here that returns one.
#if defined(TESSERA_SIMD_KERNELS_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_KERNELS_INL_H_
#undef TESSERA_SIMD_KERNELS_INL_H_
#else
#define TESSERA_SIMD_KERNELS_INL_H_
#endif

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "tessera/simd/loops-inl.h"
#include "tessera/simd/matvec-inl.h"
#include "tessera/simd/matvec_loops-inl.h"
#include "tessera/simd/mmla_tile-inl.h"
#include "tessera/simd/small_dots-inl.h"
#include "tessera/simd/super_dot-inl.h"
#include "tessera/simd/tile-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// ---------------------------------------------------------------- parts of a kernel

template <class Tile, size_t P, size_t... C>
constexpr std::array<TileFn, sizeof...(C)> tiles_of_heights(std::index_sequence<C...>) {
  return {&Tile::template run<C + 1, P>...};
}
template <class Tile>
inline constexpr auto kTiles = tiles_of_heights<Tile, 1>(std::make_index_sequence<Tile::kMr>());
template <class Tile>
inline constexpr auto kPairTiles =
    tiles_of_heights<Tile, 2>(std::make_index_sequence<Tile::kPairRows>());

template <class Tile>
constexpr TileSet tile_set(size_t unit_values) {
  static_assert(Tile::kMr >= 1 && Tile::kMr <= kMostPanelRows && Tile::kPairRows <= Tile::kMr);
  TileSet tiles;
  tiles.run = kTiles<Tile>.data();
  tiles.run_pair = kPairTiles<Tile>.data();
  tiles.pair_rows = Tile::kPairRows;
  tiles.steps = unit_values / Tile::kStepValues;
  tiles.unit_bytes = tiles.steps * Tile::kStepBytes;
  return tiles;
}

template <class Dot, size_t... C>
constexpr std::array<DotFn, sizeof...(C)> few_dots(std::index_sequence<C...>) {
  return {&Dot::template run<Dot::few_rows(C + 1), C + 1>...};
}
template <class Dot, size_t... C>
constexpr std::array<DotFn, sizeof...(C)> many_dots(std::index_sequence<C...>) {
  return {&Dot::template run<Dot::kManyRowsOfW, C + 1>...};
}
template <class Dot, size_t... C>
constexpr std::array<uint8_t, sizeof...(C)> rows_of_few(std::index_sequence<C...>) {
  return {uint8_t{Dot::few_rows(C + 1)}...};
}
template <class Dot>
inline constexpr auto kFewDots = few_dots<Dot>(std::make_index_sequence<Dot::kFew>());
template <class Dot>
inline constexpr auto kManyDots = many_dots<Dot>(std::make_index_sequence<Dot::kMany>());
template <class Dot>
inline constexpr auto kRowsOfFew = rows_of_few<Dot>(std::make_index_sequence<Dot::kFew>());

template <class Dot>
constexpr DotSet dot_set() {
  static_assert(Dot::kFew <= kMostDotRows && Dot::kMany <= kMostDotRows);
  static_assert(kMatvecCols % Dot::kManyRowsOfW == 0 && Dot::few_rows(1) <= kMatvecCols);
  static_assert(Dot::kDepthStep % Dot::kValues == 0 && std::has_single_bit(Dot::kValues));
  DotSet dots;
  dots.few = kFewDots<Dot>.data();
  dots.few_rows = kRowsOfFew<Dot>.data();
  dots.few_count = Dot::kFew;
  dots.many = kManyDots<Dot>.data();
  dots.many_count = Dot::kMany;
  dots.many_rows = Dot::kManyRowsOfW;
  dots.depth_step = Dot::kDepthStep;
  dots.least_depth = Dot::kLeastDepth;
  dots.values = Dot::kValues;
  dots.bytes = Dot::kBytes;
  dots.x_bytes = Dot::kXBytes;
  dots.in_l1 = Dot::kXInL1;
  return dots;
}

// What all kernels of a format on tiles of one shape share.
template <class F, class Tile, class X>
constexpr Kernel kernel_of(Accuracy accuracy, size_t unit_values) {
  static_assert(X::kStepValues % Tile::kStepValues == 0 && kPiece % X::kStepValues == 0);
  Kernel kernel;
  kernel.w = F::kDType;
  kernel.accuracy = accuracy;
  kernel.vector_bytes = kLanes * sizeof(float);
  kernel.mr = Tile::kMr;
  kernel.nr = Tile::kNr;
  kernel.unit_values = unit_values;
  kernel.x = panel_layout<X>(unit_values);
  kernel.tiles = &tile_loops;
  return kernel;
}
template <class Dot, class X>
constexpr void add_matvec(Kernel& kernel) {
  kernel.x_single = single_layout<X>();
  kernel.dot = dot_set<Dot>();
  kernel.matvec = &matvec_loops;
}

// ---------------------------------------------------------------- the kernels

inline void pack_f32_panel(const PackWArgs& a) {
  a.k_major ? pack_k_major_panel<kPanelVectors>(a) : pack_float_panel<F32, kPanelVectors>(a);
}

// Float formats by f32 multiply-add. Of a narrower one, a panel that many tiles use is widened into
// the worker's memory once; for few tiles, the tile widens as it multiplies. Both are exact.
template <class F>
constexpr Kernel fma_kernel(Accuracy accuracy) {
  using Tile = FmaTile<F>;
  constexpr size_t kUnitValues = Tile::kStepValues;
  Kernel kernel = kernel_of<F, Tile, XAsF32>(accuracy, kUnitValues);
  kernel.name = "f32 fma";
  kernel.direct = tile_set<Tile>(kUnitValues);
  kernel.panel_unit_bytes = kernel.direct.unit_bytes;
  if constexpr (kUnitValues == 1) {
    kernel.kind = KernelKind::f32;
    kernel.pack_panel = &pack_f32_panel;
    kernel.strided = &strided_loops;
    kernel.strided_product = &any_strided_product;
    kernel.dots_product = &dots_product;
    kernel.turn = &turn;
  } else {
    kernel.kind = F::kDType == DType::f16 ? KernelKind::f16 : KernelKind::bf16;
    kernel.note = F::kDType == DType::f16       ? "f16 is storage: W is widened to f32"
                  : accuracy == Accuracy::exact ? "accuracy exact: the bf16 dot is not used"
                  : kTwoWideUnits
                      ? "f32 fma is faster than this CPU's bf16 dot: W is widened to f32"
                      : "no bf16 dot on this target: W is widened to f32";
    kernel.pack_panel = &pack_float_panel<F, kPanelVectors>;
    kernel.prepared = tile_set<FmaTile<F32>>(kUnitValues);
    kernel.prepared.prepare = &widen_float_panel<F, kPanelVectors>;
  }
  add_matvec<FloatDot<FmaStep<F>>, XAsF32>(kernel);
  return kernel;
}

#if TESSERA_BF16_DOT
constexpr Kernel bf16_kernel(Accuracy accuracy) {
  Kernel kernel = kernel_of<BF16, Bf16Tile, XAsBf16>(accuracy, Bf16Tile::kStepValues);
  kernel.name = "bf16 dot";
  kernel.kind = KernelKind::bf16_dot;
  kernel.direct = tile_set<Bf16Tile>(Bf16Tile::kStepValues);
  kernel.panel_unit_bytes = kernel.direct.unit_bytes;
  kernel.pack_panel = &pack_float_panel<BF16, kPanelVectors>;
  add_matvec<FloatDot<Bf16Step>, XAsBf16>(kernel);
  return kernel;
}
#endif

// Blocks by integer dots. Where unpacking codes takes the dot's time, a panel that many tiles use
// is unpacked into the worker's memory once, which gains 3 to 6 % on Emerald Rapids
// (bench/sweeps/micro_kernels.tsv) and, where bytes are multiplied in pairs, 8 to 25 %
// (bench/sweeps/pairs_unpacked.tsv); one of sub-blocks always is. Tiles do not unpack codes that a
// format says are slow to unpack, nor those of sub-blocks for coarse, which is for many rows.
template <class F, bool kCoarse>
constexpr bool tiles_unpack() {
  if constexpr (requires { SimdOf<F>::kTilesUnpack; }) return SimdOf<F>::kTilesUnpack;
  return !(SuperBlockFormat<F> && kCoarse);
}
template <class F>
inline constexpr bool kUnpacksOnce =
    !tiles_unpack<F, false>() || SuperBlockFormat<F> || (kHasBytePairs && !kHasQuadDot) ||
    (kUnpacksCodesOnce && F::kWords < 8);

template <class F>
constexpr KernelKind int8_kind() {
  if constexpr (SuperBlockFormat<F>) {
    return F::kMostCode == 15 ? KernelKind::super_blocks_of_4 : KernelKind::super_blocks;
  } else {
    return F::kWords == 8 || DotsOf<F>::kSteps == 2      ? KernelKind::codes_of_8
           : TraitsOfDots<DotsOf<F>>::kTakesTwoRegisters ? KernelKind::pairs_of_5
           : F::kMostCode == 15                          ? KernelKind::codes_of_4
                                                         : KernelKind::codes_of_5;
  }
}

template <class F, bool kCoarse>
constexpr Kernel int8_kernel(Accuracy accuracy) {
  using UnpackedTile = Int8Tile<Unpacked<F>, kCoarse>;
  using X = XAsQ8<OrderOf<typename UnpackedTile::Dots>, kCoarse, kSubBlocks<F>>;
  Kernel kernel = kernel_of<F, UnpackedTile, X>(accuracy, F::kBlockValues);
  kernel.name = "int8 dot";
  if (!kHasQuadDotInstruction) {
    kernel.note = "no instruction of this target adds four products of bytes: several do";
  }
  kernel.kind = int8_kind<F>();
  kernel.panel_unit_bytes = kBlockPanelBytes<F, kPanelVectors>;
  kernel.pack_panel = &pack_block_panel<F, kPanelVectors>;
  if constexpr (kUnpacksOnce<F>) {
    kernel.prepared = tile_set<UnpackedTile>(F::kBlockValues);
    kernel.prepared.prepare = &unpack_block_panel<F, kPanelVectors>;
  }
  using Lanes = std::conditional_t<SuperBlockFormat<F>, SuperLanes<F>, BlockLanes<F>>;
  add_matvec<BlockDot<Lanes>, typename Lanes::template X<kCoarse>>(kernel);
  kernel.x.aux = kernel.x_single.aux = {kDotOffset<F>, F::kHasMin};
  if constexpr (tiles_unpack<F, kCoarse>()) {
    using Tile = Int8Tile<F, kCoarse>;
    static_assert(std::is_same_v<typename Tile::Dots, typename UnpackedTile::Dots>);
    kernel.direct = tile_set<Tile>(F::kBlockValues);
  }
  return kernel;
}

#if TESSERA_I8MM
// The parent's kernel with other tiles, which read x in another order.
template <class F, bool kCoarse>
constexpr Kernel mmla_kernel(Accuracy accuracy) {
  using PairedTile = MmlaTile<Paired<Unpacked<F>>, kCoarse>;
  using X = XAsQ8<typename PairedTile::Dots, kCoarse, kSubBlocks<F>>;
  Kernel kernel = HWY_NAMESPACE::int8_kernel<F, kCoarse>(accuracy);
  static_assert(PairedTile::kNr ==
                HWY_NAMESPACE::Int8Tile<HWY_NAMESPACE::Unpacked<F>, kCoarse>::kNr);
  kernel.name = "int8 matrix product";
  kernel.mr = PairedTile::kMr;
  kernel.x = panel_layout<X>(F::kBlockValues);
  kernel.x.aux = {kDotOffset<F>, F::kHasMin};
  kernel.prepared = tile_set<PairedTile>(F::kBlockValues);
  kernel.prepared.prepare = &pair_block_panel<F, kPanelVectors>;
  kernel.direct = {};
  if constexpr (!SuperBlockFormat<F>) {
    using Tile = MmlaTile<F, kCoarse>;
    kernel.direct = tile_set<Tile>(Tile::kStepValues);
  }
  return kernel;
}
#endif

// Blocks in f32: the same packed panels, widened into the worker's memory once per pass.
template <class F>
constexpr Kernel widened_kernel(Accuracy accuracy) {
  using Tile = FmaTile<F32>;
  Kernel kernel = kernel_of<F, Tile, XAsF32>(accuracy, F::kBlockValues);
  kernel.name = "widen to f32, fma";
  kernel.note = "accuracy exact: W is widened, the int8 dot is not used";
  kernel.kind = KernelKind::blocks_as_f32;
  kernel.panel_unit_bytes = kBlockPanelBytes<F, kPanelVectors>;
  kernel.pack_panel = &pack_block_panel<F, kPanelVectors>;
  kernel.prepared = tile_set<Tile>(F::kBlockValues);
  kernel.prepared.prepare = &widen_block_panel<F, kPanelVectors>;
  return kernel;
}

// ---------------------------------------------------------------- the list

template <class F, Accuracy kAccuracy>
constexpr Kernel choose_kernel() {
  if constexpr (F::kIsBlock) {
    if constexpr (kAccuracy == Accuracy::exact) {
      return widened_kernel<F>(kAccuracy);
    } else {
#if TESSERA_I8MM
      return mmla_kernel<F, kAccuracy == Accuracy::coarse>(kAccuracy);
#else
      return int8_kernel<F, kAccuracy == Accuracy::coarse>(kAccuracy);
#endif
    }
#if TESSERA_BF16_DOT
  } else if constexpr (F::kDType == DType::bf16 && kAccuracy != Accuracy::exact) {
    return bf16_kernel(kAccuracy);
#endif
  } else {
    return fma_kernel<F>(kAccuracy);
  }
}

// Whether this instruction set has a kernel that the next lower one does not have as well.
template <class F, Accuracy kAccuracy>
constexpr bool is_listed() {
  constexpr bool kExact = kAccuracy == Accuracy::exact;
  switch (kLists) {
    case Lists::all:
      return true;
    case Lists::none:
      return false;
    case Lists::block_dots:
      return F::kIsBlock && !kExact;
    case Lists::bf16_dot:
      return F::kDType == DType::bf16 && !kExact;
    case Lists::all_dots:
      return !F::kIsBlock || !kExact;
  }
}

template <size_t kCount>
struct KernelList {
  Kernel kernels[kCount];
  size_t count = 0;

  template <class F, Accuracy kAccuracy>
  constexpr void add() {
    if constexpr (is_listed<F, kAccuracy>()) kernels[count++] = choose_kernel<F, kAccuracy>();
  }
};

template <class... F>
constexpr auto all_kernels(TypeList<F...>) {
  KernelList<3 * sizeof...(F)> list{};
  (list.template add<F, Accuracy::fast>(), ...);
  (list.template add<F, Accuracy::exact>(), ...);
  (list.template add<F, Accuracy::coarse>(), ...);
  return list;
}

// Static: two libraries in one program may be built with other targets and formats, so each has its
// own. Templates: who includes this file for a kernel of his own does not compile these.
template <class List>
static constexpr auto kKernels = all_kernels(List{});

template <class List>
constexpr InstructionSet instruction_set() {
  constexpr const auto& kList = kKernels<List>;
  static_assert(std::all_of(kList.kernels, kList.kernels + kList.count, is_sound));
  return {kTargetName, kRank, kLanes * sizeof(float), &runs_here, kList.kernels, kList.count};
}
template <class List>
static constexpr InstructionSet kInstructionSet = instruction_set<List>();

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_KERNELS_INL_H_

// SPDX-License-Identifier: MIT
// This target's KernelTable: an entry for every format on the list and each accuracy.
#if defined(TESSERA_SIMD_TABLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_SIMD_TABLE_INL_H_
#undef TESSERA_SIMD_TABLE_INL_H_
#else
#define TESSERA_SIMD_TABLE_INL_H_
#endif

#include <array>
#include <type_traits>

#include "tessera/simd/loops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::HWY_NAMESPACE {

template <class F, Accuracy kAccuracy>
constexpr auto choose_kernel() {
  if constexpr (F::kIsBlock) {
    if constexpr (kAccuracy == Accuracy::exact) {
      return std::type_identity<WidenKernel<F>>();
    } else {
      constexpr bool kCoarse = kAccuracy == Accuracy::coarse;
      if constexpr (kSapphireRapids && F::kCodeWords == 4) {
        return std::type_identity<UnpackKernel<F, kCoarse>>();
      } else {
        return std::type_identity<Int8Kernel<F, kCoarse>>();
      }
    }
#if TESSERA_BF16_DOT
  } else if constexpr (std::is_same_v<F, BF16> && kAccuracy != Accuracy::exact) {
    return std::type_identity<Bf16Kernel>();
#endif
  } else if constexpr (SimdOf<F>::kWordValues > 1) {
    return std::type_identity<WidenFloatKernel<F>>();
  } else {
    return std::type_identity<FmaKernel<F>>();
  }
}

// Why a kernel is not the fastest that its format could have.
template <class F, Accuracy kAccuracy>
constexpr const char* note() {
  if constexpr (F::kIsBlock && kAccuracy == Accuracy::exact) {
    return "accuracy exact: W is widened, the int8 dot is not used";
  } else if constexpr (std::is_same_v<F, BF16>) {
    if constexpr (kAccuracy == Accuracy::exact) return "accuracy exact: the bf16 dot is not used";
    if constexpr (TESSERA_BF16_DOT) return "";
    return kSapphireRapids ? "f32 fma is faster than this CPU's bf16 dot: W is widened to f32"
                           : "no bf16 dot on this target: W is widened to f32";
  } else if constexpr (std::is_same_v<F, F16>) {
    return "f16 is storage: W is widened to f32";
  } else {
    return "";
  }
}

template <class F, Accuracy kAccuracy>
constexpr KernelEntry make_entry() {
  using K = typename decltype(choose_kernel<F, kAccuracy>())::type;
  using Tile = typename K::Tile;
  KernelEntry e{};
  e.w = F::kDType;
  e.accuracy = kAccuracy;
  e.x = K::X::kKind;
  e.x_same = K::X::kSame;
  e.x_variant = K::X::kVariant;
  e.name = K::kName;
  e.note = note<F, kAccuracy>();
  e.shape = {Tile::kMr,
             kNr,
             K::kTileUnits * Tile::kUnitValues,
             K::kTileUnits * Tile::kWUnitBytes,
             K::kTileUnits * Tile::kXUnitBytes,
             K::X::kCopies,
             kSapphireRapids};
  e.panel_unit_bytes = K::kPanelUnitBytes;
  e.widens = K::kWidens;
  e.packed_row_values = K::X::kRowValues;
  e.matvec_row_values = K::X::kAloneValues;
  e.pack_x = &pack_x<typename K::X>;
  e.pack_w = &pack_w<K>;
  e.matmul = &matmul_rect<K>;
  if constexpr (K::kMatvecM > 0) {
    e.matvec_m = K::kMatvecM;
    e.matvec_depth = K::kMatvecDepth;
    e.pack_x_rows = &pack_x_rows<typename K::X>;
    e.matvec = &matvec_rect<K>;
  }
  return e;
}

template <class... F>
constexpr std::array<KernelEntry, 3 * sizeof...(F)> make_entries(TypeList<F...>) {
  return {make_entry<F, Accuracy::fast>()..., make_entry<F, Accuracy::exact>()...,
          make_entry<F, Accuracy::coarse>()...};
}

// Internal linkage, as impl/dispatch.h explains.
constexpr auto kEntries = make_entries(Formats{});

inline size_t vector_bytes() { return kLanes * sizeof(float); }

// The namespace is N_ and the target.
constexpr KernelTable kTable = {&HWY_STR(HWY_NAMESPACE)[2], HWY_TARGET, &vector_bytes,
                                kEntries.data(), kEntries.size()};

}  // namespace tessera::inline v0_1::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_TABLE_INL_H_

// SPDX-License-Identifier: MIT
// Loads and stores of f32 vectors that end in the middle.
#if defined(TESSERA_SIMD_FIRST_LANES_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_FIRST_LANES_INL_H_
#undef TESSERA_SIMD_FIRST_LANES_INL_H_
#else
#define TESSERA_SIMD_FIRST_LANES_INL_H_
#endif

#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// The first `count` values, up to Lanes(d), from or to an address of any alignment; loaded ones are
// followed by zeros. (A mask is made once: beside each load, it would take longer than that.)
template <class D = DF>
class FirstLanes {
  using V = hn::Vec<D>;

 public:
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  explicit HWY_INLINE FirstLanes(size_t count) : mask_(hn::FirstN(D(), count)) {}
  HWY_INLINE V load(const std::byte* p) const {
    return hn::MaskedLoad(mask_, D(), reinterpret_cast<const float*>(p));
  }
  HWY_INLINE void store(V v, std::byte* p) const {
    hn::BlendedStore(v, mask_, D(), reinterpret_cast<float*>(p));
  }

 private:
  hn::MFromD<D> mask_;
#else
  explicit HWY_INLINE FirstLanes(size_t count) : count_(count) {}
  HWY_INLINE V load(const std::byte* p) const {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
    return hn::LoadN(D(), reinterpret_cast<const float*>(p), count_);
#else
    alignas(64) std::byte copy[hn::MaxLanes(D()) * sizeof(float)] = {};
    std::memcpy(copy, p, count_ * sizeof(float));
    return load_bytes(D(), copy);
#endif
  }
  HWY_INLINE void store(V v, std::byte* p) const {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
    hn::StoreN(v, D(), reinterpret_cast<float*>(p), count_);
#else
    alignas(64) std::byte copy[hn::MaxLanes(D()) * sizeof(float)];
    store_bytes(v, D(), copy);
    std::memcpy(p, copy, count_ * sizeof(float));
#endif
  }

 private:
  size_t count_;
#endif
};

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_FIRST_LANES_INL_H_

// SPDX-License-Identifier: MIT
// Every compiled target that this CPU runs, one after the other, passed as an argument; one that it
// does not run is printed as skipped. And the other lists that tests walk.
#ifndef TESSERA_TESTS_SUPPORT_TARGETS_H_
#define TESSERA_TESTS_SUPPORT_TARGETS_H_

#include <cstdio>

#include "tessera/tessera.h"

namespace tessera::test {

template <class Visitor>
void for_each_target(const Visitor& visitor) {
  static bool has_said_so = false;
  for (const Target& target : targets()) {
    if (target.available) {
      visitor(target.name);
    } else if (!has_said_so) {
      std::printf("SKIPPED target %s: this CPU does not run it\n", target.name);
    }
  }
  has_said_so = true;
}

template <class Visitor, class... F>
void for_each_format(const Visitor& visitor, TypeList<F...>) {
  (visitor(F::kDType), ...);
}
template <class Visitor>
void for_each_format(const Visitor& visitor) {
  for_each_format(visitor, Formats{});
}

inline constexpr Accuracy kAccuracies[] = {Accuracy::fast, Accuracy::exact, Accuracy::coarse};
inline constexpr DType kXTypes[] = {DType::f32, DType::f16, DType::bf16};
inline constexpr DType kYTypes[] = {DType::f32, DType::f16, DType::bf16};
inline constexpr Activation kActivations[] = {Activation::none, Activation::relu, Activation::silu,
                                              Activation::gelu};

/// An f32 as an element of y holds it, as f32 again.
inline float rounded_to(DType y, float value) {
  if (y == DType::f16) return to_float(to_f16(value));
  return y == DType::bf16 ? to_float(to_bf16(value)) : value;
}

/// The tile of a plan on a target: what shapes are chosen around. Of a plan that is refused, which
/// its product then reports, 1 x 1.
struct Tile {
  size_t mr = 1, nr = 1;
};

inline Tile tile_of(DType w, const char* target, Accuracy accuracy) {
  const MatView none{nullptr, 0, 0, 0, w};
  const Result<Matmul> plan = Matmul::plan(none, DType::f32, {accuracy, target, {}});
  if (!plan.ok()) return {};
  return {plan->explain(1000).mr, plan->tile_cols()};
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_TARGETS_H_

// SPDX-License-Identifier: MIT
// What follows from a random case where it has several products: how rows of x are shared among
// them, and which W each has.
#ifndef TESSERA_TESTS_SUPPORT_CASE_PRODUCTS_H_
#define TESSERA_TESTS_SUPPORT_CASE_PRODUCTS_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "support/random.h"
#include "support/random_case.h"
#include "tessera/tessera.h"

namespace tessera::test {

/// How the m rows of a case are shared among equal products, and of each among rows at two strides.
struct BatchShape {
  size_t count, outer, inner;
};
inline BatchShape batch_shape(const RandomCase& c) {
  Rng rng(c.seed + 4);
  const auto divisor = [&rng](size_t of) {
    size_t d = 1 + rng.below(of == 0 ? 3 : std::min<size_t>(of, 9));
    while (of % d != 0) --d;
    return d;
  };
  const size_t count = divisor(c.m), outer = divisor(c.m / count);
  return {count, outer, c.m / count / outer};
}
/// Experts that there are, and that a row of x is said to go to.
struct ExpertShape {
  size_t count, chosen;
};
inline ExpertShape expert_shape(const RandomCase& c) {
  Rng rng(c.seed + 3);
  const size_t count = 1 + rng.below(3);
  return {count, 1 + rng.below(count)};
}
/// The W of each product of a case is W with its rows moved up, the first ones behind the last, by
/// so many: by one more for each product of a batch, each expert, and for up. This is for each row
/// of y; of up it is one more.
inline std::vector<size_t> w_shifts(const RandomCase& c) {
  std::vector<size_t> shifts(c.m);
  if (is_batched(c.door) && c.m > 0) {
    const size_t each = c.m / batch_shape(c).count;
    for (size_t i = 0; i < c.m; ++i) shifts[i] = i / each;
  }
  if (is_grouped(c.door)) {
    const size_t experts = expert_shape(c).count;
    Rng rng(c.seed + 5);
    for (size_t& s : shifts) s = rng.below(experts);
  }
  return shifts;
}
/// How gate and up of a case become one: as they are, or as gpt-oss has them.
inline Gating gating_of(const RandomCase& c) {
  Gating g;
  g.activation = c.epilogue.activation;
  if (c.seed % 2 == 0) {
    g.alpha = 1.702f;
    g.clips = true;
    g.limit = 7.0f;
    g.offset = 1.0f;
  }
  return g;
}
/// Rows of x that one product of the case has.
inline size_t product_rows(const RandomCase& c) {
  return is_batched(c.door) ? c.m / batch_shape(c).count : c.m;
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_CASE_PRODUCTS_H_

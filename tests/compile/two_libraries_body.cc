// SPDX-License-Identifier: MIT
// One of the two libraries; compiled twice, each time with other targets and formats. LIBRARY is a
// or b.
#include "tessera/impl.h"

#include "compile/two_libraries.h"

#define JOIN_TOKENS(a, b) a##b
#define JOIN(a, b) JOIN_TOKENS(a, b)

Library JOIN(library_, LIBRARY)() {
  return {HWY_STR(LIBRARY),
          tessera::detail::kSetCount,
          [] { return tessera::targets(); },
          [] { return tessera::default_target(); },
          [](const tessera::MatView& w, const char* target) {
            tessera::PlanOptions options;
            options.target = target;
            return tessera::Matmul::plan(w, tessera::DType::f32, options);
          },
          [](const tessera::MutMatView& y, const tessera::MatView& x, const tessera::MatView& w,
             const char* target) {
            tessera::PlanOptions options;
            options.target = target;
            return tessera::matmul(y, x, w, {}, tessera::serial(), options);
          }};
}

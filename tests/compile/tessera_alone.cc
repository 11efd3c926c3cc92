// SPDX-License-Identifier: MIT
// tessera/tessera.h by itself: compiled, not run, with every warning that the library promises to
// be free of, without exceptions and run-time type information. Its templates are used, so that
// their bodies are seen too.
#include "tessera/tessera.h"

#include <array>
#include <vector>

#if defined(HWY_HIGHWAY_INCLUDED) || defined(HIGHWAY_HWY_FOREACH_TARGET_H_)
#error "tessera/tessera.h must not include Highway"
#endif

namespace {

struct Visitor {
  size_t& bytes;
  template <class F>
  void operator()(F) const {
    bytes += sizeof(typename F::Block);
  }
};

}  // namespace

tessera::Status use_everything();

tessera::Status use_everything() {
  std::vector<float> x(64), y(4);
  std::array<float, 128> w = {};
  const std::array<tessera::bf16_t, 32> constant = {};
  float plain[32] = {};
  const tessera::MatView views[] = {tessera::rows_of(w, 2, 64), tessera::rows_of(constant, 1, 32),
                                    tessera::rows_of(plain, 4, 8)};
  size_t bytes = 0;
  tessera::visit_format(tessera::DType::q4_0, Visitor{bytes});
  const auto plan = tessera::Matmul::plan(views[0], tessera::DType::f32);
  if (!plan.ok()) return plan.status();
  std::vector<std::byte> scratch(plan->packed_x_bytes(1) + bytes);
  if (tessera::Status s = plan->pack(tessera::rows_of(x, 1, 64), scratch); !s.ok()) return s;
  tessera::Result<tessera::PackedWeights> packed = tessera::PackedWeights::pack(*plan);
  if (!packed) return packed.status();
  const tessera::StatusText text = plan->explain(1).text();
  if (text.c_str()[0] == '\0' || tessera::targets().empty()) return {};
  if (tessera::Status s = tessera::quantize(views[2], tessera::rows_of(x, 4, 8)); !s.ok()) return s;
  return tessera::matmul(tessera::rows_of(y, 2, 2), tessera::rows_of(w, 2, 64), views[0]);
}

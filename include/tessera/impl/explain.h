// SPDX-License-Identifier: MIT
// What a plan does, in words.
#ifndef TESSERA_IMPL_EXPLAIN_H_
#define TESSERA_IMPL_EXPLAIN_H_

#include "tessera/impl/matmul.h"

namespace tessera::inline v0_1 {
namespace detail {

inline const char* path_name(Path path, bool packed) noexcept {
  if (path == Path::matvec) return "matvec";
  if (path == Path::strided) return "matmul, x and W in place";
  if (path == Path::direct) return packed ? "matmul" : "matmul, W packed per call";
  return packed ? "matmul, panels prepared once"
                : "matmul, W packed per call, panels prepared once";
}

}  // namespace detail

TESSERA_IMPL Explanation Matmul::explain(size_t m) const noexcept {
  Explanation e;
  if (plan_.kernel == nullptr) return e;
  const Kernel& kernel = *plan_.kernel;
  const Geometry g = detail::geometry_of(plan_, m);
  const bool matvec = g.path == Path::matvec;
  // x without gaps between its rows, which begins at a multiple of a word.
  const size_t x_bytes = plan_.x_dtype == DType::f32 ? 4 : 2;
  const MatView x{nullptr, m, plan_.k, plan_.k * x_bytes, plan_.x_dtype};
  e.target = plan_.set->name;
  e.kernel = kernel.name;
  e.w = dtype_name(kernel.w);
  e.x = to_string(kernel.x.kind);
  e.borrows_x = can_borrow(plan_, g, x);
  e.path = detail::path_name(g.path, plan_.packed);
  e.note = kernel.note;
  e.mr = g.mr;
  e.nr = matvec ? 1 : kernel.nr;
  e.mc = matvec ? std::min(m, kMatvecRows) : g.blocking.mc;
  e.nc = matvec ? 1 : g.blocking.nc;
  e.kc = matvec ? plan_.k : std::min(plan_.k, g.blocking.kc_units * kernel.unit_values);
  e.packed = plan_.packed;
  return e;
}

TESSERA_IMPL StatusText Explanation::text() const noexcept {
  StatusText out;
  std::snprintf(out.text, sizeof(out.text),
                "%s: %s, W %s (%s), x %s%s; %s, tile %zu x %zu, mc %zu, nc %zu, kc %zu%s%s", target,
                kernel, w, packed ? "packed" : "in place", x, borrows_x ? " (in place)" : "", path,
                mr, nr, mc, nc, kc, note[0] != '\0' ? "; " : "", note);
  return out;
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_EXPLAIN_H_

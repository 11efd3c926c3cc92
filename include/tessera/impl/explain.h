// SPDX-License-Identifier: MIT
// What a plan does, in words.
#ifndef TESSERA_IMPL_EXPLAIN_H_
#define TESSERA_IMPL_EXPLAIN_H_

#include "tessera/impl/matmul.h"

namespace tessera::inline v0_1 {

TESSERA_IMPL Explanation Matmul::explain(size_t m) const noexcept {
  Explanation e;
  if (MatmulAccess::empty(*this)) return e;
  const bool matvec = m <= matvec_m_;
  const Blocking b = MatmulAccess::blocking(*this, m);
  e.target = table_->target;
  e.kernel = entry_->name;
  e.w = dtype_name(entry_->w);
  e.x = to_string(entry_->x);
  e.borrows_x = MatmulAccess::borrows(*this, MatmulAccess::dense_x(*this, m), false);
  e.path = matvec ? "matvec" : packed_ ? "matmul" : "matmul, W packed per call";
  e.note = entry_->note;
  e.mr = MatmulAccess::mr(*this, m);
  e.nr = matvec ? 1 : entry_->shape.nr;
  e.mc = matvec ? std::min(m, kMatvecMc) : b.mc;
  e.nc = matvec ? 1 : b.nc;
  e.kc = matvec ? k_ : std::min(k_, b.kc_units * entry_->shape.unit_values);
  e.packed = packed_;
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

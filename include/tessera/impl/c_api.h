// SPDX-License-Identifier: MIT
// Bodies of c_api.h, to be compiled once: by tessera::impl, or by a program, in the file that
// includes tessera/impl.h or in another one. They call the C++ API and nothing else.
#ifndef TESSERA_IMPL_C_API_H_
#define TESSERA_IMPL_C_API_H_

#include "tessera/impl/c_values.h"

namespace tessera::inline v0_1::detail {

// ---- What both sorts of plan do -----------------------------------------------------------------

// A plan, if there is one, into the caller's memory.
template <class P, class CPlan>
tessera_status c_plan(const Result<P>& plan, CPlan* to) noexcept {
  if (plan.ok()) to_c(*plan, to);
  return to_c(plan.status());
}

template <class P, class CPlan>
tessera_status c_pack_weights(const CPlan* plan, void* panels, size_t bytes,
                              const tessera_part* part) noexcept {
  P p;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok()) s = p.pack_weights(bytes_from_c(panels, bytes), part_from_c(part));
  return to_c(s);
}

template <class P, class CPlan>
tessera_status c_with_packed(const CPlan* plan, const void* panels, size_t bytes,
                             CPlan* packed) noexcept {
  P p;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok() && packed == nullptr) s = null_pointer("packed");
  return s.ok() ? c_plan(p.with_packed(bytes_from_c(panels, bytes)), packed) : to_c(s);
}

template <class P, class CPlan>
int c_shares_packed_x(const CPlan* plan, const CPlan* other) noexcept {
  P p, q;
  const bool both = plan_from_c(plan, "plan", p).ok() && plan_from_c(other, "other", q).ok();
  return both && p.shares_packed_x(q) ? 1 : 0;
}

template <class P, class CPlan>
tessera_status c_pack(const CPlan* plan, const tessera_view* x, void* packed_x,
                      size_t packed_x_bytes, const tessera_part* part) noexcept {
  P p;
  MatView view;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok()) s = view_from_c(x, "x", view);
  if (s.ok()) s = p.pack(view, bytes_from_c(packed_x, packed_x_bytes), part_from_c(part));
  return to_c(s);
}

// Runs what `run` does with a plan, a view of y and an epilogue.
template <class P, class E, class CPlan, class CEpilogue, class Run>
tessera_status c_run(const CPlan* plan, const tessera_mut_view* y, const CEpilogue* epilogue,
                     const Run& run) noexcept {
  P p;
  MutMatView view;
  E e;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok()) s = view_from_c(y, "y", view);
  if (s.ok()) s = epilogue_from_c(epilogue, e);
  if (s.ok()) s = run(p, view, e);
  return to_c(s);
}

// As functions of C they are the same in any namespace; GCC wants the visibility told again.
#define TESSERA_C_IMPL TESSERA_IMPL TESSERA_C
extern "C" {

// ---- Errors, formats, targets -------------------------------------------------------------------

TESSERA_C_IMPL const char* tessera_status_text(const tessera_status* status, char* text,
                                               size_t bytes) {
  if (status == nullptr) return write_text("status is a null pointer", text, bytes);
  Status s;
  if (!enum_from_c(status->code, s.code) || c_value(s.code) == -1) {
    return write_text("a status with a code that is unknown", text, bytes);
  }
  s.subject = status->subject == nullptr ? "" : status->subject;
  s.detail = status->detail == nullptr ? "" : status->detail;
  s.got = status->got;
  s.want = status->want;
  std::memcpy(s.name, status->name, sizeof(s.name) - 1);
  StatusText line = s.message();
  if (s.code == StatusCode::null_data && s.got == 0) {
    std::snprintf(line.text, sizeof(line.text), "%s is a null pointer", s.subject);
  }
  return write_text(line.c_str(), text, bytes);
}

TESSERA_C_IMPL const char* tessera_version(void) { return TESSERA_VERSION_STRING; }

TESSERA_C_IMPL const char* tessera_dtype_name(int32_t dtype) {
  DType t;
  return dtype_name(enum_from_c(dtype, t) ? t : DType{255});
}

TESSERA_C_IMPL int tessera_multiplies(int32_t dtype) {
  DType t;
  return enum_from_c(dtype, t) && multiplies(t) ? 1 : 0;
}

TESSERA_C_IMPL int tessera_supports(int32_t w_dtype, int32_t x_dtype) {
  DType w, x;
  return enum_from_c(w_dtype, w) && enum_from_c(x_dtype, x) && supports(w, x) ? 1 : 0;
}

TESSERA_C_IMPL int tessera_can_encode(int32_t dtype) {
  DType t;
  return enum_from_c(dtype, t) && can_encode(t) ? 1 : 0;
}

TESSERA_C_IMPL tessera_status tessera_row_bytes(int32_t dtype, size_t k, size_t* bytes) {
  if (bytes == nullptr) return to_c(null_pointer("bytes"));
  DType t;
  Status s = dtype_from_c(dtype, "format", t);
  if (s.ok()) {
    const Result<size_t> row = row_bytes(t, k);
    s = row.status();
    if (s.ok()) *bytes = *row;
  }
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_quantize(const tessera_view* src, const tessera_mut_view* dst,
                                               const tessera_part* part) {
  MatView from;
  MutMatView to;
  Status s = view_from_c(src, "src", from);
  if (s.ok()) s = view_from_c(dst, "dst", to);
  if (s.ok()) s = quantize(from, to, part_from_c(part));
  return to_c(s);
}

TESSERA_C_IMPL size_t tessera_targets(tessera_target* list, size_t capacity) {
  const std::span<const Target> all = targets();
  const size_t count = list == nullptr ? 0 : (min)(capacity, all.size());
  for (size_t i = 0; i < count; ++i) {
    list[i] = {all[i].name, all[i].available ? 1 : 0, all[i].vector_bytes};
  }
  return all.size();
}

TESSERA_C_IMPL const char* tessera_default_target(void) { return default_target(); }

// ---- Plans --------------------------------------------------------------------------------------

TESSERA_C_IMPL tessera_status tessera_make_plan(tessera_plan* plan, const tessera_view* w,
                                                int32_t x_dtype, const tessera_options* options) {
  if (plan == nullptr) return to_c(null_pointer("plan"));
  *plan = {};
  MatView view;
  DType x;
  PlanOptions with;
  Status s = view_from_c(w, "w", view);
  if (s.ok()) s = dtype_from_c(x_dtype, "x", x);
  if (s.ok()) s = options_from_c(options, with);
  return s.ok() ? c_plan(Matmul::plan(view, x, with), plan) : to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_make_shape_plan(tessera_plan* plan, size_t n, size_t k,
                                                      int32_t w_dtype, int32_t x_dtype,
                                                      const tessera_options* options) {
  if (plan == nullptr) return to_c(null_pointer("plan"));
  *plan = {};
  MatShape shape{n, k, {}};
  DType x;
  PlanOptions with;
  Status s = dtype_from_c(w_dtype, "w", shape.dtype);
  if (s.ok()) s = dtype_from_c(x_dtype, "x", x);
  if (s.ok()) s = options_from_c(options, with);
  return s.ok() ? c_plan(Matmul::plan(shape, x, with), plan) : to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_over(const tessera_plan* plan, const tessera_view* w,
                                           tessera_plan* over) {
  Matmul p;
  MatView view;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok()) s = view_from_c(w, "w", view);
  if (s.ok() && over == nullptr) s = null_pointer("over");
  return s.ok() ? c_plan(p.over(view), over) : to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_plan_sizes(const tessera_plan* plan, size_t m,
                                                 tessera_sizes* sizes) {
  Matmul p;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok() && sizes == nullptr) s = null_pointer("sizes");
  if (s.ok()) s = check_count(p.value(), m, p.packed_x_bytes(m));
  if (s.ok()) {
    *sizes = {p.packed_w_bytes(), p.packed_x_bytes(m), p.worker_bytes(m), p.tile_rows(m),
              p.tile_cols()};
  }
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_plan_parts(const tessera_plan* plan, size_t m, size_t workers,
                                                 size_t* pack_parts, size_t* run_parts) {
  Matmul p;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok() && pack_parts == nullptr) s = null_pointer("pack_parts");
  if (s.ok() && run_parts == nullptr) s = null_pointer("run_parts");
  if (s.ok()) {
    const PartCounts counts = p.parts(m, workers);
    *pack_parts = counts.pack;
    *run_parts = counts.run;
  }
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_pack_weights(const tessera_plan* plan, void* panels,
                                                   size_t bytes, const tessera_part* part) {
  return c_pack_weights<Matmul>(plan, panels, bytes, part);
}

TESSERA_C_IMPL tessera_status tessera_with_packed(const tessera_plan* plan, const void* panels,
                                                  size_t bytes, tessera_plan* packed) {
  return c_with_packed<Matmul>(plan, panels, bytes, packed);
}

TESSERA_C_IMPL int tessera_shares_packed_x(const tessera_plan* plan, const tessera_plan* other) {
  return c_shares_packed_x<Matmul>(plan, other);
}

TESSERA_C_IMPL tessera_status tessera_pack(const tessera_plan* plan, const tessera_view* x,
                                           void* packed_x, size_t packed_x_bytes,
                                           const tessera_part* part) {
  return c_pack<Matmul>(plan, x, packed_x, packed_x_bytes, part);
}

TESSERA_C_IMPL tessera_status tessera_run(const tessera_plan* plan, const void* packed_x,
                                          size_t packed_x_bytes, const tessera_mut_view* y,
                                          void* worker, size_t worker_bytes,
                                          const tessera_epilogue* epilogue,
                                          const tessera_part* part) {
  return c_run<Matmul, Epilogue>(plan, y, epilogue, [&](auto& p, auto& to, auto& e) {
    return p.run(bytes_from_c(packed_x, packed_x_bytes), to, bytes_from_c(worker, worker_bytes), e,
                 part_from_c(part));
  });
}

TESSERA_C_IMPL tessera_status tessera_run_rect(const tessera_plan* plan, const void* packed_x,
                                               size_t packed_x_bytes, const tessera_mut_view* y,
                                               void* worker, size_t worker_bytes,
                                               const tessera_epilogue* epilogue,
                                               const tessera_rect* rect) {
  return c_run<Matmul, Epilogue>(plan, y, epilogue, [&](auto& p, auto& to, auto& e) {
    if (rect == nullptr) return null_pointer("rect");
    return p.run_rect(bytes_from_c(packed_x, packed_x_bytes), to,
                      bytes_from_c(worker, worker_bytes), e,
                      {rect->row_begin, rect->row_end, rect->col_begin, rect->col_end});
  });
}

TESSERA_C_IMPL tessera_status tessera_explain(const tessera_plan* plan, size_t m, char* text,
                                              size_t bytes) {
  Matmul p;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok() && text == nullptr) s = null_pointer("text");
  if (s.ok()) s = check_count(p.value(), m, p.packed_x_bytes(m));
  if (s.ok()) write_text(p.explain(m).text().c_str(), text, bytes);
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_matmul(const tessera_mut_view* y, const tessera_view* x,
                                             const tessera_view* w,
                                             const tessera_epilogue* epilogue,
                                             const tessera_executor* executor,
                                             const tessera_options* options) {
  MutMatView to;
  MatView from, weights;
  Epilogue e;
  PlanOptions with;
  Executor threads;
  if (executor != nullptr) threads = {executor->run, executor->self, executor->workers};
  Status s = view_from_c(y, "y", to);
  if (s.ok()) s = view_from_c(x, "x", from);
  if (s.ok()) s = view_from_c(w, "w", weights);
  if (s.ok()) s = epilogue_from_c(epilogue, e);
  if (s.ok()) s = options_from_c(options, with);
  if (s.ok()) s = matmul(to, from, weights, e, threads, with);
  return to_c(s);
}

}  // extern "C"
}  // namespace tessera::inline v0_1::detail

#include "tessera/impl/c_products.h"
#include "tessera/impl/c_weights.h"

#endif  // TESSERA_IMPL_C_API_H_

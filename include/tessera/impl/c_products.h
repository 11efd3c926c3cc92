// SPDX-License-Identifier: MIT
// Bodies of c_products.h; impl/c_api.h includes it at its end.
#ifndef TESSERA_IMPL_C_PRODUCTS_H_
#define TESSERA_IMPL_C_PRODUCTS_H_

#include <limits>

#include "tessera/impl/c_api.h"

namespace tessera::inline v0_1::detail {

// Groups are turned into those of C++ so many at a time, on the stack.
inline constexpr size_t kGroupsAtOnce = 256;

// Calls each(some) for those of C, until it is not ok; once where there are none.
template <class Each>
Status for_groups(const tessera_expert_rows* list, size_t count, const Each& each) noexcept {
  if (list == nullptr && count != 0) return null_pointer("groups");
  const std::span<const tessera_expert_rows> groups(list, count);
  ExpertRows some[kGroupsAtOnce];
  size_t done = 0;
  do {
    const auto next = groups.subspan(done, (min)(groups.size() - done, kGroupsAtOnce));
    for (size_t i = 0; i < next.size(); ++i) {
      const tessera_expert_rows& group = next[i];
      some[i] = {group.expert,
                 {reinterpret_cast<const RowPair*>(group.pairs), group.count},
                 group.factors};
    }
    if (Status s = each(std::span<const ExpertRows>(some, next.size())); !s.ok()) return s;
    done += next.size();
  } while (done < groups.size());
  return {};
}

// Calls run(groups, part), a plan's run(), for those of C.
template <class Run>
Status run_groups(const tessera_expert_rows* groups, size_t count, const tessera_part* part,
                  const Run& run) noexcept {
  if (count > kGroupsAtOnce) {
    // Nothing is written unless all is right: a part of so many only checks.
    constexpr size_t kMany = (std::numeric_limits<size_t>::max)();
    const Part none{kMany - 1, kMany};
    const Status s = for_groups(groups, count, [&](auto some) { return run(some, none); });
    if (!s.ok()) return s;
  }
  return for_groups(groups, count, [&](auto some) { return run(some, part_from_c(part)); });
}

inline Status gating_from_c(const tessera_gating* gating, GatedEpilogue& to) noexcept {
  if (gating == nullptr) return {};
  to.gate_bias = gating->gate_bias;
  to.up_bias = gating->up_bias;
  to.gating.alpha = gating->alpha;
  to.gating.offset = gating->offset;
  to.gating.clips = gating->clips != 0;
  to.gating.limit = gating->limit;
  if (enum_from_c(gating->activation, to.gating.activation)) return {};
  return unknown_choice("activation", gating->activation, "Activation");
}

// Of two plans of one kind that share packed x: a caller packs x by either.
template <class Gated, class Single, class CPlan>
Status gated_from_c(const CPlan* gate, const CPlan* up, Gated& to) noexcept {
  Single g, u;
  Status s = plan_from_c(gate, "gate", g);
  if (s.ok()) s = plan_from_c(up, "up", u);
  if (!s.ok()) return s;
  const Result<Gated> both = Gated::plan(g, u);
  if (both.ok() && !g.shares_packed_x(u)) {
    return error(StatusCode::wrong_plan, "plan", 0, 0,
                 "gate and up take x packed in two ways: run them one after the other");
  }
  to = *both;
  return both.status();
}

inline Status batch_from_c(const tessera_batch* batch, BatchedMatmul& to) noexcept {
  if (batch == nullptr) return null_pointer("batch");
  Matmul first;
  if (Status s = plan_from_c(batch->first, "batch.first", first); !s.ok()) return s;
  const Result<BatchedMatmul> all = BatchedMatmul::plan(first, batch->count, batch->w_stride);
  to = *all;
  return all.status();
}

template <class CBatchView, class View>
Status view_from_c(const CBatchView* view, const char* name, BatchOf<View>& to) noexcept {
  if (view == nullptr) return null_pointer(name);
  to.stride = view->stride;
  to.outer = view->outer;
  to.outer_stride = view->outer_stride;
  return view_from_c(&view->inner, name, to.inner);
}

extern "C" {

// ---- Groups -------------------------------------------------------------------------------------

TESSERA_C_IMPL tessera_status tessera_make_group_plan(tessera_group_plan* plan,
                                                      const tessera_experts* experts, size_t chosen,
                                                      int32_t x_dtype,
                                                      const tessera_options* options) {
  if (plan == nullptr) return to_c(null_pointer("plan"));
  *plan = {};
  if (experts == nullptr) return to_c(null_pointer("experts"));
  MatView first;
  DType x;
  PlanOptions with;
  Status s = view_from_c(&experts->first, "w", first);
  if (s.ok()) s = dtype_from_c(x_dtype, "x", x);
  if (s.ok()) s = options_from_c(options, with);
  if (!s.ok()) return to_c(s);
  return c_plan(GroupedMatmul::plan({first, experts->count, experts->stride}, chosen, x, with),
                plan);
}

TESSERA_C_IMPL tessera_status tessera_group_sizes(const tessera_group_plan* plan, size_t tokens,
                                                  tessera_sizes* sizes) {
  GroupedMatmul p;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok() && sizes == nullptr) s = null_pointer("sizes");
  if (s.ok()) s = check_count(p.value().plan, tokens, p.packed_x_bytes(tokens));
  if (s.ok()) {
    *sizes = {p.packed_w_bytes(), p.packed_x_bytes(tokens), p.worker_bytes(tokens), 0, 0};
  }
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_group_pack_weights(const tessera_group_plan* plan,
                                                         void* panels, size_t bytes,
                                                         const tessera_part* part) {
  return c_pack_weights<GroupedMatmul>(plan, panels, bytes, part);
}

TESSERA_C_IMPL tessera_status tessera_group_with_packed(const tessera_group_plan* plan,
                                                        const void* panels, size_t bytes,
                                                        tessera_group_plan* packed) {
  return c_with_packed<GroupedMatmul>(plan, panels, bytes, packed);
}

TESSERA_C_IMPL int tessera_group_shares_packed_x(const tessera_group_plan* plan,
                                                 const tessera_group_plan* other) {
  return c_shares_packed_x<GroupedMatmul>(plan, other);
}

TESSERA_C_IMPL tessera_status tessera_group_pack(const tessera_group_plan* plan,
                                                 const tessera_view* x, void* packed_x,
                                                 size_t packed_x_bytes, const tessera_part* part) {
  return c_pack<GroupedMatmul>(plan, x, packed_x, packed_x_bytes, part);
}

TESSERA_C_IMPL tessera_status tessera_group_check(const tessera_group_plan* plan,
                                                  const tessera_view* x,
                                                  const tessera_expert_rows* groups,
                                                  size_t group_count, const tessera_mut_view* y,
                                                  const tessera_group_epilogue* epilogue) {
  return c_run<GroupedMatmul, GroupEpilogue>(plan, y, epilogue, [&](auto& p, auto& to, auto& e) {
    MatView from;
    if (Status s = view_from_c(x, "x", from); !s.ok()) return s;
    return for_groups(groups, group_count, [&](auto some) { return p.check(from, some, to, e); });
  });
}

TESSERA_C_IMPL tessera_status tessera_group_run(
    const tessera_group_plan* plan, const void* packed_x, size_t packed_x_bytes, size_t tokens,
    const tessera_expert_rows* groups, size_t group_count, const tessera_mut_view* y, void* worker,
    size_t worker_bytes, const tessera_group_epilogue* epilogue, const tessera_part* part) {
  return c_run<GroupedMatmul, GroupEpilogue>(plan, y, epilogue, [&](auto& p, auto& to, auto& e) {
    return run_groups(groups, group_count, part, [&](auto some, const Part& mine) {
      return p.run(bytes_from_c(packed_x, packed_x_bytes), tokens, some, to,
                   bytes_from_c(worker, worker_bytes), e, mine);
    });
  });
}

// ---- Gated layers -------------------------------------------------------------------------------

TESSERA_C_IMPL tessera_status tessera_gated_sizes(const tessera_plan* gate, const tessera_plan* up,
                                                  size_t m, tessera_sizes* sizes) {
  GatedMatmul p;
  Status s = gated_from_c<GatedMatmul, Matmul>(gate, up, p);
  if (s.ok() && sizes == nullptr) s = null_pointer("sizes");
  if (s.ok()) s = check_count(p.gate().value(), m, p.packed_x_bytes(m));
  if (s.ok()) {
    *sizes = {p.gate().packed_w_bytes() + p.up().packed_w_bytes(), p.packed_x_bytes(m),
              p.worker_bytes(m), p.gate().tile_rows(m), p.gate().tile_cols()};
  }
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_gated_check(const tessera_plan* gate, const tessera_plan* up,
                                                  const tessera_view* x, const tessera_mut_view* y,
                                                  const tessera_gating* gating) {
  GatedMatmul p;
  MatView from;
  MutMatView to;
  GatedEpilogue e;
  Status s = gated_from_c<GatedMatmul, Matmul>(gate, up, p);
  if (s.ok()) s = view_from_c(y, "y", to);
  if (s.ok()) s = gating_from_c(gating, e);
  if (s.ok()) s = view_from_c(x, "x", from);
  if (s.ok()) s = p.check(from, to, e);
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_gated_run(const tessera_plan* gate, const tessera_plan* up,
                                                const void* packed_x, size_t packed_x_bytes,
                                                const tessera_mut_view* y, void* worker,
                                                size_t worker_bytes, const tessera_gating* gating,
                                                const tessera_part* part) {
  GatedMatmul p;
  MutMatView view;
  GatedEpilogue e;
  Status s = gated_from_c<GatedMatmul, Matmul>(gate, up, p);
  if (s.ok()) s = view_from_c(y, "y", view);
  if (s.ok()) s = gating_from_c(gating, e);
  if (s.ok()) {
    s = p.run(bytes_from_c(packed_x, packed_x_bytes), view, bytes_from_c(worker, worker_bytes), e,
              part_from_c(part));
  }
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_gated_group_sizes(const tessera_group_plan* gate,
                                                        const tessera_group_plan* up, size_t tokens,
                                                        tessera_sizes* sizes) {
  GatedGroupedMatmul p;
  Status s = gated_from_c<GatedGroupedMatmul, GroupedMatmul>(gate, up, p);
  if (s.ok() && sizes == nullptr) s = null_pointer("sizes");
  if (s.ok()) s = check_count(p.gate().value().plan, tokens, p.packed_x_bytes(tokens));
  if (s.ok()) {
    *sizes = {p.gate().packed_w_bytes() + p.up().packed_w_bytes(), p.packed_x_bytes(tokens),
              p.worker_bytes(tokens), 0, 0};
  }
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_gated_group_check(
    const tessera_group_plan* gate, const tessera_group_plan* up, const tessera_view* x,
    const tessera_expert_rows* groups, size_t group_count, const tessera_mut_view* y,
    const tessera_gating* gating) {
  GatedGroupedMatmul p;
  MatView from;
  MutMatView to;
  GatedGroupEpilogue e;
  Status s = gated_from_c<GatedGroupedMatmul, GroupedMatmul>(gate, up, p);
  if (s.ok()) s = view_from_c(y, "y", to);
  if (s.ok()) s = gating_from_c(gating, e);
  if (s.ok()) s = view_from_c(x, "x", from);
  if (s.ok()) {
    s = for_groups(groups, group_count, [&](auto some) { return p.check(from, some, to, e); });
  }
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_gated_group_run(
    const tessera_group_plan* gate, const tessera_group_plan* up, const void* packed_x,
    size_t packed_x_bytes, size_t tokens, const tessera_expert_rows* groups, size_t group_count,
    const tessera_mut_view* y, void* worker, size_t worker_bytes, const tessera_gating* gating,
    size_t bias_stride, const tessera_part* part) {
  GatedGroupedMatmul p;
  MutMatView view;
  GatedGroupEpilogue e;
  e.bias_stride = bias_stride;
  Status s = gated_from_c<GatedGroupedMatmul, GroupedMatmul>(gate, up, p);
  if (s.ok()) s = view_from_c(y, "y", view);
  if (s.ok()) s = gating_from_c(gating, e);
  if (!s.ok()) return to_c(s);
  return to_c(run_groups(groups, group_count, part, [&](auto some, const Part& mine) {
    return p.run(bytes_from_c(packed_x, packed_x_bytes), tokens, some, view,
                 bytes_from_c(worker, worker_bytes), e, mine);
  }));
}

// ---- Batches ------------------------------------------------------------------------------------

TESSERA_C_IMPL tessera_status tessera_batch_sizes(const tessera_batch* batch, size_t m,
                                                  tessera_sizes* sizes) {
  BatchedMatmul p;
  Status s = batch_from_c(batch, p);
  if (s.ok() && sizes == nullptr) s = null_pointer("sizes");
  if (s.ok()) s = check_count(p.first().value(), p.count() == 0 ? 0 : m, p.packed_x_bytes(m));
  if (s.ok()) {
    *sizes = {p.first().packed_w_bytes(), p.packed_x_bytes(m), p.worker_bytes(m),
              p.first().tile_rows(m), p.first().tile_cols()};
  }
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_batch_check(const tessera_batch* batch,
                                                  const tessera_batch_view* x,
                                                  const tessera_mut_batch_view* y,
                                                  const tessera_epilogue* epilogue) {
  BatchedMatmul p;
  BatchView from;
  MutBatchView to;
  Epilogue e;
  Status s = batch_from_c(batch, p);
  if (s.ok()) s = view_from_c(y, "y", to);
  if (s.ok()) s = epilogue_from_c(epilogue, e);
  if (s.ok()) s = view_from_c(x, "x", from);
  if (s.ok()) s = p.check(from, to, e);
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_batch_pack(const tessera_batch* batch,
                                                 const tessera_batch_view* x, void* packed_x,
                                                 size_t packed_x_bytes, const tessera_part* part) {
  BatchedMatmul p;
  BatchView view;
  Status s = batch_from_c(batch, p);
  if (s.ok()) s = view_from_c(x, "x", view);
  if (s.ok()) s = p.pack(view, bytes_from_c(packed_x, packed_x_bytes), part_from_c(part));
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_batch_run(const tessera_batch* batch, const void* packed_x,
                                                size_t packed_x_bytes,
                                                const tessera_mut_batch_view* y, void* worker,
                                                size_t worker_bytes,
                                                const tessera_epilogue* epilogue,
                                                const tessera_part* part) {
  BatchedMatmul p;
  MutBatchView view;
  Epilogue e;
  Status s = batch_from_c(batch, p);
  if (s.ok()) s = view_from_c(y, "y", view);
  if (s.ok()) s = epilogue_from_c(epilogue, e);
  if (s.ok()) {
    s = p.run(bytes_from_c(packed_x, packed_x_bytes), view, bytes_from_c(worker, worker_bytes), e,
              part_from_c(part));
  }
  return to_c(s);
}

}  // extern "C"
}  // namespace tessera::inline v0_1::detail

#endif  // TESSERA_IMPL_C_PRODUCTS_H_

// SPDX-License-Identifier: MIT
#include "c_api/in_cpp.h"

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "tessera/tessera.h"

namespace {

using tessera::DType;

tessera::MatView view(const tessera_view& v) {
  return {v.data, v.rows, v.cols, v.row_stride, static_cast<DType>(v.dtype)};
}
tessera::MutMatView view(const tessera_mut_view& v) {
  return {v.data, v.rows, v.cols, v.row_stride, static_cast<DType>(v.dtype)};
}
tessera::PlanOptions options(const tessera_options& o) {
  tessera::PlanOptions to;
  to.accuracy = static_cast<tessera::Accuracy>(o.accuracy);
  to.borrow_x = o.borrow_x != 0;
  to.target = o.target;
  return to;
}
tessera::Epilogue epilogue(const tessera_epilogue& e) {
  return {e.scale,     e.beta,        e.bias, static_cast<tessera::Activation>(e.activation),
          e.row_scale, e.column_scale};
}

void copy(char* to, const tessera::StatusText& text) { std::memcpy(to, text.text, 320); }

}  // namespace

int product_in_cpp(const Product* p, tessera_sizes* sizes, char text[320]) {
  const auto made =
      tessera::Matmul::plan(view(p->w), static_cast<DType>(p->x.dtype), options(p->options));
  if (!made.ok()) return 0;
  tessera::Matmul plan = *made;
  std::vector<std::byte> panels(plan.packed_w_bytes());
  bool ok = true;
  if (p->packed_w != 0) {
    ok = plan.pack_weights(panels).ok();
    plan = *plan.with_packed(panels);
  }
  const size_t m = p->x.rows;
  *sizes = {plan.packed_w_bytes(), plan.packed_x_bytes(m), plan.worker_bytes(m), plan.tile_rows(m),
            plan.tile_cols()};
  copy(text, plan.explain(m).text());
  std::vector<std::byte> packed_x(plan.packed_x_bytes(m)), worker(plan.worker_bytes(m));
  for (size_t i = 0; i < p->parts; ++i)
    ok = ok && plan.pack(view(p->x), packed_x, {i, p->parts}).ok();
  for (size_t i = 0; i < p->parts; ++i) {
    ok = ok && plan.run(packed_x, view(p->y), worker, epilogue(p->epilogue), {i, p->parts}).ok();
  }
  return ok ? 1 : 0;
}

int matmul_in_cpp(const Product* p) {
  return tessera::matmul(view(p->y), view(p->x), view(p->w), epilogue(p->epilogue),
                         tessera::serial(), options(p->options))
                 .ok()
             ? 1
             : 0;
}

int quantize_in_cpp(const tessera_view* src, const tessera_mut_view* dst) {
  return tessera::quantize(view(*src), view(*dst)).ok() ? 1 : 0;
}

namespace {

// A plan for experts and its panels.
struct ExpertsPlan {
  ExpertsPlan(const tessera_experts& experts, size_t chosen, DType x, int packed_w) {
    const auto made = tessera::GroupedMatmul::plan(
        {view(experts.first), experts.count, experts.stride}, chosen, x);
    if (!made.ok()) return;
    plan = *made;
    panels.resize(plan.packed_w_bytes());
    if (packed_w == 0) return;
    ok = plan.pack_weights(panels).ok();
    plan = *plan.with_packed(panels);
  }
  tessera::GroupedMatmul plan;
  std::vector<std::byte> panels;
  bool ok = true;
};

// Groups as C++ has them.
struct Groups {
  Groups(const tessera_expert_rows* groups, size_t count) : pairs(count), rows(count) {
    for (size_t g = 0; g < count; ++g) {
      for (size_t i = 0; i < groups[g].count; ++i) {
        pairs[g].push_back({groups[g].pairs[i].x, groups[g].pairs[i].y});
      }
      rows[g] = {groups[g].expert, pairs[g], groups[g].factors};
    }
  }
  std::vector<std::vector<tessera::RowPair>> pairs;
  std::vector<tessera::ExpertRows> rows;
};

// Packs x and runs such a plan; w_bytes: of its panels.
template <class Plan, class Epilogue>
bool run_plan(const Plan& plan, size_t w_bytes, const tessera_view& x, const Groups& groups,
              const tessera_mut_view& y, const Epilogue& e, tessera_sizes* sizes) {
  *sizes = {w_bytes, plan.packed_x_bytes(x.rows), plan.worker_bytes(x.rows), 0, 0};
  std::vector<std::byte> packed_x(sizes->packed_x_bytes), worker(sizes->worker_bytes);
  return plan.pack(view(x), packed_x).ok() &&
         plan.run(packed_x, x.rows, groups.rows, view(y), worker, e).ok();
}

tessera::GatedEpilogue gated_epilogue(const tessera_gating& g) {
  return {
      g.gate_bias,
      g.up_bias,
      {static_cast<tessera::Activation>(g.activation), g.alpha, g.offset, g.clips != 0, g.limit}};
}

}  // namespace

int group_in_cpp(const tessera_experts* experts, size_t chosen, int packed_w, const tessera_view* x,
                 const tessera_expert_rows* groups, size_t count, const tessera_mut_view* y,
                 const tessera_group_epilogue* e, tessera_sizes* sizes) {
  const ExpertsPlan p(*experts, chosen, static_cast<DType>(x->dtype), packed_w);
  const tessera::GroupEpilogue as_cpp{epilogue(e->common), e->bias_stride, e->column_scale_stride};
  return p.ok && run_plan(p.plan, p.plan.packed_w_bytes(), *x, Groups(groups, count), *y, as_cpp,
                          sizes)
             ? 1
             : 0;
}

int gated_group_in_cpp(const tessera_experts* experts, size_t chosen, int packed_w,
                       const tessera_view* x, const tessera_expert_rows* groups, size_t count,
                       const tessera_mut_view* y, const tessera_gating* g, size_t bias_stride,
                       tessera_sizes* sizes) {
  const ExpertsPlan p(*experts, chosen, static_cast<DType>(x->dtype), packed_w);
  const auto plan = tessera::GatedGroupedMatmul::plan(p.plan, p.plan);
  const tessera::GatedGroupEpilogue e{gated_epilogue(*g), bias_stride};
  return p.ok && plan.ok() &&
                 run_plan(*plan, 2 * p.plan.packed_w_bytes(), *x, Groups(groups, count), *y, e,
                          sizes)
             ? 1
             : 0;
}

int gated_in_cpp(const tessera_view* gate, const tessera_view* up, int packed_w,
                 const tessera_view* x, const tessera_mut_view* y, const tessera_gating* g,
                 tessera_sizes* sizes) {
  tessera::Matmul plans[2];
  std::vector<std::byte> panels[2];
  const tessera_view* w[2] = {gate, up};
  size_t w_bytes = 0;
  bool ok = true;
  for (size_t i = 0; i < 2; ++i) {
    plans[i] = *tessera::Matmul::plan(view(*w[i]), DType::f32);
    panels[i].resize(plans[i].packed_w_bytes());
    w_bytes += plans[i].packed_w_bytes();
    if (packed_w == 0) continue;
    ok = ok && plans[i].pack_weights(panels[i]).ok();
    plans[i] = *plans[i].with_packed(panels[i]);
  }
  const auto plan = tessera::GatedMatmul::plan(plans[0], plans[1]);
  const size_t m = x->rows;
  *sizes = {w_bytes, plan->packed_x_bytes(m), plan->worker_bytes(m), plans[0].tile_rows(m),
            plans[0].tile_cols()};
  std::vector<std::byte> packed_x(sizes->packed_x_bytes), worker(sizes->worker_bytes);
  const tessera::GatedEpilogue e = gated_epilogue(*g);
  return ok && plan.ok() && plan->pack(view(*x), packed_x).ok() &&
                 plan->run(packed_x, view(*y), worker, e).ok()
             ? 1
             : 0;
}

int batch_in_cpp(const tessera_view* w, size_t count, size_t w_stride, const tessera_batch_view* x,
                 const tessera_mut_batch_view* y, const float* bias, tessera_sizes* sizes) {
  const auto first = tessera::Matmul::plan(view(*w), DType::f32);
  const auto plan = tessera::BatchedMatmul::plan(*first, count, w_stride);
  const size_t m = x->outer * x->inner.rows;
  *sizes = {first->packed_w_bytes(), plan->packed_x_bytes(m), plan->worker_bytes(m),
            first->tile_rows(m), first->tile_cols()};
  std::vector<std::byte> packed_x(sizes->packed_x_bytes), worker(sizes->worker_bytes);
  tessera::Epilogue e;
  e.bias = bias;
  const tessera::BatchView from{view(x->inner), x->stride, x->outer, x->outer_stride};
  const tessera::MutBatchView to{view(y->inner), y->stride, y->outer, y->outer_stride};
  return plan.ok() && plan->pack(from, packed_x).ok() && plan->run(packed_x, to, worker, e).ok()
             ? 1
             : 0;
}

int kept_in_cpp(const tessera_view* w, size_t cut, void* panels, size_t bytes, size_t first,
                const tessera_mut_view* rows, tessera_layout* layout) {
  const auto plan = tessera::Matmul::plan(view(*w), DType::f32);
  if (!plan.ok()) return 0;
  const std::span<std::byte> to(static_cast<std::byte*>(panels), bytes);
  tessera::MatView head = view(*w), tail = head;
  head.rows = cut;
  tail.rows -= cut;
  tail.data = static_cast<const std::byte*>(w->data) + cut * w->row_stride;
  const tessera::LayoutId id = plan->layout_id();
  std::memcpy(layout, &id, sizeof(id));
  return plan->pack_rows(tail, cut, to).ok() && plan->pack_rows(head, 0, to).ok() &&
                 plan->unpack_rows(to, first, view(*rows)).ok()
             ? 1
             : 0;
}

namespace {

struct Entries {
  Entries(const tessera_view& w, const tessera_experts& e)
      : list{tessera::panel_entry(*tessera::Matmul::plan(view(w), DType::f32)),
             tessera::panel_entry(
                 *tessera::GroupedMatmul::plan({view(e.first), e.count, e.stride}, 1, DType::f32))},
        bytes(tessera::place_panels(list)) {}
  tessera::PanelEntry list[2];
  size_t bytes;
};

}  // namespace

size_t panel_file_in_cpp(const tessera_view* w, const tessera_experts* experts, uint64_t source,
                         tessera_panels entries[2], tessera_panel_head* head) {
  const Entries all(*w, *experts);
  const tessera::PanelFileHead first = tessera::panel_file_head(all.list, source);
  std::memcpy(entries, all.list, sizeof(all.list));
  std::memcpy(head, &first, sizeof(first));
  return all.bytes;
}

void check_panel_file_in_cpp(const void* file, size_t bytes, const tessera_view* w,
                             const tessera_experts* experts, uint64_t source, char text[320]) {
  const Entries all(*w, *experts);
  copy(text,
       tessera::check_panel_file({static_cast<const std::byte*>(file), bytes}, all.list, source)
           .message());
}

uint64_t hash_in_cpp(const void* data, size_t bytes, uint64_t before) {
  return tessera::hash_bytes({static_cast<const std::byte*>(data), bytes}, before);
}

size_t small_parts_in_cpp(size_t n, size_t k, size_t m, size_t workers) {
  return tessera::Matmul::plan(tessera::MatShape{n, k, DType::f32}, DType::f32)
      ->small_parts(m, workers);
}

void scratch_in_cpp(size_t n, size_t k, size_t most_rows, size_t workers,
                    tessera_scratch_sizes* sizes) {
  const auto plan = tessera::Matmul::plan(tessera::MatShape{n, k, DType::f32}, DType::f32);
  const tessera::ScratchSizes all = *plan->scratch(most_rows, workers);
  *sizes = {all.packed_x_bytes, all.worker_bytes, all.bytes};
}

int advise_huge_pages_in_cpp(void* memory, size_t bytes) {
  return tessera::advise_huge_pages({static_cast<std::byte*>(memory), bytes}) ? 1 : 0;
}

void check_in_cpp(const tessera_view* w, const tessera_view* x, const tessera_mut_view* y,
                  const tessera_epilogue* e, char text[320]) {
  const auto plan = tessera::Matmul::plan(view(*w), DType::f32);
  copy(text, plan->check(view(*x), view(*y), epilogue(*e)).message());
}

void partial_block_in_cpp(size_t k, char text[320]) {
  copy(text, tessera::row_bytes(DType::q4_0, k).status().message());
}

const char* dtype_name_in_cpp(int id) { return tessera::dtype_name(static_cast<DType>(id)); }
int multiplies_in_cpp(int id) { return tessera::multiplies(static_cast<DType>(id)) ? 1 : 0; }
int supports_in_cpp(int w, int x) {
  return tessera::supports(static_cast<DType>(w), static_cast<DType>(x)) ? 1 : 0;
}

const char* target_in_cpp(size_t index, int* available) {
  if (index >= tessera::targets().size()) return nullptr;
  *available = tessera::targets()[index].available ? 1 : 0;
  return tessera::targets()[index].name;
}

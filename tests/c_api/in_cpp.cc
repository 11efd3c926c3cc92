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

int group_in_cpp(const tessera_experts* experts, size_t chosen, int packed_w, const tessera_view* x,
                 const tessera_expert_rows* groups, size_t count, const tessera_mut_view* y,
                 const tessera_group_epilogue* e, tessera_sizes* sizes) {
  const auto made =
      tessera::GroupedMatmul::plan({view(experts->first), experts->count, experts->stride}, chosen,
                                   static_cast<DType>(x->dtype));
  if (!made.ok()) return 0;
  tessera::GroupedMatmul plan = *made;
  std::vector<std::byte> panels(plan.packed_w_bytes());
  bool ok = true;
  if (packed_w != 0) {
    ok = plan.pack_weights(panels).ok();
    plan = *plan.with_packed(panels);
  }
  *sizes = {plan.packed_w_bytes(), plan.packed_x_bytes(x->rows), plan.worker_bytes(x->rows), 0, 0};
  std::vector<std::byte> packed_x(plan.packed_x_bytes(x->rows)), worker(plan.worker_bytes(x->rows));
  std::vector<std::vector<tessera::RowPair>> pairs(count);
  std::vector<tessera::ExpertRows> rows(count);
  for (size_t g = 0; g < count; ++g) {
    for (size_t i = 0; i < groups[g].count; ++i) {
      pairs[g].push_back({groups[g].pairs[i].x, groups[g].pairs[i].y});
    }
    rows[g] = {groups[g].expert, pairs[g], groups[g].factors};
  }
  return ok && plan.pack(view(*x), packed_x).ok() &&
                 plan.run(packed_x, x->rows, rows, view(*y), worker,
                          {epilogue(e->common), e->bias_stride, e->column_scale_stride})
                     .ok()
             ? 1
             : 0;
}

void partial_block_in_cpp(size_t k, char text[320]) {
  copy(text, tessera::row_bytes(DType::q4_0, k).status().message());
}

const char* dtype_name_in_cpp(int id) { return tessera::dtype_name(static_cast<DType>(id)); }
int multiplies_in_cpp(int id) { return tessera::multiplies(static_cast<DType>(id)) ? 1 : 0; }

const char* target_in_cpp(size_t index, int* available) {
  if (index >= tessera::targets().size()) return nullptr;
  *available = tessera::targets()[index].available ? 1 : 0;
  return tessera::targets()[index].name;
}

// SPDX-License-Identifier: MIT
// Tessera in ggml's CPU backend: all of llama.cpp, with the products of this library.
//
// This file becomes a part of ggml's library ggml-cpu (ggml_adapter.cmake adds it; no file of ggml
// changes). It enters itself as one of that library's extra buffer types, which ggml asks about
// each operation before it does it itself. So it gets
//   - MUL_MAT and MUL_MAT_ID whose weights lie in ordinary memory, such as a mapped file: in place;
//   - weights that are loaded into its buffers, where they are packed once ("--repack", the default
//     of llama.cpp; "--no-repack" leaves all in place).
// What the library has no format for, a layout that it does not take, and ggml's reference mode are
// left to ggml. That is decided from the operation alone, before anything is packed, so that all
// threads decide alike.
//
// Environment: TESSERA_GGML=off leaves everything to ggml. TESSERA_GGML_STATS=1 prints at exit how
// many products were taken and left.
//
// Written against llama.cpp b11549. These headers of ggml are internal and may change.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ggml-backend-impl.h"
#include "ggml-cpu.h"
#include "tessera/tessera.h"
#include "tiled/tiled.h"
#include "traits.h"

namespace {

using tessera::BatchedMatmul;
using tessera::BatchView;
using tessera::DType;
using tessera::ExpertRows;
using tessera::GroupedMatmul;
using tessera::Matmul;
using tessera::MatShape;
using tessera::MatView;
using tessera::MutBatchView;
using tessera::MutMatView;
using tessera::Result;
using tessera::RowPair;
using tessera::Status;

ggml_backend_buffer_type_t packed_buffer_type();

size_t size(int64_t v) { return static_cast<size_t>(v); }
constexpr size_t kAlign = tessera::kScratchAlign;
size_t aligned(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
DType dtype(const ggml_tensor* t) { return static_cast<DType>(t->type); }  // ids are ggml's

bool is_packed(const ggml_tensor* w) {
  return w->buffer != nullptr && w->buffer->buft == packed_buffer_type();
}

// Whether values of this tensor lie in memory as ggml's format says.
bool is_plain(const ggml_tensor* t) {
  return t->buffer == nullptr || ggml_backend_buft_is_host(t->buffer->buft);
}

// The rows of the first matrix of a tensor.
MatView rows_of(const ggml_tensor* t) {
  return {t->data, size(t->ne[1]), size(t->ne[0]), t->nb[1], dtype(t)};
}
MutMatView mutable_rows_of(ggml_tensor* t) {
  return {t->data, size(t->ne[1]), size(t->ne[0]), t->nb[1], dtype(t)};
}

// The plan for weights of this shape and format. x stays as it is until ggml's next operation.
Result<Matmul> plan_of(const ggml_tensor* w, const ggml_tensor* x) {
  tessera::PlanOptions options;
  options.borrow_x = true;
  return Matmul::plan(MatShape{size(w->ne[1]), size(w->ne[0]), dtype(w)}, dtype(x), options);
}

// The plan that packs weights of this shape, for any x.
Result<Matmul> packing_of(const ggml_tensor* w) {
  return Matmul::plan(MatShape{size(w->ne[1]), size(w->ne[0]), dtype(w)}, DType::f32);
}

// Bytes of the panels of each matrix of a tensor, which lie one after the other; 0 if there is no
// such format.
size_t matrices(const ggml_tensor* w) { return size(w->ne[2] * w->ne[3]); }
size_t panel_bytes(const ggml_tensor* w) {
  const auto plan = packing_of(w);
  return plan.ok() ? plan->packed_w_bytes() : 0;
}

// For calls whose arguments were checked before: that they fail is a bug, and other threads may be
// past the point where they could leave the product to ggml.
void must(const Status& status) {
  if (!status.ok()) GGML_ABORT("tessera: %s", status.message().c_str());
}

// The memory that ggml gives an operation: packed x, then as many bytes for each thread.
struct Work {
  std::byte* data;
  size_t bytes;

  explicit Work(const ggml_compute_params* params)
      : data(static_cast<std::byte*>(params->wdata)), bytes(params->wsize) {
    const size_t gap =
        aligned(reinterpret_cast<uintptr_t>(data)) - reinterpret_cast<uintptr_t>(data);
    data += std::min(gap, bytes);
    bytes -= std::min(gap, bytes);
  }
  std::span<std::byte> at(size_t offset, size_t length) const { return {data + offset, length}; }
};

// Runs run(i) for each i < count, each on the thread that comes first. ggml's counter of chunks was
// set to the number of threads before the last barrier.
template <class Run>
void share(const ggml_compute_params* params, size_t count, const Run& run) {
  for (size_t i = size(params->ith); i < count;) {
    run(i);
    i = params->nth == 1 ? i + 1 : size(ggml_threadpool_chunk_add(params->threadpool, 1));
  }
}

void barrier(const ggml_compute_params* params) {
  if (params->ith == 0) ggml_threadpool_chunk_set(params->threadpool, params->nth);
  ggml_barrier(params->threadpool);
}

// A thread that comes first takes another part: with four for each, one that the system holds up
// keeps the others waiting for an eighth of the work only.
size_t small_parts(int threads) { return threads == 1 ? 1 : 4 * size(threads); }

// ---- MUL_MAT ------------------------------------------------------------------------------------
//
// src[0] W[k, n, w2, w3], src[1] x[k, m, x2, x3], y[n, m, x2, x3], first dimension innermost. x2
// and x3 are multiples of w2 and w3: so many matrices of x one after the other have the same W, as
// the heads of attention do that share keys. For each of x3 that is a batch of w2 products, whose
// rows are the m rows of each of those matrices.

struct Product {
  BatchedMatmul batch;
  size_t heads = 1;   // matrices of x for each W
  size_t rows = 0;    // of x for each W
  size_t slices = 1;  // batches
  size_t packed_bytes = 0, worker_bytes = 0;

  size_t work_bytes(int threads) const {
    return slices * packed_bytes + size(threads) * worker_bytes;
  }
};

// The batch of one slice, over its weights.
Result<BatchedMatmul> batch_of(const ggml_tensor* op, size_t slice) {
  const ggml_tensor *w = op->src[0], *x = op->src[1];
  const auto shape = plan_of(w, x);
  if (!shape.ok()) return shape.status();
  const size_t w3 = slice / size(x->ne[3] / w->ne[3]), count = size(w->ne[2]);
  const auto* data = static_cast<const std::byte*>(w->data);
  if (is_packed(w)) {
    const size_t each = panel_bytes(w);
    const auto first = shape->with_packed({data + w3 * count * each, each});
    return first.ok() ? BatchedMatmul::plan(*first, count, each) : first.status();
  }
  MatView view = rows_of(w);
  view.data = data + w3 * w->nb[3];
  const auto first = shape->over(view);
  return first.ok() ? BatchedMatmul::plan(*first, count, w->nb[2]) : first.status();
}

BatchView x_of(const ggml_tensor* op, const Product& p, size_t slice) {
  const ggml_tensor* x = op->src[1];
  MatView inner = rows_of(x);
  inner.data = static_cast<const std::byte*>(x->data) + slice * x->nb[3];
  return {inner, p.heads * x->nb[2], p.heads, x->nb[2]};
}

MutBatchView y_of(ggml_tensor* y, const Product& p, size_t slice) {
  MutMatView inner = mutable_rows_of(y);
  inner.data = static_cast<std::byte*>(y->data) + slice * y->nb[3];
  return {inner, p.heads * y->nb[2], p.heads, y->nb[2]};
}

Result<Product> product_of(const ggml_tensor* op) {
  const ggml_tensor *w = op->src[0], *x = op->src[1];
  const auto batch = batch_of(op, 0);
  if (!batch.ok()) return batch.status();
  Product p;
  p.batch = *batch;
  p.heads = size(x->ne[2] / w->ne[2]);
  p.rows = p.heads * size(x->ne[1]);
  p.slices = size(x->ne[3]);
  p.packed_bytes = aligned(p.batch.packed_x_bytes(p.rows));
  p.worker_bytes = aligned(p.batch.worker_bytes(p.rows));
  return p;
}

void mul_mat(const ggml_compute_params* params, ggml_tensor* op, const Product& p,
             const Work& work) {
  const size_t ith = size(params->ith), nth = size(params->nth);
  const tessera::PartCounts parts = p.batch.parts(p.rows, small_parts(params->nth));
  const size_t packers = std::min(parts.pack, nth);
  const auto packed = [&](size_t slice) { return work.at(slice * p.packed_bytes, p.packed_bytes); };
  for (size_t slice = 0; slice < p.slices && ith < packers; ++slice) {
    must(p.batch.pack(x_of(op, p, slice), packed(slice), {ith, packers}));
  }
  barrier(params);
  const auto worker = work.at(p.slices * p.packed_bytes + ith * p.worker_bytes, p.worker_bytes);
  share(params, p.slices * parts.run, [&](size_t i) {
    const size_t slice = i / parts.run;
    const auto batch = slice == 0 ? Result<BatchedMatmul>(p.batch) : batch_of(op, slice);
    must(batch.status());
    must(batch->run(packed(slice), y_of(op, p, slice), worker, {}, {i % parts.run, parts.run}));
  });
}

// ---- MUL_MAT_ID ---------------------------------------------------------------------------------
//
// src[0] W[k, n, experts], src[1] x[k, used or 1, tokens], src[2] ids[used, tokens]: y[n, used,
// tokens], where y[:, u, t] = W[ids[u, t]] x[:, u or 0, t].

struct Routed {
  GroupedMatmul plan;
  size_t experts = 0, used = 0, tokens = 0;
  size_t x_rows = 0;  // of x for each token
  size_t groups_bytes = 0, pairs_bytes = 0, packed_bytes = 0, worker_bytes = 0;

  size_t work_bytes(int threads) const {
    return groups_bytes + pairs_bytes + packed_bytes + size(threads) * worker_bytes;
  }
};

// Rows of a tensor's second and third dimensions as one matrix, if they have one stride and do not
// overlap, as those of an x that all tokens share do.
template <class View>
bool merge_rows(const ggml_tensor* t, View& view) {
  if (t->ne[3] != 1) return false;
  if (t->ne[2] > 1) {
    if (t->ne[1] > 1 && t->nb[2] != size(t->ne[1]) * t->nb[1]) return false;
    if (t->ne[1] == 1) view.row_stride = t->nb[2];
  }
  view.rows = size(t->ne[1] * t->ne[2]);
  return view.row_stride >= ggml_row_size(t->type, t->ne[0]);
}

MatView routed_x(const ggml_tensor* op) {
  MatView x = rows_of(op->src[1]);
  merge_rows(op->src[1], x);
  return x;
}

MutMatView routed_y(ggml_tensor* op) {
  MutMatView y = mutable_rows_of(op);
  merge_rows(op, y);
  return y;
}

Result<Routed> routed_of(const ggml_tensor* op) {
  const ggml_tensor *w = op->src[0], *x = op->src[1], *ids = op->src[2];
  MatView rows = rows_of(x);
  MutMatView y = mutable_rows_of(const_cast<ggml_tensor*>(op));
  const bool one_row = x->ne[1] == 1;
  if (!merge_rows(x, rows) || !merge_rows(op, y) || w->ne[3] != 1 || ids->type != GGML_TYPE_I32 ||
      (!one_row && x->ne[1] != ids->ne[0])) {
    return Status{tessera::StatusCode::shape_mismatch};
  }
  Routed r;
  r.experts = size(w->ne[2]);
  r.used = size(ids->ne[0]);
  r.tokens = size(ids->ne[1]);
  r.x_rows = size(x->ne[1]);
  tessera::Experts experts{rows_of(w), r.experts, w->nb[2]};
  if (is_packed(w)) {  // what plan() reads of W is only its shape
    experts.first.row_stride = ggml_row_size(w->type, w->ne[0]);
    experts.stride = size(w->ne[1]) * experts.first.row_stride;
  }
  auto plan = GroupedMatmul::plan(experts, one_row ? r.used : 1, dtype(x));
  if (plan.ok() && is_packed(w)) {
    plan = plan->with_packed({static_cast<const std::byte*>(w->data), r.experts * panel_bytes(w)});
  }
  if (!plan.ok()) return plan.status();
  r.plan = *plan;
  r.groups_bytes = aligned(r.experts * sizeof(ExpertRows));
  r.pairs_bytes = aligned(r.used * r.tokens * sizeof(RowPair));
  r.packed_bytes = aligned(r.plan.packed_x_bytes(rows.rows));
  r.worker_bytes = aligned(r.plan.worker_bytes(rows.rows));
  return r;
}

// Sorts (token, choice) by expert. Ids that name no expert are left out.
void group(const ggml_tensor* ids, const Routed& r, ExpertRows* groups, RowPair* pairs) {
  const auto for_each_choice = [&](const auto& visit) {
    for (size_t t = 0; t < r.tokens; ++t) {
      for (size_t u = 0; u < r.used; ++u) {
        int32_t id = 0;
        std::memcpy(&id, static_cast<const char*>(ids->data) + t * ids->nb[1] + u * ids->nb[0],
                    sizeof(id));
        if (id >= 0 && size(id) < r.experts) visit(groups[id], t, u);
      }
    }
  };
  for (size_t e = 0; e < r.experts; ++e)
    std::construct_at(groups + e, ExpertRows{e, {pairs, size_t{0}}, nullptr});
  for_each_choice([](ExpertRows& g, size_t, size_t) {
    g.pairs = {g.pairs.data(), g.pairs.size() + 1};
  });
  RowPair* next = pairs;
  for (size_t e = 0; e < r.experts; ++e) {
    const size_t count = groups[e].pairs.size();
    groups[e].pairs = {next, size_t{0}};
    next += count;
  }
  for_each_choice([&](ExpertRows& g, size_t t, size_t u) {
    using Index = decltype(RowPair::x);
    RowPair* to = const_cast<RowPair*>(g.pairs.data());
    to[g.pairs.size()] = {static_cast<Index>(t * r.x_rows + (r.x_rows == 1 ? 0 : u)),
                          static_cast<Index>(t * r.used + u)};
    g.pairs = {to, g.pairs.size() + 1};
  });
}

void mul_mat_id(const ggml_compute_params* params, ggml_tensor* op, const Routed& r,
                const Work& work) {
  const size_t ith = size(params->ith), nth = size(params->nth);
  auto* groups = reinterpret_cast<ExpertRows*>(work.data);
  auto* pairs = reinterpret_cast<RowPair*>(work.data + r.groups_bytes);
  const size_t packed_at = r.groups_bytes + r.pairs_bytes;
  const auto packed = work.at(packed_at, r.packed_bytes);
  const MatView x = routed_x(op);
  if (ith == 0) group(op->src[2], r, groups, pairs);
  must(r.plan.pack(x, packed, {ith, nth}));
  barrier(params);
  const auto worker = work.at(packed_at + r.packed_bytes + ith * r.worker_bytes, r.worker_bytes);
  const size_t parts = small_parts(params->nth);
  share(params, parts, [&](size_t i) {
    must(r.plan.run(packed, x.rows, {groups, r.experts}, routed_y(op), worker, {}, {i, parts}));
  });
}

// ---- What ggml calls ----------------------------------------------------------------------------

bool is_multiplication(const ggml_tensor* op) {
  return op->op == GGML_OP_MUL_MAT || op->op == GGML_OP_MUL_MAT_ID;
}

// Whether this multiplication has a layout that the library takes. Formats are left to plan().
bool is_product(const ggml_tensor* op) {
  const ggml_tensor *w = op->src[0], *x = op->src[1];
  if (op->op == GGML_OP_MUL_MAT && op->op_params[1] == GGML_HINT_SRC0_IS_HADAMARD) return false;
  return x->nb[0] == ggml_type_size(x->type) && x->nb[1] >= ggml_row_size(x->type, x->ne[0]) &&
         w->nb[0] == ggml_type_size(w->type) && op->type == GGML_TYPE_F32 && is_plain(x) &&
         (is_packed(w) ? w->view_src == nullptr : is_plain(w));
}

// What ggml's own code needs for this product. Its reference mode, which is not known when memory
// is reserved, takes the same memory.
size_t ggml_work_bytes(int threads, const ggml_tensor* op) {
  constexpr size_t kCacheLine = 256;  // at most
  const ggml_tensor *w = op->src[0], *x = op->src[1];
  const ggml_type to = ggml_get_type_traits_cpu(w->type)->vec_dot_type;
  size_t bytes = ggml_row_size(to, ggml_nelements(x)) + 4 * kCacheLine +
                 ggml_tiled_wdata_size(threads, const_cast<ggml_tensor*>(op));
  if (op->op == GGML_OP_MUL_MAT_ID) {
    bytes += size(w->ne[2]) * (sizeof(int64_t) + kCacheLine +
                               size(ggml_nelements(op->src[2])) * 2 * sizeof(int32_t));
  }
  return bytes;
}

struct Counts {
  std::atomic<uint64_t> taken{0}, left{0};
  ~Counts() {
    if (std::getenv("TESSERA_GGML_STATS") != nullptr) {
      std::fprintf(stderr, "tessera: %llu products taken, %llu left to ggml\n",
                   static_cast<unsigned long long>(taken.load()),
                   static_cast<unsigned long long>(left.load()));
    }
  }
};
Counts counts;

class Products final : public ggml::cpu::tensor_traits {
  bool work_size(int threads, const ggml_tensor* op, size_t& bytes) override {
    if (!is_product(op)) return false;
    size_t ours = 0;
    if (op->op == GGML_OP_MUL_MAT) {
      const auto p = product_of(op);
      if (!p.ok()) return false;
      ours = p->work_bytes(threads);
    } else {
      const auto r = routed_of(op);
      if (!r.ok()) return false;
      ours = r->work_bytes(threads);
    }
    bytes = std::max(kAlign + ours, is_packed(op->src[0]) ? 0 : ggml_work_bytes(threads, op));
    return true;
  }

  bool compute_forward(ggml_compute_params* params, ggml_tensor* op) override {
    const bool packed = is_packed(op->src[0]);
    if (params->use_ref && !packed) return false;
    const bool taken = is_product(op) && compute(params, op);
    if (packed && !taken)
      GGML_ABORT("tessera: %s is packed, and %s is not for that", op->src[0]->name, op->name);
    if (params->ith == 0) ++(taken ? counts.taken : counts.left);
    return taken;
  }

  static bool compute(const ggml_compute_params* params, ggml_tensor* op) {
    const Work work(params);
    if (op->op == GGML_OP_MUL_MAT) {
      const auto p = product_of(op);
      if (!p.ok() || p->work_bytes(params->nth) > work.bytes) return false;
      if (!p->batch.check(x_of(op, *p, 0), y_of(op, *p, 0)).ok()) return false;
      mul_mat(params, op, *p, work);
    } else {
      const auto r = routed_of(op);
      if (!r.ok() || r->work_bytes(params->nth) > work.bytes) return false;
      if (!r->plan.check(routed_x(op), {}, routed_y(op)).ok()) return false;
      mul_mat_id(params, op, *r, work);
    }
    return true;
  }
};

class PackedBuffers final : public ggml::cpu::extra_buffer_type {
  // Asked when weights are loaded too, before there is any data.
  bool supports_op(ggml_backend_dev_t, const ggml_tensor* op) override {
    if (!is_multiplication(op) || !is_packed(op->src[0]) || !is_product(op)) return false;
    const ggml_tensor *w = op->src[0], *x = op->src[1];
    MatView rows = rows_of(x);
    return plan_of(w, x).ok() &&
           (op->op == GGML_OP_MUL_MAT || (merge_rows(x, rows) && w->ne[3] == 1));
  }

  ggml::cpu::tensor_traits* get_tensor_traits(const ggml_tensor* op) override {
    static Products products;
    return is_multiplication(op) ? &products : nullptr;
  }
};

// ---- Buffers of packed weights ------------------------------------------------------------------

void set_tensor(ggml_backend_buffer_t, ggml_tensor* w, const void* data, size_t offset,
                size_t bytes) {
  // Panels are made of whole weights.
  GGML_ASSERT(w->view_src == nullptr && offset == 0 && bytes == ggml_nbytes(w));
  const auto plan = packing_of(w);
  must(plan.status());
  const size_t each = plan->packed_w_bytes();
  for (size_t i = 0; i < matrices(w); ++i) {
    MatView view = rows_of(w);
    view.data = static_cast<const std::byte*>(data) + i * w->nb[2];
    must(plan->pack_rows(view, 0, {static_cast<std::byte*>(w->data) + i * each, each}));
  }
}

// Any of the bytes that were set: panels are turned back, whole rows of them.
void get_tensor(ggml_backend_buffer_t, const ggml_tensor* w, void* data, size_t offset,
                size_t bytes) {
  if (w->view_src != nullptr) {  // its bytes are some of all
    offset += w->view_offs;
    w = w->view_src;
  }
  const auto plan = packing_of(w);
  must(plan.status());
  const size_t n = plan->n(), each = plan->packed_w_bytes(), row_bytes = w->nb[1];
  const size_t begin = offset / row_bytes, end = (offset + bytes + row_bytes - 1) / row_bytes;
  const bool whole = offset % row_bytes == 0 && bytes % row_bytes == 0;
  std::vector<std::byte> rows(whole ? 0 : (end - begin) * row_bytes);
  std::byte* to = whole ? static_cast<std::byte*>(data) : rows.data();
  const auto* panels = static_cast<const std::byte*>(w->data);
  for (size_t row = begin, count = 0; row < end; row += count) {
    count = std::min(end - row, n - row % n);  // of one matrix
    must(
        plan->unpack_rows({panels + row / n * each, each}, row % n,
                          {to + (row - begin) * row_bytes, count, plan->k(), row_bytes, dtype(w)}));
  }
  if (!whole) std::memcpy(data, to + (offset - begin * row_bytes), bytes);
}

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t bytes) {
  ggml_backend_buffer_t buffer =
      ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), bytes);
  if (buffer == nullptr) return nullptr;
  buffer->buft = type;
  buffer->iface.set_tensor = set_tensor;
  buffer->iface.get_tensor = get_tensor;
  buffer->iface.cpy_tensor = nullptr;
  tessera::advise_huge_pages(
      {static_cast<std::byte*>(ggml_backend_buffer_get_base(buffer)), bytes});
  return buffer;
}

size_t get_alloc_size(ggml_backend_buffer_type_t, const ggml_tensor* w) {
  return std::max(ggml_nbytes(w), matrices(w) * panel_bytes(w));
}

const char* get_name(ggml_backend_buffer_type_t) { return "CPU_TESSERA"; }
size_t get_alignment(ggml_backend_buffer_type_t) { return kAlign; }

ggml_backend_buffer_type_t packed_buffer_type() {
  static ggml_backend_buffer_type type = [] {
    ggml_backend_buffer_type t{};
    t.iface.get_name = get_name;
    t.iface.alloc_buffer = alloc_buffer;
    t.iface.get_alignment = get_alignment;
    t.iface.get_alloc_size = get_alloc_size;
    t.device = ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0);
    t.context = new PackedBuffers;
    return t;
  }();
  return &type;
}

}  // namespace

// Products taken so far, for tests.
extern "C" uint64_t tessera_ggml_taken();
uint64_t tessera_ggml_taken() { return counts.taken.load(); }

// Named, so that a linker can be told to keep this file of a static library.
extern "C" bool tessera_ggml_is_on;
bool tessera_ggml_is_on = [] {
  const char* choice = std::getenv("TESSERA_GGML");
  if (choice != nullptr && std::string_view(choice) == "off") return false;
  auto& types = ggml_backend_cpu_get_extra_buffer_types();
  types.insert(types.begin(), packed_buffer_type());
  return true;
}();

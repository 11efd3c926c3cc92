// SPDX-License-Identifier: MIT
// What can be done with a Plan: make it, check what a caller hands over, pack and run. The members
// of Matmul, matmul() and blas::gemm are these.
#ifndef TESSERA_IMPL_PLAN_H_
#define TESSERA_IMPL_PLAN_H_

#include <algorithm>
#include <cstring>
#include <limits>

#include "tessera/format/list.h"
#include "tessera/impl/cache_sizes.h"
#include "tessera/impl/cpu_family.h"
#include "tessera/impl/dispatch.h"
#include "tessera/plan/geometry.h"
#include "tessera/plan/matmul.h"

namespace tessera::inline v0_1::detail {

inline constexpr size_t kMaxBytes = std::numeric_limits<size_t>::max() / 4;

// ---- Checks
// ---------------------------------------------------------------------------------------

inline Status check_plan(const Plan& p) noexcept {
  if (p.kernel != nullptr) return {};
  return error(StatusCode::wrong_plan, "plan", 0, 0,
               "the plan is empty: it was not made by Matmul::plan");
}

// A plan of a shape alone has no weights yet.
inline Status check_bound(const Plan& p) noexcept {
  if (Status s = check_plan(p); !s.ok()) return s;
  if (p.w != nullptr || p.n == 0 || p.k == 0) return {};
  return error(StatusCode::wrong_plan, "plan", 0, 0,
               "the plan was made of a shape and has no weights yet: over() or with_packed() gives "
               "it some");
}

// Packed x of m rows, and the partial sums of as many columns as can be ready at once.
inline Status check_rows(const Plan& p, size_t m) noexcept {
  const size_t row = m <= p.matvec_rows ? p.x_single_bytes : p.x_panel_bytes;
  if (row != 0 && m > kMaxBytes / row) {
    return error(StatusCode::size_overflow, "packed x", m, row);
  }
  const size_t sums = kMaxNcPanels * p.kernel->nr * sizeof(float);
  if (m > kMaxBytes / sums) return error(StatusCode::size_overflow, "sums", m, sums);
  return {};
}

// Whether the bytes of packed x and W can be counted.
inline Status check_depth(const Plan& p) noexcept {
  const Kernel& kernel = *p.kernel;
  const size_t unit = std::max({kernel.panel_unit_bytes, kernel.direct.unit_bytes,
                                kernel.prepared.unit_bytes, kernel.x.step_bytes});
  if (p.units > kMaxBytes / unit) {
    return error(StatusCode::size_overflow, "packed w", p.units, unit);
  }
  const size_t panel = p.units * kernel.panel_unit_bytes;
  if (panel != 0 && p.panels > kMaxBytes / panel) {
    return error(StatusCode::size_overflow, "packed w", p.panels, panel);
  }
  const size_t row = std::max(p.x_panel_bytes, p.x_single_bytes);
  if (row > kMaxBytes) return error(StatusCode::size_overflow, "packed x", 1, row);
  return {};
}

inline Status check_part(const Part& part) noexcept {
  if (part.index < part.count) return {};
  return error(StatusCode::part_out_of_range, "part", part.index, part.count);
}

// A caller's buffer of packed data: large enough, aligned to the words that it holds.
inline Status check_buffer(std::span<const std::byte> buffer, size_t needed,
                           const char* name) noexcept {
  if (buffer.size() < needed) {
    return error(StatusCode::buffer_too_small, name, buffer.size(), needed);
  }
  if (buffer.data() == nullptr && !buffer.empty()) {
    return error(StatusCode::null_data, name, buffer.size());
  }
  constexpr size_t kAlign = alignof(float);
  const size_t off = reinterpret_cast<uintptr_t>(buffer.data()) % kAlign;
  if (off != 0) return error(StatusCode::misaligned, name, off, kAlign);
  return {};
}

inline Status check_activation(Activation a) noexcept {
  if (a <= Activation::gelu) return {};
  return error(StatusCode::unknown_choice, "activation", static_cast<uint64_t>(a), 0, "Activation");
}

inline Status check_epilogue(const Epilogue& e) noexcept { return check_activation(e.activation); }

inline Status check_x(const Plan& p, const MatView& x) noexcept {
  if (x.dtype != p.x_dtype) {
    return unsupported("x", x.dtype, "is not the format that the plan was made for");
  }
  if (Status s = check_view(x, "x"); !s.ok()) return s;
  if (x.cols != p.k) return error(StatusCode::shape_mismatch, "x.cols", x.cols, p.k, "w.cols");
  return check_rows(p, x.rows);
}

// The same of an x whose data may not be known yet.
inline Status check_x_shape(const Plan& p, MatView x) noexcept {
  if (x.data == nullptr) x.data = &p;  // anything: it is not read
  return check_x(p, x);
}

inline Status check_y(const Plan& p, const MutMatView& y) noexcept {
  if (y.dtype != DType::f32 && y.dtype != DType::f16 && y.dtype != DType::bf16) {
    return unsupported("y", y.dtype, "is not f32, f16 or bf16");
  }
  if (Status s = check_view(y, "y"); !s.ok()) return s;
  if (y.cols != p.n) return error(StatusCode::shape_mismatch, "y.cols", y.cols, p.n, "w.rows");
  return check_rows(p, y.rows);
}

// Bytes of packed x, of which a lent one needs only its address.
inline size_t packed_x_bytes_of(const Plan& p, const Geometry& g, const MatView& x) noexcept {
  return can_borrow(p, g, x) ? kBorrowedXBytes : tessera::packed_x_bytes(p, g);
}

// Packed x of m rows, or only the address of a lent one.
inline Status check_packed_x(const Plan& p, const Geometry& g,
                             std::span<const std::byte> packed_x) noexcept {
  size_t bytes = tessera::packed_x_bytes(p, g);
  if (p.borrow_x && g.path != Path::matvec) {
    if (Status s = check_buffer(packed_x, kBorrowedXBytes, "packed_x"); !s.ok()) return s;
    BorrowedX borrowed;
    std::memcpy(&borrowed, packed_x.data(), sizeof(borrowed));
    if (borrowed.rows != nullptr) bytes = kBorrowedXBytes;
  }
  return check_buffer(packed_x, bytes, "packed_x");
}

// ---- Planning
// -------------------------------------------------------------------------------------

// A plan without weights yet: `w` is a shape, with rows side by side.
inline Result<Plan> make_plan(const MatShape& w, DType x_dtype,
                              const PlanOptions& options) noexcept {
  const Result<size_t> row = row_bytes_of(w.dtype, w.cols, "w");
  if (!row.ok()) return row.status();
  if (*row != 0 && w.rows > kMaxBytes / *row) {
    return error(StatusCode::size_overflow, "w", w.rows, *row);
  }
  if (x_dtype != DType::f32 && x_dtype != DType::f16 && x_dtype != DType::bf16) {
    return unsupported("x", x_dtype, "is not f32, f16 or bf16");
  }
  if (options.accuracy > Accuracy::coarse) {
    return error(StatusCode::unknown_choice, "accuracy", static_cast<uint64_t>(options.accuracy), 0,
                 "Accuracy");
  }
  const Result<const InstructionSet*> set = find_set(options.target);
  if (!set.ok()) return set.status();
  Plan p;
  p.set = *set;
  p.kernel = find_kernel(*set, w.dtype, options.accuracy);
  if (p.kernel == nullptr) {
    return unsupported("w", w.dtype, "is not among those that TESSERA_FORMATS names");
  }
  p.tuning = options.tuning != nullptr
                 ? options.tuning
                 : &tuning_for(this_cpu_family(), p.kernel->kind, p.kernel->vector_bytes);
  p.w_stride = *row;
  p.n = w.rows;
  p.k = w.cols;
  p.x_dtype = x_dtype;
  p.blocking = options.blocking;
  p.borrow_x = options.borrow_x;
  derive(p);
  if (Status s = check_depth(p); !s.ok()) return s;
  return p;
}

// The plan with weights that lie there, in rows or, where k_major, columns.
inline Plan over_rows(Plan p, const MatView& w, bool k_major = false) noexcept {
  p.w = static_cast<const std::byte*>(w.data);
  p.w_stride = w.cols == 0 ? 0 : w.row_stride;  // W may be null where it has no bytes
  p.packed = false;
  p.w_k_major = k_major;
  derive(p);
  return p;
}

inline Result<Plan> make_plan(const MatView& w, DType x_dtype,
                              const PlanOptions& options) noexcept {
  if (Status s = check_view(w, "w"); !s.ok()) return s;
  Result<Plan> p = make_plan(MatShape{w.rows, w.cols, w.dtype}, x_dtype, options);
  if (p.ok()) *p = over_rows(*p, w);
  return p;
}

inline size_t packed_w_bytes(const Plan& p) noexcept {
  return rounded_up(p.panels * p.units * p.kernel->panel_unit_bytes, alignof(float));
}

// Where the panel that begins with this row of W lies in all of them.
inline size_t panel_at(const Plan& p, size_t row) noexcept {
  return row / p.kernel->nr * p.units * p.kernel->panel_unit_bytes;
}

// Rows of W, whole panels of them unless they end with W -> these panels. Of W along n, a few
// values of k for all of them, whose pages a TLB holds.
inline void pack_w(const Plan& p, Range rows, std::byte* panels) noexcept {
  const size_t nr = p.kernel->nr;
  const size_t step = p.w_k_major ? 64 : std::max<size_t>(p.units, 1);
  for (size_t unit = 0; unit < p.units; unit += step) {
    const Range units{unit, std::min(unit + step, p.units)};
    std::byte* const to = panels + unit * p.kernel->panel_unit_bytes;
    for (size_t first = rows.begin; first < rows.end; first += nr) {
      p.kernel->pack_panel({p.w, p.w_stride, p.w_k_major, p.k, first,
                            std::min(first + nr, rows.end), units,
                            to + panel_at(p, first - rows.begin)});
    }
  }
}

// This part of W -> all panels.
inline void pack_w(const Plan& p, std::byte* panels, const Part& part) noexcept {
  const Range rows = split(p.n, p.kernel->nr, part.index, part.count);
  pack_w(p, rows, panels + panel_at(p, rows.begin));
}

inline Plan over_panels(Plan p, const std::byte* panels) noexcept {
  p.w = panels;
  p.w_stride = 0;
  p.packed = true;
  p.w_k_major = false;
  derive(p);
  return p;
}

// ---- Products
// -------------------------------------------------------------------------------------

inline Geometry geometry_of(const Plan& p, size_t m) noexcept {
  return geometry(p, m, cache_sizes());
}

// Rows of x[m, k]; or stored as [k, m] for blas::gemm.
struct XRows {
  const std::byte* data = nullptr;
  RowPlaces at;
  DType dtype = DType::f32;
  bool k_major = false;
  size_t m = 0;
};

inline XRows rows_of_view(const MatView& x, bool k_major = false) noexcept {
  return {static_cast<const std::byte*>(x.data),
          {x.row_stride},
          x.dtype,
          k_major,
          k_major ? x.cols : x.rows};
}

// Panels of packed x that this part fills.
inline Range panels_of(const Geometry& g, size_t m, const Part& part) noexcept {
  return split(Panels(m, g.mr).count, 1, part.index, part.count);
}

inline void pack(const Plan& p, const Geometry& g, const XRows& x, std::byte* packed_x,
                 Range mine) noexcept {
  if (mine.begin == mine.end) return;
  std::byte* to = packed_x;
  if (p.borrow_x) {
    const bool in_place = (!x.k_major || g.path == Path::strided) && x.m <= x.at.inner &&
                          can_borrow(p, g, {x.data, x.m, p.k, x.at.stride, x.dtype});
    if (mine.begin == 0) {
      BorrowedX borrowed;
      if (in_place) borrowed = {x.data, x.at.stride, x.k_major};
      std::memcpy(to, &borrowed, sizeof(borrowed));
    }
    if (in_place) return;
    to += kBorrowedXBytes;
  }
  if (p.k == 0) return;  // of rows without bytes there can be any number
  const Panels panels(x.m, g.mr);
  const bool single = g.path == Path::matvec;
  const XLayout& layout = single ? p.kernel->x_single : p.kernel->x;
  layout.pack({x.data,
               x.at,
               x.dtype,
               x.k_major,
               x.m,
               p.k,
               g.mr,
               single ? 1 : p.kernel->row_step,
               g.x_row_bytes,
               {panels.rows(mine.begin).begin, panels.rows(mine.end - 1).end},
               to,
               layout.aux});
}

// This part's rectangle of y: columns in whole panels of W, rows in whole panels of x.
inline Rect rect_of(const Plan& p, const Geometry& g, size_t m, const Part& part) noexcept {
  if (part.count == 1) return {0, m, 0, p.n};
  const Panels panels(m, g.mr);
  Rect r = partition(panels.count, p.n, 1, p.kernel->nr, part);
  if (m == 0 || r.empty()) return {};
  r.row_begin = panels.rows(r.row_begin).begin;
  r.row_end = panels.rows(r.row_end - 1).end;
  return r;
}

// The rows of y are at `y_at`.
inline void run(const Plan& p, const Geometry& g, const std::byte* packed_x, const MutMatView& y,
                const RowPlaces& y_at, std::byte* worker, const Epilogue& epilogue,
                const Rect& rect, const GateSums* gate = nullptr) noexcept {
  if (rect.empty()) return;
  RunArgs a{&p, &g, packed_x, {}, y, y_at, epilogue, rect, worker, nullptr, nullptr, gate};
  if (p.borrow_x) {
    std::memcpy(&a.borrowed, packed_x, sizeof(a.borrowed));
    a.packed_x += kBorrowedXBytes;
  }
  (g.path == Path::matvec    ? p.kernel->matvec
   : g.path == Path::strided ? p.kernel->strided
                             : p.kernel->tiles)(a);
}

// For m rows of each of `count` products and so many workers: see Matmul::parts.
inline PartCounts part_counts(const Plan& p, size_t m, size_t workers, size_t count = 1) noexcept {
  // Work that one thread completes in the time of a few hand-overs. Below eight rows a product
  // waits for W and counts as eight. On Emerald Rapids a quarter of these products for each part
  // loses 45 % at 64^3, and four times as many lose a third at 128^3
  // (bench/sweeps/part_run_kproducts.tsv; Zen 4: zen4_constants.tsv). Between 2 and 32 thousand
  // values to pack there is no clear difference (bench/sweeps/part_pack_kvalues.tsv), nor between
  // eight rows and one (bench/sweeps/part_rows.tsv).
  constexpr double kPackValues = 8 << 10, kRunProducts = 512 << 10;
  const auto real = [](size_t v) { return static_cast<double>(v); };
  const auto at_most = [&](double parts) {
    if (parts < 2 || workers < 2) return size_t{1};
    return parts < real(workers) ? static_cast<size_t>(parts) : workers;
  };
  const double panels = real(m <= p.matvec_rows ? m : steps_of(m, p.kernel->mr));
  return {
      at_most(real(count) * std::min(panels, real(m) * real(p.k) / kPackValues)),
      at_most(real(count) * real(std::max<size_t>(m, 8)) * real(p.n) * real(p.k) / kRunProducts)};
}

// For m rows and so many workers: see Matmul::small_parts.
inline size_t small_part_count(const Plan& p, size_t m, size_t workers) noexcept {
  constexpr size_t kPartsEach = 8;  // then a slow worker's last part is an eighth of a share
  const size_t usual = part_counts(p, m, workers).run;
  if (usual < 2) return usual;
  const double products = static_cast<double>(std::max<size_t>(m, 8)) * static_cast<double>(p.n) *
                          static_cast<double>(p.k) / Matmul::kSmallPartProducts;
  const size_t most =
      std::min(p.panels, workers > kMaxBytes / kPartsEach ? kMaxBytes : workers * kPartsEach);
  return std::max(usual,
                  products < static_cast<double>(most) ? static_cast<size_t>(products) : most);
}

}  // namespace tessera::inline v0_1::detail

#endif  // TESSERA_IMPL_PLAN_H_

// SPDX-License-Identifier: MIT
// Bodies of plan/matmul.h: checks, sizes, and the two indirect calls that a product costs.
#ifndef TESSERA_IMPL_MATMUL_H_
#define TESSERA_IMPL_MATMUL_H_

#include <limits>

#include "tessera/format/list.h"
#include "tessera/impl/cache_sizes.h"
#include "tessera/impl/dispatch.h"
#include "tessera/plan/matmul.h"

namespace tessera::inline v0_1 {

// What Matmul's members share with blas::gemm.
struct MatmulAccess {
  static constexpr size_t kMaxBytes = std::numeric_limits<size_t>::max() / 4;

  // W is stored as [k, n], its rows `stride` bytes apart.
  static void set_w_k_major(Matmul& plan, size_t stride) noexcept {
    plan.w_k_major_ = true;
    plan.w_stride_ = stride;
  }

  static bool empty(const Matmul& p) noexcept { return p.entry_ == nullptr; }

  static Status no_plan() noexcept {
    return detail::error(StatusCode::wrong_plan, "plan", 0, 0,
                         "the plan is empty: it was not made by Matmul::plan");
  }

  // Rows of x up to which weights in place are read by matvec. What a micro-kernel of it costs
  // beside the products is the more the smaller k is; what packing costs, the smaller m is.
  static size_t matvec_m(const Matmul& p) noexcept {
    if (p.packed_ || p.w_k_major_) return 0;
    const size_t depth = p.entry_->matvec_depth;
    return std::max(p.entry_->matvec_m, depth == 0 ? 0 : p.k_ / depth);
  }

  static size_t units(const Matmul& p) noexcept {
    const size_t values = p.entry_->shape.unit_values;
    return p.k_ / values + (p.k_ % values != 0 ? 1 : 0);
  }

  // Height limit of panels of x: matvec reads rows in order, panels of one.
  static size_t mr(const Matmul& p, size_t m) noexcept {
    return m <= matvec_m(p) ? 1 : p.entry_->shape.mr;
  }

  // Panels of a block of nc rows of W.
  static size_t nc_panels(const Matmul& p, size_t nc) noexcept {
    const size_t nr = p.entry_->shape.nr, all = p.n_ / nr + (p.n_ % nr != 0 ? 1 : 0);
    return std::max<size_t>(std::min({nc / nr, all, kMaxNcPanels}), 1);
  }

  // As asked for, else chosen; no larger than the shape.
  static Blocking blocking(const Matmul& p, size_t m) noexcept {
    const Blocking own =
        choose_blocking(p.entry_->shape, m, p.k_, detail::cache_sizes(), p.packed_);
    const Blocking& asked = p.blocking_;
    return {asked.mc != 0 ? std::min(asked.mc, std::max<size_t>(m, 1)) : own.mc,
            asked.kc_units != 0 ? std::min(asked.kc_units, std::max<size_t>(units(p), 1))
                                : own.kc_units,
            nc_panels(p, asked.nc != 0 ? asked.nc : own.nc) * p.entry_->shape.nr};
  }

  // Bytes of one packed row of x, of m.
  static size_t packed_row_bytes(const Matmul& p, size_t m) noexcept {
    const KernelEntry& e = *p.entry_;
    const bool alone = m <= matvec_m(p);
    const size_t values = alone ? e.matvec_row_values : e.packed_row_values;
    const size_t padded = p.k_ / values + (p.k_ % values != 0 ? 1 : 0);
    const size_t bytes = padded * (values / e.shape.unit_values * e.shape.x_unit_bytes);
    return alone ? row_alone_stride(bytes) : bytes;
  }

  static Status check_rows(const Matmul& p, size_t m) noexcept {
    const size_t row = packed_row_bytes(p, m);
    if (row != 0 && m > kMaxBytes / row) {
      return detail::error(StatusCode::size_overflow, "packed x", m, row);
    }
    return {};
  }

  // A caller's buffer of packed data: large enough, aligned to the words that it holds.
  static Status check_buffer(std::span<const std::byte> buffer, size_t needed,
                             const char* name) noexcept {
    if (buffer.size() < needed) {
      return detail::error(StatusCode::buffer_too_small, name, buffer.size(), needed);
    }
    constexpr size_t kAlign = alignof(float);
    const size_t off = reinterpret_cast<uintptr_t>(buffer.data()) % kAlign;
    if (off != 0) return detail::error(StatusCode::misaligned, name, off, kAlign);
    return {};
  }

  static Status check_part(const Part& part) noexcept {
    if (part.index < part.count) return {};
    return detail::error(StatusCode::part_out_of_range, "part", part.index, part.count);
  }

  static Status check_x(const Matmul& p, const MatView& x) noexcept {
    if (Status s = check_view(x, "x"); !s.ok()) return s;
    if (x.cols != p.k_) {
      return detail::error(StatusCode::shape_mismatch, "x.cols", x.cols, p.k_, "w.cols");
    }
    return check_rows(p, x.rows);
  }

  static Status check_y(const Matmul& p, const MutMatView& y) noexcept {
    if (y.dtype != DType::f32 && y.dtype != DType::bf16) {
      return detail::unsupported("y", y.dtype, "is not f32 or bf16");
    }
    if (Status s = check_view(y, "y"); !s.ok()) return s;
    if (y.cols != p.n_) {
      return detail::error(StatusCode::shape_mismatch, "y.cols", y.cols, p.n_, "w.rows");
    }
    return check_rows(p, y.rows);
  }

  static Status check_run(const Matmul& p, std::span<const std::byte> packed_x, const MutMatView& y,
                          std::span<std::byte> worker) noexcept {
    if (empty(p)) return no_plan();
    if (Status s = check_y(p, y); !s.ok()) return s;
    if (Status s = check_buffer(packed_x, p.packed_x_bytes(y.rows), "packed_x"); !s.ok()) return s;
    return check_buffer(worker, p.worker_bytes(y.rows), "worker");
  }

  // x[m, k], or stored as [k, m] for blas::gemm, where the view is the stored matrix.
  static void pack(const Matmul& p, const MatView& x, bool k_major, std::span<std::byte> packed_x,
                   const Part& part) noexcept {
    const size_t m = k_major ? x.cols : x.rows;
    const size_t limit = mr(p, m);
    const Panels panels(m, limit);
    if (m == 0) return;
    const Range mine = split(panels.count, 1, part.index, part.count);
    if (mine.begin == mine.end) return;
    const auto pack_x = m <= matvec_m(p) ? p.entry_->pack_x_rows : p.entry_->pack_x;
    pack_x({static_cast<const std::byte*>(x.data),
            x.row_stride,
            x.dtype,
            k_major,
            m,
            p.k_,
            limit,
            {panels.rows(mine.begin).begin, panels.rows(mine.end - 1).end},
            packed_x.data()});
  }

  static void run(const Matmul& p, std::span<const std::byte> packed_x, const MutMatView& y,
                  std::span<std::byte> worker, const Epilogue& epilogue,
                  const Rect& rect) noexcept {
    if (rect.empty()) return;
    RunArgs a;
    a.w = p.w_;
    a.w_stride = p.k_ == 0 ? 0 : p.w_stride_;  // W may be null where it has no bytes
    a.w_packed = p.packed_;
    a.w_k_major = p.w_k_major_;
    a.m = y.rows;
    a.n = p.n_;
    a.k = p.k_;
    a.mr = mr(p, y.rows);
    a.packed_x = packed_x.data();
    a.y = static_cast<std::byte*>(y.data);
    a.y_stride = y.row_stride;
    a.y_dtype = y.dtype;
    a.epilogue = epilogue;
    a.rect = rect;
    a.blocking = blocking(p, y.rows);
    a.worker = worker.data();
    if (y.rows <= matvec_m(p)) {
      p.entry_->matvec(a);
    } else {
      p.entry_->matmul(a);
    }
  }

  // This part's rectangle of y: columns in whole panels of W, rows in whole panels of x.
  static Rect rect(const Matmul& p, size_t m, const Part& part) noexcept {
    const Panels panels(m, mr(p, m));
    Rect r = partition(panels.count, p.n_, 1, p.entry_->shape.nr, part);
    if (m == 0 || r.empty()) return {};
    r.row_begin = panels.rows(r.row_begin).begin;
    r.row_end = panels.rows(r.row_end - 1).end;
    return r;
  }
};

TESSERA_IMPL Result<Matmul> Matmul::plan(const MatView& w, DType x_dtype,
                                         const PlanOptions& options) noexcept {
  if (Status s = check_view(w, "w"); !s.ok()) return s;
  if (x_dtype != DType::f32 && x_dtype != DType::f16 && x_dtype != DType::bf16) {
    return detail::unsupported("x", x_dtype, "is not f32, f16 or bf16");
  }
  const Result<const KernelTable*> table = detail::find_table(options.target);
  if (!table.ok()) return table.status();
  Matmul p;
  p.table_ = *table;
  p.entry_ = detail::find_entry(**table, w.dtype, options.accuracy);
  p.w_ = static_cast<const std::byte*>(w.data);
  p.w_stride_ = w.row_stride;
  p.n_ = w.rows;
  p.k_ = w.cols;
  p.x_dtype_ = x_dtype;
  p.blocking_ = options.blocking;
  // So that packed_w_bytes() cannot overflow.
  const size_t rows = p.n_ / p.entry_->shape.nr * p.entry_->shape.nr + p.entry_->shape.nr;
  const size_t row = MatmulAccess::units(p) * p.entry_->panel_unit_bytes / p.entry_->shape.nr;
  if (row != 0 && rows > MatmulAccess::kMaxBytes / row) {
    return detail::error(StatusCode::size_overflow, "packed w", rows, row);
  }
  return p;
}

TESSERA_IMPL size_t Matmul::packed_w_bytes() const noexcept {
  if (MatmulAccess::empty(*this)) return 0;
  const size_t nr = entry_->shape.nr;
  return (n_ / nr + (n_ % nr != 0 ? 1 : 0)) * MatmulAccess::units(*this) * entry_->panel_unit_bytes;
}

TESSERA_IMPL Status Matmul::pack_weights(std::span<std::byte> panels, Part part) const noexcept {
  if (MatmulAccess::empty(*this)) return MatmulAccess::no_plan();
  if (packed_) {
    return detail::error(StatusCode::wrong_plan, "plan", 0, 0,
                         "the weights of this plan are packed already");
  }
  if (Status s = MatmulAccess::check_part(part); !s.ok()) return s;
  if (Status s = MatmulAccess::check_buffer(panels, packed_w_bytes(), "panels"); !s.ok()) return s;
  const Range rows = split(n_, entry_->shape.nr, part.index, part.count);
  if (k_ != 0 && rows.begin < rows.end) {
    entry_->pack_w({w_, w_stride_, w_k_major_, n_, k_, rows, panels.data()});
  }
  return {};
}

TESSERA_IMPL Result<Matmul> Matmul::with_packed(std::span<const std::byte> panels) const noexcept {
  if (MatmulAccess::empty(*this)) return MatmulAccess::no_plan();
  if (Status s = MatmulAccess::check_buffer(panels, packed_w_bytes(), "panels"); !s.ok()) return s;
  Matmul p = *this;
  p.w_ = panels.data();
  p.w_stride_ = 0;
  p.packed_ = true;
  p.w_k_major_ = false;
  return p;
}

TESSERA_IMPL size_t Matmul::packed_x_bytes(size_t m) const noexcept {
  if (MatmulAccess::empty(*this) || !MatmulAccess::check_rows(*this, m).ok()) return 0;
  return m * MatmulAccess::packed_row_bytes(*this, m);
}

TESSERA_IMPL size_t Matmul::worker_bytes(size_t m) const noexcept {
  if (MatmulAccess::empty(*this) || m <= MatmulAccess::matvec_m(*this)) return 0;
  const KernelEntry& e = *entry_;
  const Blocking b = MatmulAccess::blocking(*this, m);
  size_t bytes = 0;
  const size_t panels = b.nc / e.shape.nr;
  if (e.widens || !packed_) bytes += panels * b.kc_units * e.shape.w_unit_bytes;
  if (e.widens && !packed_) bytes += b.kc_units * e.panel_unit_bytes;
  // Partial sums of the panels that mc rows touch, or of one tile if k is done in one pass.
  const bool one_pass = b.kc_units >= MatmulAccess::units(*this);
  const size_t rows = one_pass ? e.shape.mr : panels * (std::min(b.mc, m) + 2 * e.shape.mr);
  return bytes + rows * e.shape.nr * sizeof(float);
}

TESSERA_IMPL bool Matmul::shares_packed_x(const Matmul& other) const noexcept {
  if (MatmulAccess::empty(*this) || MatmulAccess::empty(other)) return false;
  const KernelEntry &a = *entry_, &b = *other.entry_;
  return table_ == other.table_ && k_ == other.k_ && a.x == b.x && a.x_variant == b.x_variant &&
         a.shape.mr == b.shape.mr && a.packed_row_values == b.packed_row_values &&
         MatmulAccess::matvec_m(*this) == MatmulAccess::matvec_m(other);
}

TESSERA_IMPL PartCounts Matmul::parts(size_t m, size_t workers) const noexcept {
  if (MatmulAccess::empty(*this)) return {};
  // What one thread does in the time of a few handovers. Few rows of x wait for W, as eight do.
  // Zen 4, GFLOP/s with one part and two: bf16 64^3 110 and 56, 96^3 111 and 133, 128^3 203 and
  // 270; f32 128^3 99 and 141.
  constexpr double kPackValues = 8 << 10, kRunProducts = 512 << 10;
  const auto real = [](size_t v) { return static_cast<double>(v); };
  const auto at_most = [&](double parts) {
    if (parts < 2 || workers < 2) return size_t{1};
    return parts < real(workers) ? static_cast<size_t>(parts) : workers;
  };
  const double panels = real(Panels(m, MatmulAccess::mr(*this, m)).count);
  return {at_most(std::min(panels, real(m) * real(k_) / kPackValues)),
          at_most(real(std::max<size_t>(m, 8)) * real(n_) * real(k_) / kRunProducts)};
}

TESSERA_IMPL Status Matmul::pack(const MatView& x, std::span<std::byte> packed_x,
                                 Part part) const noexcept {
  if (MatmulAccess::empty(*this)) return MatmulAccess::no_plan();
  if (x.dtype != x_dtype_) {
    return detail::unsupported("x", x.dtype, "is not the format that the plan was made for");
  }
  if (Status s = MatmulAccess::check_x(*this, x); !s.ok()) return s;
  if (Status s = MatmulAccess::check_part(part); !s.ok()) return s;
  if (Status s = MatmulAccess::check_buffer(packed_x, packed_x_bytes(x.rows), "packed_x");
      !s.ok()) {
    return s;
  }
  MatmulAccess::pack(*this, x, false, packed_x, part);
  return {};
}

TESSERA_IMPL Status Matmul::run(std::span<const std::byte> packed_x, const MutMatView& y,
                                std::span<std::byte> worker, const Epilogue& epilogue,
                                Part part) const noexcept {
  if (Status s = MatmulAccess::check_run(*this, packed_x, y, worker); !s.ok()) return s;
  if (Status s = MatmulAccess::check_part(part); !s.ok()) return s;
  MatmulAccess::run(*this, packed_x, y, worker, epilogue, MatmulAccess::rect(*this, y.rows, part));
  return {};
}

TESSERA_IMPL Status Matmul::run_rect(std::span<const std::byte> packed_x, const MutMatView& y,
                                     std::span<std::byte> worker, const Epilogue& epilogue,
                                     const Rect& rect) const noexcept {
  if (Status s = MatmulAccess::check_run(*this, packed_x, y, worker); !s.ok()) return s;
  if (rect.row_end > y.rows) {
    return detail::error(StatusCode::rect_out_of_range, "rect.row_end", rect.row_end, y.rows);
  }
  if (rect.col_end > y.cols) {
    return detail::error(StatusCode::rect_out_of_range, "rect.col_end", rect.col_end, y.cols);
  }
  MatmulAccess::run(*this, packed_x, y, worker, epilogue, rect);
  return {};
}

TESSERA_IMPL size_t Matmul::tile_rows(size_t m) const noexcept {
  if (MatmulAccess::empty(*this) || m == 0) return 1;
  const Panels panels(m, MatmulAccess::mr(*this, m));
  return m / panels.count + (m % panels.count != 0 ? 1 : 0);
}

TESSERA_IMPL size_t Matmul::tile_cols() const noexcept {
  return MatmulAccess::empty(*this) ? 1 : entry_->shape.nr;
}

TESSERA_IMPL Explanation Matmul::explain(size_t m) const noexcept {
  Explanation e;
  if (MatmulAccess::empty(*this)) return e;
  const bool matvec = m <= MatmulAccess::matvec_m(*this);
  const Blocking b = MatmulAccess::blocking(*this, m);
  e.target = table_->target;
  e.kernel = entry_->name;
  e.w = dtype_name(entry_->w);
  e.x = to_string(entry_->x);
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
                "%s: %s, W %s (%s), x %s; %s, tile %zu x %zu, mc %zu, nc %zu, kc %zu%s%s", target,
                kernel, w, packed ? "packed" : "in place", x, path, mr, nr, mc, nc, kc,
                note[0] != '\0' ? "; " : "", note);
  return out;
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_MATMUL_H_

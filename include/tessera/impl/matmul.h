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
    plan.matvec_m_ = 0;
  }

  static void set_borrow_x(Matmul& plan) noexcept { plan.borrow_x_ = true; }

  static bool empty(const Matmul& p) noexcept { return p.entry_ == nullptr; }

  static Status no_plan() noexcept {
    return detail::error(StatusCode::wrong_plan, "plan", 0, 0,
                         "the plan is empty: it was not made by Matmul::plan");
  }

  static size_t steps(size_t size, size_t step) noexcept {
    return size / step + (size % step != 0 ? 1 : 0);
  }

  // What follows from the kernel and W's shape.
  static void derive(Matmul& p) noexcept {
    const KernelEntry& e = *p.entry_;
    p.units_ = steps(p.k_, e.shape.unit_values);
    p.panels_ = steps(p.n_, e.shape.nr);
    // What a micro-kernel of matvec costs beside the products is the more the smaller k is; what
    // packing costs, the smaller m is.
    p.matvec_m_ = std::max(e.matvec_m, e.matvec_depth == 0 ? 0 : p.k_ / e.matvec_depth);
    const auto row_bytes = [&](size_t values) {  // of rows padded to whole `values`
      return steps(p.k_, values) * (values / e.shape.unit_values * e.shape.x_unit_bytes);
    };
    p.x_panel_bytes_ = row_bytes(e.packed_row_values);
    p.x_alone_bytes_ =
        e.matvec_m == 0 ? 0 : row_alone_stride(row_bytes(e.matvec_row_values) / e.shape.x_copies);
  }

  // Height limit of panels of x: matvec reads rows in order, panels of one.
  static size_t mr(const Matmul& p, size_t m) noexcept {
    return m <= p.matvec_m_ ? 1 : p.entry_->shape.mr;
  }

  // As asked for, else chosen; no larger than the shape.
  static Blocking blocking(const Matmul& p, size_t m) noexcept {
    const Blocking own =
        choose_blocking(p.entry_->shape, m, p.k_, detail::cache_sizes(), p.packed_);
    const Blocking& asked = p.blocking_;
    const size_t nr = p.entry_->shape.nr, nc = asked.nc != 0 ? asked.nc : own.nc;
    const size_t panels = std::min({nc / nr, p.panels_, kMaxNcPanels});
    return {asked.mc != 0 ? std::min(asked.mc, std::max<size_t>(m, 1)) : own.mc,
            asked.kc_units != 0 ? std::min(asked.kc_units, std::max<size_t>(p.units_, 1))
                                : own.kc_units,
            std::max<size_t>(panels, 1) * nr};
  }

  // Bytes of one packed row of x, of m.
  static size_t packed_row_bytes(const Matmul& p, size_t m) noexcept {
    return m <= p.matvec_m_ ? p.x_alone_bytes_ : p.x_panel_bytes_;
  }
  static size_t packed_x_bytes(const Matmul& p, size_t m) noexcept {
    return (p.borrow_x_ ? kBorrowedXBytes : 0) + m * packed_row_bytes(p, m);
  }

  static size_t worker_bytes(const Matmul& p, size_t m, const Blocking& b) noexcept {
    if (m <= p.matvec_m_) return 0;
    const KernelEntry& e = *p.entry_;
    size_t bytes = 0;
    const size_t panels = b.nc / e.shape.nr;
    if (e.widens || !p.packed_) bytes += panels * b.kc_units * e.shape.w_unit_bytes;
    if (e.widens && !p.packed_) bytes += b.kc_units * e.panel_unit_bytes;
    // Partial sums of the panels that mc rows touch, or of one tile if k is done in one pass.
    const bool one_pass = b.kc_units >= p.units_;
    const size_t rows = one_pass ? e.shape.mr : panels * (std::min(b.mc, m) + 2 * e.shape.mr);
    return bytes + rows * e.shape.nr * sizeof(float);
  }

  // Of m rows without gaps, for explain().
  static MatView dense_x(const Matmul& p, size_t m) noexcept {
    const size_t bytes = p.x_dtype_ == DType::f32 ? 4 : 2;
    return {nullptr, m, p.k_, p.k_ * bytes, p.x_dtype_};
  }

  // Whether tiles may read x where it lies: in whole units and words, once, and at a stride at
  // which the lines that a panel's rows are read from spread over the sets of an L1 cache. Of its
  // 64 sets of 8 ways, 12 rows that lie 2 KiB apart take 6 ways of 2, which is well: Zen 4, f32,
  // 512^3 packed, x copied and in place 107.5 and 111.1 GFLOP/s.
  static bool borrows(const Matmul& p, const MatView& x, bool k_major) noexcept {
    const KernelEntry& e = *p.entry_;
    if (!p.borrow_x_ || !e.borrows_x || x.dtype != e.x_same) return false;
    if (k_major || x.rows <= p.matvec_m_) return false;
    const bool words = (reinterpret_cast<uintptr_t>(x.data) | x.row_stride) % sizeof(float) == 0;
    if (!words || e.shape.x_copies != 1 || p.k_ % e.shape.unit_values != 0) return false;
    constexpr size_t kSets = 64, kMost = 6;
    uint8_t lines[kSets] = {};
    for (size_t row = 0; row < e.shape.mr; ++row) {
      if (++lines[row * x.row_stride / 64 % kSets] > kMost) return false;
    }
    return true;
  }

  // Packed x of m rows, and the partial sums of as many columns as a block of W can have.
  static Status check_rows(const Matmul& p, size_t m) noexcept {
    const size_t row = packed_row_bytes(p, m);
    if (row != 0 && m > kMaxBytes / row) {
      return detail::error(StatusCode::size_overflow, "packed x", m, row);
    }
    const size_t sums = kMaxNcPanels * p.entry_->shape.nr * sizeof(float);
    if (m > kMaxBytes / sums) return detail::error(StatusCode::size_overflow, "sums", m, sums);
    return {};
  }

  // Whether the bytes of packed x and W can be counted.
  static Status check_depth(const Matmul& p) noexcept {
    const KernelEntry& e = *p.entry_;
    const size_t row = std::max(p.x_panel_bytes_, p.x_alone_bytes_);
    const size_t unit = std::max(
        {e.panel_unit_bytes, e.shape.w_unit_bytes, e.shape.x_unit_bytes * e.packed_row_values});
    if (p.units_ > kMaxBytes / unit) {
      return detail::error(StatusCode::size_overflow, "packed w", p.units_, unit);
    }
    const size_t panel = p.units_ * e.panel_unit_bytes;
    if (panel != 0 && p.panels_ > kMaxBytes / panel) {
      return detail::error(StatusCode::size_overflow, "packed w", p.panels_, panel);
    }
    if (row > kMaxBytes) return detail::error(StatusCode::size_overflow, "packed x", 1, row);
    return {};
  }

  static Status check_epilogue(const Epilogue& e) noexcept {
    if (e.activation <= Activation::gelu) return {};
    return detail::error(StatusCode::unknown_choice, "activation",
                         static_cast<uint64_t>(e.activation), 0, "Activation");
  }

  // A caller's buffer of packed data: large enough, aligned to the words that it holds.
  static Status check_buffer(std::span<const std::byte> buffer, size_t needed,
                             const char* name) noexcept {
    if (buffer.size() < needed) {
      return detail::error(StatusCode::buffer_too_small, name, buffer.size(), needed);
    }
    if (buffer.data() == nullptr && !buffer.empty()) {
      return detail::error(StatusCode::null_data, name, buffer.size());
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
                          std::span<std::byte> worker, const Epilogue& epilogue,
                          const Blocking& b) noexcept {
    if (Status s = check_epilogue(epilogue); !s.ok()) return s;
    if (Status s = check_y(p, y); !s.ok()) return s;
    if (Status s = check_buffer(packed_x, packed_x_bytes(p, y.rows), "packed_x"); !s.ok()) return s;
    return check_buffer(worker, worker_bytes(p, y.rows, b), "worker");
  }

  // x[m, k], or stored as [k, m] for blas::gemm, where the view is the stored matrix.
  static void pack(const Matmul& p, const MatView& x, bool k_major, std::span<std::byte> packed_x,
                   const Part& part) noexcept {
    const size_t m = k_major ? x.cols : x.rows;
    std::byte* to = packed_x.data();
    if (p.borrow_x_) {
      const bool in_place = borrows(p, x, k_major);
      if (part.index == 0) {
        BorrowedX borrowed;
        if (in_place) borrowed = {static_cast<const std::byte*>(x.data), x.row_stride};
        std::memcpy(to, &borrowed, sizeof(borrowed));
      }
      if (in_place) return;
      to += kBorrowedXBytes;
    }
    const size_t limit = mr(p, m);
    const Panels panels(m, limit);
    if (m == 0) return;
    const Range mine = split(panels.count, 1, part.index, part.count);
    if (mine.begin == mine.end) return;
    const auto pack_x = m <= p.matvec_m_ ? p.entry_->pack_x_rows : p.entry_->pack_x;
    pack_x({static_cast<const std::byte*>(x.data),
            x.row_stride,
            x.dtype,
            k_major,
            m,
            p.k_,
            limit,
            {panels.rows(mine.begin).begin, panels.rows(mine.end - 1).end},
            to});
  }

  static void run(const Matmul& p, std::span<const std::byte> packed_x, const MutMatView& y,
                  std::span<std::byte> worker, const Epilogue& epilogue, const Rect& rect,
                  const Blocking& blocking) noexcept {
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
    if (p.borrow_x_) {
      BorrowedX borrowed;
      std::memcpy(&borrowed, a.packed_x, sizeof(borrowed));
      a.packed_x += kBorrowedXBytes;
      a.x_rows = borrowed.rows;
      a.x_stride = borrowed.row_stride;
    }
    a.y = static_cast<std::byte*>(y.data);
    a.y_stride = y.row_stride;
    a.y_dtype = y.dtype;
    a.epilogue = epilogue;
    a.rect = rect;
    a.blocking = blocking;
    a.worker = worker.data();
    if (y.rows <= p.matvec_m_) {
      p.entry_->matvec(a);
    } else {
      p.entry_->matmul(a);
    }
  }

  // This part's rectangle of y: columns in whole panels of W, rows in whole panels of x.
  static Rect rect(const Matmul& p, size_t m, const Part& part) noexcept {
    if (part.count == 1) return {0, m, 0, p.n_};
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
  if (options.accuracy > Accuracy::coarse) {
    return detail::error(StatusCode::unknown_choice, "accuracy",
                         static_cast<uint64_t>(options.accuracy), 0, "Accuracy");
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
  p.borrow_x_ = options.borrow_x;
  MatmulAccess::derive(p);
  if (Status s = MatmulAccess::check_depth(p); !s.ok()) return s;
  return p;
}

TESSERA_IMPL size_t Matmul::packed_w_bytes() const noexcept {
  if (MatmulAccess::empty(*this)) return 0;
  return panels_ * units_ * entry_->panel_unit_bytes;
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
  p.matvec_m_ = 0;
  return p;
}

TESSERA_IMPL size_t Matmul::packed_x_bytes(size_t m) const noexcept {
  if (MatmulAccess::empty(*this) || !MatmulAccess::check_rows(*this, m).ok()) return 0;
  return MatmulAccess::packed_x_bytes(*this, m);
}

TESSERA_IMPL size_t Matmul::worker_bytes(size_t m) const noexcept {
  if (MatmulAccess::empty(*this) || m <= matvec_m_) return 0;
  return MatmulAccess::worker_bytes(*this, m, MatmulAccess::blocking(*this, m));
}

TESSERA_IMPL bool Matmul::shares_packed_x(const Matmul& other) const noexcept {
  if (MatmulAccess::empty(*this) || MatmulAccess::empty(other)) return false;
  const KernelEntry &a = *entry_, &b = *other.entry_;
  return table_ == other.table_ && k_ == other.k_ && a.x == b.x && a.x_variant == b.x_variant &&
         a.shape.mr == b.shape.mr && a.packed_row_values == b.packed_row_values &&
         matvec_m_ == other.matvec_m_ && borrow_x_ == other.borrow_x_ &&
         // Rows of x as they lie end where k does: for units of one value, not for those of two.
         (!borrow_x_ || a.shape.unit_values == b.shape.unit_values);
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
  const size_t bytes = MatmulAccess::packed_x_bytes(*this, x.rows);
  if (Status s = MatmulAccess::check_buffer(packed_x, bytes, "packed_x"); !s.ok()) return s;
  MatmulAccess::pack(*this, x, false, packed_x, part);
  return {};
}

TESSERA_IMPL Status Matmul::run(std::span<const std::byte> packed_x, const MutMatView& y,
                                std::span<std::byte> worker, const Epilogue& epilogue,
                                Part part) const noexcept {
  if (MatmulAccess::empty(*this)) return MatmulAccess::no_plan();
  const Blocking b = MatmulAccess::blocking(*this, y.rows);
  if (Status s = MatmulAccess::check_run(*this, packed_x, y, worker, epilogue, b); !s.ok()) {
    return s;
  }
  if (Status s = MatmulAccess::check_part(part); !s.ok()) return s;
  const Rect rect = MatmulAccess::rect(*this, y.rows, part);
  MatmulAccess::run(*this, packed_x, y, worker, epilogue, rect, b);
  return {};
}

TESSERA_IMPL Status Matmul::run_rect(std::span<const std::byte> packed_x, const MutMatView& y,
                                     std::span<std::byte> worker, const Epilogue& epilogue,
                                     const Rect& rect) const noexcept {
  if (MatmulAccess::empty(*this)) return MatmulAccess::no_plan();
  const Blocking b = MatmulAccess::blocking(*this, y.rows);
  if (Status s = MatmulAccess::check_run(*this, packed_x, y, worker, epilogue, b); !s.ok()) {
    return s;
  }
  if (rect.row_end > y.rows) {
    return detail::error(StatusCode::rect_out_of_range, "rect.row_end", rect.row_end, y.rows);
  }
  if (rect.col_end > y.cols) {
    return detail::error(StatusCode::rect_out_of_range, "rect.col_end", rect.col_end, y.cols);
  }
  MatmulAccess::run(*this, packed_x, y, worker, epilogue, rect, b);
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

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_MATMUL_H_

// SPDX-License-Identifier: MIT
// Bodies of plan/matmul.h: the one call, which allocates, and the members of Matmul.
#ifndef TESSERA_IMPL_MATMUL_H_
#define TESSERA_IMPL_MATMUL_H_

#include <memory>
#include <new>

#include "tessera/core/shared_parts.h"
#include "tessera/impl/plan.h"

namespace tessera::inline v0_1 {
namespace detail {

// Workers at most that get scratch of their own, whatever an executor says that it has.
inline constexpr size_t kMostWorkers = 1024;

// Packs x and runs a plan on an executor with scratch of its own; packs all of W first if so asked.
inline Status run_once(const Plan& over_w, const MutMatView& y, const MatView& x, bool x_k_major,
                       const Epilogue& epilogue, const Executor& executor,
                       bool packs_w = false) noexcept {
  const size_t w_bytes = packs_w ? rounded_up(packed_w_bytes(over_w), kScratchAlign) : 0;
  Plan plan = packs_w ? over_panels(over_w, over_w.w) : over_w;  // its panels follow
  struct Work {
    const Plan& plan;
    const Plan& over_w;
    Geometry geometry;
    const MutMatView& y;
    const MatView& x;
    bool x_k_major;
    const Epilogue& epilogue;
    PartCounts count;
    SharedParts parts;
    std::byte *packed_w = nullptr, *packed_x = nullptr, *workers = nullptr;
  } work{plan,
         over_w,
         geometry_of(plan, y.rows),
         y,
         x,
         x_k_major,
         epilogue,
         part_counts(plan, y.rows, std::min(executor.workers, kMostWorkers)),
         SharedParts(small_part_count(plan, y.rows, std::min(executor.workers, kMostWorkers)))};
  const size_t x_bytes = packed_x_bytes(plan, work.geometry);
  const size_t worker_bytes = work.geometry.worker.bytes;
  if (worker_bytes != 0 && work.count.run > (kMaxBytes - x_bytes) / worker_bytes) {
    return error(StatusCode::size_overflow, "scratch", work.count.run, worker_bytes);
  }
  const size_t bytes = w_bytes + x_bytes + work.count.run * worker_bytes + kScratchAlign;
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[bytes]);
  if (memory == nullptr) return error(StatusCode::out_of_memory, "scratch", bytes);
  const size_t off = reinterpret_cast<uintptr_t>(memory.get()) % kScratchAlign;
  work.packed_w = memory.get() + (kScratchAlign - off) % kScratchAlign;
  work.packed_x = work.packed_w + w_bytes;
  work.workers = work.packed_x + x_bytes;

  if (packs_w) {
    plan.w = work.packed_w;
    executor(
        work.count.run,
        [](void* argument, size_t i) {
          const Work& w = *static_cast<const Work*>(argument);
          pack_w(w.over_w, w.packed_w, {i, w.count.run});
        },
        &work);
  }
  executor(
      work.count.pack,
      [](void* argument, size_t i) {
        const Work& w = *static_cast<const Work*>(argument);
        pack(w.plan, w.geometry, rows_of_view(w.x, w.x_k_major), w.packed_x,
             panels_of(w.geometry, w.y.rows, {i, w.count.pack}));
      },
      &work);
  executor(
      work.count.run,
      [](void* argument, size_t i) {
        Work& w = *static_cast<Work*>(argument);
        for (Part part; w.parts.take(part);) {  // a slow core takes fewer
          run(w.plan, w.geometry, w.packed_x, w.y, {w.y.row_stride},
              w.workers + i * w.geometry.worker.bytes, w.epilogue,
              rect_of(w.plan, w.geometry, w.y.rows, part));
        }
      },
      &work);
  return {};
}

}  // namespace detail

TESSERA_IMPL Status matmul(const MutMatView& y, const MatView& x, const MatView& w,
                           const Epilogue& epilogue, Executor executor,
                           const PlanOptions& options) noexcept {
  Result<Plan> plan = detail::make_plan(w, x.dtype, options);
  if (!plan.ok()) return plan.status();
  plan->borrow_x = true;
  if (Status s = Matmul(*plan).check(x, y, epilogue); !s.ok()) return s;
  return detail::run_once(*plan, y, x, false, epilogue, executor);
}

// ---- Matmul ----------------------------------------------------------------------------------

TESSERA_IMPL Result<Matmul> Matmul::plan(const MatView& w, DType x_dtype,
                                         const PlanOptions& options) noexcept {
  const Result<Plan> p = detail::make_plan(w, x_dtype, options);
  if (!p.ok()) return p.status();
  return Matmul(*p);
}

TESSERA_IMPL Result<Matmul> Matmul::plan(const MatShape& w, DType x_dtype,
                                         const PlanOptions& options) noexcept {
  const Result<Plan> p = detail::make_plan(w, x_dtype, options);
  if (!p.ok()) return p.status();
  return Matmul(*p);
}

TESSERA_IMPL Result<Matmul> Matmul::over(const MatView& w) const noexcept {
  if (Status s = detail::check_plan(plan_); !s.ok()) return s;
  if (Status s = check_view(w, "w"); !s.ok()) return s;
  if (w.dtype != plan_.kernel->w) {
    return detail::unsupported("w", w.dtype, "is not the format that the plan was made for");
  }
  if (w.rows != plan_.n) {
    return detail::error(StatusCode::shape_mismatch, "w.rows", w.rows, plan_.n, "the plan's n");
  }
  if (w.cols != plan_.k) {
    return detail::error(StatusCode::shape_mismatch, "w.cols", w.cols, plan_.k, "the plan's k");
  }
  return Matmul(detail::over_rows(plan_, w));
}

TESSERA_IMPL size_t Matmul::packed_w_bytes() const noexcept {
  return plan_.kernel == nullptr ? 0 : detail::packed_w_bytes(plan_);
}

TESSERA_IMPL Status Matmul::pack_weights(std::span<std::byte> panels, Part part) const noexcept {
  if (Status s = detail::check_bound(plan_); !s.ok()) return s;
  if (plan_.packed) {
    return detail::error(StatusCode::wrong_plan, "plan", 0, 0,
                         "the weights of this plan are packed already");
  }
  if (Status s = detail::check_part(part); !s.ok()) return s;
  if (Status s = detail::check_buffer(panels, packed_w_bytes(), "panels"); !s.ok()) return s;
  detail::pack_w(plan_, panels.data(), part);
  return {};
}

TESSERA_IMPL Result<Matmul> Matmul::with_packed(std::span<const std::byte> panels) const noexcept {
  if (Status s = detail::check_plan(plan_); !s.ok()) return s;
  if (Status s = detail::check_buffer(panels, packed_w_bytes(), "panels"); !s.ok()) return s;
  return Matmul(detail::over_panels(plan_, panels.data()));
}

TESSERA_IMPL size_t Matmul::packed_x_bytes(size_t m) const noexcept {
  if (plan_.kernel == nullptr || !detail::check_rows(plan_, m).ok()) return 0;
  return tessera::packed_x_bytes(plan_, detail::geometry_of(plan_, m));
}

TESSERA_IMPL size_t Matmul::packed_x_bytes(const MatView& x) const noexcept {
  if (plan_.kernel == nullptr || !detail::check_x_shape(plan_, x).ok()) return 0;
  return detail::packed_x_bytes_of(plan_, detail::geometry_of(plan_, x.rows), x);
}

TESSERA_IMPL Result<ScratchSizes> Matmul::scratch(size_t most_rows, size_t workers) const noexcept {
  if (Status s = detail::check_plan(plan_); !s.ok()) return s;
  if (most_rows > kMostScratchRows) {
    return detail::error(StatusCode::size_overflow, "scratch", most_rows, packed_x_bytes(1));
  }
  if (Status s = detail::check_rows(plan_, most_rows); !s.ok()) return s;
  ScratchSizes sizes;
  for (size_t m = 0; m <= most_rows; ++m) {
    const Geometry g = detail::geometry_of(plan_, m);
    sizes.packed_x_bytes = std::max(sizes.packed_x_bytes, tessera::packed_x_bytes(plan_, g));
    sizes.worker_bytes = std::max(sizes.worker_bytes, g.worker.bytes);
  }
  if (sizes.worker_bytes != 0 &&
      workers > (detail::kMaxBytes - sizes.packed_x_bytes) / sizes.worker_bytes) {
    return detail::error(StatusCode::size_overflow, "scratch", workers, sizes.worker_bytes);
  }
  sizes.bytes = sizes.packed_x_bytes + workers * sizes.worker_bytes;
  return sizes;
}

TESSERA_IMPL size_t Matmul::worker_bytes(size_t m) const noexcept {
  if (plan_.kernel == nullptr || !detail::check_rows(plan_, m).ok()) return 0;
  return detail::geometry_of(plan_, m).worker.bytes;
}

TESSERA_IMPL bool Matmul::shares_packed_x(const Matmul& other) const noexcept {
  const Plan &p = plan_, &q = other.plan_;
  if (p.kernel == nullptr || q.kernel == nullptr) return false;
  const Kernel &a = *p.kernel, &b = *q.kernel;
  return p.k == q.k && a.x.pack == b.x.pack && a.x.aux == b.x.aux && a.mr == b.mr &&
         a.row_step == b.row_step && p.matvec_rows == q.matvec_rows &&
         (p.matvec_rows == 0 || a.x_single.pack == b.x_single.pack) && p.borrow_x == q.borrow_x &&
         // Rows of x as they lie end where k does: for units of one value, not for those of two.
         (!p.borrow_x || a.unit_values == b.unit_values);
}

TESSERA_IMPL PartCounts Matmul::parts(size_t m, size_t workers) const noexcept {
  if (plan_.kernel == nullptr) return {};
  return detail::part_counts(plan_, m, workers);
}

TESSERA_IMPL size_t Matmul::small_parts(size_t m, size_t workers) const noexcept {
  return plan_.kernel == nullptr ? 1 : detail::small_part_count(plan_, m, workers);
}

TESSERA_IMPL Status Matmul::check(const MatView& x, const MutMatView& y,
                                  const Epilogue& epilogue) const noexcept {
  if (Status s = detail::check_bound(plan_); !s.ok()) return s;
  if (Status s = detail::check_epilogue(epilogue); !s.ok()) return s;
  if (Status s = detail::check_x(plan_, x); !s.ok()) return s;
  if (Status s = detail::check_y(plan_, y); !s.ok()) return s;
  if (x.rows == y.rows) return {};
  return detail::error(StatusCode::shape_mismatch, "y.rows", y.rows, x.rows, "x.rows");
}

TESSERA_IMPL Status Matmul::pack(const MatView& x, std::span<std::byte> packed_x,
                                 Part part) const noexcept {
  if (Status s = detail::check_plan(plan_); !s.ok()) return s;
  if (Status s = detail::check_x(plan_, x); !s.ok()) return s;
  if (Status s = detail::check_part(part); !s.ok()) return s;
  const Geometry g = detail::geometry_of(plan_, x.rows);
  const size_t bytes = detail::packed_x_bytes_of(plan_, g, x);
  if (Status s = detail::check_buffer(packed_x, bytes, "packed_x"); !s.ok()) return s;
  detail::pack(plan_, g, detail::rows_of_view(x), packed_x.data(),
               detail::panels_of(g, x.rows, part));
  return {};
}

namespace detail {

// Everything that run() and run_rect() refuse but their part or rectangle; else the geometry.
inline Status check_run(const Plan& p, std::span<const std::byte> packed_x, const MutMatView& y,
                        std::span<std::byte> worker, const Epilogue& epilogue,
                        Geometry& g) noexcept {
  if (Status s = check_bound(p); !s.ok()) return s;
  if (Status s = check_epilogue(epilogue); !s.ok()) return s;
  if (Status s = check_y(p, y); !s.ok()) return s;
  g = geometry_of(p, y.rows);
  if (Status s = check_packed_x(p, g, packed_x); !s.ok()) return s;
  return check_buffer(worker, g.worker.bytes, "worker");
}

}  // namespace detail

TESSERA_IMPL Status Matmul::run(std::span<const std::byte> packed_x, const MutMatView& y,
                                std::span<std::byte> worker, const Epilogue& epilogue,
                                Part part) const noexcept {
  Geometry g;
  if (Status s = detail::check_run(plan_, packed_x, y, worker, epilogue, g); !s.ok()) return s;
  if (Status s = detail::check_part(part); !s.ok()) return s;
  detail::run(plan_, g, packed_x.data(), y, {y.row_stride}, worker.data(), epilogue,
              detail::rect_of(plan_, g, y.rows, part));
  return {};
}

TESSERA_IMPL Status Matmul::run_rect(std::span<const std::byte> packed_x, const MutMatView& y,
                                     std::span<std::byte> worker, const Epilogue& epilogue,
                                     const Rect& rect) const noexcept {
  Geometry g;
  if (Status s = detail::check_run(plan_, packed_x, y, worker, epilogue, g); !s.ok()) return s;
  if (rect.row_end > y.rows) {
    return detail::error(StatusCode::rect_out_of_range, "rect.row_end", rect.row_end, y.rows);
  }
  if (rect.col_end > y.cols) {
    return detail::error(StatusCode::rect_out_of_range, "rect.col_end", rect.col_end, y.cols);
  }
  detail::run(plan_, g, packed_x.data(), y, {y.row_stride}, worker.data(), epilogue, rect);
  return {};
}

TESSERA_IMPL size_t Matmul::tile_rows(size_t m) const noexcept {
  if (plan_.kernel == nullptr || m == 0) return 1;
  const Panels panels(m, m <= plan_.matvec_rows ? 1 : plan_.kernel->mr);
  return panels.rows_each + (panels.taller != 0 ? 1 : 0);
}

TESSERA_IMPL size_t Matmul::tile_cols() const noexcept {
  return plan_.kernel == nullptr ? 1 : plan_.kernel->nr;
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_MATMUL_H_

// SPDX-License-Identifier: MIT
// The functions that do everything in one call, and so allocate: body of matmul(), and what
// blas::gemm shares with it.
#ifndef TESSERA_IMPL_ONE_CALL_H_
#define TESSERA_IMPL_ONE_CALL_H_

#include <memory>
#include <new>

#include "tessera/impl/matmul.h"

namespace tessera::inline v0_1 {
namespace detail {

// Workers at most that get scratch of their own, whatever an executor says that it has.
inline constexpr size_t kMostWorkers = 1024;

// Packs x and runs a plan on an executor with scratch of its own.
inline Status run_once(const Matmul& plan, const MutMatView& y, const MatView& x, bool x_k_major,
                       const Epilogue& epilogue, const Executor& executor) noexcept {
  constexpr size_t kAlign = 64;
  const auto round_up = [](size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; };
  const PartCounts count = plan.parts(y.rows, std::min(executor.workers, kMostWorkers));
  const size_t x_bytes = round_up(plan.packed_x_bytes(y.rows));
  const size_t worker_bytes = round_up(plan.worker_bytes(y.rows));
  if (worker_bytes != 0 && count.run > (MatmulAccess::kMaxBytes - x_bytes) / worker_bytes) {
    return error(StatusCode::size_overflow, "scratch", count.run, worker_bytes);
  }
  const size_t bytes = x_bytes + count.run * worker_bytes + kAlign;
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[bytes]);
  if (memory == nullptr) return error(StatusCode::out_of_memory, "scratch", bytes);
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory.get());
  std::byte* scratch = memory.get() + (kAlign - address % kAlign) % kAlign;

  struct Work {
    const Matmul& plan;
    const MutMatView& y;
    const MatView& x;
    bool x_k_major;
    const Epilogue& epilogue;
    std::span<std::byte> packed_x;
    std::byte* workers;
    size_t worker_bytes;
    PartCounts count;
  } work{plan,         y,    x, x_k_major, epilogue, {scratch, x_bytes}, scratch + x_bytes,
         worker_bytes, count};

  executor(
      count.pack,
      [](void* argument, size_t i) {
        const Work& w = *static_cast<const Work*>(argument);
        MatmulAccess::pack(w.plan, w.x, w.x_k_major, w.packed_x, {i, w.count.pack});
      },
      &work);
  executor(
      count.run,
      [](void* argument, size_t i) {
        const Work& w = *static_cast<const Work*>(argument);
        MatmulAccess::run(w.plan, w.packed_x, w.y, {w.workers + i * w.worker_bytes, w.worker_bytes},
                          w.epilogue, MatmulAccess::rect(w.plan, w.y.rows, {i, w.count.run}),
                          MatmulAccess::blocking(w.plan, w.y.rows));
      },
      &work);
  return {};
}

}  // namespace detail

TESSERA_IMPL Status matmul(const MutMatView& y, const MatView& x, const MatView& w,
                           const Epilogue& epilogue, Executor executor,
                           const PlanOptions& options) noexcept {
  Result<Matmul> plan = Matmul::plan(w, x.dtype, options);
  if (!plan.ok()) return plan.status();
  MatmulAccess::set_borrow_x(*plan);
  if (Status s = MatmulAccess::check_epilogue(epilogue); !s.ok()) return s;
  if (Status s = MatmulAccess::check_x(*plan, x); !s.ok()) return s;
  if (x.rows != y.rows) {
    return detail::error(StatusCode::shape_mismatch, "y.rows", y.rows, x.rows, "x.rows");
  }
  if (Status s = MatmulAccess::check_y(*plan, y); !s.ok()) return s;
  return detail::run_once(*plan, y, x, false, epilogue, executor);
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_ONE_CALL_H_

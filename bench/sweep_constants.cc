// SPDX-License-Identifier: MIT
// What bench/sweep_constants.py compiles once for each value of a constant: the whole library and
// one function that measures it. All values are loaded into one process and share a case's data.
#include "tessera/impl.h"  // before any other

#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tessera/thread_pool.h"

namespace {

using tessera::DType;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Never given back: a process measures one case.
std::byte* huge_pages(size_t bytes) {
  constexpr size_t kHuge = size_t{2} << 20;
  void* memory =
      mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  const uintptr_t at = (reinterpret_cast<uintptr_t>(memory) + kHuge - 1) / kHuge * kHuge;
  madvise(reinterpret_cast<void*>(at), bytes, MADV_HUGEPAGE);
  return reinterpret_cast<std::byte*>(at);
}

// Letters of a mode as "gemm_nt": whether A and B are transposed.
tessera::blas::Op op_of(char letter) {
  return letter == 't' ? tessera::blas::Op::transpose : tessera::blas::Op::none;
}

// W, so often that few rows of x find it in memory and not in a cache; the same packed; x and y.
struct Case {
  std::string mode;
  size_t n, k, m, copies = 1, copy = 0;
  size_t calls = 1;  // of a short one, in one_call
  DType format = DType::f32;
  size_t row_bytes, w_stride, panels_stride = 0;
  std::byte *w, *panels = nullptr;
  std::vector<float> x, y;

  bool is_gemm() const { return mode.rfind("gemm_", 0) == 0; }
  bool is_packed() const { return mode == "packed" || mode == "gated"; }
  tessera::MatView w_view(size_t i) const { return {w + i * w_stride, n, k, row_bytes, format}; }
};

tessera::Matmul plan_of(const Case& c, size_t i) {
  tessera::PlanOptions options;
  options.borrow_x = c.is_packed() || c.mode == "in_place";
  const tessera::Matmul plan = *tessera::Matmul::plan(c.w_view(i), DType::f32, options);
  if (c.panels == nullptr) return plan;
  return *plan.with_packed({c.panels + i * c.panels_stride, plan.packed_w_bytes()});
}

// One run of a plan of any kind.
template <class Plan>
void pack_and_run(const Case& c, const Plan& plan, const tessera::MatView& x,
                  const tessera::MutMatView& y) {
  static std::vector<std::byte> scratch;
  const size_t x_bytes = plan.packed_x_bytes(c.m), worker_bytes = plan.worker_bytes(c.m);
  scratch.resize(x_bytes + worker_bytes + 64);
  const size_t off = reinterpret_cast<uintptr_t>(scratch.data()) % 64;
  const std::span all(scratch.data() + (64 - off) % 64, x_bytes + worker_bytes);
  (void)plan.pack(x, all.first(x_bytes));
  if (c.mode != "pack_x") (void)plan.run(all.first(x_bytes), y, all.subspan(x_bytes));
}

// One call, in seconds.
double one_call(Case& c) {
  static tessera::ThreadPool pool(2);
  const size_t i = c.copy++ % c.copies;
  const tessera::MatView x = tessera::rows_of(std::as_const(c.x), c.m, c.k);
  const tessera::MutMatView y = tessera::rows_of(c.y, c.m, c.n);
  double start = seconds_now();
  if (c.is_gemm()) {
    const tessera::blas::Op op_a = op_of(c.mode[5]), op_b = op_of(c.mode[6]);
    const size_t lda = c.mode[5] == 't' ? c.m : c.k, ldb = c.mode[6] == 't' ? c.k : c.n;
    for (size_t call = 0; call < c.calls; ++call) {
      (void)tessera::blas::gemm(op_a, op_b, c.m, c.n, c.k, 1.0f, c.x.data(), lda,
                                reinterpret_cast<const float*>(c.w), ldb, 0.0f, c.y.data(), c.n);
    }
  } else if (c.mode == "serial") {
    (void)tessera::matmul(y, x, c.w_view(i));
  } else if (c.mode == "threads" || c.mode == "pauses") {
    if (c.mode == "pauses") {  // as between the products of a model
      const double end = start + 20e-6;
      while ((start = seconds_now()) < end) {
      }
    }
    (void)tessera::matmul(y, x, c.w_view(i), {}, pool.executor());
  } else if (c.mode == "pack_w") {
    (void)tessera::PackedWeights::pack(plan_of(c, i), pool.executor());
  } else if (c.mode == "gated") {
    const tessera::Matmul gate = plan_of(c, i), up = plan_of(c, c.copy++ % c.copies);
    pack_and_run(c, *tessera::GatedMatmul::plan(gate, up), x, y);
  } else {
    pack_and_run(c, plan_of(c, i), x, y);
  }
  return seconds_now() - start;
}

}  // namespace

#define TESSERA_EXPORT extern "C" __attribute__((visibility("default")))

// Null if there is no such format or no memory.
TESSERA_EXPORT void* make_case(const char* w, const char* mode, size_t n, size_t k, size_t m) {
  Case& c = *new Case{mode, n, k, m};
  for (int id = 0; id < 256; ++id) {
    if (std::strcmp(w, tessera::dtype_name(static_cast<DType>(id))) == 0)
      c.format = static_cast<DType>(id);
  }
  const auto row_bytes = tessera::row_bytes(c.format, k);
  if (!row_bytes.ok()) return nullptr;
  c.row_bytes = *row_bytes;
  c.w_stride = (n * c.row_bytes + 4096) / 4096 * 4096;
  if (c.mode == "gated") c.copies = 2;
  if ((c.is_packed() || c.mode == "in_place") && m <= 64) {
    c.copies = std::max(c.copies, (size_t{640} << 20) / c.w_stride);
  }
  if (c.is_gemm()) c.calls = 1 + (size_t{1} << 20) / (n * k * m);
  if ((c.w = huge_pages(c.w_stride * c.copies)) == nullptr) return nullptr;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  c.x.resize(std::max(m, n) * k);
  c.y.resize(m * n);
  for (float& v : c.x) v = uniform(random);
  const bool made = tessera::quantize(tessera::rows_of(std::as_const(c.x), n, k),
                                      {c.w, n, k, c.row_bytes, c.format})
                        .ok();
  for (size_t i = 1; i < c.copies; ++i) std::memcpy(c.w + i * c.w_stride, c.w, n * c.row_bytes);
  if (c.is_packed()) {
    const size_t bytes = plan_of(c, 0).packed_w_bytes();
    c.panels_stride = (bytes + 63) / 64 * 64;
    std::byte* panels = huge_pages(c.panels_stride * c.copies);
    if (panels == nullptr) return nullptr;
    (void)plan_of(c, 0).pack_weights({panels, bytes});
    for (size_t i = 1; i < c.copies; ++i) std::memcpy(panels + i * c.panels_stride, panels, bytes);
    c.panels = panels;
  }
  return made ? &c : nullptr;
}

// Calls for about `seconds`: 10^9 operations a second, or values packed.
TESSERA_EXPORT double turn(void* data, double seconds) {
  Case& c = *static_cast<Case*>(data);
  const double start = seconds_now();
  double busy = 0, calls = 0;
  do {
    busy += one_call(c);
    calls += static_cast<double>(c.calls);
  } while (seconds_now() - start < seconds);
  const double m = static_cast<double>(c.m), n = static_cast<double>(c.n);
  const double products = c.mode == "gated" ? 2 : 1;
  const double values = c.mode == "pack_w" ? n : c.mode == "pack_x" ? m : 2 * m * n * products;
  return calls * values * static_cast<double>(c.k) / busy * 1e-9;
}

// A number that depends on every bit of the result of one call.
TESSERA_EXPORT uint64_t result(void* data) {
  Case& c = *static_cast<Case*>(data);
  c.copy = 0;
  one_call(c);
  uint64_t hash = 14695981039346656037u;
  for (const float& v : c.y) {
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof(bits));
    hash = (hash ^ bits) * 1099511628211u;
  }
  return hash;
}

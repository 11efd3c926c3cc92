// SPDX-License-Identifier: MIT
// Runs random cases of one product through their doors, in guarded memory as support/product.h has
// it. case_many.h has those of several, and run_case().
#ifndef TESSERA_TESTS_SUPPORT_CASE_RUN_H_
#define TESSERA_TESTS_SUPPORT_CASE_RUN_H_

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "support/case_data.h"
#include "support/product.h"
#include "support/random_case.h"
#include "support/stored.h"
#include "support/system.h"
#include "tessera/tessera.h"
#include "tessera/thread_pool.h"

namespace tessera::test {

/// The executor of a case.
class CaseExecutor {
 public:
  explicit CaseExecutor(const RandomCase& c) : case_(c), rng_(c.seed) {}
  Executor executor() {
    if (case_.tasks == Tasks::serial) return serial();
    if (case_.tasks == Tasks::pool) return pool(case_.workers).executor();
    return {[](void* self, size_t count, Executor::Task task, void* argument) {
              static_cast<CaseExecutor*>(self)->run_shuffled(count, task, argument);
            },
            this, case_.workers};
  }

 private:
  void run_shuffled(size_t count, Executor::Task task, void* argument) {
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[rng_.below(i)]);
    for (const size_t i : order) task(argument, i);
  }
  static ThreadPool& pool(size_t threads) {
    static std::vector<std::unique_ptr<ThreadPool>> pools;
    for (const auto& p : pools) {
      if (p->threads() == threads) return *p;
    }
    return *pools.emplace_back(std::make_unique<ThreadPool>(threads));
  }

  const RandomCase& case_;
  Rng rng_;
};

/// The plan of a case: over weights in place, or packed as its door packs them.
inline Product product_of(const RandomCase& c, const Matrix& w) {
  CaseExecutor tasks(c);
  const Executor executor = tasks.executor();
  return Product(w, c.n, c.setup, c.layout, c.w_parts, c.door == Door::owned ? &executor : nullptr);
}

inline Output finish(const Status& s, const GuardedY& y, const char* what) {
  Output out;
  if (!s.ok()) out.error = std::string(what) + ": " + s.message().c_str();
  if (!y.padding_untouched()) out.error = "bytes between the rows of y were written";
  out.y = y.values();
  return out;
}

inline Output run_one_call(const RandomCase& c, const Matrix& x, const Matrix& w,
                           const CaseData& data) {
  const Layout& l = c.layout;
  const GuardedRows x_rows(x, c.m, l.x_padding, l.x_place());
  const GuardedRows w_rows(w, c.n, l.w_padding, l.w_place());
  const GuardedY y(c.setup.y, c.m, c.n, l.y_padding, l.y_place(), data.old());
  CaseExecutor tasks(c);
  const Status s = matmul(y.view(), x_rows.view(), w_rows.view(), data.epilogue, tasks.executor(),
                          plan_options(c.setup));
  return finish(s, y, "matmul");
}

/// The target of functions that do not take one, for as long as this lives.
class ScopedTarget {
 public:
  explicit ScopedTarget(const char* target) {
    if (const char* before = std::getenv(kName)) before_ = before;
    set_variable(kName, target);
  }
  ~ScopedTarget() { set_variable(kName, before_.empty() ? nullptr : before_.c_str()); }
  ScopedTarget(const ScopedTarget&) = delete;
  ScopedTarget& operator=(const ScopedTarget&) = delete;

 private:
  static constexpr const char* kName = "TESSERA_TARGET";
  std::string before_;
};

/// A is x and op(B) is W^T. Where alpha is 0, neither can be read.
inline Output run_gemm(const RandomCase& c, const Matrix& x, const Matrix& w,
                       const CaseData& data) {
  const Layout& l = c.layout;
  Stored a(c.op_a, c.m, c.k, l.x_padding / sizeof(float), l.x_place());
  Stored b(c.op_b, c.k, c.n, l.w_padding / sizeof(float), l.w_place());
  const GuardedY y(c.setup.y, c.m, c.n, l.y_padding, l.y_place(), data.old());
  const auto float_at = [](const Matrix& from, size_t i) {
    float value;
    std::memcpy(&value, from.bytes.data() + i * sizeof(value), sizeof(value));
    return value;
  };
  for (size_t i = 0; i < c.m * c.k; ++i) a.at(i / c.k, i % c.k) = float_at(x, i);
  for (size_t i = 0; i < c.n * c.k; ++i) b.at(i % c.k, i / c.k) = float_at(w, i);
  for (Stored* stored : {&a, &b}) {
    if (data.epilogue.scale == 0) {
      stored->memory.make_unreadable();
    } else {
      stored->memory.make_read_only();
    }
  }
  const ScopedTarget target(c.setup.target);
  if (std::string(default_target()) != c.setup.target) return {"the target cannot be set", {}};
  CaseExecutor tasks(c);
  const Epilogue& e = data.epilogue;
  const Status s = blas::gemm(c.op_a, c.op_b, c.m, c.n, c.k, e.scale, a.data(), a.ld, b.data(),
                              b.ld, e.beta, static_cast<float*>(y.view().data),
                              y.view().row_stride / sizeof(float), tasks.executor());
  return finish(s, y, "gemm");
}

/// The rows of W in the format `to`, as bytes. Run in parts, the rows apart.
inline std::vector<std::byte> run_quantize(const RandomCase& c, const Matrix& w,
                                           std::string& error) {
  const Layout& l = c.layout;
  const size_t row = *row_bytes(c.to, c.k), stride = row + l.y_padding;
  const GuardedRows from(w, c.n, l.w_padding, l.w_place());
  const GuardedBuffer memory(c.n == 0 ? 0 : (c.n - 1) * stride + row, l.y_place());
  for (size_t call = 0; call < c.work.parts; ++call) {
    const size_t i = c.work.last_first ? c.work.parts - 1 - call : call;
    const Status s =
        quantize(from.view(), {memory.data(), c.n, c.k, stride, c.to}, {i, c.work.parts});
    if (!s.ok()) error = std::string("quantize: ") + s.message().c_str();
  }
  if (!memory.slack_untouched()) error = "quantize wrote outside its rows";
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < c.n; ++i) {
    const std::byte* at = memory.data() + i * stride;
    bytes.insert(bytes.end(), at, at + row);
    for (size_t p = row; i + 1 < c.n && p < stride; ++p) {
      if (at[p] != std::byte{GuardedBuffer::kFill}) error = "quantize wrote between rows";
    }
  }
  return bytes;
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_CASE_RUN_H_

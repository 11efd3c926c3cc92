// SPDX-License-Identifier: MIT
// What a competitor implements. Each runs in a process of its own, forked from the one that owns
// the data: libraries with the same symbols do not meet, and one that crashes is a printed line.
#ifndef TESSERA_BENCH_BACKEND_H_
#define TESSERA_BENCH_BACKEND_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "problem.h"

namespace bench {

/// Thrown by a backend that cannot do what is asked; the text says why.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Backend {
 public:
  virtual ~Backend() = default;
  /// Prepares the weights; the problem outlives the backend.
  virtual void open(const Problem&) = 0;
  /// Prepares for products with the first m rows of x.
  virtual void prepare(size_t m) = 0;
  /// One product with the i-th copy of W into y[m, n], f32 (s32 for u8s8). This is what is timed:
  /// whoever takes x as f32 converts it in here.
  virtual void run(size_t copy, float* y) = 0;
};

struct BackendInfo {
  std::string name;
  bool (*supports)(DType format, bool packed) = nullptr;
  /// Version, code path, flags; throws Unsupported with how to get it if it is not here.
  std::function<std::string()> describe;
  std::function<std::unique_ptr<Backend>()> make;
  /// The Highway target whose peak counts, if not the best; for Tessera's own targets.
  std::string target = {};
  /// Computes in f32 whatever the format: that peak counts.
  bool in_f32 = false;
  /// Runs only where a case or --backends names it.
  bool on_request = false;
  /// Multiplies with experts, too.
  bool has_experts = false;
  /// Another version of a library that is measured anyway: only on the shapes of the short run.
  bool is_variant = false;
};

}  // namespace bench

#endif  // TESSERA_BENCH_BACKEND_H_

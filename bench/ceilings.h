// SPDX-License-Identifier: MIT
// What this CPU can do at most, measured here and now: instruction peaks per target and the
// bandwidth of reading each level of memory.
#ifndef TESSERA_BENCH_CEILINGS_H_
#define TESSERA_BENCH_CEILINGS_H_

#include <map>
#include <string>
#include <vector>

#include "problem.h"

namespace bench {

/// "peak/f32/AVX2/threads:1" -> GFLOP/s (two operations per multiply-add), "read/L2/threads:1" and
/// "read/memory/pages:4k/threads:2" -> GB/s. "peak/f32/threads:1" is the highest of all targets.
class Ceilings {
 public:
  /// Takes some seconds. Threads are pinned to one CPU each.
  static Ceilings measure(const std::vector<size_t>& threads, double seconds_each);

  const std::map<std::string, double>& all() const { return values_; }
  /// 0 if it was not measured.
  double get(const std::string& name) const {
    const auto it = values_.find(name);
    return it == values_.end() ? 0.0 : it->second;
  }

  /// The instruction class whose peak bounds a format: f16 is widened to f32.
  static std::string instruction(DType format) {
    if (format == DType::bf16) return "bf16";
    return is_blocks(format) || format == DType::i8 ? "int8" : "f32";
  }

 private:
  std::map<std::string, double> values_;
};

/// Data caches of CPU 0, in bytes; 0 if unknown.
size_t cache_bytes(int level);

}  // namespace bench

#endif  // TESSERA_BENCH_CEILINGS_H_

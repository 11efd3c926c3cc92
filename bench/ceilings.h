// SPDX-License-Identifier: MIT
// What this CPU can do at most, measured here and now: instruction peaks per target and the
// bandwidth of reading each level of memory. All of them once at the start, for the report; and
// those that bound a case in turns with its backends, since virtual machines drift.
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

 private:
  std::map<std::string, double> values_;
};

/// The bandwidth of reading memory from 2 MiB pages, in GB/s, that so many pinned threads reach in
/// the mean of `seconds`: what a program that reads as long can hope for. Ceilings has the best
/// moment; where others use the same memory, that is up to twice as much.
double sustained_read(size_t threads, double seconds);

/// The instruction class whose peak bounds a format: f16 is widened to f32.
inline std::string instruction_of(DType format) {
  if (format == DType::bf16) return "bf16";
  return is_blocks(format) || format == DType::i8 ? "int8" : "f32";
}

/// The peak of an instruction class on a target, for turns: passes of some 2 ms, on pinned threads.
class PeakTurns {
 public:
  /// Target "": the best that this CPU has. f32 stands in for a class that the target lacks or has
  /// slower.
  PeakTurns(const std::string& instruction, const std::string& target, size_t threads);
  /// The best pass of a turn, in GFLOP/s.
  double turn(double seconds) const;

 private:
  double (*step_)(size_t rounds, double* sink) = nullptr;
  size_t rounds_ = 0, threads_;
};

/// The bandwidth of reading the weights of a problem, copy after copy, for turns: passes of some 2
/// ms, in which each pinned thread reads its share of the rows.
class ReadTurns {
 public:
  explicit ReadTurns(const Problem& p) : problem_(p) {}
  /// The best pass of a turn, in GB/s. It begins with this copy, and sets it to the one after its
  /// last.
  double turn(double seconds, size_t* copy) const;

 private:
  Problem problem_;
};

/// Data caches of CPU 0, in bytes; 0 if unknown.
size_t cache_bytes(int level);

}  // namespace bench

#endif  // TESSERA_BENCH_CEILINGS_H_

// SPDX-License-Identifier: MIT
// One problem and the workers that compete on it, taking turns: A B C, C B A, A B C, ... The
// ceilings take turns among them.
#ifndef TESSERA_BENCH_GROUP_H_
#define TESSERA_BENCH_GROUP_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ceilings.h"
#include "shapes.h"
#include "worker.h"

namespace bench {

/// How long to measure: each backend takes `samples` turns of about seconds / samples.
struct Effort {
  double seconds = 0.2;
  size_t samples = 7;
  size_t retries = 1;  // further goes where a go is noisy
};

/// Turns of one backend for one m: seconds of one call, in the mean and in the best pass of each
/// turn, or why there are none. With them the ceilings that took turns with it, each the best pass
/// of them all; 0 if there are none.
struct Samples {
  std::vector<double> seconds, best;
  std::string error;
  double peak = 0;       // GFLOP/s of the backend's instruction class on its target
  double bandwidth = 0;  // GB/s of reading the weights, if they come from memory
  double median() const;
  /// Half the distance between the quartiles, as a share of the median.
  double noise() const;
};
constexpr double kMaxNoise = 0.05;

/// The data of a problem, from a fixed seed: x and W about normal, W in ggml's bytes.
class Data {
 public:
  Data(const Shape&, DType format, const std::vector<size_t>& ms, bool memory, Pages);
  Problem problem(bool packed, size_t threads) const;

 private:
  Problem problem_;
  Arena w_, x_, x_bf16_, x_u8_, choice_;
};

class Group {
 public:
  Group(const Data&, bool packed, size_t threads, const std::vector<BackendInfo>&, bool ceilings);
  /// Samples of each backend, in their order, for one of the problem's m.
  std::vector<Samples> measure(size_t m, const Effort&);

 private:
  void go(std::vector<Samples>&, const std::vector<size_t>& calls, const Effort&);
  void ceilings(std::vector<Samples>&, double seconds);
  Times time(size_t worker, size_t calls, std::string* error);

  Problem problem_;
  Oracle oracle_;
  std::vector<std::unique_ptr<Worker>> workers_;
  // One for each instruction class and target that is a worker's, and whose they are.
  std::map<std::string, PeakTurns> peaks_;
  std::vector<const PeakTurns*> peak_of_;
  std::unique_ptr<ReadTurns> reading_;
  // The copy of the weights that the next turn begins with, whoever takes it: the one that was not
  // read for longest. One that another turn has just read would be in a cache still.
  size_t copy_ = 0;
};

}  // namespace bench

#endif  // TESSERA_BENCH_GROUP_H_

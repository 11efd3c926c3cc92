// SPDX-License-Identifier: MIT
// A backend in a process of its own. The parent asks, the child answers; between two questions the
// child sleeps in read(), so that backends can take turns.
#ifndef TESSERA_BENCH_WORKER_H_
#define TESSERA_BENCH_WORKER_H_

#include <sys/types.h>

#include <string>

#include "backend.h"
#include "oracle.h"

namespace bench {

/// Seconds of one call.
struct Times {
  double mean = 0;
  double best =
      0;  // the fastest pass of some two milliseconds, or of one call if that takes longer
};

/// What a child says: a text, empty or beginning with "unsupported: ", "wrong: " or "failed: ".
struct Answer {
  Times times;
  std::string text;
};

struct Question {
  char what;      // 'c': check, 't': time
  size_t number;  // rows or calls
  size_t copy;    // of the weights, to begin with
};

class Worker {
 public:
  /// Forks. The child opens the backend on the problem; text() says how that went.
  Worker(const BackendInfo&, const Problem&, const Oracle&);
  /// Forks a child that only describes the backend: its version, or why it cannot be had.
  explicit Worker(const BackendInfo&);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// The first answer: empty, a complaint, or the description.
  const std::string& text() const { return text_; }
  /// Prepares for m rows, runs once on this copy of the weights and compares with the oracle.
  Answer check(size_t m, size_t copy) { return ask({'c', m, copy}); }
  /// Runs so many calls, each on the next copy from this one on.
  Answer time(size_t calls, size_t copy) { return ask({'t', calls, copy}); }

 private:
  Answer ask(const Question&);
  Answer receive();

  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
  std::string text_;
};

/// Pins the calling thread to CPUs 0 .. threads-1, of those it may use, or to the i-th of them.
void pin(size_t threads);
void pin_self(size_t i);

}  // namespace bench

#endif  // TESSERA_BENCH_WORKER_H_

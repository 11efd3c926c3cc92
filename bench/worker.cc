// SPDX-License-Identifier: MIT
#include "worker.h"

#include <dirent.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>

namespace bench {
namespace {

std::vector<int> usable_cpus() {
  static const std::vector<int> cpus = [] {
    cpu_set_t set;
    sched_getaffinity(0, sizeof(set), &set);
    std::vector<int> list;
    for (int c = 0; c < CPU_SETSIZE; ++c) {
      if (CPU_ISSET(c, &set)) list.push_back(c);
    }
    return list;
  }();
  return cpus;
}

void pin_thread(pid_t thread, size_t first, size_t count) {
  cpu_set_t set;
  CPU_ZERO(&set);
  const std::vector<int> cpus = usable_cpus();
  for (size_t i = first; i < first + count; ++i) CPU_SET(cpus[i % cpus.size()], &set);
  sched_setaffinity(thread, sizeof(set), &set);
}

// Each thread that the backend's library has started by now gets one CPU, this one the first.
void pin_all_threads(size_t threads) {
  size_t next = 1;
  if (DIR* tasks = opendir("/proc/self/task")) {
    while (const dirent* entry = readdir(tasks)) {
      const pid_t id = std::atoi(entry->d_name);
      if (id <= 0 || id == getpid()) continue;
      pin_thread(id, threads == 1 ? 0 : next, 1);
      next = next % (threads > 1 ? threads - 1 : 1) + 1;
    }
    closedir(tasks);
  }
  pin_thread(0, 0, 1);
}

bool read_all(int fd, void* data, size_t bytes) {
  for (auto* p = static_cast<char*>(data); bytes > 0;) {
    const ssize_t got = read(fd, p, bytes);
    if (got <= 0) return false;
    p += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

void answer(int fd, const Times& times, const std::string& text) {
  const size_t size = text.size();
  std::string bytes(sizeof(times) + sizeof(size), '\0');
  std::memcpy(bytes.data(), &times, sizeof(times));
  std::memcpy(bytes.data() + sizeof(times), &size, sizeof(size));
  bytes += text;
  if (write(fd, bytes.data(), bytes.size()) < 0) _exit(1);
}

template <class F>
std::string explained(const F& f) {
  try {
    return f();
  } catch (const Unsupported& e) {
    return std::string("unsupported: ") + e.what();
  } catch (const std::exception& e) {
    return std::string("failed: ") + e.what();
  }
}

// Ceilings are the best of passes as short as these, so that what keeps others busy on this machine
// for a moment is in neither. The clock is asked less than 128 times: it must not count.
Times time_calls(size_t calls, const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  const auto between = [](Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  };
  const size_t stride = std::max<size_t>(1, calls / 64);
  const Clock::time_point start = Clock::now();
  Clock::time_point pass = start, at = start;
  double best = 0;
  for (size_t done = 0, before = 0; done < calls;) {
    const size_t count = std::min(stride, calls - done);
    for (size_t i = 0; i < count; ++i) call();
    done += count;
    at = Clock::now();
    if (between(pass, at) < 2e-3) continue;
    const double seconds = between(pass, at) / static_cast<double>(done - before);
    best = best == 0 ? seconds : std::min(best, seconds);
    pass = at;
    before = done;
  }
  const double mean = between(start, at) / static_cast<double>(calls);
  return {mean, best == 0 ? mean : best};
}

// Before any library is loaded, so that OpenMP and the BLAS pools read it. Idle pools let go of
// the CPU after a millisecond or so, since another backend's turn follows.
void set_environment(size_t threads) {
  const std::string count = std::to_string(threads);
  for (const char* name : {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                           "BLIS_NUM_THREADS", "SCIPY_OPENBLAS_NUM_THREADS"}) {
    setenv(name, count.c_str(), 1);
  }
  setenv("MKL_DYNAMIC", "FALSE", 1);
  setenv("KMP_BLOCKTIME", "1", 1);
  // GNU's spins for some 7 ms. With it, q8_0's 512 x 4096 x 4096 on two threads beside
  // ik_llama.cpp: median 541 and best 709 Gop/s.
  setenv("GOMP_SPINCOUNT", "20000", 1);
}

// Reads each page of W once. A process that was forked has not read any of them, and a CPU that
// reads a page for the first time notes that, which takes as long as reading 4 KiB from memory: the
// first calls on small pages were half as fast as all others.
void read_pages(const Problem& problem) {
  const size_t bytes = problem.copies > 1 ? problem.copies * problem.copy_stride : problem.w_bytes;
  [[maybe_unused]] volatile std::byte read;
  for (size_t i = 0; i < bytes; i += 4096) read = problem.w[i];
}

[[noreturn]] void serve(const BackendInfo& info, const Problem& problem, const Oracle& oracle,
                        int in, int out) {
  set_environment(problem.threads);
  pin(problem.threads);
  std::unique_ptr<Backend> backend;
  const std::string opened = explained([&] {
    backend = info.make();
    backend->open(problem);
    read_pages(problem);
    return std::string();
  });
  answer(out, {}, opened);
  const Arena memory(problem.y_rows(problem.max_m()) * problem.n * sizeof(float), Pages::huge);
  auto* y = reinterpret_cast<float*>(memory.data());
  Question q;
  while (read_all(in, &q, sizeof(q))) {
    Times times;
    const std::string text = explained([&]() -> std::string {
      if (q.what == 't') {
        times = time_calls(q.number, [&] { backend->run(q.copy++, y); });
        return "";
      }
      std::memset(y, 0xff, problem.y_rows(q.number) * problem.n * sizeof(float));  // NaN
      backend->prepare(q.number);
      backend->run(q.copy, y);
      pin_all_threads(problem.threads);
      const std::string error = oracle.compare(y, q.number);
      return error.empty() ? "" : "wrong: " + error;
    });
    answer(out, times, text);
  }
  _exit(0);
}

// Forks; returns 0 in the child. The pipes are the child's in and out, or the parent's.
pid_t fork_with_pipes(int* in, int* out) {
  int down[2], up[2];
  if (pipe(down) != 0 || pipe(up) != 0) throw std::runtime_error("pipe");
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("fork");
  const bool child = pid == 0;
  if (child) prctl(PR_SET_PDEATHSIG, SIGKILL);
  *in = child ? down[0] : up[0];
  *out = child ? up[1] : down[1];
  close(child ? down[1] : down[0]);
  close(child ? up[0] : up[1]);
  return pid;
}

}  // namespace

void pin(size_t threads) { pin_thread(0, 0, threads); }
void pin_self(size_t i) { pin_thread(0, i, 1); }

Worker::Worker(const BackendInfo& info, const Problem& problem, const Oracle& oracle) {
  int in, out;
  pid_ = fork_with_pipes(&in, &out);
  if (pid_ == 0) serve(info, problem, oracle, in, out);
  from_ = in;
  to_ = out;
  text_ = receive().text;
}

Worker::Worker(const BackendInfo& info) {
  int in, out;
  pid_ = fork_with_pipes(&in, &out);
  if (pid_ == 0) {
    set_environment(1);
    answer(out, {}, explained([&] { return info.describe(); }));
    _exit(0);
  }
  from_ = in;
  to_ = out;
  text_ = receive().text;
}

Worker::~Worker() {
  close(to_);
  close(from_);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

Answer Worker::ask(const Question& q) {
  if (write(to_, &q, sizeof(q)) != sizeof(q)) return {{}, "failed: the process has ended"};
  return receive();
}

Answer Worker::receive() {
  Answer a;
  size_t size = 0;
  if (!read_all(from_, &a.times, sizeof(a.times)) || !read_all(from_, &size, sizeof(size))) {
    int status = 0;
    waitpid(pid_, &status, 0);
    return {{},
            WIFSIGNALED(status) ? std::string("failed: ") + strsignal(WTERMSIG(status))
                                : "failed: the process has ended"};
  }
  a.text.resize(size);
  read_all(from_, a.text.data(), size);
  return a;
}

}  // namespace bench

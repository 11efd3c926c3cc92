// SPDX-License-Identifier: MIT
// Peaks: independent chains of one instruction with all operands in registers. Bandwidth: sums over
// a buffer that fits the level in question, read again and again.
#include "ceilings.h"

#include "tessera/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ceilings.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Latency 4 times two per cycle is 8 chains at least; 12 leave room and fit 16 registers.
constexpr size_t kChains = 12;

// `step(acc)` is one instruction on each of kChains accumulators; returns a value that depends on
// all.
template <class D, class Step>
HWY_INLINE double chains(D d, size_t rounds, const Step& step) {
  // Different values: equal chains would be computed once.
  const auto start = [d](int i) HWY_ATTR { return hn::Set(d, static_cast<hn::TFromD<D>>(i)); };
  auto a0 = start(0), a1 = start(1), a2 = start(2), a3 = start(3), a4 = start(4), a5 = start(5),
       a6 = start(6), a7 = start(7), a8 = start(8), a9 = start(9), a10 = start(10), a11 = start(11);
  for (size_t r = 0; r < rounds; ++r) {
    a0 = step(a0), a1 = step(a1), a2 = step(a2), a3 = step(a3), a4 = step(a4), a5 = step(a5);
    a6 = step(a6), a7 = step(a7), a8 = step(a8), a9 = step(a9), a10 = step(a10), a11 = step(a11);
  }
  a0 =
      hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(hn::Add(a4, a5), hn::Add(a6, a7)));
  a0 = hn::Add(a0, hn::Add(hn::Add(a8, a9), hn::Add(a10, a11)));
  return static_cast<double>(hn::ReduceSum(d, a0));
}

// Each returns operations per round; 0 if the target has no such instruction.
double peak_f32(size_t rounds, double* sink) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.5f), y = hn::Set(d, 0.25f);
  *sink += chains(d, rounds, [&](auto acc) HWY_ATTR { return hn::MulAdd(x, acc, y); });
  return 2.0 * static_cast<double>(kChains * hn::Lanes(d));
}
// Two products of narrow values (T) for each lane of D.
template <class T, class D>
double peak_of_pairs(D d, size_t rounds, double* sink) {
  const hn::Repartition<T, D> narrow;
  const auto x = hn::BitCast(narrow, hn::Set(d, 3)), y = hn::BitCast(narrow, hn::Set(d, 5));
  auto unused = hn::Zero(d);
  *sink += chains(d, rounds, [&](auto acc) HWY_ATTR {
    return hn::ReorderWidenMulAccumulate(d, x, y, acc, unused);
  });
  return 4.0 * static_cast<double>(kChains * hn::Lanes(d));
}
double peak_bf16(size_t rounds, double* sink) {
#if HWY_NATIVE_DOT_BF16
  return peak_of_pairs<hwy::bfloat16_t>(hn::ScalableTag<float>(), rounds, sink);
#else
  (void)rounds, (void)sink;
  return 0.0;
#endif
}
double peak_int16(size_t rounds, double* sink) {
#if HWY_TARGET <= HWY_AVX3_DL || HWY_TARGET_IS_NEON
  return peak_of_pairs<int16_t>(hn::ScalableTag<int32_t>(), rounds, sink);
#else
  (void)rounds, (void)sink;
  return 0.0;
#endif
}
double peak_int8(size_t rounds, double* sink) {
#if HWY_TARGET <= HWY_AVX3_DL
  const hn::ScalableTag<int32_t> d;
  const hn::Repartition<uint8_t, decltype(d)> du;
  const hn::Repartition<int8_t, decltype(d)> di;
  const auto x = hn::Set(du, uint8_t{3});
  const auto y = hn::Set(di, int8_t{5});
  *sink += chains(d, rounds,
                  [&](auto acc) HWY_ATTR { return hn::SumOfMulQuadAccumulate(d, x, y, acc); });
  return 8.0 * static_cast<double>(kChains * hn::Lanes(d));
#else
  (void)rounds, (void)sink;
  return 0.0;
#endif
}

// Reads `bytes` bytes in so many streams side by side, in runs of 4 vectors; where the runs do not
// come out even, a few are left out.
double read_bytes(const uint8_t* p, size_t bytes, size_t streams) {
  const hn::ScalableTag<uint64_t> d;
  const size_t lanes = hn::Lanes(d), run_bytes = 32 * lanes;
  auto a = hn::Zero(d), b = a, c = a, e = a;
  const size_t share = bytes / streams / run_bytes * run_bytes;
  for (size_t at = 0; at < share; at += run_bytes) {
    for (size_t s = 0; s < streams; ++s) {
      // In ascending order: in any other, prefetching is a third slower on Zen 4.
      const auto* from = reinterpret_cast<const uint64_t*>(p + s * share + at);
      a = hn::Xor(a, hn::Load(d, from));
      b = hn::Xor(b, hn::Load(d, from + lanes));
      c = hn::Xor(c, hn::Load(d, from + 2 * lanes));
      e = hn::Xor(e, hn::Load(d, from + 3 * lanes));
    }
  }
  return static_cast<double>(hn::ReduceSum(d, hn::Xor(hn::Xor(a, b), hn::Xor(c, e))) & 1);
}

}  // namespace HWY_NAMESPACE
}  // namespace bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <thread>

#include "worker.h"

namespace bench {
namespace {

HWY_EXPORT(peak_f32);
HWY_EXPORT(peak_bf16);
HWY_EXPORT(peak_int8);
HWY_EXPORT(peak_int16);
HWY_EXPORT(read_bytes);

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// work(thread) returns how much it did. The rates of many short passes; each pass starts on all
// threads at once and lasts until the slowest is done.
std::vector<double> rates(size_t threads, double seconds,
                          const std::function<double(size_t)>& work) {
  std::vector<double> done(threads), passes;
  std::barrier gate(static_cast<std::ptrdiff_t>(threads));
  bool more = true;
  std::vector<std::thread> team;
  const auto member = [&](size_t t) {
    for (;;) {
      gate.arrive_and_wait();
      if (!more) return;
      done[t] = work(t);
      gate.arrive_and_wait();
    }
  };
  for (size_t t = 1; t < threads; ++t) {
    team.emplace_back([&, t] {
      pin_self(t);
      member(t);
    });
  }
  pin_self(0);
  const double end = now() + seconds;
  do {
    gate.arrive_and_wait();
    const double start = now();
    done[0] = work(0);
    gate.arrive_and_wait();
    double sum = 0;
    for (const double d : done) sum += d;
    passes.push_back(sum / (now() - start));
  } while (now() < end);
  more = false;
  gate.arrive_and_wait();
  for (std::thread& t : team) t.join();
  return passes;
}

// Of the best pass.
double best_rate(size_t threads, double seconds, const std::function<double(size_t)>& work) {
  const std::vector<double> all = rates(threads, seconds, work);
  return *std::max_element(all.begin(), all.end());
}

constexpr size_t kRunBytes = 2048;  // for read_bytes(): a run of the longest vectors in each stream

using Step = double (*)(size_t rounds, double* sink);

// How many rounds take about two milliseconds; 0 if the target has no such instruction.
size_t rounds_of_a_pass(Step step) {
  double sink = 0;
  if (step(1, &sink) == 0.0) return 0;
  for (size_t rounds = 1000;; rounds *= 2) {
    double quickest = 1;
    for (int i = 0; i < 2; ++i) {  // an interruption must not make passes that are too short
      const double start = now();
      step(rounds, &sink);
      quickest = std::min(quickest, now() - start);
    }
    if (quickest >= 0.002) {
      return static_cast<size_t>(static_cast<double>(rounds) * 0.002 / quickest) + 1;
    }
  }
}

double peak(size_t threads, double seconds, Step step, size_t rounds) {
  std::vector<double> sinks(threads * 16);
  return best_rate(
             threads, seconds,
             [&](size_t t) { return step(rounds, &sinks[t * 16]) * static_cast<double>(rounds); }) *
         1e-9;
}

// What one thread reads: `count` pieces of memory one after the other, then the first again.
struct alignas(128) Stream {
  const std::byte* first;
  size_t bytes, stride, count;  // bytes: a multiple of kRunBytes
  size_t piece = 0, at = 0, passes = 0;
  double sink = 0;
};

// A pass is read as 1, 2, 4 or 8 smaller ones, by turns: the best way counts. Zen 4, best and
// median GB/s of each: 4 KiB pages, at whose ends the CPU's prefetching
// stops, 23.0 20.8, 26.3 23.3, 24.7 22.0, 27.8 22.7; 2 MiB
// pages 32.3 28.4, 31.9 29.2, 32.3 29.6, 34.5 29.1.
constexpr size_t kWays = 4;

// The work of a pass: each thread reads pass_bytes of its stream.
std::function<double(size_t)> reading(std::vector<Stream>& streams, size_t pass_bytes) {
  return [&streams, pass_bytes, read = HWY_DYNAMIC_POINTER(read_bytes)](size_t t) {
    Stream& s = streams[t];
    const size_t ways = size_t{1} << s.passes++ % kWays;
    for (size_t left = pass_bytes; left > 0;) {
      const size_t n = std::min(left, s.bytes - s.at);
      const std::byte* from = s.first + s.piece % s.count * s.stride + s.at;
      s.sink += read(reinterpret_cast<const uint8_t*>(from), n, ways);
      s.at += n;
      left -= n;
      if (s.at < s.bytes) continue;
      s.at = 0;
      ++s.piece;
    }
    return static_cast<double>(pass_bytes);
  };
}

// A buffer of `size` bytes for each thread, and its streams.
struct Buffers {
  Buffers(size_t threads, size_t size, Pages pages) {
    for (size_t t = 0; t < threads; ++t) {
      arenas.emplace_back(size, pages);
      std::memset(arenas.back().data(), 1, size);
      streams.push_back({arenas.back().data(), size, 0, 1});
    }
  }
  std::vector<Arena> arenas;
  std::vector<Stream> streams;
};

// GB/s of the best pass.
double bandwidth(size_t threads, double seconds, size_t size, size_t pass_bytes, Pages pages) {
  Buffers buffers(threads, size, pages);
  return best_rate(threads, seconds, reading(buffers.streams, pass_bytes)) * 1e-9;
}

constexpr size_t kMemoryPass = size_t{64} << 20;
size_t level_bytes(int level, size_t otherwise) {
  const size_t bytes = cache_bytes(level);
  return bytes != 0 ? bytes : otherwise;
}
size_t l3_bytes() { return level_bytes(3, size_t{8} << 20); }
// So much that hardly any of it is still in a cache when it is read again.
size_t memory_bytes() { return std::max(size_t{512} << 20, 4 * l3_bytes()); }

// HWY_DYNAMIC_POINTER gives the code of this target from now on; 0: of the best.
void choose_target(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace

size_t cache_bytes(int level) {
  for (int i = 0; i < 8; ++i) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    int found = 0;
    std::string type, size;
    if (!(std::ifstream(folder + "level") >> found)) return 0;
    std::ifstream(folder + "type") >> type;
    if (found != level || type == "Instruction") continue;
    std::ifstream(folder + "size") >> size;
    return std::stoul(size) * (size.back() == 'M' ? size_t{1} << 20 : size_t{1} << 10);
  }
  return 0;
}

Ceilings Ceilings::measure(const std::vector<size_t>& threads, double seconds) {
  Ceilings c;
  const int64_t usable = hwy::SupportedTargets() & HWY_TARGETS;
  for (const size_t t : threads) {
    const std::string suffix = "/threads:" + std::to_string(t);
    for (int64_t left = usable; left != 0; left &= left - 1) {
      choose_target(left & -left);
      const auto add = [&](const char* what, Step step) {
        const size_t rounds = rounds_of_a_pass(step);
        if (rounds == 0) return;
        const double rate = peak(t, seconds, step, rounds);
        c.values_[std::string("peak/") + what + "/" + hwy::TargetName(left & -left) + suffix] =
            rate;
        double& top = c.values_[std::string("peak/") + what + suffix];
        top = std::max(top, rate);
      };
      add("f32", HWY_DYNAMIC_POINTER(peak_f32));
      add("bf16", HWY_DYNAMIC_POINTER(peak_bf16));
      add("int8", HWY_DYNAMIC_POINTER(peak_int8));
      add("int16", HWY_DYNAMIC_POINTER(peak_int16));
    }
    choose_target(0);

    const size_t l1 = level_bytes(1, size_t{32} << 10), l2 = level_bytes(2, size_t{512} << 10),
                 l3 = l3_bytes();
    c.values_["read/L1" + suffix] = bandwidth(t, seconds, l1 / 2, l1 * 64, Pages::huge);
    c.values_["read/L2" + suffix] = bandwidth(t, seconds, l2 / 2, l2 * 8, Pages::huge);
    c.values_["read/L3" + suffix] =
        bandwidth(t, seconds, l3 / 4 / t / kRunBytes * kRunBytes, l3, Pages::huge);
    c.values_["read/memory/pages:2m" + suffix] =
        bandwidth(t, 4 * seconds, memory_bytes(), kMemoryPass, Pages::huge);
    c.values_["read/memory/pages:4k" + suffix] =
        bandwidth(t, 4 * seconds, memory_bytes(), kMemoryPass, Pages::small);
  }
  return c;
}

double sustained_read(size_t threads, double seconds) {
  Buffers buffers(threads, memory_bytes(), Pages::huge);
  const std::vector<double> all = rates(threads, seconds, reading(buffers.streams, kMemoryPass));
  double best = 0;
  for (size_t way = 0; way < kWays; ++way) {
    double passes = 0, time = 0;  // each pass reads as much
    for (size_t i = way; i < all.size(); i += kWays, ++passes) time += 1 / all[i];
    if (passes > 0) best = std::max(best, passes / time);
  }
  return best * 1e-9;
}

PeakTurns::PeakTurns(const std::string& instruction, const std::string& target, size_t threads)
    : threads_(threads) {
  for (int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) {
    if (target == hwy::TargetName(left & -left)) choose_target(left & -left);
  }
  const Step f32 = HWY_DYNAMIC_POINTER(peak_f32);
  step_ = f32;
  if (instruction == "bf16") step_ = HWY_DYNAMIC_POINTER(peak_bf16);
  if (instruction == "int8") step_ = HWY_DYNAMIC_POINTER(peak_int8);
  choose_target(0);
  rounds_ = rounds_of_a_pass(step_);
  if (step_ == f32) return;
  // Passes take the same time, so what they do is their speed.
  double sink = 0;
  const size_t rounds = rounds_of_a_pass(f32);
  const double ours = rounds_ == 0 ? 0 : step_(1, &sink) * static_cast<double>(rounds_);
  if (f32(1, &sink) * static_cast<double>(rounds) <= ours) return;
  step_ = f32;
  rounds_ = rounds;
}

double PeakTurns::turn(double seconds) const { return peak(threads_, seconds, step_, rounds_); }

double ReadTurns::turn(double seconds, size_t* copy) const {
  const Problem& p = problem_;
  const size_t share = p.w_bytes / p.threads / kRunBytes * kRunBytes;
  std::vector<Stream> streams;
  streams.reserve(p.threads);
  for (size_t t = 0; t < p.threads; ++t) {
    streams.push_back({p.w + t * share, share, p.copy_stride, p.copies, *copy});
  }
  // 2 ms at 25 GB/s: longer passes than the backends' would be interrupted more often than those.
  const double rate = best_rate(p.threads, seconds, reading(streams, size_t{48} << 20)) * 1e-9;
  *copy = streams[0].piece + 1;
  return rate;
}

}  // namespace bench
#endif  // HWY_ONCE

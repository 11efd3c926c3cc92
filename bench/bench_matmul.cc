// SPDX-License-Identifier: MIT
// tessera-bench: every library at hand on every shape, beside what the CPU can do at most. Google
// Benchmark names, filters and writes; the samples are taken in turns by group.cc, and each of its
// repetitions hands over one of them.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <regex>
#include <set>

#include "backends/list.h"
#include "ceilings.h"
#include "group.h"
#include "library.h"
#include "machine.h"

namespace bench {
namespace {

struct Options {
  bool quick = false, only_ours = false, no_ceilings = false, list = false, read = false;
  std::vector<std::string> backends;
  std::vector<size_t> threads;
  double seconds = 0;
  Effort effort() const {
    Effort e;
    if (quick) e = {0.1, 5, 1};
    if (seconds > 0) e.seconds = seconds;
    return e;
  }
};

/// A group as long as it is not needed: which data, mode and backends.
struct GroupPlan {
  const Series* series;
  DType format;
  Pages pages;
  bool packed;
  size_t threads;
  std::vector<BackendInfo> backends;
};

/// Opens groups as their benchmarks come up, one at a time, and keeps the last data.
class Conductor {
 public:
  explicit Conductor(const Options& options)
      : effort_(options.effort()), with_ceilings_(!options.no_ceilings) {}

  void add(const GroupPlan& plan) {
    plans_.push_back(std::make_unique<GroupPlan>(plan));
    const GroupPlan& p = *plans_.back();
    const std::string filter = benchmark::GetBenchmarkFilter();
    const std::regex wanted(filter.empty() || filter == "all" ? ".*" : filter);
    for (const size_t m : p.series->ms) {
      std::string head = "matmul/" + format_name(p.format) +
                         (p.packed ? "/packed/" : "/in_place/") + p.series->shape.name +
                         "/m:" + std::to_string(m);
      if (p.series->memory) head += p.pages == Pages::huge ? "/pages:2m" : "/pages:4k";
      head += "/threads:" + std::to_string(p.threads) + "/";
      GroupPlan filtered = p;
      filtered.backends.clear();
      for (const BackendInfo& b : p.backends) {
        if (std::regex_search(head + b.name, wanted)) filtered.backends.push_back(b);
      }
      if (filtered.backends.empty()) continue;
      auto c = std::make_shared<Case>(Case{plans_.back().get(), m, filtered.backends, {}});
      for (size_t i = 0; i < c->backends.size(); ++i) {
        if (!names_.insert(head + c->backends[i].name).second) continue;  // in two series
        auto turn = std::make_shared<size_t>(0);
        benchmark::RegisterBenchmark(
            (head + c->backends[i].name).c_str(),
            [=, this](benchmark::State& state) { report(state, *c, i, (*turn)++); })
            ->Iterations(1)
            ->Repetitions(static_cast<int>(effort_.samples))
            ->UseManualTime()
            ->Unit(benchmark::kMicrosecond)
            ->ComputeStatistics("min", [](const std::vector<double>& v) {
              return *std::min_element(v.begin(), v.end());
            });
        ++total_;
      }
    }
  }
  size_t total() const { return total_; }

 private:
  struct Case {
    const GroupPlan* plan;
    size_t m;
    std::vector<BackendInfo> backends;
    std::vector<Samples> samples;
  };

  void report(benchmark::State& state, Case& c, size_t i, size_t turn) {
    if (c.samples.empty()) {
      open(c);
      c.samples = group_->measure(c.m, effort_);
    }
    const Samples& s = c.samples[i];
    if (!s.error.empty()) return state.SkipWithError(s.error.c_str());
    const double seconds = s.seconds[turn % s.seconds.size()];
    const double best = s.best[turn % s.best.size()];
    for ([[maybe_unused]] auto _ : state) state.SetIterationTime(seconds);

    const GroupPlan& p = *c.plan;
    // Of experts, n is that of all that a row chose.
    const Shape& shape = p.series->shape;
    const auto m = static_cast<double>(c.m), n = static_cast<double>(shape.n * shape.chosen),
               k = static_cast<double>(shape.k);
    const double gflops = 2e-9 * m * n * k / seconds;
    state.counters["m"] = m;
    state.counters["n"] = n;
    state.counters["k"] = k;
    state.counters["GFLOPS"] = gflops;
    state.counters["best_us"] = 1e6 * best;
    state.counters["noise"] = 100 * s.noise();
    state.counters["answer"] = s.noise() <= kMaxNoise ? 1 : 0;
    if (s.peak > 0) {
      state.counters["peak_GFLOPS"] = s.peak;
      state.counters["pct_peak"] = 100 * gflops / s.peak * seconds / best;
    }
    if (!p.series->memory) return;
    const Problem problem = data_->problem(p.packed, p.threads);
    const double read =
        static_cast<double>(problem.touched(c.m)) / static_cast<double>(problem.experts);
    const double gbps = 1e-9 * static_cast<double>(problem.w_bytes) * read / seconds;
    state.counters["w_rows"] = static_cast<double>(problem.touched(c.m) * problem.n);
    state.counters["GBps"] = gbps;
    if (s.bandwidth > 0) {
      state.counters["bandwidth_GBps"] = s.bandwidth;
      state.counters["pct_bandwidth"] = 100 * gbps / s.bandwidth * seconds / best;
    }
  }

  void open(const Case& c) {
    const GroupPlan& p = *c.plan;
    if (opened_ == c.plan) return;
    group_.reset();
    const std::string key =
        format_name(p.format) + p.series->shape.name + std::to_string(p.series->memory) +
        std::to_string(static_cast<int>(p.pages)) + std::to_string(p.series->ms.back());
    if (key != data_key_) {
      data_.reset();
      data_ = std::make_unique<Data>(p.series->shape, p.format, p.series->ms, p.series->memory,
                                     p.pages);
      data_key_ = key;
    }
    group_ = std::make_unique<Group>(*data_, p.packed, p.threads, c.backends, with_ceilings_);
    opened_ = c.plan;
  }

  Effort effort_;
  bool with_ceilings_;
  std::vector<std::unique_ptr<GroupPlan>> plans_;
  std::set<std::string> names_;
  size_t total_ = 0;
  std::string data_key_;
  std::unique_ptr<Data> data_;
  std::unique_ptr<Group> group_;
  const GroupPlan* opened_ = nullptr;
};

/// Google Benchmark's file, with the names as we give them: without how its repetitions were made.
class Json : public benchmark::JSONReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<Run> named = runs;
    for (Run& r : named) {
      r.run_name.iterations.clear();
      r.run_name.repetitions.clear();
      r.run_name.time_type.clear();
      // These may be 0, of which Google Benchmark's "cv" is not a number, nor is the file then
      // JSON.
      if (r.run_type == Run::RT_Aggregate) {
        r.counters.erase("noise");
        r.counters.erase("answer");
      }
    }
    JSONReporter::ReportRuns(named);
  }
};

/// One line for each benchmark, and a progress line on a terminal.
class Lines : public benchmark::BenchmarkReporter {
 public:
  explicit Lines(size_t total) : total_(total) {}

  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    ++done_;
    if (progress_) std::fprintf(stderr, "\r\033[K");
    const Run* first = nullptr;
    Samples samples;
    for (const Run& r : runs) {
      if (r.run_type != Run::RT_Iteration) continue;
      if (first == nullptr) first = &r;
      samples.seconds.push_back(r.real_accumulated_time);
      samples.best.push_back(1e-6 * counter(r, "best_us"));
    }
    if (first != nullptr) line(*first, samples);
    std::fflush(stdout);
    if (progress_) progress(runs.front().run_name.str());
  }

 private:
  static double counter(const Run& run, const char* name) {
    const auto it = run.counters.find(name);
    return it == run.counters.end() ? 0.0 : it->second.value;
  }
  static std::string shown(const Run& run) {
    std::string name = run.run_name.function_name;
    return name.substr(name.find('/') + 1);
  }
  void line(const Run& run, const Samples& s) {
    if (run.error_occurred && run.error_message.rfind("unsupported: ", 0) == 0) return;
    const std::string name = shown(run);
    const std::string head = name.substr(0, name.rfind('/'));
    if (head != head_) std::printf("\n%s\n", head.c_str());
    head_ = head;
    std::printf("  %-16s", name.substr(name.rfind('/') + 1).c_str());
    if (run.error_occurred) {
      std::printf(" %s\n", run.error_message.c_str());
      return;
    }
    const auto value = [&](const char* what) { return counter(run, what); };
    // Each counter is of the first turn; by its times those of the median and the best follow.
    const double best = *std::min_element(s.best.begin(), s.best.end());
    const double turn = s.seconds.front(), share = s.best.front() / best;
    std::printf(" %8.1f median %8.1f best GFLOP/s", value("GFLOPS") * turn / s.median(),
                value("GFLOPS") * turn / best);
    if (value("pct_peak") > 0) std::printf(" %5.1f %% of peak", value("pct_peak") * share);
    if (value("pct_bandwidth") > 0) {
      std::printf("  %6.1f GB/s %5.1f %% of bandwidth", value("GBps") * turn / best,
                  value("pct_bandwidth") * share);
    }
    std::printf("  noise %.1f %%%s\n", value("noise"), value("answer") != 0 ? "" : ", no answer");
  }
  void progress(const std::string& name) const {
    const double elapsed =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    const auto left = static_cast<int>(elapsed / static_cast<double>(done_) *
                                       static_cast<double>(total_ - done_));
    std::fprintf(stderr, "[%zu of %zu, %d:%02d left] after %s", done_, total_, left / 60, left % 60,
                 name.c_str());
  }

  size_t total_, done_ = 0;
  bool progress_ = isatty(2) != 0;
  std::string head_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// What of the series is asked for and can be had.
std::vector<GroupPlan> plan_groups(const Options& o, const std::vector<Series>& series,
                                   const std::vector<BackendInfo>& backends) {
  std::vector<GroupPlan> plans;
  for (const Series& s : series) {
    if (o.quick && !s.quick) continue;
    for (const size_t threads : s.threads) {
      if (std::find(o.threads.begin(), o.threads.end(), threads) == o.threads.end()) continue;
      for (const DType format : s.formats) {
        for (const Pages pages : {Pages::huge, Pages::small}) {
          if (pages == Pages::small && (!s.memory || o.quick)) continue;
          for (const bool packed : {false, true}) {
            GroupPlan g{&s, format, pages, packed, threads, {}};
            for (const BackendInfo& b : backends) {
              const bool named = contains(o.backends, b.name) || contains(s.backends, b.name);
              const bool all = s.backends.empty() && o.backends.empty() && !b.on_request &&
                               (s.quick || !b.is_variant);
              const bool kept = o.backends.empty() || contains(o.backends, b.name);
              const bool ours = b.name.rfind("tessera", 0) == 0;
              const bool can =
                  b.supports(format, packed) && (s.shape.experts == 0 || b.has_experts);
              if ((named || all) && kept && (ours || !o.only_ours) && can) {
                g.backends.push_back(b);
              }
            }
            if (!g.backends.empty()) plans.push_back(g);
          }
        }
      }
    }
  }
  return plans;
}

// Libraries of the competitors that need others beside them find those only through this.
void restart_with_library_path(char** argv) {
  const std::string lib = peers_dir() + "/lib";
  const char* old = std::getenv("LD_LIBRARY_PATH");
  if (!std::filesystem::exists(lib) ||
      (old != nullptr && std::string(old).find(lib) != std::string::npos))
    return;
  setenv("LD_LIBRARY_PATH", (lib + (old != nullptr ? ":" + std::string(old) : "")).c_str(), 1);
  execv("/proc/self/exe", argv);
}

// Those that are asked for and can be had. Says of each of them what it is, or why it is missing.
std::vector<BackendInfo> find_backends(const Options& o) {
  std::vector<BackendInfo> found;
  std::set<std::string> described;
  for (const BackendInfo& b : all_backends()) {
    const bool asked = contains(o.backends, b.name);
    if ((!o.backends.empty() && !asked) || (o.only_ours && b.name.rfind("tessera", 0) != 0))
      continue;
    const std::string text = Worker(b).text();
    const bool missing = text.rfind("unsupported: ", 0) == 0 || text.rfind("failed: ", 0) == 0;
    const bool first = described.insert(b.name).second;  // a name may stand for several entries
    if (first && (!b.on_request || asked)) {
      std::printf("%s %-16s %s\n", missing ? "missing" : "backend", b.name.c_str(), text.c_str());
      benchmark::AddCustomContext((missing ? "missing/" : "backend/") + b.name, text);
    }
    if (!missing) found.push_back(b);
  }
  return found;
}

void report_ceilings(const Ceilings& ceilings) {
  for (const auto& [name, value] : ceilings.all()) {
    char number[32];
    std::snprintf(number, sizeof(number), "%.2f", value);
    benchmark::AddCustomContext("ceiling/" + name, number);
    std::printf("ceiling %-40s %9s %s\n", name.c_str(), number,
                name[0] == 'p' ? "GFLOP/s" : "GB/s");
  }
}

int run(int argc, char** argv) {
  Options o;
  CLI::App app{
      "Measures matrix products of every library at hand beside the CPU's limits. Options of "
      "Google "
      "Benchmark work too: --benchmark_filter=REGEX, --benchmark_out=FILE."};
  app.add_flag("--quick", o.quick, "a few shapes, under two minutes");
  app.add_flag("--only-ours", o.only_ours, "no competitors");
  app.add_flag("--no-ceilings", o.no_ceilings, "skip the limits, and with them the percentages");
  app.add_flag(
      "--read", o.read,
      "only print the bandwidth of reading memory in GB/s, the mean of --seconds, for each "
      "number of threads");
  app.add_flag("--backends-only", o.list, "only list the backends");
  app.add_option("--backends", o.backends, "only these")->delimiter(',');
  app.add_option("--threads", o.threads,
                 "only these numbers of threads (default: 1, and in the full run 2)")
      ->delimiter(',');
  app.add_option("--seconds", o.seconds, "time for each backend and case");
  bool to_file = false;
  for (int i = 1; i < argc; ++i) to_file |= std::string(argv[i]).rfind("--benchmark_out=", 0) == 0;
  benchmark::Initialize(&argc, argv);
  benchmark::BenchmarkReporter::Context::executable_name = "tessera-bench";
  CLI11_PARSE(app, argc, argv);
  if (o.threads.empty()) o.threads = o.quick ? std::vector<size_t>{1} : std::vector<size_t>{1, 2};
  std::erase_if(o.threads,
                [](size_t t) { return t > static_cast<size_t>(sysconf(_SC_NPROCESSORS_ONLN)); });

  if (o.read) {
    for (const size_t t : o.threads) {
      std::printf("%.2f\n", sustained_read(t, o.seconds > 0 ? o.seconds : 1));
    }
    return 0;
  }

  const std::vector<BackendInfo> found = find_backends(o);
  if (o.list) return 0;

  for (const auto& [key, value] : describe_machine()) benchmark::AddCustomContext(key, value);
  benchmark::AddCustomContext("mode", o.quick ? "quick" : "full");
  if (!o.no_ceilings) report_ceilings(Ceilings::measure(o.threads, o.quick ? 0.15 : 0.5));
  std::fflush(stdout);

  const std::vector<Series> series = all_series();
  Conductor conductor(o);
  for (const GroupPlan& g : plan_groups(o, series, found)) conductor.add(g);
  Lines lines(conductor.total());
  Json json;
  if (to_file) {
    benchmark::RunSpecifiedBenchmarks(&lines, &json);
  } else {
    benchmark::RunSpecifiedBenchmarks(&lines);
  }
  std::printf("\n");
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    bench::restart_with_library_path(argv);
    return bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tessera-bench: %s\n", e.what());
    return 1;
  }
}

// SPDX-License-Identifier: MIT
// tessera-sweep: measures values of one choice of plan/tuning.h, or of blocking, by turns in one
// process, and prints a table for bench/sweeps: what was measured where, and GFLOP/s.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "machine.h"
#include "problem.h"
#include "tessera/tessera.h"
#include "weights.h"

namespace bench {
namespace {

struct Options {
  std::string field, w = "f32", mode = "packed", target, pages = "2m";
  std::vector<size_t> values, ms = {1, 8, 32, 128, 512};
  std::string with;  // a field that all values go with
  size_t with_value = 0;
  size_t n = 4096, k = 4096, rounds = 15;
  double seconds = 0.02;
};

// What one value of the field makes of the options of a plan.
struct Candidate {
  tessera::Tuning tuning;
  tessera::Blocking blocking;
};

void set_field(const std::string& name, size_t value, Candidate& c) {
  const std::pair<const char*, size_t tessera::Tuning::*> sizes[] = {
      {"matvec_rows", &tessera::Tuning::matvec_rows},
      {"matvec_depth", &tessera::Tuning::matvec_depth},
      {"prepare_above", &tessera::Tuning::prepare_above},
      {"prepare_above_in_place", &tessera::Tuning::prepare_above_in_place},
      {"pair_rows", &tessera::Tuning::pair_rows},
      {"early_rows", &tessera::Tuning::early_rows},
      {"early_bytes", &tessera::Tuning::early_bytes},
      {"dot_early_rows", &tessera::Tuning::dot_early_rows},
      {"dot_early_bytes", &tessera::Tuning::dot_early_bytes}};
  for (const auto& [field, member] : sizes) {
    if (name == field) c.tuning.*member = value;
  }
  if (name == "page_pieces") c.tuning.page_pieces = value != 0;
  if (name == "slow_l3") c.tuning.slow_l3 = value != 0;
  if (name == "mc") c.blocking.mc = value;
  if (name == "kc_units") c.blocking.kc_units = value;
  if (name == "nc") c.blocking.nc = value;
}
constexpr const char* kFields[] = {"matvec_rows",
                                   "matvec_depth",
                                   "prepare_above",
                                   "pair_rows",
                                   "early_rows",
                                   "early_bytes",
                                   "dot_early_rows",
                                   "dot_early_bytes",
                                   "prepare_above_in_place",
                                   "page_pieces",
                                   "slow_l3",
                                   "mc",
                                   "kc_units",
                                   "nc"};

template <class T>
T take(tessera::Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().message().c_str());
  return std::move(*result);
}
void take(const tessera::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.message().c_str());
}

// W, as often as memory is needed for it to come from there, and x.
struct Data {
  DType format = DType::f32;
  size_t row_bytes = 0, copies = 1, stride = 0;
  Arena w, panels;
  bool has_panels = false;
  std::vector<float> x;

  Data(const Options& o, size_t max_m) {
    for (int id = 0; id < 256; ++id) {
      if (o.w == tessera::dtype_name(static_cast<DType>(id))) format = static_cast<DType>(id);
    }
    row_bytes = take(tessera::row_bytes(format, o.k));
    const size_t bytes = o.n * row_bytes;
    stride = (bytes + 4096) / 4096 * 4096;
    copies = std::max<size_t>(1, (size_t{640} << 20) / stride);
    w = Arena(stride * copies, o.pages == "4k" ? Pages::small : Pages::huge);
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> row(o.k);
    for (size_t r = 0; r < o.n; ++r) {
      for (float& v : row) v = uniform(random);
      put_weights(row, 1, format, w.data() + r * row_bytes);
    }
    for (size_t i = 1; i < copies; ++i) std::memcpy(w.data() + i * stride, w.data(), bytes);
    x.resize(max_m * o.k);
    for (float& v : x) v = uniform(random);
  }
};

// The plans of one candidate, one for each copy of W.
std::vector<tessera::Matmul> plans_of(const Options& o, const Candidate& c, Data& data) {
  tessera::PlanOptions options;
  options.target = o.target.empty() ? nullptr : o.target.c_str();
  options.tuning = &c.tuning;
  options.blocking = c.blocking;
  options.borrow_x = true;
  std::vector<tessera::Matmul> plans;
  for (size_t i = 0; i < data.copies; ++i) {
    const tessera::MatView w{data.w.data() + i * data.stride, o.n, o.k, data.row_bytes,
                             data.format};
    plans.push_back(take(tessera::Matmul::plan(w, DType::f32, options)));
  }
  if (o.mode != "packed") return plans;
  const size_t bytes = plans[0].packed_w_bytes(), stride = (bytes + 63) / 64 * 64;
  if (!data.has_panels) data.panels = Arena(stride * data.copies, Pages::huge);
  data.has_panels = true;  // all candidates read the same
  for (size_t i = 0; i < data.copies; ++i) {
    const std::span panels(data.panels.data() + i * stride, bytes);
    take(plans[i].pack_weights(panels));
    plans[i] = take(plans[i].with_packed(panels));
  }
  return plans;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// GFLOP/s of one turn: calls for about `seconds`, over one copy of W after another.
double one_turn(const std::vector<tessera::Matmul>& plans, const Data& data, size_t m, size_t& copy,
                std::vector<std::byte>& scratch, std::vector<float>& y, double seconds) {
  const size_t k = plans[0].k(), n = plans[0].n();
  const size_t x_bytes = plans[0].packed_x_bytes(m), worker_bytes = plans[0].worker_bytes(m);
  scratch.resize(x_bytes + worker_bytes + tessera::kScratchAlign);
  const size_t off = reinterpret_cast<uintptr_t>(scratch.data()) % tessera::kScratchAlign;
  const std::span all(scratch.data() + (tessera::kScratchAlign - off) % tessera::kScratchAlign,
                      x_bytes + worker_bytes);
  const double start = seconds_now();
  size_t calls = 0;
  do {
    const tessera::Matmul& plan = plans[copy++ % plans.size()];
    take(plan.pack(tessera::rows_of(std::span(data.x), m, k), all.first(x_bytes)));
    take(plan.run(all.first(x_bytes), tessera::rows_of(y, m, n), all.subspan(x_bytes)));
    ++calls;
  } while (seconds_now() - start < seconds);
  const double products = 2.0 * static_cast<double>(m) * static_cast<double>(n * k);
  return static_cast<double>(calls) * products / (seconds_now() - start) * 1e-9;
}

void sweep(const Options& o, const std::string& command) {
  Data data(o, *std::max_element(o.ms.begin(), o.ms.end()));
  std::vector<Candidate> candidates(o.values.size());
  std::vector<std::vector<tessera::Matmul>> plans;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const tessera::MatView w{data.w.data(), o.n, o.k, data.row_bytes, data.format};
    tessera::PlanOptions options;
    options.target = o.target.empty() ? nullptr : o.target.c_str();
    candidates[i].tuning = *take(tessera::Matmul::plan(w, DType::f32, options)).value().tuning;
    if (!o.with.empty()) set_field(o.with, o.with_value, candidates[i]);
    set_field(o.field, o.values[i], candidates[i]);
    plans.push_back(plans_of(o, candidates[i], data));
  }
  for (const auto& [name, value] : describe_machine()) {
    std::printf("# %s\t%s\n", name.c_str(), value.c_str());
  }
  std::printf("# command\t%s\n", command.c_str());
  std::printf("w\tmode\tn\tk\tm\t%s\tmedian GFLOP/s\tbest GFLOP/s\tpath\n", o.field.c_str());
  std::vector<std::byte> scratch;
  size_t copy = 0;
  for (const size_t m : o.ms) {
    std::vector<float> y(m * o.n);
    std::vector<std::vector<double>> speeds(candidates.size());
    for (size_t round = 0; round < o.rounds; ++round) {
      for (size_t i = 0; i < candidates.size(); ++i) {
        const size_t at = round % 2 == 0 ? i : candidates.size() - 1 - i;
        speeds[at].push_back(one_turn(plans[at], data, m, copy, scratch, y, o.seconds));
      }
    }
    for (size_t i = 0; i < candidates.size(); ++i) {
      std::sort(speeds[i].begin(), speeds[i].end());
      std::printf("%s\t%s\t%zu\t%zu\t%zu\t%zu\t%.1f\t%.1f\t%s\n", o.w.c_str(), o.mode.c_str(), o.n,
                  o.k, m, o.values[i], speeds[i][speeds[i].size() / 2], speeds[i].back(),
                  plans[i][0].explain(m).path);
    }
    std::fflush(stdout);
  }
}

int run(int argc, char** argv) {
  Options o;
  CLI::App app("Measures values of one choice of plan/tuning.h, or of blocking, by turns.");
  app.add_option("--field", o.field, "which choice")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kFields), std::end(kFields))));
  app.add_option("--values", o.values, "what it takes in turn")->required()->delimiter(',');
  CLI::Option* with =
      app.add_option("--with", o.with, "another choice")
          ->check(CLI::IsMember(std::vector<std::string>(std::begin(kFields), std::end(kFields))));
  CLI::Option* with_value =
      app.add_option("--with-value", o.with_value, "what that is throughout")->needs(with);
  with->needs(with_value);
  app.add_option("--w", o.w, "format of W")->capture_default_str();
  app.add_option("--mode", o.mode, "packed or in_place")
      ->check(CLI::IsMember({"packed", "in_place"}))
      ->capture_default_str();
  app.add_option("--pages", o.pages, "4k or 2m, of W in place")
      ->check(CLI::IsMember({"4k", "2m"}))
      ->capture_default_str();
  app.add_option("--target", o.target, "instruction set (default: the best)");
  app.add_option("-m", o.ms, "rows of x")->delimiter(',');
  app.add_option("-n", o.n, "rows of W")->capture_default_str();
  app.add_option("-k", o.k, "depth")->capture_default_str();
  app.add_option("--rounds", o.rounds, "turns of each value")->capture_default_str();
  app.add_option("--seconds", o.seconds, "of a turn")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  std::string command = "tessera-sweep";
  for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
  sweep(o, command);
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    return bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tessera-sweep: %s\n", e.what());
    return 1;
  }
}

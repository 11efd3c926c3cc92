// SPDX-License-Identifier: MIT
// A differential test over all axes of a product at once: support/random_case.h draws cases,
// support/case_check.h compares each with the oracle and with itself. A case has a seed of its own,
// which is all that draws it again: a hash of the run's seed and the case's number.
//
// With --bits it checks nothing but prints a hash of all results per target, to compare two builds
// of the library on one machine.
#if defined(__unix__) && !defined(__EMSCRIPTEN__)
#include <unistd.h>

#include <csignal>
#define TESSERA_TEST_SIGNALS
#endif

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "support/case_check.h"
#include "support/case_data.h"
#include "support/case_many.h"
#include "support/case_run.h"
#include "support/random_case.h"

#if defined(TESSERA_TEST_SIGNALS)
// What a sanitizer calls when it ends the program; not there without one.
extern "C" [[gnu::weak]] void __sanitizer_set_death_callback(  // NOLINT: its name
    void (*callback)());
#endif

namespace tessera::test {
namespace {

constexpr uint64_t kSeed = 20240817;
constexpr size_t kMostFailures = 5;
constexpr size_t kEnoughForAll = 5000;  // cases after which no value of a list may be missing

struct Options {
  size_t first = 0, cases = 10'000, bits = 0;
  uint64_t seed = kSeed;
  double seconds = 0;  // 0: no limit
  bool one_case = false, verbose = false, known_wrong = false;
  uint64_t case_seed = 0;
  const char* target = nullptr;
};

uint64_t seed_of(uint64_t run, size_t number) {
  return Rng(Rng(run).next() + number * 0x9E3779B97F4A7C15u).next();
}

RandomCase case_of(uint64_t seed, const DrawOptions& options) {
  Rng rng(seed);
  return draw_case(rng, options);
}

// ---- The case that runs, for when it ends the program ------------------------------------------

char running[160] = "", axes[1000] = "";

/// The line that runs a case again. A number is that in its run.
void set_running(uint64_t seed, const Options& options, size_t number) {
  const bool one_target = options.target != nullptr;
  std::snprintf(running, sizeof(running), "tessera_random_test --case 0x%016llx%s%s  # number %zu",
                static_cast<unsigned long long>(seed), one_target ? " --target " : "",
                one_target ? options.target : "", number);
}

#if defined(TESSERA_TEST_SIGNALS)
struct sigaction former[32] = {};

void say_which() {
  const char* const texts[] = {"\nENDED IN: ", running, "\n  ", axes, "\n"};
  for (const char* text : texts) {
    if (write(STDOUT_FILENO, text, std::strlen(text)) < 0) return;
  }
}

// Returns to what the signal does without us, a sanitizer's report or the end.
void on_signal(int signal) {
  say_which();
  sigaction(signal, &former[signal], nullptr);
  if (signal == SIGALRM) raise(signal);
}

void watch_for_the_end() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  struct sigaction action = {};
  action.sa_handler = &on_signal;
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM}) {
    sigaction(signal, &action, &former[signal]);
  }
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(&say_which);
}

// A case that takes longer ends the program. Seconds; 0: no limit.
void limit_time(unsigned seconds) { alarm(seconds); }
#else
void watch_for_the_end() {}
void limit_time(unsigned) {}
#endif

// ---- Which values of the axes were drawn -------------------------------------------------------

class Tally {
 public:
  explicit Tally(const Options& options) {
    for (const DType t : all_formats()) {
      expect("W", dtype_name(t));
      expect("quantize to", dtype_name(t));
    }
    for (const DType t : kXTypes) expect("x", dtype_name(t));
    for (const DType t : kYTypes) expect("y", dtype_name(t));
    for (const Accuracy a : kAccuracies) expect("accuracy", to_string(a));
    for (const Target& t : available_targets()) {
      if (options.target == nullptr || t.name == std::string(options.target)) {
        expect("target", t.name);
      }
    }
    for (const Door d : kDoors) expect("door", to_string(d));
    for (const Activation a : kActivations) expect("activation", name_of(a));
    for (const Values v : kValues) expect("values", to_string(v));
    for (const Tasks t : kTasks) expect("tasks", to_string(t));
    expect("tuning", "drawn");
    for (const char* axis : {"m", "n", "k"}) {
      for (const size_t size : {0, 1, 2, 17, 101, 1000}) {
        if (size < 1000 || *axis == 'k') expect(axis, size_of(size));
      }
    }
  }

  void add(const RandomCase& c) {
    const Setup& s = c.setup;
    count("door", to_string(c.door));
    count("W", dtype_name(s.w));
    if (c.door == Door::quantize) return count("quantize to", dtype_name(c.to));
    count("x", dtype_name(s.x));
    count("y", dtype_name(s.y));
    count("accuracy", to_string(s.accuracy));
    count("target", s.target);
    count("activation", name_of(c.epilogue.activation));
    count("values", to_string(c.values));
    count("cut", to_string(c.cut));
    if (!is_packed(c.door) && c.door != Door::in_place && is_plain(c.door))
      count("tasks", to_string(c.tasks));
    count("x lent", s.borrow_x ? "yes" : "no");
    count("tuning", s.tuning == nullptr ? "of this CPU" : "drawn");
    const Blocking& b = s.blocking;
    count("blocking", b.mc + b.kc_units + b.nc == 0 ? "automatic" : "forced");
    count("m", size_of(c.m));
    count("n", size_of(c.n));
    count("k", size_of(c.k));
  }

  /// False if a value that was expected was never drawn.
  bool print() const {
    bool all = true;
    for (const Axis& axis : axes_) {
      std::printf("%12s:", axis.name.c_str());
      for (const auto& [value, cases] : axis.values) {
        std::printf(" %s %zu", value.c_str(), cases);
        all = all && cases > 0;
      }
      std::printf("\n");
    }
    return all;
  }

 private:
  struct Axis {
    std::string name;
    std::vector<std::pair<std::string, size_t>> values;  // and in how many cases
  };

  static std::string name_of(Activation a) {
    constexpr const char* kNames[] = {"none", "relu", "silu", "gelu"};
    const size_t i = static_cast<size_t>(a);
    return i < std::size(kNames) ? kNames[i] : std::to_string(i);
  }
  static const char* size_of(size_t size) {
    return size == 0     ? "0"
           : size == 1   ? "1"
           : size <= 16  ? "2..16"
           : size <= 100 ? "17..100"
           : size <= 999 ? "101..999"
                         : "1000..";
  }
  size_t& at(const std::string& axis, const std::string& value) {
    size_t i = 0;
    while (i < axes_.size() && axes_[i].name != axis) ++i;
    if (i == axes_.size()) axes_.push_back({axis, {}});
    for (auto& [name, cases] : axes_[i].values) {
      if (name == value) return cases;
    }
    return axes_[i].values.emplace_back(value, 0).second;
  }
  void expect(const std::string& axis, const std::string& value) { at(axis, value); }
  void count(const std::string& axis, const std::string& value) { ++at(axis, value); }

  std::vector<Axis> axes_;
};

// ---- Checking ----------------------------------------------------------------------------------

/// Runs one case; true if nothing is wrong with it.
bool run_one(uint64_t seed, size_t number, const Options& options, Tally& tally) {
  const RandomCase c = case_of(seed, {options.target});
  set_running(seed, options, number);
  std::snprintf(axes, sizeof(axes), "%s", describe(c).c_str());
  if (options.verbose) std::printf("%s\n  %s\n", running, axes);
  tally.add(c);
  limit_time(300);
  const std::string error = check_case(c);
  limit_time(0);
  if (error.empty()) return true;
  std::printf("FAILED: %s\n  %s\n  %s\n", running, error.c_str(), axes);
  return false;
}

int check_cases(const Options& options) {
  std::printf("cases %zu to %zu of seed 0x%llx\n", options.first, options.first + options.cases - 1,
              static_cast<unsigned long long>(options.seed));
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  Tally tally(options);
  size_t done = 0, failures = 0;
  while (done < options.cases && failures < kMostFailures) {
    if (options.seconds > 0 && seconds() > options.seconds) break;
    const size_t number = options.first + done++;
    failures += !run_one(seed_of(options.seed, number), number, options, tally);
  }
  std::printf("%zu of %zu cases in %.1f s, %zu failed\n", done, options.cases, seconds(), failures);
  if (failures > 0) return 1;
  bound_report().print();
  const bool all_drawn = tally.print();
  if (done >= kEnoughForAll && !all_drawn) {
    std::printf("FAILED: a value above was never drawn\n");
    return 1;
  }
  return done > 0 ? 0 : 1;
}

// ---- Bits --------------------------------------------------------------------------------------

class Hash {
 public:
  void add(uint32_t word) {  // FNV-1a
    for (int i = 0; i < 4; ++i, word >>= 8) value_ = (value_ ^ (word & 255)) * 0x100000001B3u;
  }
  unsigned long long value() const { return value_; }

 private:
  uint64_t value_ = 0xCBF29CE484222325u;
};

/// x in f16, lent to tiles that take 8-bit blocks, which up to commit 863703e read it as such and
/// past its end. Their bits change with the fix, and before it they may end the program: they are
/// left out unless --known-wrong asks for them, and then hashed apart.
bool is_known_wrong(const RandomCase& c) {
  const bool lent = c.setup.borrow_x || c.door == Door::one_call;
  return lent && c.door != Door::quantize && c.setup.x == DType::f16 &&
         is_block_format(c.setup.w) && c.setup.accuracy != Accuracy::exact;
}

/// Adds the bits of what a case gives; false if that is an error.
bool add_bits(const RandomCase& c, Hash& hash) {
  const CaseData data(c);
  std::string error;
  if (c.door == Door::quantize) {
    for (const std::byte b : run_quantize(c, data.w, error)) hash.add(static_cast<uint32_t>(b));
  } else {
    const Output out = run_case(c, data.used_x(), data.used_w(), data);
    error = out.error;
    for (const float y : out.y) hash.add(bits_of(y));
  }
  if (error.empty()) return true;
  std::printf("FAILED: %s\n  %s\n  %s\n", running, error.c_str(), axes);
  return false;
}

int print_bits(const Options& options) {
  bool all_ran = true;
  for (const Target& target : available_targets()) {
    if (options.target != nullptr && target.name != std::string(options.target)) continue;
    Hash sound, known_wrong;
    size_t wrong = 0;
    for (size_t i = 0; i < options.bits; ++i) {
      const RandomCase c = case_of(seed_of(kSeed, i), {target.name, true});
      std::snprintf(running, sizeof(running), "case %zu of --bits, target %s", i, target.name);
      std::snprintf(axes, sizeof(axes), "%s", describe(c).c_str());
      const bool is_wrong = is_known_wrong(c);
      wrong += is_wrong;
      if (is_wrong && !options.known_wrong) continue;
      all_ran = add_bits(c, is_wrong ? known_wrong : sound) && all_ran;
    }
    std::printf("target %s cases %zu hash %016llx\n", target.name, options.bits - wrong,
                sound.value());
    if (!options.known_wrong) continue;
    std::printf("target %s known-wrong cases %zu hash %016llx\n", target.name, wrong,
                known_wrong.value());
  }
  return all_ran ? 0 : 1;
}

// ---- Command line ------------------------------------------------------------------------------

/// The first digits of the commit that is checked out in a folder; a fixed seed without git.
uint64_t seed_from_git(const std::string& folder) {
  const std::string command = "git -C '" + folder + "' rev-parse HEAD 2>/dev/null";
  char digits[17] = "";
  if (FILE* git = popen(command.c_str(), "r")) {
    if (std::fgets(digits, sizeof(digits), git) == nullptr) digits[0] = '\0';
    pclose(git);
  }
  if (std::strlen(digits) == 16) {
    std::printf("seed from the commit in %s\n", folder.c_str());
    return std::strtoull(digits, nullptr, 16);
  }
  std::printf("no commit in %s: the fixed seed\n", folder.c_str());
  return kSeed;
}

constexpr const char* kUsage =
    "usage: tessera_random_test [option]...\n"
    "  --cases N             how many random products, 10000 if not given\n"
    "  --first N             number of the first of them, 0 if not given\n"
    "  --seed S              of the run\n"
    "  --seed-from-git DIR   the commit there is the seed\n"
    "  --seconds T           end after so many, even if not all cases ran\n"
    "  --target NAME         this one only\n"
    "  --case S              run only this case, as a failure names it\n"
    "  --verbose             print each case before it runs\n"
    "  --bits N              instead, print a hash of the results of N fixed cases per target\n"
    "  --known-wrong         and one of those among them that earlier versions got wrong\n";

/// False if the command line is not as above.
bool parse(int argc, char** argv, Options& options) {
  const std::pair<const char*, size_t*> counts[] = {
      {"--cases", &options.cases}, {"--first", &options.first}, {"--bits", &options.bits}};
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    options.verbose = options.verbose || name == "--verbose";
    options.known_wrong = options.known_wrong || name == "--known-wrong";
    if (name == "--verbose" || name == "--known-wrong") continue;
    if (i + 1 == argc) return false;
    const char* value = argv[++i];
    if (name == "--target") options.target = value;
    if (name == "--seed-from-git") options.seed = seed_from_git(value);
    if (name == "--target" || name == "--seed-from-git") continue;
    char* end = nullptr;
    const uint64_t number = std::strtoull(value, &end, 0);
    bool known = name == "--seed" || name == "--seconds" || name == "--case";
    for (const auto& [count, to] : counts) {
      if (name != count) continue;
      known = true;
      *to = static_cast<size_t>(number);
    }
    if (!known || *value == '\0' || *end != '\0') return false;
    if (name == "--seed") options.seed = number;
    if (name == "--seconds") options.seconds = static_cast<double>(number);
    if (name == "--case") {
      options.one_case = true;
      options.case_seed = number;
    }
  }
  return true;
}

int run(const Options& options) {
  if (options.target != nullptr) {
    bool known = false;
    for (const Target& t : available_targets())
      known = known || t.name == std::string(options.target);
    if (!known) {
      std::printf("target %s does not run here\n", options.target);
      return 2;
    }
  }
  watch_for_the_end();
  if (options.bits > 0) return print_bits(options);
  if (!options.one_case) return check_cases(options);
  Tally tally(options);
  if (!run_one(options.case_seed, 0, options, tally)) return 1;
  std::printf("nothing is wrong with %s\n", running);
  return 0;
}

}  // namespace
}  // namespace tessera::test

int main(int argc, char** argv) {
  tessera::test::Options options;
  if (!tessera::test::parse(argc, argv, options)) {
    std::fputs(tessera::test::kUsage, stderr);
    return 2;
  }
  return tessera::test::run(options);
}

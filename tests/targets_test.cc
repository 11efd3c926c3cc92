// SPDX-License-Identifier: MIT
// plan/targets.h: the list, the default, a target of one's own, and TESSERA_TARGET. The library
// reads the environment when it plans, so ctest runs the hidden [environment] cases in processes
// whose environment it sets.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "support/random_case.h"
#include "support/suite.h"

namespace tessera::test {
namespace {

Result<Matmul> plan_for(const char* target) {
  static const std::vector<float> w(32);
  return Matmul::plan(rows_of(w, 1, 32), DType::f32, {Accuracy::fast, target, {}});
}

std::string names(bool available_only) {
  std::string all;
  for (const Target& t : targets()) {
    if (available_only && !t.available) continue;
    if (!all.empty()) all += ' ';
    all += t.name;
  }
  return all;
}

// One entry of ctest per compiled target, so that a target that was not run here shows in its
// summary as skipped.
void check_target(const Target& target) {
  if (!target.available) {
    const Result<Matmul> plan = plan_for(target.name);
    REQUIRE(plan.status().code == StatusCode::unavailable_target);
    const std::string want =
        std::string("this CPU does not run target ") + target.name + "; it runs: " + names(true);
    CHECK(plan.status().message().c_str() == want);
    SKIP("this CPU does not run " << target.name);
  }
  const Result<Matmul> plan = plan_for(target.name);
  REQUIRE(plan.ok());
  CHECK(std::string(plan->explain(1).target) == target.name);
  CHECK(target.vector_bytes >= 4);
  CHECK(target.vector_bytes <= 64);
}

template <size_t kIndex>
void register_target() {
  if (kIndex >= targets().size()) return;
  const std::string name = std::string("target ") + targets()[kIndex].name + " runs here";
  REGISTER_TEST_CASE([] { check_target(targets()[kIndex]); }, name, "[targets]");
}
template <size_t... kIndex>
bool register_targets(std::index_sequence<kIndex...>) {
  (register_target<kIndex>(), ...);
  return true;
}
[[maybe_unused]] const bool registered = register_targets(std::make_index_sequence<24>());

TEST_CASE("the list of targets", "[targets]") {
  const std::span<const Target> all = targets();
  REQUIRE(!all.empty());
  REQUIRE(all.size() <= 24);  // as many as have a test case
  std::set<std::string> seen;
  bool some_run = false;
  for (const Target& t : all) {
    CHECK(seen.insert(t.name).second);
    CHECK(std::strlen(t.name) < sizeof(Status::name));
    some_run = some_run || t.available;
    CHECK((t.vector_bytes != 0) == t.available);
  }
  CHECK(some_run);
  CHECK(targets().data() == all.data());
  // Best first: on one CPU a better target has vectors at least as long.
  size_t bytes = 64;
  for (const Target& t : all) {
    if (!t.available) continue;
    CHECK(t.vector_bytes <= bytes);
    bytes = t.vector_bytes;
  }
}

#if defined(__x86_64__) && !defined(HWY_COMPILE_ONLY_EMU128)
TEST_CASE("every x86 target is compiled in", "[targets]") {
  std::set<std::string> compiled;
  for (const Target& t : targets()) compiled.insert(t.name);
  for (const char* name :
       {"SSE2", "SSSE3", "SSE4", "AVX2", "AVX2_VNNI", "AVX3", "AVX3_DL", "AVX3_ZEN4", "AVX3_SPR"}) {
    INFO(name);
    CHECK(compiled.contains(name));
  }
  CHECK_FALSE(compiled.contains("AVX10_2"));  // left out: see simd/targets.h
}
#endif

TEST_CASE("a name that no target has", "[targets]") {
  const std::string known = names(false);
  for (const char* name : {"nonsense", "", "avx2", "AVX2 ", "AVX"}) {
    const Result<Matmul> plan = plan_for(name);
    CHECK(plan.status().code == StatusCode::unknown_target);
    const std::string want = std::string("unknown target \"") + name + "\"; known are: " + known;
    CHECK(plan.status().message().c_str() == want);
  }
  // A long one is cut, not overrun.
  const Result<Matmul> plan = plan_for("0123456789012345678901234567890123456789");
  const std::string want = "unknown target \"01234567890123456789012\"; known are: " + known;
  CHECK(plan.status().message().c_str() == want);
}

TEST_CASE("the default target is the first that runs", "[targets]") {
  if (std::getenv("TESSERA_TARGET") != nullptr) SKIP("TESSERA_TARGET is set");
  const std::string all = names(true);
  const std::string first = all.substr(0, all.find(' '));
  CHECK(first == default_target());
  const Result<Matmul> plan = plan_for(nullptr);
  REQUIRE(plan.ok());
  CHECK(first == plan->explain(1).target);
}

// An emulated CPU is known, so what it should run is too.
TEST_CASE("the best target is the one that the environment expects", "[targets]") {
  const char* best = std::getenv("TESSERA_TEST_BEST");
  if (best == nullptr) SKIP("TESSERA_TEST_BEST names none");
  CHECK(std::string(default_target()) == best);
}

// cmake/targets.toml, from which README tells the kernels of each target.
TEST_CASE("the table of targets says what explain says", "[targets]") {
  std::ifstream file(TESSERA_TARGETS_FILE);
  REQUIRE(file.good());
  std::map<std::string, std::map<std::string, std::string>> table;  // of a name, what a key says
  std::string name;
  for (std::string line; std::getline(file, line);) {
    const size_t open = line.find(" = \"");
    if (open == line.npos || line[0] == '#') continue;
    const std::string key = line.substr(0, open);
    const std::string value = line.substr(open + 4, line.rfind('"') - open - 4);
    if (key == "name") name = value;
    table[name].emplace(key, value);
  }
  for (const Target& target : targets()) {
    INFO(target.name);
    REQUIRE(table.count(target.name) == 1);
    if (!target.available) continue;
    for (const DType format : all_formats()) {
      INFO(dtype_name(format));
      const std::vector<std::byte> w(40 * 256 * 4);  // zeros: only plans are compared
      const MatView view{w.data(), 40, 256, 256 * 4, format};
      const Result<Matmul> plan = Matmul::plan(view, DType::f32, {Accuracy::fast, target.name, {}});
      REQUIRE(plan.ok());
      const Explanation e = plan->explain(64);
      std::string kernel = e.kernel;
      if (kernel == "int8 dot") {
        kernel += *e.note != '\0' ? ", several instructions" : ", one instruction";
      }
      const char* key = is_block_format(format) ? "blocks" : "bf16";
      CHECK(kernel ==
            (format == DType::f32 || format == DType::f16 ? "f32 fma" : table[target.name][key]));
    }
  }
}

// What a sub-target does not list is found in its parent, with the same bits.
TEST_CASE("a sub-target and its parent", "[targets]") {
  for (const auto& [sub, parent, blocks] :
       {std::tuple("AVX2_VNNI", "AVX2", "int8 dot"), std::tuple("NEON_DOTPROD", "NEON", "int8 dot"),
        std::tuple("NEON_I8MM", "NEON_BF16", "int8 matrix product")}) {
    if (names(true).find(sub) == std::string::npos) continue;
    for (const DType format : {DType::f32, DType::q8_0}) {
      INFO(sub << ' ' << dtype_name(format));
      const std::vector<std::byte> w(40 * 256 * 4);  // zeros: only plans are compared
      const MatView view{w.data(), 40, 256, 256 * 4, format};
      const auto plan = [&](const char* target) {
        return Matmul::plan(view, DType::f32, {Accuracy::fast, target, {}});
      };
      REQUIRE(plan(sub).ok());
      REQUIRE(plan(parent).ok());
      const Explanation ours = plan(sub)->explain(64), theirs = plan(parent)->explain(64);
      CHECK(std::string(ours.target) == sub);
      CHECK(std::string(ours.kernel) == (format == DType::f32 ? theirs.kernel : blocks));
      if (format == DType::f32) CHECK(ours.mr == theirs.mr);
      CHECK(ours.nr == theirs.nr);
    }
  }
}

// ---- With TESSERA_TARGET set by ctest -----------------------------------------------------------

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "not set" : value;
}

TEST_CASE("TESSERA_TARGET names the default", "[.][environment-known]") {
  const char* name = std::getenv("TESSERA_TARGET");
  REQUIRE(name != nullptr);
  bool available = false;
  for (const Target& t : targets())
    available = available || (t.available && !std::strcmp(t.name, name));
  if (!available) SKIP(name << " is not compiled in, or this CPU does not run it");
  CHECK(std::string(default_target()) == name);
  const Result<Matmul> plan = plan_for(nullptr);
  REQUIRE(plan.ok());
  CHECK(std::string(plan->explain(1).target) == name);
  // One-call functions too.
  const std::vector<float> x(32, 1.0f), w(32, 1.0f);
  std::vector<float> y(1);
  CHECK(matmul(rows_of(y, 1, 1), rows_of(x, 1, 32), rows_of(w, 1, 32)).ok());
  CHECK(y[0] == 32.0f);
  // A plan's own choice is stronger.
  for_each_target([&](const char* target) {
    const Result<Matmul> own = plan_for(target);
    REQUIRE(own.ok());
    CHECK(std::string(own->explain(1).target) == target);
  });
}

TEST_CASE("TESSERA_TARGET with a name that no target has", "[.][environment-unknown]") {
  REQUIRE(environment("TESSERA_TARGET") == "nonsense");
  const Result<Matmul> plan = plan_for(nullptr);
  REQUIRE(plan.status().code == StatusCode::unknown_target);
  const std::string want = "unknown target \"nonsense\"; known are: " + names(false);
  CHECK(plan.status().message().c_str() == want);
  std::vector<float> x(32), w(32), y(1);
  CHECK(matmul(rows_of(y, 1, 1), rows_of(x, 1, 32), rows_of(w, 1, 32)).code ==
        StatusCode::unknown_target);
  CHECK(blas::gemm(blas::Op::none, blas::Op::none, 1, 1, 32, 1, x.data(), 32, w.data(), 1, 0,
                   y.data(), 1)
            .code == StatusCode::unknown_target);
  for_each_target([&](const char* target) { CHECK(plan_for(target).ok()); });
}

TEST_CASE("TESSERA_TARGET empty is as if unset", "[.][environment-empty]") {
  REQUIRE(environment("TESSERA_TARGET").empty());
  const std::string all = names(true);
  CHECK(all.substr(0, all.find(' ')) == default_target());
  CHECK(plan_for(nullptr).ok());
}

}  // namespace
}  // namespace tessera::test

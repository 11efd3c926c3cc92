// SPDX-License-Identifier: MIT
// The dispatcher: every instruction set, best first, and the choice among them.
#ifndef TESSERA_IMPL_DISPATCH_H_
#define TESSERA_IMPL_DISPATCH_H_

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>

#include "hwy/targets.h"
#include "tessera/base/status.h"
#include "tessera/format/list.h"
#include "tessera/plan/kernel.h"
#include "tessera/plan/targets.h"

namespace tessera::inline v0_1 {
namespace detail {

// All of this has internal linkage: two libraries in one program may be built for other targets.
// Sub-targets; those of Highway's targets that are compiled in, null for the others; and the
// baseline or an emulated one. (Its HWY_VISIT_TARGETS came only with 1.3.)
constexpr const InstructionSet* kVisited[] = {
#if TESSERA_HAS_AVX2_VNNI
    &N_AVX2_VNNI::kInstructionSet<Formats>,
#endif
#if TESSERA_HAS_NEON_DOTPROD
    &N_NEON_DOTPROD::kInstructionSet<Formats>,
#endif
#if TESSERA_HAS_NEON_I8MM
    &N_NEON_I8MM::kInstructionSet<Formats>,
#endif
    HWY_CHOOSE_TARGET_LIST(kInstructionSet<Formats>),
    HWY_CHOOSE_FALLBACK(kInstructionSet<Formats>)};

// Each once, best first; null behind them.
constexpr auto kSorted = [] {
  std::array<const InstructionSet*, std::size(kVisited)> sets{};
  std::copy(std::begin(kVisited), std::end(kVisited), sets.begin());
  const auto rank = [](const InstructionSet* s) { return s == nullptr ? INT_MIN : s->rank; };
  std::sort(sets.begin(), sets.end(),
            [&](const InstructionSet* a, const InstructionSet* b) { return rank(a) > rank(b); });
  std::fill(std::unique(sets.begin(), sets.end()), sets.end(), nullptr);
  return sets;
}();
constexpr size_t kSetCount =
    static_cast<size_t>(std::find(kSorted.begin(), kSorted.end(), nullptr) - kSorted.begin());
// Every instruction set that is compiled in, best first.
constexpr auto kSets = [] {
  std::array<const InstructionSet*, kSetCount> sets{};
  std::copy_n(kSorted.begin(), kSetCount, sets.begin());
  return sets;
}();

static const std::array<Target, kSetCount>& known_targets() noexcept {
  static const std::array<Target, kSetCount> known = [] {
    std::array<Target, kSetCount> list{};
    for (size_t i = 0; i < kSetCount; ++i) {
      const bool runs = kSets[i]->runs();
      list[i] = {kSets[i]->name, runs, runs ? kSets[i]->vector_bytes : 0};
    }
    return list;
  }();
  return known;
}

// Blank-separated names, for messages.
static const char* target_names(bool available_only) noexcept {
  using Text = std::array<char, 256>;
  static const std::array<Text, 2> texts = [] {
    std::array<Text, 2> both{};
    for (const bool only : {false, true}) {
      size_t at = 0;
      for (const Target& t : known_targets()) {
        if (only && !t.available) continue;
        const int n = std::snprintf(both[only].data() + at, both[only].size() - at, "%s%s",
                                    at == 0 ? "" : " ", t.name);
        at = std::min(at + static_cast<size_t>(n), both[only].size() - 1);
      }
    }
    return both;
  }();
  return texts[available_only].data();
}

static const char* environment_target() noexcept {
#if defined(TESSERA_NO_ENV)
  return nullptr;
#else
  const char* name = std::getenv("TESSERA_TARGET");
  return name != nullptr && name[0] != '\0' ? name : nullptr;
#endif
}

// The instruction set named by the caller, else by the environment, else the best one.
static Result<const InstructionSet*> find_set(const char* name) noexcept {
  if (name == nullptr) name = environment_target();
  for (size_t i = 0; i < kSetCount; ++i) {
    const Target& target = known_targets()[i];
    if (name == nullptr ? target.available : std::strcmp(name, target.name) == 0) {
      if (target.available) return kSets[i];
      Status s = error(StatusCode::unavailable_target, "target", 0, 0, target_names(true));
      std::snprintf(s.name, sizeof(s.name), "%s", name);
      return s;
    }
  }
  Status s = error(StatusCode::unknown_target, "target", 0, 0, target_names(false));
  std::snprintf(s.name, sizeof(s.name), "%s", name == nullptr ? "" : name);
  return s;
}

// The kernel that an instruction set lists, or the next lower one that does; null if this library
// has no such format or no enumerator names the choice.
static const Kernel* find_kernel(const InstructionSet* set, DType w, Accuracy accuracy) noexcept {
  for (const InstructionSet* lower : kSets) {
    if (lower->rank > set->rank) continue;
    for (size_t i = 0; i < lower->count; ++i) {
      const Kernel& kernel = lower->kernels[i];
      if (kernel.w == w && kernel.accuracy == accuracy) return &kernel;
    }
  }
  return nullptr;
}

}  // namespace detail

TESSERA_IMPL std::span<const Target> targets() noexcept { return detail::known_targets(); }

TESSERA_IMPL const char* default_target() noexcept {
  const Result<const InstructionSet*> set = detail::find_set(nullptr);
  if (set.ok()) return (*set)->name;
  const char* asked = detail::environment_target();
  return asked == nullptr ? "" : asked;
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_DISPATCH_H_

// SPDX-License-Identifier: MIT
// The dispatcher: every target's kernel table, best first, and the choice among them.
#ifndef TESSERA_IMPL_DISPATCH_H_
#define TESSERA_IMPL_DISPATCH_H_

#include <algorithm>
#include <array>
#include <cstdlib>

#include "hwy/targets.h"
#include "tessera/base/status.h"
#include "tessera/plan/kernel_table.h"
#include "tessera/plan/targets.h"

namespace tessera::inline v0_1 {
namespace detail {

// How many tables there are depends on HWY_DISABLED_TARGETS, and two libraries of one program may
// have been compiled with different values. So what knows the number has internal linkage, and the
// one copy of a public function that the linker keeps reads the tables of its own library.

#define TESSERA_TABLE_OF(TARGET, NAMESPACE) &NAMESPACE::kTable,
// The visitor names the baseline target twice where no emulated one is built: see kTables.
constexpr std::array kVisited = {HWY_VISIT_TARGETS(TESSERA_TABLE_OF)};
#undef TESSERA_TABLE_OF

// A better target has a lower bit.
static constexpr auto sorted_tables() {
  std::array tables = kVisited;
  std::sort(tables.begin(), tables.end(),
            [](const KernelTable* a, const KernelTable* b) { return a->bit < b->bit; });
  return tables;
}
constexpr auto kSorted = sorted_tables();
constexpr size_t kTableCount = [] {
  size_t count = 1;
  for (size_t i = 1; i < kSorted.size(); ++i) count += kSorted[i]->bit != kSorted[i - 1]->bit;
  return count;
}();
constexpr auto kTables = [] {
  std::array<const KernelTable*, kTableCount> tables{};
  std::unique_copy(kSorted.begin(), kSorted.end(), tables.begin(),
                   [](const KernelTable* a, const KernelTable* b) { return a->bit == b->bit; });
  return tables;
}();

static const std::array<Target, kTableCount>& known_targets() noexcept {
  static const std::array<Target, kTableCount> known = [] {
    std::array<Target, kTableCount> list{};
    const int64_t supported = hwy::SupportedTargets();
    for (size_t i = 0; i < kTableCount; ++i) {
      const bool runs = (supported & kTables[i]->bit) != 0;
      list[i] = {kTables[i]->target, runs, runs ? kTables[i]->vector_bytes() : 0};
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

// The table of a target named by the caller, else by the environment, else the best one.
static Result<const KernelTable*> find_table(const char* name) noexcept {
  if (name == nullptr) name = environment_target();
  for (size_t i = 0; i < kTableCount; ++i) {
    const Target& target = known_targets()[i];
    if (name == nullptr ? target.available : std::strcmp(name, target.name) == 0) {
      if (target.available) return kTables[i];
      Status s = error(StatusCode::unavailable_target, "target", 0, 0, target_names(true));
      std::snprintf(s.name, sizeof(s.name), "%s", name);
      return s;
    }
  }
  Status s = error(StatusCode::unknown_target, "target", 0, 0, target_names(false));
  std::snprintf(s.name, sizeof(s.name), "%s", name == nullptr ? "" : name);
  return s;
}

inline const KernelEntry* find_entry(const KernelTable& table, DType w,
                                     Accuracy accuracy) noexcept {
  for (size_t i = 0; i < table.count; ++i) {
    const KernelEntry& e = table.entries[i];
    if (e.w == w && e.accuracy == accuracy) return &e;
  }
  return nullptr;
}

}  // namespace detail

TESSERA_IMPL std::span<const Target> targets() noexcept { return detail::known_targets(); }

TESSERA_IMPL const char* default_target() noexcept {
  const Result<const KernelTable*> table = detail::find_table(nullptr);
  if (table.ok()) return (*table)->target;
  const char* asked = detail::environment_target();
  return asked == nullptr ? "" : asked;
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_DISPATCH_H_

// SPDX-License-Identifier: MIT
// Bodies of plan/panel_file.h.
#ifndef TESSERA_IMPL_PANEL_FILE_H_
#define TESSERA_IMPL_PANEL_FILE_H_

#include <cstring>

#include "tessera/impl/panels.h"
#include "tessera/plan/panel_file.h"

namespace tessera::inline v0_1 {
namespace detail {

inline PanelEntry panel_entry_of(const Plan& p, size_t count) noexcept {
  PanelEntry entry;
  if (p.kernel == nullptr) return entry;
  entry.layout = layout_id_of(p);
  entry.n = p.n;
  entry.k = p.k;
  entry.count = count;
  entry.bytes = count * packed_w_bytes(p);
  return entry;
}

inline uint64_t hash_entries(std::span<const PanelEntry> entries) noexcept {
  return hash_bytes(std::as_bytes(entries));
}

inline Status other_panels(const char* what, uint64_t got, uint64_t want) noexcept {
  return error(StatusCode::other_panels, what, got, want);
}
inline Status other_panels(const char* what, const char* got, const char* want) noexcept {
  Status s = error(StatusCode::other_panels, what, 0, 0, want);
  std::snprintf(s.name, sizeof(s.name), "%s", got);
  return s;
}

// Why one entry is not the other; `want` is one of ours.
inline Status check_entry(const PanelEntry& got, const PanelEntry& want) noexcept {
  const LayoutId &a = got.layout, &b = want.layout;
  if (a.version != b.version) return other_panels("layout version", a.version, b.version);
  if (std::memcmp(a.target, b.target, sizeof(a.target)) != 0) {
    char name[sizeof(a.target)];
    std::memcpy(name, a.target, sizeof(name));
    name[sizeof(name) - 1] = '\0';
    const Target* known = nullptr;  // its name outlives the status
    for (const Target& target : targets()) {
      if (std::strcmp(target.name, b.target) == 0) known = &target;
    }
    return other_panels("target", name, known == nullptr ? "another one" : known->name);
  }
  if (a.w != b.w) {
    const auto type = [](uint32_t w) { return dtype_name(w < 256 ? DType(w) : DType{255}); };
    return other_panels("format", type(a.w), type(b.w));
  }
  struct {
    const char* what;
    uint64_t got, want;
  } const numbers[] = {{"rows of a panel", a.panel_rows, b.panel_rows},
                       {"values of a unit", a.unit_values, b.unit_values},
                       {"bytes of a unit", a.unit_bytes, b.unit_bytes},
                       {"n", got.n, want.n},
                       {"k", got.k, want.k},
                       {"count", got.count, want.count},
                       {"offset", got.offset, want.offset},
                       {"bytes", got.bytes, want.bytes}};
  for (const auto& number : numbers) {
    if (number.got != number.want) return other_panels(number.what, number.got, number.want);
  }
  return {};
}

}  // namespace detail

TESSERA_IMPL PanelEntry panel_entry(const Matmul& plan) noexcept {
  return detail::panel_entry_of(plan.value(), 1);
}
TESSERA_IMPL PanelEntry panel_entry(const GroupedMatmul& plan) noexcept {
  return detail::panel_entry_of(plan.value().plan, plan.value().experts);
}

TESSERA_IMPL size_t place_panels(std::span<PanelEntry> entries) noexcept {
  constexpr size_t kMost = detail::kMaxBytes;
  if (entries.size() > kMost / sizeof(PanelEntry)) return 0;
  size_t end = sizeof(PanelFileHead) + entries.size_bytes();
  for (PanelEntry& entry : entries) {
    entry.offset = detail::rounded_up(end, kPanelFileAlign);
    if (entry.offset > kMost || entry.bytes > kMost - entry.offset) return 0;
    end = static_cast<size_t>(entry.offset + entry.bytes);
  }
  return end;
}

TESSERA_IMPL PanelFileHead panel_file_head(std::span<const PanelEntry> entries,
                                           uint64_t source_hash) noexcept {
  PanelFileHead head;
  head.source_hash = source_hash;
  head.file_bytes = sizeof(PanelFileHead) + entries.size_bytes();
  if (!entries.empty()) head.file_bytes = entries.back().offset + entries.back().bytes;
  head.entries = entries.size();
  head.entries_hash = detail::hash_entries(entries);
  return head;
}

TESSERA_IMPL Status check_panel_file(std::span<const std::byte> file,
                                     std::span<const PanelEntry> entries,
                                     uint64_t source_hash) noexcept {
  using detail::other_panels;
  const PanelFileHead want = panel_file_head(entries, source_hash);
  const size_t table = sizeof(want) + entries.size_bytes();
  if (Status s = detail::check_buffer(file, sizeof(want), "panel file"); !s.ok()) return s;
  PanelFileHead got;
  std::memcpy(&got, file.data(), sizeof(got));
  if (std::memcmp(got.magic, want.magic, sizeof(got.magic)) != 0) {
    return other_panels("beginning", "something else", "that of a panel file");
  }
  if (got.format != want.format) return other_panels("file format", got.format, want.format);
  if (got.source_hash != source_hash) {
    return other_panels("source hash", got.source_hash, source_hash);
  }
  if (got.entries != want.entries) {
    return other_panels("number of matrices", got.entries, want.entries);
  }
  if (Status s = detail::check_buffer(file, table, "panel file"); !s.ok()) return s;
  for (size_t i = 0; i < entries.size(); ++i) {
    PanelEntry entry;
    std::memcpy(&entry, file.data() + sizeof(got) + i * sizeof(entry), sizeof(entry));
    if (Status s = detail::check_entry(entry, entries[i]); !s.ok()) return s;
  }
  if (got.entries_hash != want.entries_hash) {
    return other_panels("hash of the entries", got.entries_hash, want.entries_hash);
  }
  if (got.file_bytes != want.file_bytes) {
    return other_panels("length", got.file_bytes, want.file_bytes);
  }
  if (file.size() > want.file_bytes) return other_panels("length", file.size(), want.file_bytes);
  return detail::check_buffer(file, static_cast<size_t>(want.file_bytes), "panel file");
}

// Multiplication by an odd number carries each bit upwards, the shift brings it down again. Four
// lanes, so that multiplications need not wait for each other.
TESSERA_IMPL uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t before) noexcept {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;
  const auto mixed = [](uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * kOdd;
    return hash ^ (hash >> 32);
  };
  uint64_t lanes[4] = {before ^ 1, before ^ 2, before ^ 3, before ^ 4};
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= sizeof(lanes); left -= sizeof(lanes), at += sizeof(lanes)) {
    uint64_t words[4];
    std::memcpy(words, at, sizeof(words));
    for (size_t i = 0; i < 4; ++i) lanes[i] = mixed(lanes[i], words[i]);
  }
  uint64_t tail[4] = {};
  if (left != 0) std::memcpy(tail, at, left);
  uint64_t hash = mixed(before, bytes.size());
  for (size_t i = 0; i < 4; ++i) hash = mixed(hash, mixed(lanes[i], tail[i]));
  return hash;
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_PANEL_FILE_H_

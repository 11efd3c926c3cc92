// SPDX-License-Identifier: MIT
// Bodies of c_weights.h; impl/c_api.h includes it at its end.
#ifndef TESSERA_IMPL_C_WEIGHTS_H_
#define TESSERA_IMPL_C_WEIGHTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tessera/impl/c_api.h"

namespace tessera::inline v0_1::detail {

// ---- Values that are the same in both languages -------------------------------------------------

static_assert(sizeof(tessera_layout) == sizeof(LayoutId) &&
              alignof(tessera_layout) == alignof(LayoutId) &&
              offsetof(tessera_layout, target) == offsetof(LayoutId, target) &&
              offsetof(tessera_layout, version) == offsetof(LayoutId, version) &&
              offsetof(tessera_layout, w) == offsetof(LayoutId, w) &&
              offsetof(tessera_layout, panel_rows) == offsetof(LayoutId, panel_rows) &&
              offsetof(tessera_layout, unit_values) == offsetof(LayoutId, unit_values) &&
              offsetof(tessera_layout, unit_bytes) == offsetof(LayoutId, unit_bytes));

// Entries reach the library where they lie.
static_assert(sizeof(tessera_panels) == sizeof(PanelEntry) &&
              alignof(tessera_panels) == alignof(PanelEntry) &&
              offsetof(tessera_panels, layout) == offsetof(PanelEntry, layout) &&
              offsetof(tessera_panels, n) == offsetof(PanelEntry, n) &&
              offsetof(tessera_panels, k) == offsetof(PanelEntry, k) &&
              offsetof(tessera_panels, count) == offsetof(PanelEntry, count) &&
              offsetof(tessera_panels, offset) == offsetof(PanelEntry, offset) &&
              offsetof(tessera_panels, bytes) == offsetof(PanelEntry, bytes));

static_assert(sizeof(tessera_panel_head) == sizeof(PanelFileHead) &&
              offsetof(tessera_panel_head, magic) == offsetof(PanelFileHead, magic) &&
              offsetof(tessera_panel_head, format) == offsetof(PanelFileHead, format) &&
              offsetof(tessera_panel_head, source_hash) == offsetof(PanelFileHead, source_hash) &&
              offsetof(tessera_panel_head, file_bytes) == offsetof(PanelFileHead, file_bytes) &&
              offsetof(tessera_panel_head, entries) == offsetof(PanelFileHead, entries) &&
              offsetof(tessera_panel_head, entries_hash) == offsetof(PanelFileHead, entries_hash));

template <class Entry, class CEntry>
Status entries_from_c(CEntry* entries, size_t count, std::span<Entry>& to) noexcept {
  if (entries == nullptr && count != 0) return null_pointer("entries");
  constexpr size_t kMost = SIZE_MAX / 4;  // bytes, as everywhere in the library
  if (count > kMost / sizeof(Entry)) {
    return error(StatusCode::size_overflow, "entries", count, sizeof(Entry));
  }
  to = {reinterpret_cast<Entry*>(entries), count};
  return {};
}

template <class P, class CPlan>
tessera_status c_panel_entry(const CPlan* plan, tessera_panels* entry) noexcept {
  P p;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok() && entry == nullptr) s = null_pointer("entry");
  if (s.ok()) *entry = bit_cast<tessera_panels>(panel_entry(p));
  return to_c(s);
}

extern "C" {

// ---- Before a product ---------------------------------------------------------------------------

TESSERA_C_IMPL tessera_status tessera_check(const tessera_plan* plan, const tessera_view* x,
                                            const tessera_mut_view* y,
                                            const tessera_epilogue* epilogue) {
  return c_run<Matmul, Epilogue>(plan, y, epilogue, [&](auto& p, auto& to, auto& e) {
    MatView from;
    const Status s = view_from_c(x, "x", from);
    return s.ok() ? p.check(from, to, e) : s;
  });
}

TESSERA_C_IMPL tessera_status tessera_scratch(const tessera_plan* plan, size_t most_rows,
                                              size_t workers, tessera_scratch_sizes* sizes) {
  Matmul p;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok() && sizes == nullptr) s = null_pointer("sizes");
  if (!s.ok()) return to_c(s);
  const Result<ScratchSizes> of_all = p.scratch(most_rows, workers);
  if (of_all.ok()) *sizes = {of_all->packed_x_bytes, of_all->worker_bytes, of_all->bytes};
  return to_c(of_all.status());
}

TESSERA_C_IMPL tessera_status tessera_small_parts(const tessera_plan* plan, size_t m,
                                                  size_t workers, size_t* parts) {
  Matmul p;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok() && parts == nullptr) s = null_pointer("parts");
  if (s.ok()) *parts = p.small_parts(m, workers);
  return to_c(s);
}

TESSERA_C_IMPL int tessera_advise_huge_pages(void* memory, size_t bytes) {
  return memory != nullptr && advise_huge_pages(bytes_from_c(memory, bytes)) ? 1 : 0;
}

// ---- Panels, piece by piece ---------------------------------------------------------------------

TESSERA_C_IMPL tessera_status tessera_pack_rows(const tessera_plan* plan, const tessera_view* rows,
                                                size_t first, void* panels, size_t bytes) {
  Matmul p;
  MatView view;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok()) s = view_from_c(rows, "rows", view);
  if (s.ok()) s = p.pack_rows(view, first, bytes_from_c(panels, bytes));
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_unpack_rows(const tessera_plan* plan, const void* panels,
                                                  size_t bytes, size_t first,
                                                  const tessera_mut_view* rows) {
  Matmul p;
  MutMatView view;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok()) s = view_from_c(rows, "rows", view);
  if (s.ok()) s = p.unpack_rows(bytes_from_c(panels, bytes), first, view);
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_layout_id(const tessera_plan* plan, tessera_layout* layout) {
  Matmul p;
  Status s = plan_from_c(plan, "plan", p);
  if (s.ok() && layout == nullptr) s = null_pointer("layout");
  if (s.ok()) *layout = bit_cast<tessera_layout>(p.layout_id());
  return to_c(s);
}

// ---- Panels in a file ---------------------------------------------------------------------------

TESSERA_C_IMPL tessera_status tessera_panel_entry(const tessera_plan* plan, tessera_panels* entry) {
  return c_panel_entry<Matmul>(plan, entry);
}

TESSERA_C_IMPL tessera_status tessera_group_panel_entry(const tessera_group_plan* plan,
                                                        tessera_panels* entry) {
  return c_panel_entry<GroupedMatmul>(plan, entry);
}

TESSERA_C_IMPL tessera_status tessera_place_panels(tessera_panels* entries, size_t count,
                                                   size_t* file_bytes) {
  std::span<PanelEntry> all;
  Status s = entries_from_c(entries, count, all);
  if (s.ok() && file_bytes == nullptr) s = null_pointer("file_bytes");
  if (!s.ok()) return to_c(s);
  const size_t bytes = place_panels(all);
  if (bytes == 0) {
    uint64_t most = 0;
    for (const PanelEntry& entry : all) most = (std::max)(most, entry.bytes);
    return to_c(error(StatusCode::size_overflow, "entries", count, most));
  }
  *file_bytes = bytes;
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_panel_file_head(const tessera_panels* entries, size_t count,
                                                      uint64_t source_hash,
                                                      tessera_panel_head* head) {
  std::span<const PanelEntry> all;
  Status s = entries_from_c(entries, count, all);
  if (s.ok() && head == nullptr) s = null_pointer("head");
  if (s.ok()) *head = bit_cast<tessera_panel_head>(panel_file_head(all, source_hash));
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_check_panel_file(const void* file, size_t bytes,
                                                       const tessera_panels* entries, size_t count,
                                                       uint64_t source_hash) {
  std::span<const PanelEntry> all;
  Status s = entries_from_c(entries, count, all);
  if (s.ok()) s = check_panel_file(bytes_from_c(file, bytes), all, source_hash);
  return to_c(s);
}

TESSERA_C_IMPL tessera_status tessera_hash_bytes(const void* data, size_t bytes, uint64_t before,
                                                 uint64_t* hash) {
  Status s;
  if (data == nullptr && bytes != 0) s = null_pointer("data");
  if (s.ok() && hash == nullptr) s = null_pointer("hash");
  if (s.ok()) *hash = hash_bytes(bytes_from_c(data, bytes), before);
  return to_c(s);
}

}  // extern "C"
}  // namespace tessera::inline v0_1::detail

#endif  // TESSERA_IMPL_C_WEIGHTS_H_

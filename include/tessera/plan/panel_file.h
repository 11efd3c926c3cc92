// SPDX-License-Identifier: MIT
// A file of panels, so that a second start maps what the first one packed. Its head says which
// weights the panels are of and how they lie; panels that are not what a plan would write are
// refused, with the reason. Reading and writing are the caller's:
//
//   PanelFileHead, PanelEntry[head.entries], then the panels of each entry at its offset
//
// To write: an entry for each plan (panel_entry), their places (place_panels), the head
// (panel_file_head). To read: the same entries and places, check_panel_file() of the mapped bytes,
// then with_packed() of each piece. Write under a temporary name and rename when all is on the
// disk: then what has the name is complete.
#ifndef TESSERA_PLAN_PANEL_FILE_H_
#define TESSERA_PLAN_PANEL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "tessera/base/status.h"
#include "tessera/plan/group.h"
#include "tessera/plan/layout_id.h"
#include "tessera/plan/matmul.h"

namespace tessera::inline v0_1 {

/// Panels of one plan.
struct PanelEntry {
  LayoutId layout;
  uint64_t n = 0, k = 0;
  uint64_t count = 1;   // matrices [n, k], such as experts, one after the other
  uint64_t offset = 0;  // of the panels in the file
  uint64_t bytes = 0;   // of all of them
};

/// The first bytes of the file.
struct PanelFileHead {
  char magic[8] = {'T', 'E', 'S', 'S', 'P', 'N', 'L', '\0'};
  uint64_t format = 1;       // of head and entries
  uint64_t source_hash = 0;  // of the weights that the panels were made of
  uint64_t file_bytes = 0;
  uint64_t entries = 0;
  uint64_t entries_hash = 0;
};
static_assert(std::has_unique_object_representations_v<PanelEntry> &&
              std::has_unique_object_representations_v<PanelFileHead>);

/// Panels begin at multiples of this.
inline constexpr size_t kPanelFileAlign = 4096;

/// What a plan reads, without a place. Of an empty plan: no bytes.
PanelEntry panel_entry(const Matmul& plan) noexcept;
PanelEntry panel_entry(const GroupedMatmul& plan) noexcept;

/// Gives each entry its place, one behind the other, and returns the bytes of the file; 0 if they
/// do not fit an address.
size_t place_panels(std::span<PanelEntry> entries) noexcept;

/// The head of a file of these entries, whose places are given.
PanelFileHead panel_file_head(std::span<const PanelEntry> entries, uint64_t source_hash) noexcept;

/// Whether `file` (all its bytes, aligned to 4) is one of these entries, in these places, made of a
/// source with this hash. Reads head and entries only: what the panels hold is not looked at.
/// Errors: null_data, misaligned, buffer_too_small (a file that ends early), other_panels (anything
/// else: not such a file, another source, target, layout, shape or number of matrices).
Status check_panel_file(std::span<const std::byte> file, std::span<const PanelEntry> entries,
                        uint64_t source_hash) noexcept;

/// A hash of bytes that goes on from another one: for a source. It finds what changes by accident
/// and guards against nothing else. Some 0.2 ns a byte, so hash all of a large source only if the
/// time is there; else what tells it from others: names, shapes, sizes, times, a sample.
uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t before = 0) noexcept;

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_PANEL_FILE_H_

// SPDX-License-Identifier: MIT
// LayoutId: which panels a plan reads, so that panels that are kept can be told from others.
#ifndef TESSERA_PLAN_LAYOUT_ID_H_
#define TESSERA_PLAN_LAYOUT_ID_H_

#include <cstdint>
#include <type_traits>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {

/// Rises with every change of what any kernel writes into panels.
inline constexpr uint32_t kPanelLayoutVersion = 1;

/// What decides how panels of W lie, beside its shape: plans with equal ones, n and k read each
/// other's panels. A plain value of 48 bytes without gaps, good to be written to a file.
struct LayoutId {
  char target[24] = {};      // "AVX3_ZEN4", zeros behind it
  uint32_t version = 0;      // kPanelLayoutVersion
  uint32_t w = 0;            // DType
  uint32_t panel_rows = 0;   // of W in a panel
  uint32_t unit_values = 0;  // of k that lie together
  uint64_t unit_bytes = 0;   // of them, all rows of a panel

  friend constexpr bool operator==(const LayoutId&, const LayoutId&) = default;
};
static_assert(sizeof(LayoutId) == 48 && std::has_unique_object_representations_v<LayoutId>);

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_LAYOUT_ID_H_

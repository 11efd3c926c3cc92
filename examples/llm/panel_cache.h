// SPDX-License-Identifier: MIT
// Panels that are kept in a file, so that the next start maps them and packs nothing.
#ifndef TESSERA_EXAMPLES_LLM_PANEL_CACHE_H_
#define TESSERA_EXAMPLES_LLM_PANEL_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gguf.h"
#include "system.h"
#include "tessera/plan/panel_file.h"

namespace llm {

/// Where the panels of a model are kept, and what they are made of. An empty path: nowhere.
struct PanelCache {
  std::string path;
  uint64_t source_hash = 0;
};

/// The file in a folder for a model and a target. Reads what tells the model from others: all
/// metadata, names and shapes of tensors, sizes, when the files were last changed, and samples of
/// each tensor. A change of weights that keeps all of these is not noticed.
PanelCache panel_cache(const std::string& folder, const std::string& model_path,
                       const gguf::File& file, const std::string& target);

/// Maps the file if its panels are these (with their places); else says why not, or nothing if
/// there is no file.
MappedFile map_panels(const PanelCache& cache, std::span<const tessera::PanelEntry> entries,
                      std::string& why_not);

/// Writes it: it appears complete or not at all. `panels` are those of each entry.
void write_panels(const PanelCache& cache, std::span<const tessera::PanelEntry> entries,
                  std::span<const std::span<const std::byte>> panels);

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_PANEL_CACHE_H_

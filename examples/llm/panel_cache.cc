// SPDX-License-Identifier: MIT
#include "panel_cache.h"

#include <algorithm>
#include <filesystem>

#include "error.h"
#include "files.h"

namespace llm {
namespace {

class Hash {
 public:
  uint64_t value() const { return value_; }
  void add(std::span<const std::byte> bytes) { value_ = tessera::hash_bytes(bytes, value_); }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  void add(uint64_t number) { add(std::as_bytes(std::span(&number, 1))); }

  // The first bytes, the last and some between: a page each, which may have to come from a disk.
  void add_sample(std::span<const std::byte> bytes) {
    constexpr size_t kPieces = 3, kPiece = 256;
    if (bytes.size() <= kPieces * kPiece) return add(bytes);
    const size_t last = bytes.size() - kPiece;
    for (size_t i = 0; i < kPieces; ++i) add(bytes.subspan(last / (kPieces - 1) * i, kPiece));
  }
  // When a file was last changed.
  void add_time(const std::string& path) {
    std::error_code problem;  // then the time of none is 0
    const auto time = std::filesystem::last_write_time(path, problem);
    add(problem ? 0 : static_cast<uint64_t>(time.time_since_epoch().count()));
  }

 private:
  uint64_t value_ = 0;
};

}  // namespace

PanelCache panel_cache(const std::string& folder, const std::string& model_path,
                       const gguf::File& file, const std::string& target) {
  Hash hash;
  hash.add(uint64_t{file.size()});
  hash.add_time(model_path);
  for (const std::string& path : file.more_paths()) hash.add_time(path);
  for (const auto& [key, value] : file.metadata()) {
    hash.add(key);
    hash.add(value.bytes);
  }
  for (const gguf::Tensor& t : file.tensors()) {
    hash.add(t.name);
    hash.add(std::as_bytes(std::span(t.dims)));
    hash.add(static_cast<uint64_t>(t.dtype));
    hash.add_sample(t.data);
  }
  const std::filesystem::path name = std::filesystem::path(model_path).filename();
  return {(std::filesystem::path(folder) / name).string() + "." + target + ".panels", hash.value()};
}

MappedFile map_panels(const PanelCache& cache, std::span<const tessera::PanelEntry> entries,
                      std::string& why_not) {
  std::error_code problem;
  if (!std::filesystem::exists(cache.path, problem) && !problem) return {};
  try {
    MappedFile file = map_file(cache.path);
    const tessera::Status status =
        tessera::check_panel_file(file.bytes, entries, cache.source_hash);
    if (status.ok()) return file;
    why_not = cache.path + ": " + status.message().c_str();
  } catch (const Error& e) {
    why_not = e.what();
  }
  return {};
}

void write_panels(const PanelCache& cache, std::span<const tessera::PanelEntry> entries,
                  std::span<const std::span<const std::byte>> panels) {
  NewFile out(cache.path);
  out.put(tessera::panel_file_head(entries, cache.source_hash));
  out.write(entries.data(), entries.size_bytes());
  for (size_t i = 0; i < entries.size(); ++i) {
    out.pad(tessera::kPanelFileAlign);
    out.write(panels[i].data(), panels[i].size());
  }
  out.keep();
}

}  // namespace llm

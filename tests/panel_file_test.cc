// SPDX-License-Identifier: MIT
// plan/panel_file.h: what check_panel_file() accepts, and each reason why it refuses.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

constexpr uint64_t kSource = 1234;

/// A file of panels of a product and of three experts, in memory.
struct File {
  Matrix w = empty_matrix(DType::q8_0, 40, 64), experts = empty_matrix(DType::f32, 3 * 8, 16);
  Matmul plan = *Matmul::plan(w.view(), DType::f32);
  GroupedMatmul groups = *GroupedMatmul::plan(
      {{experts.bytes.data(), 8, 16, 64, DType::f32}, 3, 8 * 64}, 2, DType::f32);
  std::vector<PanelEntry> entries = {panel_entry(plan), panel_entry(groups)};
  size_t bytes = place_panels(entries);
  std::vector<std::byte> memory = std::vector<std::byte>(bytes + 8);

  File() {
    const PanelFileHead head = panel_file_head(entries, kSource);
    std::memcpy(memory.data(), &head, sizeof(head));
    std::memcpy(memory.data() + sizeof(head), entries.data(), entries.size() * sizeof(PanelEntry));
    REQUIRE(plan.pack_weights(panels(0)).ok());
    REQUIRE(groups.pack_weights(panels(1)).ok());
  }
  std::span<std::byte> panels(size_t i) {
    return std::span(memory).subspan(entries[i].offset, entries[i].bytes);
  }
  std::span<const std::byte> file() const { return std::span(memory).first(bytes); }
  Status check() const { return check_panel_file(file(), entries, kSource); }

  /// What is said after a change of the head or of the first entry as they lie in the file.
  template <class T, class Change>
  std::string after(const Change& change) {
    const std::vector<std::byte> before = memory;
    const size_t at = std::is_same_v<T, PanelFileHead> ? 0 : sizeof(PanelFileHead);
    T part;
    std::memcpy(&part, memory.data() + at, sizeof(part));
    change(part);
    std::memcpy(memory.data() + at, &part, sizeof(part));
    const Status s = check();
    CHECK(s.code == StatusCode::other_panels);
    memory = before;
    return s.message().c_str();
  }
};

TEST_CASE("panel file: a good one", "[panel_file]") {
  File f;
  CHECK(f.check().message().c_str() == std::string("ok"));
  CHECK(f.entries[0].bytes == f.plan.packed_w_bytes());
  CHECK(f.entries[1].bytes == f.groups.packed_w_bytes());
  CHECK(f.entries[1].count == 3);
  CHECK(f.entries[1].n == 8);
  size_t end = sizeof(PanelFileHead) + 2 * sizeof(PanelEntry);
  for (const PanelEntry& entry : f.entries) {
    CHECK(entry.offset % kPanelFileAlign == 0);
    CHECK(entry.offset >= end);
    CHECK(entry.offset < end + kPanelFileAlign);
    end = entry.offset + entry.bytes;
  }
  CHECK(f.bytes == end);
  CHECK(f.plan.with_packed(f.panels(0)).ok());
  // None at all.
  const PanelFileHead head = panel_file_head({}, 5);
  CHECK(head.file_bytes == sizeof(head));
  CHECK(check_panel_file(std::as_bytes(std::span(&head, 1)), {}, 5).ok());
  CHECK(panel_entry(Matmul()).bytes == 0);
  CHECK(panel_entry(GroupedMatmul()).bytes == 0);
}

TEST_CASE("panel file: each reason to refuse one", "[panel_file]") {
  File f;
  const auto says = [&](const std::string& got, const std::string& want) {
    CHECK(got == "panel file: its " + want);
  };
  using Head = PanelFileHead;
  using Entry = PanelEntry;
  says(f.after<Head>([](Head& h) { h.magic[3] = 's'; }),
       "beginning is something else, not that of a panel file");
  says(f.after<Head>([](Head& h) { h.format = 2; }), "file format is 2, not 1");
  says(f.after<Head>([](Head& h) { h.source_hash = 9; }), "source hash is 9, not 1234");
  says(f.after<Head>([](Head& h) { h.entries = 3; }), "number of matrices is 3, not 2");
  says(f.after<Head>([](Head& h) { h.file_bytes = 7; }),
       "length is 7, not " + std::to_string(f.bytes));
  CHECK(f.after<Head>([](Head& h) { h.entries_hash ^= 1; }).find("hash of the entries") !=
        std::string::npos);
  says(f.after<Entry>([](Entry& e) { e.layout.version = 0; }), "layout version is 0, not 1");
  const std::string target = f.entries[0].layout.target;
  says(f.after<Entry>([](Entry& e) { std::strcpy(e.layout.target, "ELSE"); }),
       "target is ELSE, not " + target);
  f.after<Entry>([](Entry& e) { std::memset(e.layout.target, 'x', sizeof(e.layout.target)); });
  says(f.after<Entry>([](Entry& e) { e.layout.w = 2; }), "format is q4_0, not q8_0");
  says(f.after<Entry>([](Entry& e) { e.layout.w = 1u << 20; }), "format is unknown, not q8_0");
  says(f.after<Entry>([](Entry& e) { e.layout.panel_rows = 3; }),
       "rows of a panel is 3, not " + std::to_string(f.entries[0].layout.panel_rows));
  says(f.after<Entry>([](Entry& e) { e.layout.unit_values = 5; }), "values of a unit is 5, not 32");
  says(f.after<Entry>([](Entry& e) { e.layout.unit_bytes = 5; }),
       "bytes of a unit is 5, not " + std::to_string(f.entries[0].layout.unit_bytes));
  says(f.after<Entry>([](Entry& e) { e.n = 41; }), "n is 41, not 40");
  says(f.after<Entry>([](Entry& e) { e.k = 32; }), "k is 32, not 64");
  says(f.after<Entry>([](Entry& e) { e.count = 2; }), "count is 2, not 1");
  says(f.after<Entry>([](Entry& e) { e.offset = 8; }), "offset is 8, not 4096");
  says(f.after<Entry>([](Entry& e) { e.bytes = 8; }),
       "bytes is 8, not " + std::to_string(f.entries[0].bytes));
  CHECK(f.check().ok());
}

TEST_CASE("panel file: every length but the right one is refused", "[panel_file]") {
  const File f;
  std::vector<size_t> lengths = {0, 1, 7, 8, sizeof(PanelFileHead) - 1, sizeof(PanelFileHead)};
  for (size_t length = 64; length < f.bytes; length += 61) lengths.push_back(length);
  lengths.push_back(f.bytes - 1);
  for (const size_t length : lengths) {
    const std::vector<std::byte> half(f.memory.begin(),
                                      f.memory.begin() + static_cast<std::ptrdiff_t>(length));
    const Status s = check_panel_file(half, f.entries, kSource);
    CHECK(s.code == StatusCode::buffer_too_small);
  }
  const Status longer = check_panel_file(f.memory, f.entries, kSource);
  CHECK(longer.code == StatusCode::other_panels);
  CHECK(check_panel_file(std::span(f.memory).subspan(1), f.entries, kSource).code ==
        StatusCode::misaligned);
  CHECK(check_panel_file({static_cast<const std::byte*>(nullptr), f.bytes}, f.entries, kSource)
            .code == StatusCode::null_data);
}

TEST_CASE("panel file: every bit of head and entries counts", "[panel_file]") {
  File f;
  for (size_t bit = 0; bit < 8 * (sizeof(PanelFileHead) + 2 * sizeof(PanelEntry)); ++bit) {
    const auto flip = [&] { f.memory[bit / 8] ^= std::byte(1u << bit % 8); };
    flip();
    if (f.check().ok()) FAIL("bit " << bit);
    flip();
  }
  CHECK(f.check().ok());
}

TEST_CASE("panel file: sizes that do not fit an address", "[panel_file]") {
  std::vector<PanelEntry> entries(3);
  for (PanelEntry& entry : entries) entry.bytes = ~uint64_t{0} / 8;
  CHECK(place_panels(entries) == 0);
  entries[0].bytes = ~uint64_t{0};
  CHECK(place_panels(entries) == 0);
  CHECK(place_panels({}) == sizeof(PanelFileHead));
}

TEST_CASE("hash_bytes: each bit, the length and what came before count", "[panel_file]") {
  Rng rng = suite_rng();
  for (const size_t size : {0, 1, 7, 8, 31, 32, 33, 63, 64, 100}) {
    std::vector<std::byte> bytes(size);
    for (std::byte& b : bytes) b = std::byte(rng.next());
    std::vector<uint64_t> hashes = {hash_bytes(bytes), hash_bytes(bytes, 1)};
    for (size_t bit = 0; bit < 8 * size; ++bit) {
      bytes[bit / 8] ^= std::byte(1u << bit % 8);
      hashes.push_back(hash_bytes(bytes));
      bytes[bit / 8] ^= std::byte(1u << bit % 8);
    }
    bytes.push_back(std::byte{0});
    hashes.push_back(hash_bytes(bytes));
    std::sort(hashes.begin(), hashes.end());
    CHECK(std::adjacent_find(hashes.begin(), hashes.end()) == hashes.end());
  }
  // The same on every machine: files may be on a share.
  const char text[] = "The quick brown fox jumps over the lazy dog";
  CHECK(hash_bytes(std::as_bytes(std::span(text))) == 0x8e77d10e3346fad4);
}

}  // namespace
}  // namespace tessera::test

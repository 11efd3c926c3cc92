// SPDX-License-Identifier: MIT
// plan/geometry.h: what choose_blocking promises, over shapes and caches, and a table of values;
// the path that a product takes; the layout of packed x and of a worker's memory.
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

/// A kernel as far as blocking sees it, with tiles that read packed panels.
struct Shape {
  Kernel kernel;
  bool slow_l3 = false;

  constexpr Shape(size_t mr, size_t nr, size_t unit_values, size_t w_unit_bytes,
                  size_t x_unit_bytes, size_t x_copies = 1, bool slow = false)
      : slow_l3(slow) {
    kernel.mr = mr;
    kernel.nr = nr;
    kernel.unit_values = unit_values;
    kernel.panel_unit_bytes = kernel.direct.unit_bytes = w_unit_bytes;
    kernel.x.unit_bytes = x_unit_bytes;
    kernel.x.copies = x_copies;
  }
  constexpr Blocking blocking(size_t m, size_t k, const CacheSizes& caches, bool packed) const {
    return choose_blocking(kernel, kernel.direct, slow_l3, m, k, caches, packed);
  }
};
constexpr Shape kFloat(12, 32, 1, 128, 4);   // f32 tiles of AVX-512
constexpr Shape kInt8(6, 32, 32, 1088, 40);  // q8_0
constexpr Shape kOldFloat(6, 8, 2, 32, 8);   // f16 without AVX, x once
constexpr Shape kCopies(6, 8, 1, 32, 8, 2);  // f32 on SSE4
constexpr Shape kSlowL3(12, 32, 1, 128, 4, 1, true);

size_t round_up(size_t value, size_t step) { return (value + step - 1) / step * step; }

TEST_CASE("blocking: a table", "[blocking]") {
  const CacheSizes caches;  // 32 K, 512 K, 8 M
  struct Row {
    Shape shape;
    size_t m, k;
    bool ready;
    size_t mc, kc_units, nc;
  };
  for (const Row& r : std::vector<Row>{
           {kFloat, 1, 64, true, 1, 64, 64},  // all of k at once, never more rows than there are
           {kFloat, 128, 4096, true, 128, 1376,
            32},  // few: 256 K / 176 = 1489 -> three shares; 95 rows fit
           {kFloat, 512, 4096, true, 180, 688, 64},    // many: 128 K / 176 = 744 -> six shares
           {kFloat, 512, 4096, false, 132, 1376, 32},  // 2 M of L3 for rows of 16 K
           {kInt8, 512, 4096, true, 174, 64, 64},
           {kInt8, 100000, 4096, false, 414, 128, 32},
           {kInt8, 7, 1 << 20, true, 7, 197, 32},  // 197 panels fit
           {kOldFloat, 9, 3, true, 9, 2, 8},       // 3 values are 2 units
           {kCopies, 512, 4096, true, 48, 1376, 16},
           {kCopies, 512, 4096, false, 90, 384, 64},  // 32 K / 80 = 409; 85 rows in 256 K
           {kCopies, 60, 4096, true, 36, 2048, 8},
           {kSlowL3, 512, 4096, true, 132, 256, 128},  // 32 K / 176, but 256; 128 rows in 128 K
           {kSlowL3, 12, 4096, true, 12, 1376, 32},    // one panel of x, as elsewhere
           {kSlowL3, 512, 4096, false, 132, 1376, 32},
           {kFloat, 0, 0, true, 1, 1, 64}}) {
    const Blocking b = r.shape.blocking(r.m, r.k, caches, r.ready);
    INFO("m " << r.m << " k " << r.k);
    CHECK(b.mc == r.mc);
    CHECK(b.kc_units == r.kc_units);
    CHECK(b.nc == r.nc);
  }
}

TEST_CASE("blocking: what it promises", "[blocking]") {
  for (const Shape& shape : {kFloat, kInt8, kOldFloat, kCopies, kSlowL3}) {
    const Kernel& s = shape.kernel;
    for (const size_t l2 : {size_t{0}, size_t{256} << 10, size_t{2} << 20}) {
      for (const size_t m : {1, 5, 100, 5000}) {
        for (const size_t k : {1, 64, 1000, 4096, 100000}) {
          const CacheSizes caches{32768, l2, std::max(l2, size_t{8} << 20)};
          for (const bool ready : {false, true}) {
            const Blocking b = shape.blocking(m, k, caches, ready);
            const size_t units = (k + s.unit_values - 1) / s.unit_values;
            INFO("m " << m << " k " << k << " l2 " << l2);
            CHECK(b.mc >= 1);
            CHECK(b.mc <= m);
            REQUIRE(b.kc_units >= 1);
            CHECK(b.kc_units <= units);
            CHECK((b.mc == m || b.mc % s.mr == 0));
            // One W panel and one x panel of kc units in half of L2, unless that is under 256
            // values.
            const size_t panel = b.kc_units * (s.direct.unit_bytes + s.mr * s.x.unit_bytes);
            CHECK((panel <= l2 / 2 || b.kc_units * s.unit_values <= 256));
            // Blocks of even size: a further one would not make each smaller by a cache line.
            const size_t blocks = std::max<size_t>(1, (units + b.kc_units - 1) / b.kc_units);
            const size_t even = round_up((units + blocks - 1) / blocks, 16);
            CHECK((b.kc_units == units || b.kc_units <= even));
            CHECK(b.nc % s.nr == 0);
            CHECK((b.nc >= s.nr && b.nc <= kMaxNcPanels * s.nr));
          }
        }
      }
    }
  }
}

TEST_CASE("blocking: sizes near the end of size_t", "[blocking]") {
  const size_t most = std::numeric_limits<size_t>::max();
  const Blocking b = kInt8.blocking(most, most / 64 * 32, {}, true);
  CHECK(b.mc >= 1);
  CHECK(b.kc_units >= 1);
  CHECK(b.kc_units <= 1024);
}

// ---- Path, packed x and workers -----------------------------------------------------------------

void no_tile(const TileArgs&) {}
void no_loops(const RunArgs&) {}
constexpr TileFn kNoTile = &no_tile;

/// As f16 on AVX-512: 12 x 32 tiles, units of two values, tiles that read packed panels and others
/// that read widened ones.
Kernel a_kernel() {
  Kernel kernel = Shape(12, 32, 2, 128, 8).kernel;
  kernel.direct.run = kernel.prepared.run = &kNoTile;
  kernel.prepared.steps = 2;
  kernel.prepared.unit_bytes = 256;
  kernel.x.step_values = kernel.x_single.step_values = 32;
  kernel.x.step_bytes = kernel.x_single.step_bytes = 128;
  kernel.matvec = &no_loops;
  return kernel;
}

/// For W[96, 256].
Plan a_plan(const Kernel& kernel, const Tuning& tuning, bool packed) {
  Plan p;
  p.kernel = &kernel;
  p.tuning = &tuning;
  p.n = 96;
  p.k = 256;
  p.packed = packed;
  derive(p);
  return p;
}

TEST_CASE("geometry: W along n is read where it lies for few rows", "[geometry]") {
  Kernel kernel = a_kernel();
  kernel.vector_bytes = 64;
  Tuning tuning;
  tuning.strided_rows = 20;
  Plan p = a_plan(kernel, tuning, false);
  p.w_k_major = true;
  p.borrow_x = true;
  derive(p);
  CHECK(geometry(p, 20, {}).path == Path::direct);  // there is no such kernel
  kernel.strided = &no_loops;
  const Geometry g = geometry(p, 20, {});
  CHECK(g.path == Path::strided);
  CHECK(g.x_bytes == 0);
  CHECK(g.worker.bytes == 20 * kStridedCols * sizeof(float));  // sums between two ranges of k
  CHECK(geometry(p, 21, {}).path == Path::direct);
  p.borrow_x = false;
  CHECK(geometry(p, 20, {}).path == Path::direct);
  p.borrow_x = true;
  p.k = kStridedDepth;
  CHECK(geometry(p, 20, {}).worker.bytes == 0);
  p.k = 256;
  p.n = 64;
  CHECK(geometry(p, 1, {}).worker.bytes == 0);  // few sums
  CHECK(geometry(p, 2, {}).worker.bytes != 0);
}

TEST_CASE("geometry: the path", "[geometry]") {
  Kernel kernel = a_kernel();
  Tuning tuning;
  tuning.matvec_rows = 16;
  tuning.prepare_above = 3;
  tuning.prepare_above_in_place = 2;
  const auto path = [&](bool packed, size_t m) {
    return geometry(a_plan(kernel, tuning, packed), m, {}).path;
  };
  CHECK(path(false, 1) == Path::matvec);
  CHECK(path(false, 16) == Path::matvec);
  CHECK(path(false, 17) == Path::direct);
  CHECK(path(false, 24) == Path::direct);
  CHECK(path(false, 25) == Path::prepared);
  CHECK(path(true, 1) == Path::direct);
  CHECK(path(true, 36) == Path::direct);
  CHECK(path(true, 37) == Path::prepared);
  tuning.matvec_depth = 8;  // 256 / 8 rows
  CHECK(path(false, 32) == Path::matvec);
  CHECK(path(false, 33) == Path::prepared);
  kernel.dot.least_depth = 256;  // k
  CHECK(path(false, 1) == Path::matvec);
  kernel.dot.least_depth = 257;
  CHECK(path(false, 1) == Path::direct);
  kernel.direct.run = nullptr;
  CHECK(path(true, 1) == Path::prepared);
  kernel.prepared.run = nullptr;
  kernel.direct.run = &kNoTile;
  CHECK(path(true, 1000) == Path::direct);
  kernel.matvec = nullptr;
  CHECK(path(false, 1) == Path::direct);
}

TEST_CASE("geometry: packed x and a worker's memory", "[geometry]") {
  const Kernel kernel = a_kernel();
  Tuning tuning;
  tuning.prepare_above = 3;
  const CacheSizes caches;
  // Prepared: two widened panels of 128 units and sums of one tile, but no packed panel.
  Plan p = a_plan(kernel, tuning, true);
  p.blocking = {0, 0, 64};
  Geometry g = geometry(p, 100, caches);
  CHECK(g.path == Path::prepared);
  CHECK(g.x_row_bytes == 1024);
  CHECK(g.x_bytes == 100 * 1024);
  CHECK(g.worker.tile_panel_bytes == 128 * 256);
  CHECK(g.worker.packed_panel == 2 * 128 * 256);
  CHECK(g.worker.sums == g.worker.packed_panel);
  CHECK(g.worker.bytes == g.worker.sums + 12 * 32 * 4);
  // In place a packed panel besides; with two ranges of depth the sums of all rows and a little.
  p = a_plan(kernel, tuning, false);
  p.blocking = {40, 64, 64};
  g = geometry(p, 100, caches);
  CHECK(g.path == Path::prepared);
  CHECK(g.worker.sums == 2 * 64 * 256 + 64 * 128);
  CHECK(g.worker.bytes == g.worker.sums + 2 * (40 + 2 * 12) * 32 * 4);
  // Matvec has no panels. A single row is spread over the sets of a cache from 4 KiB on.
  g = geometry(p, 3, caches);
  CHECK(g.path == Path::matvec);
  CHECK(g.x_bytes == 3 * 1024);
  CHECK(g.worker.bytes == 0);
  CHECK(single_row_stride(4096) == 4096 + 512);
  CHECK(single_row_stride(4095) == 4095);
}

TEST_CASE("geometry: panels of x that are padded", "[geometry]") {
  Kernel kernel = a_kernel();
  kernel.row_step = 4;
  const Tuning tuning;
  const Plan p = a_plan(kernel, tuning, true);
  // 25 rows are panels of 9, 8 and 8, which take 12, 8 and 8.
  const Panels panels(25, 12, 4);
  CHECK(panels.count == 3);
  CHECK(panels.padded_begin(1) == 12);
  CHECK(panels.padded_begin(2) == 20);
  CHECK(panels.padded_begin(3) == 28);
  CHECK(geometry(p, 25, {}).x_bytes == 28 * 1024);
}

TEST_CASE("tuning: every kind of kernel has a row on every CPU", "[geometry]") {
  for (const TuningRow& row : kTuningRows) {
    CHECK(std::ifstream(std::string(TESSERA_SWEEPS_DIR "/") + row.sweep + ".tsv").good());
    CHECK(&tuning_for(row.cpu, row.kind, row.vector_bytes) == &row.tuning);
  }
  for (int kind = 0; kind <= static_cast<int>(KernelKind::blocks_as_f32); ++kind) {
    for (const size_t bytes : {4, 16, 32, 64}) {
      bool found = false;
      const Tuning& tuning = tuning_for(CpuFamily::other, static_cast<KernelKind>(kind), bytes);
      for (const TuningRow& row : kTuningRows) {
        found = found || (&row.tuning == &tuning && row.kind == static_cast<KernelKind>(kind));
      }
      CHECK(found);
    }
  }
}

}  // namespace
}  // namespace tessera::test

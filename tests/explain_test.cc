// SPDX-License-Identifier: MIT
// Matmul::explain: what it says is what the plan does.
#include <string>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

TESSERA_FORMAT_TEST(explanation, "explain says what a plan does", "[explain]") {
  const size_t n = 100, k = whole_blocks(w_dtype, 320);
  Rng rng = suite_rng();
  const Matrix w = random_weights(w_dtype, n, k, rng);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    const Product p(w, n, setup);
    REQUIRE(p.error().empty());
    const Matmul& plan = p.plan();
    CHECK(plan.n() == n);
    CHECK(plan.k() == k);
    for (const size_t m : {1, 2, 4, 5, 12, 13, 100}) {
      const Explanation e = plan.explain(m);
      const std::string text = e.text().c_str();
      INFO(text << "\n" << rerun(p, m));
      CHECK(std::string(e.target) == setup.target);
      CHECK(std::string(e.w) == dtype_name(w_dtype));
      CHECK(e.packed == setup.packed);
      CHECK(std::string(e.kernel) != "");

      const std::string x = e.x, path = e.path;
      if (setup.accuracy == Accuracy::exact) {
        CHECK(x == "f32");
      } else if (is_block_format(w_dtype)) {
        CHECK(x == (setup.accuracy == Accuracy::coarse ? "q8 coarse" : "q8"));
      } else if (w_dtype == DType::bf16) {
        CHECK((x == "bf16" || x == "f32"));
        CHECK((x == "bf16") == (std::string(e.note) == ""));  // slower has a reason
      } else {
        CHECK(x == "f32");
      }
      const bool per_call = path.find("W packed per call") != std::string::npos;
      const bool prepared = path.find("panels prepared once") != std::string::npos;
      if (path != "matvec") {
        CHECK(path.rfind("matmul", 0) == 0);
        CHECK(per_call == !setup.packed);
      }
      CHECK((path != "matvec" || !setup.packed));
      // Blocks in f32 are widened first, f32 never is.
      if (setup.accuracy == Accuracy::exact && is_block_format(w_dtype)) CHECK(prepared);
      if (w_dtype == DType::f32) CHECK_FALSE(prepared);
      if (path == "matvec") {
        CHECK((m <= 16 || !is_block_format(w_dtype)));
        CHECK(e.mr == 1);
      } else {
        CHECK(e.nr == plan.tile_cols());
        CHECK(e.mr >= plan.tile_rows(m));
      }
      CHECK(plan.tile_rows(m) >= 1);
      CHECK(plan.tile_rows(m) <= m);
      CHECK(e.mc >= 1);
      CHECK(e.kc >= 1);
      CHECK(e.kc <= k);
      for (const char* part : {e.target, e.kernel, e.w, e.x, e.path, e.note}) {
        CHECK(text.find(part) != std::string::npos);
      }
      CHECK(text.find(setup.packed ? "packed" : "in place") != std::string::npos);
      CHECK(text.find(std::to_string(e.mr) + " x " + std::to_string(e.nr)) != std::string::npos);
      CHECK(text.find("mc " + std::to_string(e.mc)) != std::string::npos);
      CHECK(text.find("kc " + std::to_string(e.kc)) != std::string::npos);
      CHECK(text.find('\n') == std::string::npos);
    }
  });
}

TESSERA_FORMAT_TEST(borrowing_shown, "explain says when x is read where it lies", "[explain]") {
  Rng rng = suite_rng();
  const size_t m = 100;
  for (const size_t k :
       whole_blocks(w_dtype, {320, 1024})) {  // more than 6 rows at 4 KiB evict each other
    // (and without AVX, x is packed for its copies; on 64-bit Arm, for its rows side by side)
    const Matrix w = random_weights(w_dtype, 40, k, rng);
    for_each_kernel(w_dtype, [&](Setup setup, const Tile&) {
      for (const bool borrow : {false, true}) {
        setup.borrow_x = borrow;
        const Product p(w, 40, setup);
        REQUIRE(p.error().empty());
        const Explanation e = p.plan().explain(m);
        const bool spread = k < 1024 || e.mr <= 6;
        const std::string target = e.target;
        const bool packs = target.find("SSE") != target.npos || target.find("NEON") != target.npos;
        const bool expected = borrow && spread && !packs && e.mr > 1 && std::string(e.x) == "f32";
        INFO(e.text().c_str());
        CHECK(e.borrows_x == expected);
        const bool said =
            std::string(e.text().c_str()).find("x f32 (in place)") != std::string::npos;
        CHECK(said == expected);
      }
    });
  }
}

TESSERA_FORMAT_TEST(blocking_shown, "explain shows the blocking asked for", "[explain]") {
  Rng rng = suite_rng();
  const size_t k = whole_blocks(w_dtype, 320);
  const Matrix w = random_weights(w_dtype, 40, k, rng);
  for_each_kernel(w_dtype, [&](Setup setup, const Tile&) {
    setup.blocking = {13, 2};
    const Product p(w, 40, setup);
    REQUIRE(p.error().empty());
    const Explanation e = p.plan().explain(100);
    CHECK(e.mc == 13);
    CHECK(e.kc % 2 == 0);
    CHECK(e.kc <= 2 * whole_blocks(w_dtype, 32));
  });
}

TEST_CASE("parts: as many as the work is worth, never more than workers", "[explain]") {
  const std::vector<float> w(4096 * 4096);
  const auto plan_of = [&w](size_t n, size_t k) {
    return *Matmul::plan({w.data(), n, k, k * sizeof(float), DType::f32}, DType::f32);
  };
  CHECK(Matmul().parts(64, 8).run == 1);
  const Matmul small = plan_of(64, 64), large = plan_of(4096, 4096), none = plan_of(64, 0);
  for (const size_t workers : {0, 1, 2, 3, 8, 1000}) {
    INFO("workers: " << workers);
    const size_t most = std::max<size_t>(workers, 1);
    for (const Matmul& plan : {small, large, none}) {
      for (const size_t m : {size_t{0}, size_t{1}, size_t{64}, size_t{512}}) {
        const PartCounts parts = plan.parts(m, workers);
        CHECK(parts.pack >= 1);
        CHECK(parts.pack <= std::max<size_t>(1, std::min(most, m)));
        CHECK(parts.run >= 1);
        CHECK(parts.run <= most);
      }
    }
    CHECK(small.parts(64, workers).pack == 1);
    CHECK(small.parts(64, workers).run == 1);
    CHECK(none.parts(512, workers).run == 1);
    CHECK(large.parts(1, workers).pack == 1);
    CHECK(large.parts(512, workers).run == most);
  }
  CHECK(large.parts(512, 8).pack == 8);
  CHECK(large.parts(SIZE_MAX, SIZE_MAX).run > 1000);  // no overflow
}

TEST_CASE("explain of an empty plan", "[explain]") {
  const Matmul none;
  CHECK(none.tile_rows(5) == 1);
  CHECK(none.tile_cols() == 1);
  CHECK(none.n() == 0);
  CHECK(none.k() == 0);
  CHECK(none.packed_w_bytes() == 0);
  CHECK(none.packed_x_bytes(5) == 0);
  CHECK(none.worker_bytes(5) == 0);
  CHECK(std::string(none.explain(5).target) == "");
  CHECK_FALSE(none.explain(5).packed);
}

}  // namespace
}  // namespace tessera::test

// SPDX-License-Identifier: MIT
// plan/matmul.h, "Bits": what must not change a single bit of y. Parts and rectangles, of any
// number and wherever they are cut; blocking; how x and W are packed in parts; for packed weights
// the batch that a row of x comes in; a sharer's packed x; threads.
#include <thread>
#include <vector>

#include "support/suite.h"
#include "tessera/thread_pool.h"

namespace tessera::test {
namespace {

// An epilogue in which a vector's lanes and a tail's could differ.
struct BusyEpilogue {
  std::vector<float> bias;
  Epilogue epilogue;

  BusyEpilogue(size_t n, Rng& rng) : bias(n) {
    for (float& b : bias) b = rng.uniform(-1, 1);
    epilogue.scale = 0.7f;
    epilogue.bias = bias.data();
    epilogue.activation = Activation::silu;
  }
};

// Several units of depth on every kernel.
size_t depth_of(DType w) { return whole_blocks(w, 331); }

TESSERA_FORMAT_TEST(parts_and_rects, "any parts and rectangles give the same bits", "[bits]") {
  Rng rng = suite_rng();
  const size_t k = depth_of(w_dtype);
  const Matrix w = random_weights(w_dtype, 150, k, rng), x = random_x(DType::f32, 33, k, rng);
  for_each_kernel(w_dtype, [&](Setup setup, const Tile& tile) {
    const size_t n = 3 * tile.nr + 5;
    REQUIRE(n <= 150);
    const BusyEpilogue busy(n, rng);
    for (const size_t m : {size_t{1}, size_t{3}, size_t{6}, 2 * tile.mr + 3}) {
      setup.y = kYTypes[rng.below(std::size(kYTypes))];
      setup.blocking = m == 6 ? Blocking{4, 3} : Blocking{};
      const Product p(w, n, setup);
      for (const Epilogue& epilogue : {Epilogue{}, busy.epilogue}) {
        const Output whole = p.run(x, m, epilogue);
        check_no_error(p, m, whole);
        for (const size_t parts : {2, 3, 4, 5, 6, 7, 64, 1000}) {
          check_same_bits(p, m, p.run(x, m, epilogue, {parts, parts}), whole.y,
                          std::to_string(parts) + " parts");
        }
        for (int i = 0; i < 4; ++i) {
          const std::vector<Rect> rects = random_covering(m, n, rng);
          check_same_bits(p, m, p.run(x, m, epilogue, {1, 1, rects}), whole.y, "the rectangles");
        }
      }
    }
  });
}

// More rows of x than matvec takes at once, groups of them, and depth in several pieces.
TESSERA_FORMAT_TEST(large_parts, "parts and rectangles of large shapes", "[bits]") {
  Rng rng = suite_rng();
  struct Shape {
    size_t m, n, k;
  };
  for (const Shape shape : {Shape{261, 13, 3360}, Shape{5, 37, 7008}, Shape{19, 6, 33024}}) {
    const size_t k = whole_blocks(w_dtype, shape.k);
    const Matrix w = random_weights(w_dtype, shape.n, k, rng);
    const Matrix x = random_x(DType::f32, shape.m, k, rng);
    for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
      if (setup.packed) return;
      const Product p(w, shape.n, setup);
      const Output whole = p.run(x, shape.m);
      check_no_error(p, shape.m, whole);
      check_same_bits(p, shape.m, p.run(x, shape.m, {}, {5, 5}), whole.y, "5 parts");
      const std::vector<Rect> rects = random_covering(shape.m, shape.n, rng);
      check_same_bits(p, shape.m, p.run(x, shape.m, {}, {1, 1, rects}), whole.y, "the rectangles");
    });
  }
}

TESSERA_FORMAT_TEST(one_rect, "a rectangle writes nothing outside of it", "[bits]") {
  Rng rng = suite_rng();
  const size_t n = 77, k = whole_blocks(w_dtype, 37);
  const Matrix w = random_weights(w_dtype, n, k, rng), x = random_x(DType::f32, 30, k, rng);
  for_each_kernel(w_dtype, [&](Setup setup, const Tile&) {
    for (const size_t m : {size_t{2}, size_t{30}}) {
      setup.y = kYTypes[rng.below(std::size(kYTypes))];
      const Product p(w, n, setup);
      const Output whole = p.run(x, m);
      check_no_error(p, m, whole);
      for (int i = 0; i < 12; ++i) {
        Rect r;
        r.row_begin = rng.below(m);
        r.row_end = r.row_begin + rng.below(m - r.row_begin + 1);  // some of them empty
        r.col_begin = rng.below(n);
        r.col_end = r.col_begin + rng.below(n - r.col_begin + 1);
        const Output out = p.run(x, m, {}, {1, 1, {r}});
        check_no_error(p, m, out);
        for (size_t row = 0; row < m; ++row) {
          for (size_t col = 0; col < n; ++col) {
            const bool inside =
                row >= r.row_begin && row < r.row_end && col >= r.col_begin && col < r.col_end;
            const float got = out.y[row * n + col], want = whole.y[row * n + col];
            if (inside ? std::bit_cast<uint32_t>(got) != std::bit_cast<uint32_t>(want)
                       : !is_untouched(got, setup.y)) {
              FAIL("y[" << row << ", " << col << "] is " << got << ", " << (inside ? "in" : "out")
                        << "side the rectangle rows " << r.row_begin << " to " << r.row_end
                        << ", columns " << r.col_begin << " to " << r.col_end << "\n"
                        << rerun(p, m));
            }
          }
        }
      }
      SUCCEED();
    }
  });
}

// Strides between rows of x: none, words, half words (which are not borrowed), and 4 KiB (neither).
TESSERA_FORMAT_TEST(borrowed_x, "x read where it lies gives the same bits", "[bits]") {
  Rng rng = suite_rng();
  for (const size_t k : whole_blocks(w_dtype, {331, 352})) {
    const Matrix w = random_weights(w_dtype, 150, k, rng);
    for (const DType x_dtype : kXTypes) {
      const Matrix x = random_x(x_dtype, 40, k, rng);
      for_each_kernel(w_dtype, [&](Setup setup, const Tile& tile) {
        setup.x = x_dtype;
        for (const size_t padding : {size_t{0}, size_t{12}, size_t{2}, 4096 - x.row_bytes}) {
          Layout layout;
          layout.x_padding = padding;
          layout.place.at_end = true;
          setup.borrow_x = false;
          const Product copied(w, 2 * tile.nr + 7, setup, layout);
          setup.borrow_x = true;
          const Product borrowed(w, 2 * tile.nr + 7, setup, layout);
          for (const size_t m : {size_t{1}, 2 * tile.mr + 3, size_t{40}}) {
            const Output want = copied.run(x, m), got = borrowed.run(x, m, {}, {3, 3});
            check_no_error(borrowed, m, got);
            check_same_bits(borrowed, m, got, want.y, "x read where it lies");
          }
        }
      });
    }
  }
}

// Units of depth are one value of some formats and two of others: a row that one may read where it
// lies ends within the other's last unit.
TEST_CASE("bits: who shares a lent x of odd depth", "[bits]") {
  Rng rng = suite_rng();
  const size_t m = 14, n = 40, k = 331;
  const Matrix x = random_x(DType::f32, m, k, rng);
  Layout layout;
  layout.place.at_end = true;
  for_each_target([&](const char* target) {
    Setup setup;
    setup.accuracy = Accuracy::exact;
    setup.packed = setup.borrow_x = true;
    setup.target = target;
    for (const DType from : {DType::f32, DType::f16, DType::bf16}) {
      setup.w = from;
      const Product p(random_weights(from, n, k, rng), n, setup, layout);
      std::string error;
      const PackedInput packed_x(p.plan(), x, m, layout, 1, error, true);
      CHECK(error.empty());
      for (const DType to : {DType::f32, DType::f16, DType::bf16}) {
        setup.w = to;
        const Product q(random_weights(to, n, k, rng), n, setup, layout);
        CHECK((from != to || p.plan().shares_packed_x(q.plan())));
        if (!p.plan().shares_packed_x(q.plan())) continue;
        const Output want = q.run(x, m);
        check_no_error(q, m, want);
        check_same_bits(q, m, q.run_packed(packed_x.bytes(), m), want.y, "who packed x");
      }
    }
  });
}

TESSERA_FORMAT_TEST(any_blocking, "any blocking gives the same bits", "[bits]") {
  Rng rng = suite_rng();
  const size_t k = depth_of(w_dtype);
  const Matrix w = random_weights(w_dtype, 81, k, rng), x = random_x(DType::f32, 40, k, rng);
  for_each_kernel(w_dtype, [&](Setup setup, const Tile& tile) {
    const size_t n = 2 * tile.nr + 7;
    for (const size_t m : {size_t{2}, size_t{7}, size_t{40}}) {
      setup.y = kYTypes[rng.below(std::size(kYTypes))];
      setup.blocking = {};
      const Product automatic(w, n, setup);
      const Output want = automatic.run(x, m);
      check_no_error(automatic, m, want);
      for (const Blocking& b : {Blocking{1, 1, 1},
                                {1, 0, 3 * tile.nr},
                                {0, 1, 2 * tile.nr},
                                {3, 2},
                                {13, 5, 2 * tile.nr},
                                {40, 7, 3 * tile.nr},
                                {12, 11, tile.nr},
                                {1000, 1000, 1000 * tile.nr}}) {
        setup.blocking = b;
        const Product p(w, n, setup);
        check_same_bits(p, m, p.run(x, m), want.y, "the blocking");
        const std::vector<Rect> rects = random_covering(m, n, rng);
        check_same_bits(p, m, p.run(x, m, {}, {1, 1, rects}), want.y,
                        "the blocking with rectangles");
      }
    }
  });
}

// Weights in place cut the depth of what L1 does not hold: six of these rows, not one of them.
TESSERA_FORMAT_TEST(deep_rows, "deep rows give the same bits together and one by one", "[bits]") {
  Rng rng = suite_rng();
  const size_t n = 5, m = 6, k = whole_blocks(w_dtype, 9632);
  const Matrix w = random_weights(w_dtype, n, k, rng), x = random_x(DType::f32, m, k, rng);
  std::vector<Rect> rows;
  rows.reserve(m);
  for (size_t row = 0; row < m; ++row) rows.push_back({row, row + 1, 0, n});
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    const Product p(w, n, setup);
    const Output whole = p.run(x, m);
    check_no_error(p, m, whole);
    check_same_bits(p, m, p.run(x, m, {}, {1, 1, rows}), whole.y, "one row at a time");
  });
}

TESSERA_FORMAT_TEST(weights_in_parts, "weights packed in parts are the same", "[bits]") {
  Rng rng = suite_rng();
  const size_t k = depth_of(w_dtype);
  const Matrix w = random_weights(w_dtype, 150, k, rng), x = random_x(DType::f32, 9, k, rng);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile& tile) {
    if (!setup.packed) return;
    const size_t n = 3 * tile.nr + 5;
    const Product whole(w, n, setup);
    const Output want = whole.run(x, 9);
    check_no_error(whole, 9, want);
    for (const size_t parts : {2, 3, 4, 5, 64}) {
      const Product p(w, n, setup, {}, parts);
      check_same_bits(p, 9, p.run(x, 9), want.y, "packing W in parts");
    }
  });
}

TESSERA_FORMAT_TEST(any_batch, "packed weights give a row the same bits alone and in any batch",
                    "[bits]") {
  Rng rng = suite_rng();
  const size_t n = 70, k = depth_of(w_dtype), most = 40;
  const Matrix w = random_weights(w_dtype, n, k, rng);
  const DType x_dtype = kXTypes[rng.below(3)];
  const Matrix x = random_x(x_dtype, most, k, rng);
  for_each_kernel(w_dtype, [&](Setup setup, const Tile&) {
    if (!setup.packed) return;
    setup.x = x_dtype;
    const Product p(w, n, setup);
    const Output all = p.run(x, most);
    check_no_error(p, most, all);
    for (size_t m = 1; m < most; ++m) {
      const std::vector<float> want(all.y.begin(), all.y.begin() + static_cast<ptrdiff_t>(m * n));
      check_same_bits(p, m, p.run(x, m), want, "the size of the batch");
    }
    for (size_t row = 0; row < most; ++row) {
      Matrix alone = empty_matrix(x_dtype, 1, k);
      std::copy_n(x.bytes.begin() + static_cast<ptrdiff_t>(row * x.row_bytes), x.row_bytes,
                  alone.bytes.begin());
      const auto begin = all.y.begin() + static_cast<ptrdiff_t>(row * n);
      check_same_bits(p, 1, p.run(alone, 1), {begin, begin + n}, "the rest of the batch");
    }
  });
}

TESSERA_FORMAT_TEST(shared_x, "plans that share packed x", "[bits]") {
  Rng rng = suite_rng();
  const size_t k = 256;  // whole blocks of every format
  const Matrix w = random_weights(w_dtype, 50, k, rng), x = random_x(DType::f32, 14, k, rng);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    const Product p(w, 50, setup);
    CHECK(p.plan().shares_packed_x(p.plan()));
    // Another W of any format, in place or packed: where it says that it shares, it does.
    size_t sharers = 0;
    for_each_format([&](DType other_dtype) {
      const Matrix other_w = random_weights(other_dtype, 35, k, rng);
      for (const bool packed : {false, true}) {
        Setup other = setup;
        other.w = other_dtype;
        other.packed = packed;
        const Product q(other_w, 35, other);
        CHECK(p.plan().shares_packed_x(q.plan()) == q.plan().shares_packed_x(p.plan()));
        if (!p.plan().shares_packed_x(q.plan())) continue;
        ++sharers;
        for (const size_t m : {size_t{1}, size_t{3}, size_t{14}}) {
          std::string error;
          const PackedInput packed_x(p.plan(), x, m, {}, 1, error);
          CHECK(error.empty());
          CHECK(p.plan().packed_x_bytes(m) == q.plan().packed_x_bytes(m));
          const Output want = q.run(x, m);
          check_no_error(q, m, want);
          check_same_bits(q, m, q.run_packed(packed_x.bytes(), m), want.y, "who packed x");
        }
      }
    });
    CHECK(sharers > 0);  // another W of its own format at least

    // k, target and accuracy matter.
    const Matrix deeper = random_weights(w_dtype, 50, 2 * k, rng);
    CHECK_FALSE(p.plan().shares_packed_x(Product(deeper, 50, setup).plan()));
    for_each_target([&](const char* target) {
      Setup other = setup;
      other.target = target;
      const Product q(w, 50, other);
      if (q.plan().value().kernel->pack_panel == p.plan().value().kernel->pack_panel) {
        return;  // a target may have kernels of a lower one
      }
      CHECK_FALSE(p.plan().shares_packed_x(q.plan()));
    });
    CHECK_FALSE(p.plan().shares_packed_x(Matmul()));
    CHECK_FALSE(Matmul().shares_packed_x(p.plan()));
  });
}

// The parts of a product on threads of one's own, with a barrier between pack and run.
TESSERA_FORMAT_TEST(own_threads, "workers on threads with one barrier", "[threads]") {
  Rng rng = suite_rng();
  const size_t m = 21, n = 150, k = depth_of(w_dtype);
  const Matrix w = random_weights(w_dtype, n, k, rng), x = random_x(DType::f32, m, k, rng);
  for_each_kernel(w_dtype, [&](const Setup& setup, const Tile&) {
    const Product p(w, n, setup);
    const Output want = p.run(x, m);
    check_no_error(p, m, want);
    for (const size_t workers : {2, 3, 5}) {
      std::vector<std::byte> packed_x(p.plan().packed_x_bytes(m));
      Output out;
      out.y.resize(m * n);
      std::vector<Status> status(workers);
      const auto on_threads = [&](const auto& task) {
        std::vector<std::thread> threads;
        threads.reserve(workers);
        for (size_t i = 0; i < workers; ++i) threads.emplace_back([&, i] { status[i] = task(i); });
        for (std::thread& t : threads) t.join();
        for (const Status& s : status) CHECK(s.ok());
      };
      on_threads([&](size_t i) { return p.plan().pack(x.view(), packed_x, {i, workers}); });
      on_threads([&](size_t i) {
        std::vector<std::byte> worker(p.plan().worker_bytes(m));
        return p.plan().run(packed_x, rows_of(out.y, m, n), worker, {}, {i, workers});
      });
      check_same_bits(p, m, out, want.y, std::to_string(workers) + " threads");
    }
  });
}

TESSERA_FORMAT_TEST(thread_pool, "matmul() on a thread pool of 1 to 8", "[threads]") {
  Rng rng = suite_rng();
  const size_t n = 150, k = whole_blocks(w_dtype, 1056), many = 64;  // enough work for all threads
  const Matrix w = random_weights(w_dtype, n, k, rng);
  std::vector<Matrix> x_of_type;
  for (const DType t : kXTypes) x_of_type.push_back(random_x(t, many, k, rng));
  for (const size_t threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    CHECK(pool.executor().workers == threads);
    for_each_kernel(w_dtype, [&](Setup setup, const Tile&) {
      if (setup.packed) return;
      for (const Matrix& x : x_of_type) {
        setup.x = x.dtype;
        const Product p(w, n, setup);
        CHECK(p.plan().parts(many, threads).run == threads);
        for (const size_t m : {size_t{1}, size_t{17}, many}) {
          const Output want = p.run(x, m);
          check_no_error(p, m, want);
          MatView first_rows = x.view();
          first_rows.rows = m;
          Output out;
          out.y.resize(m * n);
          const Status s = matmul(rows_of(out.y, m, n), first_rows, w.view(), {}, pool.executor(),
                                  {setup.accuracy, setup.target, {}});
          if (!s.ok()) out.error = s.message().c_str();
          check_same_bits(p, m, out, want.y, std::to_string(threads) + " threads");
        }
      }
    });
  }
}

}  // namespace
}  // namespace tessera::test

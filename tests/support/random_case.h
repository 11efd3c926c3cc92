// SPDX-License-Identifier: MIT
// One random case of a differential test: a product with every axis drawn at the same time, since
// a sample of each axis alone misses what needs two or three of them together. draw_case() is the
// only generator; it takes formats, types, accuracies, targets and activations from their lists, so
// that a new entry is drawn without a change here. What a case multiplies follows from its seed.
#ifndef TESSERA_TESTS_SUPPORT_RANDOM_CASE_H_
#define TESSERA_TESTS_SUPPORT_RANDOM_CASE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "support/product.h"
#include "support/random.h"
#include "support/stored.h"
#include "support/targets.h"
#include "tessera/tessera.h"

namespace tessera::test {

/// Through which functions of the library. `owned` are weights that PackedWeights packs; with
/// `grouped`, rows of x go to experts, in place or packed; with `batched`, they are shared among
/// equal products; `gated` has a gate and an up, and `gated_grouped` has them for each expert. Each
/// of these products has a W of its own: see case_products.h.
enum class Door : uint8_t {
  in_place,
  packed,
  owned,
  one_call,
  gemm,
  quantize,
  grouped,
  grouped_packed,
  batched,
  batched_packed,
  gated,
  gated_packed,
  gated_grouped,
  gated_grouped_packed
};
inline constexpr Door kDoors[] = {Door::in_place,      Door::packed,
                                  Door::owned,         Door::one_call,
                                  Door::gemm,          Door::quantize,
                                  Door::grouped,       Door::grouped_packed,
                                  Door::batched,       Door::batched_packed,
                                  Door::gated,         Door::gated_packed,
                                  Door::gated_grouped, Door::gated_grouped_packed};
constexpr const char* to_string(Door d) {
  constexpr const char* kNames[] = {"in_place",      "packed",
                                    "owned",         "one_call",
                                    "gemm",          "quantize",
                                    "grouped",       "grouped_packed",
                                    "batched",       "batched_packed",
                                    "gated",         "gated_packed",
                                    "gated_grouped", "gated_grouped_packed"};
  return kNames[static_cast<size_t>(d)];
}

/// What x and W hold: values whose sums are rounded; small integers, whose sums are exact; the
/// codes of the largest magnitude, which fill the integers that kernels add up in; tiny and huge
/// values; NaN and Inf in some rows of x; the same in W.
enum class Values : uint8_t { rounded, exact, largest, extreme, poisoned_x, poisoned_w };
inline constexpr Values kValues[] = {Values::rounded, Values::rounded,    Values::exact,
                                     Values::largest, Values::extreme,    Values::rounded,
                                     Values::exact,   Values::poisoned_x, Values::poisoned_w};
constexpr const char* to_string(Values v) {
  constexpr const char* kNames[] = {"rounded", "exact",      "largest",
                                    "extreme", "poisoned_x", "poisoned_w"};
  return kNames[static_cast<size_t>(v)];
}

/// How y is cut: in parts, in rectangles that cover it, or only one rectangle of it is computed.
enum class Cut : uint8_t { parts, rects, one_rect };
constexpr const char* to_string(Cut c) {
  constexpr const char* kNames[] = {"parts", "rects", "one_rect"};
  return kNames[static_cast<size_t>(c)];
}

/// How an executor runs its tasks: none is given; in any order on this thread; on a ThreadPool.
enum class Tasks : uint8_t { serial, shuffled, pool };
inline constexpr Tasks kTasks[] = {Tasks::serial,   Tasks::serial,   Tasks::serial,
                                   Tasks::shuffled, Tasks::shuffled, Tasks::pool};
constexpr const char* to_string(Tasks t) {
  constexpr const char* kNames[] = {"serial", "shuffled", "pool"};
  return kNames[static_cast<size_t>(t)];
}

struct RandomCase {
  uint64_t seed = 0;  // of what x, W, bias and y hold
  Door door = Door::in_place;
  Setup setup;
  Tile tile;  // that shapes and blocking are drawn around
  size_t m = 0, n = 0, k = 0;
  Layout layout;
  Cut cut = Cut::parts;
  Work work;
  size_t w_parts = 1;  // in which W is packed
  Tasks tasks = Tasks::serial;
  size_t workers = 1;
  Values values = Values::rounded;
  Epilogue epilogue;  // gemm: alpha is scale. Without what it points to:
  bool has_bias = false, has_row_scale = false, has_column_scale = false;
  blas::Op op_a = blas::Op::none, op_b = blas::Op::none;
  DType to = DType::f32;                  // what quantize makes of W
  Accuracy up_accuracy = Accuracy::fast;  // of `up`, which may so take x packed in another way
};

/// Whether products through this door read panels that were packed for keeping.
inline bool is_packed(Door d) {
  return d == Door::packed || d == Door::owned || d == Door::grouped_packed ||
         d == Door::batched_packed || d == Door::gated_packed || d == Door::gated_grouped_packed;
}
inline bool is_grouped(Door d) {
  return d == Door::grouped || d == Door::grouped_packed || d == Door::gated_grouped ||
         d == Door::gated_grouped_packed;
}
inline bool is_batched(Door d) { return d == Door::batched || d == Door::batched_packed; }
inline bool is_gated(Door d) {
  return d == Door::gated || d == Door::gated_packed || d == Door::gated_grouped ||
         d == Door::gated_grouped_packed;
}
/// Whether they are of one product alone.
inline bool is_plain(Door d) { return !is_grouped(d) && !is_batched(d) && !is_gated(d); }

inline std::string describe(const RandomCase& c) {
  const Layout& l = c.layout;
  const Epilogue& e = c.epilogue;
  const auto op = [](blas::Op o) { return o == blas::Op::none ? 'N' : 'T'; };
  char text[512];
  std::snprintf(
      text, sizeof(text),
      "; values %s, epilogue {scale %g, beta %g, bias %d, scales %d %d, activation %d}, %s: "
      "pack %zu, run %zu, rects %zu, W %zu%s; tasks %s, workers %zu; at %s, offsets "
      "{%zu, %zu, %zu, 4 * %zu}, paddings {%zu, %zu, %zu}",
      to_string(c.values), static_cast<double>(e.scale), static_cast<double>(e.beta), c.has_bias,
      c.has_row_scale, c.has_column_scale, static_cast<int>(e.activation), to_string(c.cut),
      c.work.pack_parts, c.work.parts, c.work.rects.size(), c.w_parts,
      c.work.last_first ? ", last first" : "", to_string(c.tasks), c.workers,
      l.place.at_end ? "end" : "start", l.w_offset, l.x_offset, l.y_offset, l.scratch_words,
      l.w_padding, l.x_padding, l.y_padding);
  std::string out = std::string("door ") + to_string(c.door);
  if (c.door == Door::gemm) out += std::string(" ") + op(c.op_a) + op(c.op_b);
  if (c.door == Door::quantize) out += std::string(" to ") + dtype_name(c.to);
  if (is_gated(c.door)) out += std::string(", up ") + to_string(c.up_accuracy);
  out += ", " + describe(c.setup, c.m, c.n, c.k) + text;
  const Tuning* t = c.setup.tuning.get();
  if (t == nullptr) return out;
  std::snprintf(text, sizeof(text),
                "; tuning {matvec %zu, %zu, prepare %zu, %zu, pair %zu, early %zu, %zu, dot %zu, "
                "%zu, page_pieces %d, slow_l3 %d}",
                t->matvec_rows, t->matvec_depth, t->prepare_above, t->prepare_above_in_place,
                t->pair_rows, t->early_rows, t->early_bytes, t->dot_early_rows, t->dot_early_bytes,
                t->page_pieces, t->slow_l3);
  return out + text;
}

/// What is not drawn.
struct DrawOptions {
  const char* target = nullptr;  // instead of any available one
  /// Shapes and blocking around these tiles, not those of the target's kernels, and the CPU's own
  /// tuning: the cases then depend on nothing that the library decides.
  bool fixed_tiles = false;
};

// ---- Drawing -----------------------------------------------------------------------------------
// A source is an Rng, or has next() and below() as it has: a fuzzer's bytes.

template <class Source, class List>
auto one_of(Source& source, const List& list) {
  return std::data(list)[source.below(std::size(list))];
}
template <class Source>
size_t one_of(Source& source, std::initializer_list<size_t> list) {
  return list.begin()[source.below(list.size())];
}
template <class Source>
bool one_in(Source& source, size_t count) {
  return source.below(count) == count - 1;
}

inline const std::vector<DType>& all_formats() {
  static const std::vector<DType> formats = [] {
    std::vector<DType> list;
    for_each_format([&](DType t) { list.push_back(t); });
    return list;
  }();
  return formats;
}

/// Values in a block, for one of the formats above.
inline size_t block_of(DType t) { return std::max<size_t>(1, dtype_info(t).block_values); }

inline const std::vector<Target>& available_targets() {
  static const std::vector<Target> available = [] {
    std::vector<Target> list;
    for (const Target& t : targets()) {
      if (t.available) list.push_back(t);
    }
    return list;
  }();
  return available;
}

template <class Source>
Blocking draw_blocking(Source& source, const Tile& tile) {
  if (source.below(2) == 0) return {};
  return {one_of(source, {0, 1, 2, tile.mr, tile.mr + 1, 1 + source.below(40), 1000}),
          one_of(source, {0, 1, 2, 3, 5, 1 + source.below(20), 1000}),
          one_of(source,
                 {0, 1, tile.nr, 2 * tile.nr, 3 * tile.nr, 1 + source.below(300), 1000 * tile.nr})};
}

template <class Source>
void draw_setup(Source& source, const DrawOptions& options, RandomCase& c) {
  Setup& s = c.setup;
  s.w = one_of(source, all_formats());
  s.x = one_of(source, kXTypes);
  s.y = one_of(source, kYTypes);
  s.accuracy = one_of(source, kAccuracies);
  s.target = one_of(source, available_targets()).name;
  if (options.target != nullptr) s.target = options.target;
  s.packed = is_packed(c.door);
  s.borrow_x = source.below(2) == 0;
  c.to = one_of(source, all_formats());
  c.up_accuracy = source.below(2) == 0 ? s.accuracy : one_of(source, kAccuracies);
  c.op_a = one_of(source, kOps);
  c.op_b = one_of(source, kOps);
  if (c.door == Door::gemm) {  // what the function's arguments leave open
    s.w = s.x = s.y = dtype_of<float>();
    s.accuracy = Accuracy::fast;
  }
  constexpr Tile kTiles[] = {{12, 32}, {6, 32}, {6, 16}, {3, 8}};
  const Tile fixed = one_of(source, kTiles);
  c.tile = options.fixed_tiles ? fixed : tile_of(s.w, s.target, s.accuracy);
  s.blocking = draw_blocking(source, c.tile);
}

/// One less than a few steps, or as many, or one more.
template <class Source>
size_t draw_near(Source& source, size_t step) {
  const size_t steps = one_of(source, {1, 1, 2, 2, 3, 4, 8, 9});
  return steps * step + source.below(3) - 1;
}

/// A dimension around multiples of `step`; now and then one of `large`, or 0.
template <class Source>
size_t draw_size(Source& source, size_t step, std::initializer_list<size_t> large) {
  switch (source.below(8)) {
    case 0:
      return one_of(source, {1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 0});
    case 1:
      return 1 + source.below(80);
    case 2:
      return one_of(source, {5, 7, 11, 13, 15, 16, 17, 23, 29, 31, 37, 41, 61});
    case 3:
      return one_of(source, large);
    default:
      return draw_near(source, step);
  }
}

/// m, n and k of at most so many products, which is what a case costs: a dimension too much is
/// drawn again, among what the others leave.
template <class Source>
void draw_shape(Source& source, RandomCase& c) {
  size_t block = block_of(c.setup.w);
  if (c.door == Door::quantize) block = std::lcm(block, block_of(c.to));
  const size_t depth_step = block > 1 ? one_of(source, {4, 8, 16}) : one_of(source, {8, 16, 32});
  c.m = draw_size(source, c.tile.mr, {61, 97, 131, 257, 261, 300});
  c.n = draw_size(source, c.tile.nr, {97, 139, 211, 257, 331});
  size_t units = block > 1 ? draw_size(source, depth_step, {33, 64, 104, 128})
                           : draw_size(source, depth_step, {331, 1021, 1217, 2051, 3331, 4096});
  const size_t most = one_of(source, {30'000, 30'000, 30'000, 100'000, 100'000, 1'000'000}) / block;
  size_t* const sizes[] = {&c.m, &c.n, &units};
  const size_t first = source.below(3), turn = 1 + source.below(2);
  size_t left = most;
  for (size_t i = 0; i < 3; ++i) {
    size_t& size = *sizes[(first + i * turn) % 3];
    if (size > left) size = 1 + source.below(left);
    left = std::max<size_t>(1, left / std::max<size_t>(1, size));
  }
  c.k = units * block;
  // matmul() and gemm() hand out more than one part only if there is some work for each.
  const bool calls = c.door == Door::one_call || c.door == Door::gemm;
  if (!calls || c.workers == 1 || !one_in(source, 4) || c.m == 0 || c.n == 0) return;
  const size_t enough = (1'100'000 + source.below(1'000'000)) / (std::max<size_t>(c.m, 8) * c.n);
  c.k = std::max(c.k, std::min<size_t>(enough / block + 1, 8192 / block + 1) * block);
}

template <class Source>
void draw_layout(Source& source, RandomCase& c) {
  const auto padding = [&]() -> size_t {
    if (source.below(2) == 0) return 0;
    return one_of(source, {1, 2, 3, 4, 8, 12, 20, 34, 64, 2 + source.below(100)});
  };
  const auto offset = [&] { return source.below(2) == 0 ? 0 : source.below(64); };
  Layout& l = c.layout;
  l.place.at_end = source.below(2) == 0;
  l.w_padding = padding();
  l.x_padding = padding();
  l.y_padding = padding();
  l.w_offset = offset();
  l.x_offset = offset();
  l.y_offset = offset();
  l.scratch_words = source.below(2) == 0 ? 0 : source.below(16);
  if (one_in(source, 16)) {  // rows of x that share the sets of an L1 cache
    const size_t row = *row_bytes(c.setup.x, c.k);
    l.x_padding = (row + 4095) / 4096 * 4096 - row;
  }
  if (c.door != Door::gemm) return;
  for (size_t* bytes :
       {&l.w_padding, &l.x_padding, &l.y_padding, &l.w_offset, &l.x_offset, &l.y_offset}) {
    *bytes = *bytes / sizeof(float) * sizeof(float);  // leading dimensions, and pointers to floats
  }
}

template <class Source>
void draw_work(Source& source, RandomCase& c, bool whole) {
  const auto parts = [&] { return one_of(source, {1, 1, 1, 2, 3, 5, 7, 64, 333}); };
  c.cut = Cut{static_cast<uint8_t>(source.below(whole ? 2 : 3))};
  c.work = {parts(), parts(), {}, source.below(2) == 0};
  c.w_parts = parts();
  c.tasks = one_of(source, kTasks);
  c.workers = c.tasks == Tasks::serial ? 1
              : c.tasks == Tasks::pool ? 2 + source.below(2)
                                       : one_of(source, {2, 3, 5, 8});
  const bool calls = c.door == Door::one_call || c.door == Door::gemm || c.door == Door::quantize;
  if (calls || !is_plain(c.door)) c.cut = Cut::parts;
}

/// The rectangles of y, once its shape is known.
template <class Source>
void draw_rects(Source& source, RandomCase& c) {
  c.work.rects.clear();
  if (c.m == 0 || c.n == 0) c.cut = Cut::parts;
  if (c.cut == Cut::rects) {
    Rng rng(source.next());
    c.work.rects = random_covering(c.m, c.n, rng);
  } else if (c.cut == Cut::one_rect) {  // some of them empty
    Rect r;
    r.row_begin = source.below(c.m);
    r.row_end = r.row_begin + source.below(c.m - r.row_begin + 1);
    r.col_begin = source.below(c.n);
    r.col_end = r.col_begin + source.below(c.n - r.col_begin + 1);
    c.work.rects = {r};
  }
}

template <class Source>
void draw_values(Source& source, RandomCase& c) {
  constexpr float kScales[] = {1, 1, -0.5f, 2, 0, 0.037f, -1.3f};
  constexpr float kBetas[] = {0, 0, 0, 1, 2, -0.5f, 0.7f};
  c.values = one_of(source, kValues);
  const bool exact = c.values == Values::exact || c.values == Values::largest;
  c.epilogue.scale = kScales[source.below(exact ? 5 : 7)];
  c.epilogue.beta = kBetas[source.below(exact ? 6 : 7)];
  c.has_bias = source.below(2) == 1;
  c.has_row_scale = one_in(source, 4);
  c.has_column_scale = one_in(source, 4);
  c.epilogue.activation = one_of(source, kActivations);
  if (source.below(4) == 0) c.epilogue.activation = Activation::none;
  if (source.below(3) == 0) {  // sums that tiles write to y themselves
    c.epilogue = {};
    c.has_bias = c.has_row_scale = c.has_column_scale = false;
  }
  if (is_gated(c.door)) {  // whose activation is that of gate
    c.epilogue.scale = 1;
    c.epilogue.beta = 0;
    c.has_row_scale = c.has_column_scale = false;
  }
  if (c.door == Door::gemm) {
    c.epilogue.activation = Activation::none;
    c.has_bias = c.has_row_scale = c.has_column_scale = false;
  }
}

/// What may be tuned, for half of the cases; the others take the rows of this CPU.
template <class Source>
void draw_tuning(Source& source, RandomCase& c) {
  if (c.door == Door::gemm || source.below(2) == 0) return;
  const auto threshold = [&] { return one_of(source, {0, 1, 2, 4, 7, 16, 1000}); };
  const auto bytes = [&] { return one_of(source, {0, 64, 4096, 65536, 1u << 20}); };
  Tuning t;
  t.matvec_rows = one_of(source, {0, 1, 8, 16, 40, 1000});
  t.matvec_depth = one_of(source, {0, 0, 1, 8, 80});
  t.prepare_above = threshold();
  t.prepare_above_in_place = threshold();
  t.pair_rows = threshold();
  t.early_rows = threshold();
  t.early_bytes = bytes();
  t.dot_early_rows = threshold();
  t.dot_early_bytes = bytes();
  t.page_pieces = source.below(2) == 0;
  t.slow_l3 = source.below(2) == 0;
  if (const Tuning* former = c.setup.tuning.get()) {  // what may change bits
    t.matvec_rows = former->matvec_rows;
    t.matvec_depth = former->matvec_depth;
  }
  c.setup.tuning = std::make_shared<const Tuning>(t);
}

template <class Source>
RandomCase draw_case(Source& source, const DrawOptions& options = {}) {
  RandomCase c;
  c.seed = source.next();
  c.door = one_of(source, kDoors);
  const bool slow = c.door == Door::owned || c.door == Door::quantize;
  if (slow && source.below(2) == 0) c.door = Door::in_place;
  draw_setup(source, options, c);
  draw_work(source, c, false);
  draw_shape(source, c);
  draw_rects(source, c);
  draw_layout(source, c);
  draw_values(source, c);
  if (!options.fixed_tiles) draw_tuning(source, c);
  return c;
}

/// The same product by another way that must give the same bits: another blocking, cut, layout,
/// tuning and executor, x lent or not, and through another door to the same kernels.
inline RandomCase another_way(const RandomCase& c) {
  RandomCase other = c;
  Rng rng(~c.seed);
  if (c.door == Door::in_place || c.door == Door::one_call) {
    other.door = rng.below(2) == 0 ? Door::in_place : Door::one_call;
  } else if (is_packed(c.door) && is_plain(c.door)) {
    other.door = rng.below(2) == 0 ? Door::packed : Door::owned;
  }
  other.setup.blocking = draw_blocking(rng, c.tile);
  other.setup.borrow_x = rng.below(2) == 0;
  draw_work(rng, other, true);
  draw_rects(rng, other);
  draw_layout(rng, other);
  if (c.setup.tuning != nullptr) draw_tuning(rng, other);
  return other;
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_RANDOM_CASE_H_

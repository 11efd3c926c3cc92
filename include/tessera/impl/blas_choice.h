// SPDX-License-Identifier: MIT
// Which way blas::gemm takes: one function of sizes and operations.
#ifndef TESSERA_IMPL_BLAS_CHOICE_H_
#define TESSERA_IMPL_BLAS_CHOICE_H_

#include <bit>
#include <limits>
#include <utility>

#include "tessera/blas.h"
#include "tessera/plan/kernel.h"

namespace tessera::inline v0_1::blas::detail {

/// Tiles add in the order of k, dots along it; C^T = op(B)^T op(A)^T. What is turned in pieces is
/// turned in memory on the stack, which stays in L1.
enum class Way : uint8_t {
  gaps,           // vectors among the operands are copied, to be products without gaps
  in_place,       // tiles; A and B where they lie
  b_in_pieces,    // tiles; B turned in pieces
  c_in_pieces,    // tiles of C^T; C turned in pieces
  a_c_in_pieces,  // tiles of C^T; A and C turned in pieces
  dots,           // dots of rows of A and rows of B
  copied,         // B, and an A across k, copied to where they lie as tiles read them; in_place
  a_turned,       // A turned in memory, then c_in_pieces
  turned,         // C^T by one of these ways, in memory, and turned then
  plan            // as matmul with a plan of its own; also what is no ordinary product
};

constexpr const char* way_name(Way way) noexcept {
  switch (way) {
    case Way::gaps:
      return "copies of vectors with gaps";
    case Way::in_place:
      return "tiles, A and B in place";
    case Way::b_in_pieces:
      return "tiles, B turned in pieces";
    case Way::c_in_pieces:
      return "tiles of C^T, C turned in pieces";
    case Way::a_c_in_pieces:
      return "tiles of C^T, A and C turned in pieces";
    case Way::dots:
      return "dots";
    case Way::copied:
      return "tiles, operands copied";
    case Way::a_turned:
      return "tiles of C^T, A turned, C turned in pieces";
    case Way::turned:
      return "C^T, turned";
    case Way::plan:
      break;
  }
  return "a plan";
}

constexpr Op other(Op op) noexcept { return op == Op::none ? Op::transpose : Op::none; }

/// The same product, C transposed: into t[n, m] without alpha and beta.
inline Product transposed(const Product& p, float* t) noexcept {
  return {other(p.op_b), other(p.op_a), p.n, p.m, p.k, 1.0f, p.b, p.ldb, p.a, p.lda, 0.0f, t, p.m};
}

/// Whether arguments are right and of ordinary sizes, and A and B are read.
inline bool is_ordinary(const Product& p) noexcept {
  // With this, every size in bytes fits, and so does the number of multiplications.
  constexpr size_t kMost = std::numeric_limits<size_t>::max() >> (sizeof(size_t) * 4 + 2);
  if (p.op_a > Op::transpose || p.op_b > Op::transpose || p.alpha == 0.0f) return false;
  if (p.a == nullptr || p.b == nullptr || p.c == nullptr) return false;
  if (p.m == 0 || p.n == 0 || p.k == 0) return false;
  if ((p.m | p.n | p.k | p.lda | p.ldb | p.ldc) > kMost) return false;
  return p.lda >= (p.op_a == Op::none ? p.k : p.m) && p.ldb >= (p.op_b == Op::none ? p.n : p.k) &&
         p.ldc >= p.n;
}

/// An ordinary product of vectors in the one form in which others see it: they are stored the same
/// way as rows and as columns, and a column of C is computed as a row. False if a vector has gaps:
/// a row of op(A), or the columns of op(B) and C. (Leading dimensions, which would decide by which
/// kernel it is read, then do not decide about bits.)
inline bool without_gaps(Product& p) noexcept {
  if (p.m == 1 && p.op_a == Op::transpose) {
    if (p.lda != 1) return false;
    p.op_a = Op::none;
    p.lda = p.k;
  }
  if (p.n == 1) {
    if (p.op_b == Op::none) {
      if (p.ldb != 1) return false;
      p.op_b = Op::transpose;
      p.ldb = p.k;
    }
    if (p.m > 1) {
      if (p.ldc != 1) return false;
      std::swap(p.op_a, p.op_b);
      std::swap(p.m, p.n);
      std::swap(p.a, p.b);
      std::swap(p.lda, p.ldb);
      p.op_a = other(p.op_a);
      p.op_b = other(p.op_b);
      p.ldc = p.n;
    }
  }
  if (p.k == 1 && p.op_b == Op::transpose && p.ldb == 1) {
    p.op_b = Op::none;
    p.ldb = p.n;
  }
  return true;
}

// ---- Larger products ----------------------------------------------------------------------------

/// Whether a product that takes a plan is computed as C^T. Of few columns it has few rows, for
/// which there are kernels that read the large operand where it lies; and what was transposed twice
/// is then not transposed at all. C is turned back afterwards, which takes less than the product as
/// each element is a sum of many (bench/sweeps/few_cols.tsv).
constexpr bool turns(bool a_turned, bool b_turned, size_t m, size_t n) noexcept {
  constexpr size_t kFewCols = 16;
  if (n <= kFewCols && m >= 4 * n) return true;
  if (!a_turned && n <= kMostDotRows && m >= 2 * n) return true;
  return a_turned && b_turned && n <= 64 && (m > kFewCols || n < 2 * m);
}

/// Whether dots multiply few rows of x with B transposed; over short rows they are slower than
/// tiles.
constexpr bool takes_dots(size_t k) noexcept { return k > kStridedDepth; }

// ---- Small products -----------------------------------------------------------------------------

/// Up to so many multiplications, a product is for one thread.
inline constexpr size_t kSmallProducts = size_t{64} * 64 * 64;
/// Up to so many, the ways that need no plan are considered; those by tiles for any number if k is
/// one range, which is short if A lies across it, and of long k only of small products
/// (bench/sweeps/unplanned_log2.tsv, bench/sweeps/short_range.tsv).
inline constexpr size_t kUnplanned = size_t{1} << 22;
inline constexpr size_t kShortRange = 32;
/// Sums of fewer terms are never four each (bench/sweeps/few_depth.tsv).
inline constexpr size_t kFewDepth = 16;
/// In multiplications of vectors: what turning a matrix costs at least, and at most what is done in
/// place without looking further (bench/sweeps/least_turning.tsv); what adding the lanes of a dot
/// takes, with loads (bench/sweeps/dot_end.tsv: 2 gains up to a fifth at k of 64, but then dots are
/// taken for 2048 x 2 x 8, which take 6.9 us beside 2.7).
inline constexpr size_t kLeastTurning = 80;
inline constexpr size_t kDotEnd = 6;

/// What the ways cost, in multiplications of vectors, of which a core does two a cycle.
struct Costs {
  int lanes_log2;  // sizes are shifted: divisions would take longer than small products

  constexpr size_t lanes() const noexcept { return size_t{1} << lanes_log2; }
  constexpr size_t vectors(size_t n) const noexcept { return (n + lanes() - 1) >> lanes_log2; }
  constexpr bool fit_turned(size_t depth) const noexcept {
    return depth << lanes_log2 <= kTurnedFloats;
  }

  /// Loading and storing sums takes as long as three multiplications; less than eight sums wait for
  /// each other, if they are not few enough for four chains each.
  constexpr size_t tiles(size_t m, size_t n, size_t k) const noexcept {
    const size_t sums = m * vectors(n);
    const bool few = k >= kFewDepth && has_few_sums(m, n, lanes());
    return 3 * sums + (v0_1::detail::max)(sums, few ? 2 : 8) * k;
  }
  /// A matrix turned: a quarter to half a cycle a value if both sizes are fours.
  constexpr size_t turning(size_t rows, size_t cols) const noexcept {
    const size_t values = rows * cols;
    if (rows == 1 || cols == 1) return kLeastTurning + 3 * values;
    return kLeastTurning + (rows < lanes() && cols < lanes() ? values : values / 2);
  }
  /// Planning takes as long as some thousands of multiplications (bench/sweeps/plan_cost.tsv), and
  /// packing as one for each value where W lies along k.
  constexpr size_t plan(bool along_k, size_t m, size_t n, size_t k) const noexcept {
    return 6000 + (along_k ? n * k : 0) + m * vectors(n) * k;
  }
  /// A dot ends with adding its lanes.
  constexpr size_t dots(size_t m, size_t n, size_t k) const noexcept {
    return 20 + m * n * (kDotEnd + vectors(k));
  }
};

struct BestWay {
  Way way = Way::plan;
  size_t cost = std::numeric_limits<size_t>::max();

  constexpr void offer(Way offered, size_t its_cost) noexcept {
    if (its_cost < cost) way = offered, cost = its_cost;
  }
};

/// The ways of tiles without a plan.
constexpr BestWay best_tiles(const Costs& costs, bool a_turned, bool b_turned, size_t m, size_t n,
                             size_t k) noexcept {
  BestWay best;
  const bool k_fits = costs.fit_turned(k);
  if (!b_turned) {
    best.offer(Way::in_place, costs.tiles(m, n, k));
  } else if (k_fits) {
    best.offer(Way::b_in_pieces, costs.tiles(m, n, k) + costs.turning(n, k));
  }
  if (m > 1 && costs.fit_turned(n)) {
    const size_t cost = costs.tiles(n, m, k) + costs.turning(n, m);
    if (a_turned) {
      best.offer(Way::c_in_pieces, cost);
    } else if (k_fits) {
      best.offer(Way::a_c_in_pieces, cost + costs.turning(m, k));
    }
  }
  return best;
}

/// A product of long sums is thin if it has from 16 to so many columns, or rows
/// (bench/sweeps/most_thin.tsv); or to kMostThinCached of which k, too, are at most kThinCached
/// values, so that they stay in L2 (bench/sweeps/most_thin_cached.tsv).
inline constexpr size_t kLeastThin = 16, kMostThin = 128;
inline constexpr size_t kMostThinCached = 256, kThinCached = size_t{1} << 18;
static_assert(kMostThinCached <= kTurnedFloats / 12);  // so that pieces of C hold whole tiles
constexpr bool is_thin(size_t size, size_t k) noexcept {
  if (size < kLeastThin) return false;
  return size <= kMostThin || (size <= kMostThinCached && size * k <= kThinCached);
}
/// So many values of an operand that lies across k are read where they lie: L2 holds them
/// (bench/sweeps/read_across.tsv).
inline constexpr size_t kReadAcross = size_t{1} << 17;
/// So many values of a B below few rows of A are read where they lie, once for 12 rows
/// (bench/sweeps/read_again.tsv).
inline constexpr size_t kReadAgain = size_t{1} << 18;

/// A larger product of few columns, or few rows, whose other operand is read along k where it lies;
/// Way::plan if it is none. (What is read the other way is better packed, unless L2 holds it.)
constexpr Way thin_way(bool a_turned, bool b_turned, size_t m, size_t n, size_t k) noexcept {
  const bool few_cols = n <= m && is_thin(n, k), few_rows = m < n && is_thin(m, k);
  if (!b_turned) {
    if ((few_cols || (few_rows && n * k <= kReadAgain)) && (!a_turned || m * k <= kReadAcross)) {
      return Way::in_place;
    }
    return few_cols && a_turned && n * k <= kReadAcross ? Way::c_in_pieces : Way::plan;
  }
  if (a_turned) return few_rows || (few_cols && n <= kMostThin) ? Way::c_in_pieces : Way::plan;
  return few_cols ? Way::copied : few_rows ? Way::a_turned : Way::plan;
}

/// Of so many values, C does not stay in L2 (bench/sweeps/large_c.tsv); of so many each at most,
/// operands of short sums are copied (bench/sweeps/most_copied.tsv).
inline constexpr size_t kLargeC = size_t{1} << 18, kMostCopied = size_t{1} << 19;

/// How far rows of a copy lie apart, in floats: not at a power of two, as rows would then share the
/// sets of L1.
constexpr size_t copy_stride(size_t cols) noexcept {
  const size_t stride = v0_1::detail::rounded_up(cols, size_t{16});
  return stride % 512 == 0 ? stride + 16 : stride;
}

/// Whether a product with short sums and a large C is worth copies of operands, so that C is
/// written in long pieces and nothing else is waited for: of a B that would be turned in several
/// pieces, or of more rows than a set of L1 holds that share it; of an A that lies across k.
constexpr bool takes_copies(bool a_turned, bool b_turned, size_t m, size_t n, size_t k,
                            size_t ldb) noexcept {
  constexpr size_t kLines = 8;  // of a set of L1, and more, that shared ones need not leave
  if (k > kStridedDepth || m * n < kLargeC || n * k > kMostCopied) return false;
  if (a_turned && m * k > kMostCopied) return false;
  if (a_turned && k > kLines) return true;
  return b_turned ? n * k > kTurnedFloats : k > kLines && ldb % 1024 == 0;
}

/// Of an ordinary product without gaps. It does not ask how many threads there are, so they decide
/// no bit.
inline Way choose_way(const Kernel& kernel, bool a_turned, bool b_turned, size_t m, size_t n,
                      size_t k, size_t ldb) noexcept {
  const Costs costs{std::countr_zero(kernel.vector_bytes / sizeof(float))};
  if (!b_turned && m * n <= kUnplanned && costs.tiles(m, n, k) <= kLeastTurning)
    return Way::in_place;
  if (takes_copies(a_turned, b_turned, m, n, k, ldb)) return Way::copied;
  const bool turned = turns(a_turned, b_turned, m, n);
  if ((k <= kStridedDepth && (!a_turned || k <= kShortRange)) ||
      (m * n <= kUnplanned && m * n * k <= kUnplanned)) {
    BestWay best;
    if (k <= kStridedDepth || m * n * k <= kSmallProducts) {
      best = best_tiles(costs, a_turned, b_turned, m, n, k);
    } else {
      best.offer(Way::plan,
                 turned ? costs.plan(!a_turned, n, m, k) : costs.plan(b_turned, m, n, k));
    }
    if (b_turned && !a_turned) {
      best.offer(Way::dots, costs.dots(m, n, k));
    } else if (b_turned == a_turned && k <= kTurnedFloats / 2) {
      best.offer(Way::dots, costs.dots(m, n, k) + costs.turning(k, a_turned ? m : n));
    }
    if (best.way != Way::plan) return best.way;
  }
  if (k > kStridedDepth || (a_turned && k > kShortRange)) {
    const Way way = thin_way(a_turned, b_turned, m, n, k);
    if (way != Way::plan) return way;
  }
  return turned ? Way::turned : Way::plan;
}

}  // namespace tessera::inline v0_1::blas::detail

#endif  // TESSERA_IMPL_BLAS_CHOICE_H_

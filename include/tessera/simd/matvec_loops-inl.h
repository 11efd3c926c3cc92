// SPDX-License-Identifier: MIT
// The loops around matvec's micro-kernels, over one rectangle of y: W is read where it lies, once
// for up to kMatvecRows rows of x.
//
//   for kMatvecRows rows of x
//     for kMatvecCols rows of W       in L2, while groups of rows of x pass
//       for a group of rows of x
//         for a piece of k              few rows of x: in whole pages, or as long as leaves x in L1
//           for rows of W                 a dot of a few of them with the group
//       the epilogue
#if defined(TESSERA_SIMD_MATVEC_LOOPS_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_MATVEC_LOOPS_INL_H_
#undef TESSERA_SIMD_MATVEC_LOOPS_INL_H_
#else
#define TESSERA_SIMD_MATVEC_LOOPS_INL_H_
#endif

#include <bit>

#include "tessera/plan/geometry.h"
#include "tessera/simd/epilogue-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// Columns of y that are computed before the epilogue takes them. Neither 16 nor 64 is better beyond
// the noise of 20 % (bench/sweeps/matvec_cols.tsv).
inline constexpr size_t kMatvecCols = 32;
// Bytes of W that stay in L2 while groups of rows of x pass and the next ones arrive. 64 KiB is as
// good; 1 MiB is up to 13 % slower or faster, by the case (bench/sweeps/matvec_block.tsv).
inline constexpr size_t kMatvecBlockBytes = size_t{256} * 1024;

// One group of rows of x, and how W is walked for it.
struct DotGroup {
  Range rows;  // of x
  bool few;    // there is one group: W comes from memory and not from L2
  DotFn dot;
  size_t w_rows;   // that it takes at once
  size_t piece;    // values of k at a time
  Range asks_for;  // of every w_rows rows, those that this group asks for early
};

// Values of k at a time. Whole pages of W, or even parts of one, within which the CPU's own
// prefetching works, if few rows of x wait for W; else as many as leave x in L1 or, of many rows,
// in L2. Powers of two of values and pages are from Zen 4 (bench/sweeps/zen4_float.tsv and
// bench/sweeps/zen4_constants.tsv). In L1, 12 KiB of x lose up to 25 % and 40 KiB up to 19 % beside
// 24 KiB (bench/sweeps/matvec_x_in_l1.tsv); in L2, 96 KiB to 1.5 MiB are the same within the noise
// of 14 % (bench/sweeps/matvec_x_in_l2.tsv).
HWY_INLINE size_t piece_values(const DotSet& dots, const Tuning& tuning, size_t x_rows,
                               size_t w_rows, bool few) {
  size_t steps;  // of dots.values
  if (few && tuning.page_pieces && !dots.in_l1) {
    steps = (w_rows >= 4 ? 8 : 2) * size_t{1024} / dots.bytes;
  } else {
    const size_t x_bytes = (few || dots.in_l1 ? 24 : 384) * size_t{1024};
    steps = std::bit_floor(x_bytes / (x_rows * dots.x_bytes));
  }
  return std::max(steps * dots.values, dots.depth_step);
}

HWY_INLINE DotGroup make_dot_group(const DotSet& dots, const Tuning& tuning, const Panels& groups,
                                   size_t g, bool few) {
  DotGroup group;
  group.rows = groups.rows(g);
  group.few = few;
  const size_t x_rows = group.rows.end - group.rows.begin;
  group.dot = (few ? dots.few : dots.many)[x_rows - 1];
  group.w_rows = few ? dots.few_rows[x_rows - 1] : dots.many_rows;
  group.piece = piece_values(dots, tuning, x_rows, group.w_rows, few);
  group.asks_for = split(group.w_rows, 1, g, groups.count);
  if (x_rows < tuning.dot_early_rows) group.asks_for.end = group.asks_for.begin;
  return group;
}

// The address that a dot at row j of `width` asks for, `distance` rows of the same range further
// on: in this range of k, then in the next one, then in the next columns.
HWY_INLINE uintptr_t early_address(const Plan& plan, const DotSet& dots, const DotArgs& args,
                                   size_t first_col, size_t width, size_t j, size_t distance) {
  size_t row = j + distance, begin = args.begin;
  if (row >= width && distance < width) {
    begin = args.end < plan.k ? args.end : 0;
    if (args.end < plan.k) row -= width;
  }
  return reinterpret_cast<uintptr_t>(plan.w) + (first_col + row) * plan.w_stride +
         begin / dots.values * dots.bytes;
}

// Sums of one group of rows of x with the rows of W of `cols`.
inline void dot_group(const Plan& plan, const DotGroup& group, Range cols, DotArgs& args,
                      float* sums, float* partial) {
  const DotSet& dots = plan.kernel->dot;
  const size_t width = cols.end - cols.begin, step = group.w_rows;
  const size_t x_rows = kMostDotRows * kLanes;  // floats of partial sums for each row of W
  args.early_rows = group.asks_for.end - group.asks_for.begin;
  args.begin = 0;
  do {  // once even if k is 0
    args.end = std::min(plan.k, args.begin + group.piece);
    const size_t bytes = std::max<size_t>(1, (args.end - args.begin) / dots.values * dots.bytes);
    const size_t ahead = plan.tuning->dot_early_bytes / bytes / step * step + step;
    const size_t distance = group.few || dots.many_rows == 1 ? std::min(ahead, width) : width;
    for (size_t j = 0; j < width; j += step) {
      args.w = plan.w + (cols.begin + j) * plan.w_stride;
      args.rows = std::min(step, width - j);
      args.early =
          early_address(plan, dots, args, cols.begin + group.asks_for.begin, width, j, distance);
      args.out = sums + j;
      args.partial = partial + j * x_rows;
      group.dot(args);
    }
    args.begin = args.end;
  } while (args.begin < plan.k);
}

// The rectangle a.rect of y, by dots.
inline void matvec_loops(const RunArgs& a) {
  const Plan& plan = *a.plan;
  const DotSet& dots = plan.kernel->dot;
  float sums[kMostDotRows * kMatvecCols];              // [rows of x, kMatvecCols]
  float partial[kMatvecCols * kMostDotRows * kLanes];  // [kMatvecCols, rows of x, lanes]
  DotArgs args;
  args.x_stride = a.geometry->x_row_bytes;
  args.w_stride = plan.w_stride;
  args.k = plan.k;
  args.out_stride = kMatvecCols;
  const size_t step = std::max<size_t>(dots.many_rows, dots.few_rows[0]);
  const size_t fit = kMatvecBlockBytes / std::max<size_t>(1, plan.w_stride) / step * step;
  const size_t width = std::clamp(fit, step, kMatvecCols);
  const Panels passes(a.rect.row_end - a.rect.row_begin, kMatvecRows);
  for (size_t pass = 0; pass < passes.count; ++pass) {
    const size_t first_row = a.rect.row_begin + passes.rows(pass).begin;
    const size_t count = passes.rows(pass).end - passes.rows(pass).begin;
    const bool few = count <= dots.few_count;
    const Panels groups(count, few ? dots.few_count : dots.many_count);
    for (size_t col = a.rect.col_begin; col < a.rect.col_end; col += width) {
      const Range cols{col, std::min(col + width, a.rect.col_end)};
      for (size_t g = 0; g < groups.count; ++g) {
        const DotGroup group = make_dot_group(dots, *plan.tuning, groups, g, few);
        const Range rows{first_row + group.rows.begin, first_row + group.rows.end};
        args.x = a.packed_x + rows.begin * args.x_stride;
        dot_group(plan, group, cols, args, sums, partial);
        finish(a, sums, kMatvecCols, rows, cols);
      }
    }
  }
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_MATVEC_LOOPS_INL_H_

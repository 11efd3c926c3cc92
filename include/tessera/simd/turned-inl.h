// SPDX-License-Identifier: MIT
// Small matrices of f32 turned over, and products in place of operands that lie the other way.
//
//   W stored as [n, k], y as [n, m]: a few columns of y at a time, for which a piece of W is turned
//   into memory that stays in L1, and a piece of y back from there. The tiles are those of
//   strided-inl.h, so a sum is the same whichever way its operands lie.
#if defined(TESSERA_SIMD_TURNED_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_TURNED_INL_H_
#undef TESSERA_SIMD_TURNED_INL_H_
#else
#define TESSERA_SIMD_TURNED_INL_H_
#endif

#include "tessera/simd/narrow-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

HWY_INLINE void turn_values(const TurnArgs& a, Range rows, Range cols) {
  for (size_t r = rows.begin; r < rows.end; ++r) {
    for (size_t c = cols.begin; c < cols.end; ++c) {
      std::memcpy(a.to + c * a.to_row + r * 4, a.from + r * a.from_row + c * 4, 4);
    }
  }
}

#if !TESSERA_ONE_LANE
// The 16 bytes of each block of a vector to at(0), at(1), ..
template <class At>
HWY_INLINE void store_16_bytes(VU v, const At& at) {
  const DU du;
  if constexpr (kLanes == 4) {
    store_bytes(v, du, at(0));
  } else {
    const hn::Half<DU> dh;
    if constexpr (kLanes == 8) {
      store_bytes(hn::LowerHalf(dh, v), dh, at(0));
      store_bytes(hn::UpperHalf(dh, v), dh, at(1));
    } else {
      const hn::Half<decltype(dh)> dq;
      const auto low = hn::LowerHalf(dh, v), high = hn::UpperHalf(dh, v);
      store_bytes(hn::LowerHalf(dq, low), dq, at(0));
      store_bytes(hn::UpperHalf(dq, low), dq, at(1));
      store_bytes(hn::LowerHalf(dq, high), dq, at(2));
      store_bytes(hn::UpperHalf(dq, high), dq, at(3));
    }
  }
}

// kLanes rows, at least 4 columns.
inline void turn_tall(const TurnArgs& a, size_t row) {
  const std::byte* from[4];
  const size_t stride = 4 * a.from_row;
  for (size_t i = 0; i < 4; ++i) from[i] = a.from + (row + i) * a.from_row;
  for (size_t c = 0; c < a.cols; c += 4) {
    const size_t col = std::min(c, a.cols - 4);  // some again where they are not whole fours
    VU quarters[4], words[4];
    TESSERA_UNROLL
    for (size_t i = 0; i < 4; ++i) {
      const std::byte* p = from[i] + col * 4;
      quarters[i] = load_16_bytes([p, stride](size_t b) TESSERA_ATTR { return p + b * stride; });
    }
    transpose_quarters(quarters, words);
    std::byte* to = a.to + col * a.to_row + row * 4;
    TESSERA_UNROLL
    for (size_t j = 0; j < 4; ++j, to += a.to_row) store_bytes(words[j], DU(), to);
  }
}

// At least 4 rows, kLanes columns.
inline void turn_wide(const TurnArgs& a, size_t col) {
  const size_t stride = 4 * a.to_row;
  for (size_t r = 0; r < a.rows; r += 4) {
    const size_t row = std::min(r, a.rows - 4);
    VU words[4], quarters[4];
    const std::byte* from = a.from + row * a.from_row + col * 4;
    TESSERA_UNROLL
    for (size_t j = 0; j < 4; ++j, from += a.from_row) words[j] = load_bytes(DU(), from);
    transpose_quarters(words, quarters);  // which is its own inverse
    std::byte* to = a.to + col * a.to_row + row * 4;
    TESSERA_UNROLL
    for (size_t i = 0; i < 4; ++i, to += a.to_row) {
      store_16_bytes(quarters[i], [to, stride](size_t b) TESSERA_ATTR { return to + b * stride; });
    }
  }
}

// Four rows and four columns.
inline void turn_block(const TurnArgs& a, size_t row, size_t col) {
  const hn::CappedTag<uint32_t, 4> d;
  const hn::Repartition<uint64_t, decltype(d)> d64;
  hn::Vec<decltype(d)> in[4];
  const std::byte* from = a.from + row * a.from_row + col * 4;
  TESSERA_UNROLL
  for (size_t i = 0; i < 4; ++i, from += a.from_row) in[i] = load_bytes(d, from);
  const auto lower01 = hn::BitCast(d64, hn::InterleaveLower(d, in[0], in[1]));
  const auto upper01 = hn::BitCast(d64, hn::InterleaveUpper(d, in[0], in[1]));
  const auto lower23 = hn::BitCast(d64, hn::InterleaveLower(d, in[2], in[3]));
  const auto upper23 = hn::BitCast(d64, hn::InterleaveUpper(d, in[2], in[3]));
  std::byte* to = a.to + col * a.to_row + row * 4;
  store_bytes(hn::InterleaveLower(d64, lower01, lower23), d64, to);
  store_bytes(hn::InterleaveUpper(d64, lower01, lower23), d64, to + a.to_row);
  store_bytes(hn::InterleaveLower(d64, upper01, upper23), d64, to + 2 * a.to_row);
  store_bytes(hn::InterleaveUpper(d64, upper01, upper23), d64, to + 3 * a.to_row);
}

// Two or three rows that become rows side by side, or columns of such rows: kLanes of them.
HWY_INLINE bool turn_dense(const TurnArgs& a) {
  const DF df;
  VF v[3];
  if (a.cols >= kLanes && (a.rows == 2 || a.rows == 3) && a.to_row == a.rows * 4) {
    for (size_t c = 0; c < a.cols; c += kLanes) {
      const size_t col = std::min(c, a.cols - kLanes);
      for (size_t r = 0; r < a.rows; ++r) v[r] = load_bytes(df, a.from + r * a.from_row + col * 4);
      float* to = reinterpret_cast<float*>(a.to + col * a.to_row);
      if (a.rows == 2) {
        hn::StoreInterleaved2(v[0], v[1], df, to);
      } else {
        hn::StoreInterleaved3(v[0], v[1], v[2], df, to);
      }
    }
    return true;
  }
  if (a.rows >= kLanes && (a.cols == 2 || a.cols == 3) && a.from_row == a.cols * 4) {
    for (size_t r = 0; r < a.rows; r += kLanes) {
      const size_t row = std::min(r, a.rows - kLanes);
      const float* from = reinterpret_cast<const float*>(a.from + row * a.from_row);
      if (a.cols == 2) {
        hn::LoadInterleaved2(df, from, v[0], v[1]);
      } else {
        hn::LoadInterleaved3(df, from, v[0], v[1], v[2]);
      }
      for (size_t c = 0; c < a.cols; ++c) store_bytes(v[c], df, a.to + c * a.to_row + row * 4);
    }
    return true;
  }
  return false;
}
#endif

// Where sizes are no multiples of what is done at once, the last values are written twice.
inline void turn(const TurnArgs& a) {
#if !TESSERA_ONE_LANE
  if (a.rows >= 4 && a.cols >= 4) {
    if (a.rows >= kLanes) {
      for (size_t r = 0; r < a.rows; r += kLanes) turn_tall(a, std::min(r, a.rows - kLanes));
    } else if (a.cols >= kLanes) {
      for (size_t c = 0; c < a.cols; c += kLanes) turn_wide(a, std::min(c, a.cols - kLanes));
    } else {
      for (size_t r = 0; r < a.rows; r += 4) {
        for (size_t c = 0; c < a.cols; c += 4) {
          turn_block(a, std::min(r, a.rows - 4), std::min(c, a.cols - 4));
        }
      }
    }
    return;
  }
  if (turn_dense(a)) return;
#endif
  turn_values(a, {0, a.rows}, {0, a.cols});
}

// Few columns: as many rows of x at a time as have sums that fit here, which wait between ranges of
// k, or whose y does, if that is to be turned. Of too many columns, k is done in one range.
inline void long_product(StridedArgs a) {
  alignas(64) float sums[kTurnedFloats];
  alignas(64) float y[kTurnedFloats];
  const size_t stride = detail::rounded_up(a.n, kLanes), most = kTurnedFloats / stride;
  if (most < a.m && most < kStridedRows) return strided_product(a);
  const size_t rows = a.m, each = detail::steps_of(rows, detail::steps_of(rows, most));
  if (a.k > kStridedDepth) {
    a.sums = sums;
    a.sums_stride = stride;
  }
  TurnArgs turned{a.y, a.y_row, a.n, 0, reinterpret_cast<std::byte*>(y), stride * sizeof(float)};
  if (a.y_turned) {
    a.y = turned.to;
    a.y_row = turned.to_row;
  }
  for (size_t row = 0; row < rows; row += each, a.x += each * a.x_row) {
    a.m = std::min(each, rows - row);
    if (!a.y_turned) {
      strided_product(a);
      a.y += each * a.y_row;
      continue;
    }
    turned.cols = a.m;
    if (a.beta != 0.0f) turn(turned);
    strided_product(a);
    turn(
        {turned.to, turned.to_row, a.m, a.n, const_cast<std::byte*>(turned.from), turned.from_row});
    turned.from += a.m * sizeof(float);
  }
}

// Of W and y as they lie.
HWY_INLINE void one_product(const StridedArgs& a) {
  if constexpr (kLanes > 4) {
    if (a.n <= kLanes / 2) return narrow_product<kLanes>(a);
  }
  a.k > kStridedDepth && !a.few_sums ? long_product(a) : strided_product(a);
}

// strided_product of a W or y that lies the other way, or both, of which kTurnedFloats
// hold k, or m, vectors.
inline void turned_product(const StridedArgs& a) {
  alignas(64) float w[kTurnedFloats];
  alignas(64) float y[kTurnedFloats];
  StridedArgs piece = a;  // of W and y that lie as they should
  piece.w_turned = piece.y_turned = false;
  size_t cols = std::min(a.n, size_t{kStridedCols});
  if (a.w_turned) cols = std::min(cols, kTurnedFloats / a.k / kLanes * kLanes);
  if (a.y_turned) cols = std::min(cols, kTurnedFloats / a.m / kLanes * kLanes);
  const size_t row_bytes = detail::rounded_up(cols, kLanes) * sizeof(float);
  for (size_t first = 0; first < a.n; first += cols) {
    piece.n = std::min(cols, a.n - first);
    if (a.w_turned) {
      piece.w = reinterpret_cast<const std::byte*>(w);
      piece.w_step = row_bytes;
      turn({a.w + first * a.w_step, a.w_step, piece.n, a.k, reinterpret_cast<std::byte*>(w),
            row_bytes});
    } else {
      piece.w = a.w + first * sizeof(float);
    }
    if (!a.y_turned) {
      piece.y = a.y + first * sizeof(float);
      one_product(piece);
      continue;
    }
    piece.y = reinterpret_cast<std::byte*>(y);
    piece.y_row = row_bytes;
    if (a.beta != 0.0f) {
      turn({a.y + first * a.y_row, a.y_row, piece.n, a.m, piece.y, row_bytes});
    }
    one_product(piece);
    turn({piece.y, row_bytes, a.m, piece.n, a.y + first * a.y_row, a.y_row});
  }
}

inline void any_strided_product(const StridedArgs& a) {
  if (a.y_turned && !a.w_turned && a.m > kTurnedFloats / kLanes) return long_product(a);
  a.w_turned || a.y_turned ? turned_product(a) : one_product(a);
}

// The rectangle a.rect of y of a plan whose x and W are read where they lie.
inline void strided_loops(const RunArgs& a) {
  const Plan& plan = *a.plan;
  StridedArgs args;
  const BorrowedX& x = a.borrowed;
  args.x_row = x.k_major ? sizeof(float) : x.row_stride;
  args.x_step = x.k_major ? x.row_stride : sizeof(float);
  args.x = x.rows + a.rect.row_begin * args.x_row;
  args.w = plan.w + a.rect.col_begin * sizeof(float);
  args.w_step = plan.w_stride;
  args.y = static_cast<std::byte*>(a.y.data) + a.rect.row_begin * a.y_at.stride +
           a.rect.col_begin * sizeof(float);
  args.y_row = a.y_at.stride;
  args.m = a.rect.row_end - a.rect.row_begin;
  args.n = a.rect.col_end - a.rect.col_begin;
  args.k = plan.k;
  args.alpha = a.epilogue.scale;
  args.beta = a.epilogue.beta;
  args.few_sums = has_few_sums(a.y.rows, plan.n, kLanes);
  const bool one_range = args.few_sums || args.k <= kStridedDepth;
  args.sums = one_range ? nullptr : reinterpret_cast<float*>(a.worker);
  args.sums_stride = kStridedCols;
  strided_product(args);
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_TURNED_INL_H_

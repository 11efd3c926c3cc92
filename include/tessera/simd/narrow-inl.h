// SPDX-License-Identifier: MIT
// Strided tiles of few columns, by the least vectors that hold them: where rows of W and y are
// shorter than a vector and follow each other, whole vectors would cross from one cache line into
// the next with most rows, which takes twice as long whatever a mask says.
#if defined(TESSERA_SIMD_NARROW_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_NARROW_INL_H_
#undef TESSERA_SIMD_NARROW_INL_H_
#else
#define TESSERA_SIMD_NARROW_INL_H_
#endif

#include "tessera/simd/strided-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// tile.count tiles of C rows below each other, k in one range, sums as in strided-inl.h: one for
// each, in the order of k, or four.
template <size_t kMostLanes, size_t C, size_t kChains>
void narrow_tile(const StridedTile& a) {
  const hn::CappedTag<float, kMostLanes> d;
  using D = decltype(d);
  using V = hn::Vec<D>;
  const FirstLanes<D> part(a.last_lanes);
  const V alpha = hn::Set(d, a.alpha), beta = hn::Set(d, a.beta);
  const size_t x_row = a.x_row, x_step = a.x_step, w_step = a.w_step, y_row = a.y_row;
  const bool reads = a.beta != 0.0f;
  const std::byte* first_x = a.x;
  std::byte* first_y = a.y;
  for (size_t tile = 0; tile < a.count; ++tile, first_x += a.x_next, first_y += a.y_next) {
    V sums[kChains][C];
    TESSERA_UNROLL
    for (size_t i = 0; i < kChains; ++i) {
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) sums[i][c] = hn::Zero(d);
    }
    const std::byte* w = a.w;
    const std::byte* x[(C + 2) / 3];  // of three rows each
    TESSERA_UNROLL
    for (size_t g = 0; g < (C + 2) / 3; ++g) x[g] = first_x + 3 * g * x_row;
    const auto add = [&](V(&to)[C]) TESSERA_ATTR {
      const V row = part.load(w);
      TESSERA_UNROLL
      for (size_t c = 0; c < C; ++c) {
        float value;
        std::memcpy(&value, x[c / 3] + c % 3 * x_row, sizeof(value));
        to[c] = hn::MulAdd(row, hn::Set(d, value), to[c]);
      }
      w += w_step;
      TESSERA_UNROLL
      for (size_t g = 0; g < (C + 2) / 3; ++g) x[g] += x_step;
    };
    size_t k = a.steps;
    for (; k >= kChains; k -= kChains) {
      TESSERA_UNROLL
      for (size_t i = 0; i < kChains; ++i) add(sums[i]);
    }
    if constexpr (kChains > 1) {
      for (; k != 0; --k) add(sums[0]);
    }
    std::byte* y = first_y;
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c, y += y_row) {
      if constexpr (kChains == 4) {
        sums[0][c] = hn::Add(hn::Add(sums[0][c], sums[1][c]), hn::Add(sums[2][c], sums[3][c]));
      }
      V v = hn::Mul(sums[0][c], alpha);
      if (reads) v = hn::MulAdd(part.load(y), beta, v);
      part.store(v, y);
    }
  }
}

template <size_t kMostLanes, size_t... C>
constexpr auto narrow_tiles(std::index_sequence<C...>) {
  return std::array<StridedFn, sizeof...(C)>{&narrow_tile<kMostLanes, C + 1, 1>...};
}
template <size_t kMostLanes>
inline constexpr auto kNarrowTiles =
    narrow_tiles<kMostLanes>(std::make_index_sequence<kStridedRows>());
template <size_t kMostLanes>
inline constexpr StridedFn kNarrowFew[4] = {
    &narrow_tile<kMostLanes, 1, 4>, &narrow_tile<kMostLanes, 2, 4>, &narrow_tile<kMostLanes, 3, 4>,
    &narrow_tile<kMostLanes, 4, 4>};

// Of up to half a vector of columns; k is done in one range.
template <size_t kAllLanes>
void narrow_product(const StridedArgs& a) {
  StridedTile tile;
  tile.x = a.x;
  tile.w = a.w;
  tile.y = a.y;
  tile.x_row = a.x_row;
  tile.x_step = a.x_step;
  tile.w_step = a.w_step;
  tile.y_row = a.y_row;
  tile.steps = a.k;
  tile.last_lanes = a.n;
  tile.alpha = a.alpha;
  tile.beta = a.beta;
  constexpr size_t kHalf = kAllLanes / 2;
  const auto& tiles = a.n <= 4 ? kNarrowTiles<4> : kNarrowTiles<kHalf>;
  if (a.m <= kStridedRows) {
    tile.count = 1;
    tile.x_next = tile.y_next = 0;
    (a.few_sums ? (a.n <= 4 ? kNarrowFew<4> : kNarrowFew<kHalf>)[a.m - 1] : tiles[a.m - 1])(tile);
    return;
  }
  const Panels panels(a.m, kStridedRows);
  for (size_t p = 0; p < panels.count; p += tile.count) {
    const Range rows = panels.rows(p);
    const size_t height = rows.end - rows.begin;
    tile.count = (p < panels.taller ? panels.taller : panels.count) - p;
    tile.x_next = height * a.x_row;
    tile.y_next = height * a.y_row;
    tile.x = a.x + rows.begin * a.x_row;
    tile.y = a.y + rows.begin * a.y_row;
    tiles[height - 1](tile);
  }
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_NARROW_INL_H_

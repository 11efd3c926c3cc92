// SPDX-License-Identifier: MIT
// Small products of f32 matrices whose rows both lie along k: y[m, n] = alpha * x[m, k] * W[n, k]^T
// + beta * y, by dots, without packing. A tile is up to 4 x 4 of them, whose loads then are half of
// its multiplications; fewer are several sums each, so that none waits for itself.
#if defined(TESSERA_SIMD_SMALL_DOTS_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_SMALL_DOTS_INL_H_
#undef TESSERA_SIMD_SMALL_DOTS_INL_H_
#else
#define TESSERA_SIMD_SMALL_DOTS_INL_H_
#endif

#include "tessera/simd/turned-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

inline constexpr size_t kDotTileRows = 4;                         // of x
inline constexpr size_t kDotTileCols = kRegisters == 32 ? 4 : 2;  // rows of W
constexpr size_t dot_chains(size_t dots) { return dots <= 2 ? 4 : dots <= 4 ? 2 : 1; }

struct DotTile {
  const std::byte *x, *w;
  size_t x_row, w_row, k;
  std::byte* y;
  size_t y_row;
  float alpha, beta;
};

template <size_t C, size_t R>
void dot_tile(const DotTile& a) {
  constexpr size_t kChains = dot_chains(C * R);
  constexpr size_t kSums = (C * R + 3) / 4 * 4;
  const DF df;
  VF sums[kChains][kSums];
  TESSERA_UNROLL
  for (size_t i = 0; i < kChains; ++i) {
    TESSERA_UNROLL
    for (size_t s = 0; s < kSums; ++s) sums[i][s] = hn::Zero(df);
  }
  const std::byte *x = a.x, *w = a.w;
  const size_t x_row = a.x_row, w_row = a.w_row;
  const auto add = [&](const auto& load, VF(&to)[kSums]) TESSERA_ATTR {
    VF rows[R];
    TESSERA_UNROLL
    for (size_t r = 0; r < R; ++r) rows[r] = load(w + r * w_row);
    TESSERA_UNROLL
    for (size_t c = 0; c < C; ++c) {
      const VF value = load(x + c * x_row);
      TESSERA_UNROLL
      for (size_t r = 0; r < R; ++r) to[c * R + r] = hn::MulAdd(rows[r], value, to[c * R + r]);
    }
  };
  const auto whole = [](const std::byte* p) TESSERA_ATTR { return load_bytes(DF(), p); };
  constexpr size_t kBytes = kLanes * sizeof(float);
  size_t k = a.k;
  for (; k >= kChains * kLanes; k -= kChains * kLanes) {
    TESSERA_UNROLL
    for (size_t i = 0; i < kChains; ++i, x += kBytes, w += kBytes) add(whole, sums[i]);
  }
  if constexpr (kChains > 1) {
    for (; k >= kLanes; k -= kLanes, x += kBytes, w += kBytes) add(whole, sums[0]);
  }
  if (k != 0) {
    const FirstLanes<> part(k);
    add([&part](const std::byte* p) TESSERA_ATTR { return part.load(p); }, sums[kChains - 1]);
  }
  TESSERA_UNROLL
  for (size_t step = kChains / 2; step != 0; step /= 2) {
    TESSERA_UNROLL
    for (size_t i = 0; i < step; ++i) {
      TESSERA_UNROLL
      for (size_t s = 0; s < kSums; ++s) sums[i][s] = hn::Add(sums[i][s], sums[i + step][s]);
    }
  }
  alignas(16) float dots[kSums];
  store_sums(df, sums[0], dots);
  const float alpha = a.alpha, beta = a.beta;
  std::byte* y = a.y;
  for (size_t c = 0; c < C; ++c, y += a.y_row) {
    float old[R] = {};
    if (beta != 0.0f) std::memcpy(old, y, sizeof(old));
    TESSERA_UNROLL
    for (size_t r = 0; r < R; ++r) {
      const float value = alpha * dots[c * R + r];
      old[r] = beta != 0.0f ? value + beta * old[r] : value;
    }
    std::memcpy(y, old, sizeof(old));
  }
}

using DotTileFn = void (*)(const DotTile&);
template <size_t C, size_t... R>
constexpr std::array<DotTileFn, kDotTileCols> dot_tiles_of(std::index_sequence<R...>) {
  return {&dot_tile<C, R + 1>...};
}
template <size_t... C>
constexpr auto dot_tiles(std::index_sequence<C...>) {
  return std::array<std::array<DotTileFn, kDotTileCols>, kDotTileRows>{
      dot_tiles_of<C + 1>(std::make_index_sequence<kDotTileCols>())...};
}
inline constexpr auto kDotTiles = dot_tiles(std::make_index_sequence<kDotTileRows>());

// x[m, k] and W[n, k] as they lie.
inline void dots_in_place(const StridedArgs& a) {
  DotTile tile{a.x, a.w, a.x_row, a.w_step, a.k, a.y, a.y_row, a.alpha, a.beta};
  for (size_t col = 0; col < a.n; col += kDotTileCols) {
    const size_t cols = std::min(kDotTileCols, a.n - col);
    tile.w = a.w + col * a.w_step;
    for (size_t row = 0; row < a.m; row += kDotTileRows) {
      const size_t rows = std::min(kDotTileRows, a.m - row);
      tile.x = a.x + row * a.x_row;
      tile.y = a.y + row * a.y_row + col * sizeof(float);
      kDotTiles[rows - 1][cols - 1](tile);
    }
  }
}

// The same where x or W lies the other way: x_row is 4 then, and w_turned, as in StridedArgs, says
// that rows of W lie along k. Rows of k values are turned, as many as fit: at least four, of up
// to kTurnedFloats / 2 values.
inline void dots_product(const StridedArgs& a) {
  const bool turns_x = a.x_step != sizeof(float);
  if (!turns_x && a.w_turned) return dots_in_place(a);
  alignas(64) float turned[2 * kTurnedFloats];
  auto* const to = reinterpret_cast<std::byte*>(turned);
  const size_t row_bytes = a.k * sizeof(float);
  const size_t most = 2 * kTurnedFloats / a.k / 4 * 4;  // whole tiles
  StridedArgs piece = a;
  if (turns_x) {
    piece.x = to;
    piece.x_row = row_bytes;
    for (size_t row = 0; row < a.m; row += most) {
      piece.m = std::min(most, a.m - row);
      piece.y = a.y + row * a.y_row;
      turn({a.x + row * sizeof(float), a.x_step, a.k, piece.m, to, row_bytes});
      dots_in_place(piece);
    }
    return;
  }
  piece.w = to;
  piece.w_step = row_bytes;
  for (size_t col = 0; col < a.n; col += most) {
    piece.n = std::min(most, a.n - col);
    piece.y = a.y + col * sizeof(float);
    turn({a.w + col * sizeof(float), a.w_step, a.k, piece.n, to, row_bytes});
    dots_in_place(piece);
  }
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_SMALL_DOTS_INL_H_

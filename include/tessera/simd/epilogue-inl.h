// SPDX-License-Identifier: MIT
// The epilogue: finished f32 sums -> y. It reads a buffer that is still in L1, so that tiles are
// compiled without it; a product that needs none (scale 1, f32 y) is stored by its tile.
#if defined(TESSERA_SIMD_EPILOGUE_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_EPILOGUE_INL_H_
#undef TESSERA_SIMD_EPILOGUE_INL_H_
#else
#define TESSERA_SIMD_EPILOGUE_INL_H_
#endif

#include <algorithm>

#include "tessera/core/dtype.h"
#include "tessera/core/epilogue.h"
#include "tessera/plan/geometry.h"
#include "tessera/simd/ops-inl.h"

TESSERA_BEFORE_NAMESPACE();
namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {

// e^v to about 2 ulp for results in the normal range; arguments outside it are clamped, NaN stays.
// v = n ln2 + r, |r| <= ln2 / 2, ln2 in two parts (Cody and Waite); e^r by its Taylor polynomial of
// degree 7, whose error there is below 2^-27.
HWY_INLINE VF exp(VF v) {
  const DF df;
  const DI di;
  const VF clamped = hn::Min(hn::Max(v, hn::Set(df, -87.0f)), hn::Set(df, 88.0f));
  const VF n = hn::Round(hn::Mul(clamped, hn::Set(df, 1.44269504f)));
  VF r = hn::NegMulAdd(n, hn::Set(df, 0.693359375f), clamped);
  r = hn::NegMulAdd(n, hn::Set(df, -2.12194440e-4f), r);
  VF p = hn::Set(df, 1.0f / 5040);
  for (const float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
    p = hn::MulAdd(p, r, hn::Set(df, c));
  }
  const VI power = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::IfThenElse(hn::IsNaN(v), v, hn::Mul(p, hn::BitCast(df, power)));
}

HWY_INLINE VF activate(Activation activation, VF v) {
  const DF df;
  const VF one = hn::Set(df, 1.0f);
  switch (activation) {
    case Activation::none:
      return v;
    case Activation::relu:
      return hn::IfThenElse(hn::Lt(v, hn::Zero(df)), hn::Zero(df), v);  // keeps NaN
    case Activation::silu:
      return hn::Div(v, hn::Add(one, exp(hn::Neg(v))));
    case Activation::gelu: {
      const VF cubic = hn::MulAdd(hn::Mul(hn::Mul(v, v), v), hn::Set(df, 0.044715f), v);
      const VF z2 = hn::Mul(cubic, hn::Set(df, -1.5957691216f));  // -2 sqrt(2 / pi)
      return hn::Div(v, hn::Add(one, exp(z2)));
    }
  }
  return v;
}

HWY_INLINE VF gated(const Gating& g, VF gate, VF up) {
  const DF df;
  if (g.clips) {  // NaN stays
    const VF limit = hn::Set(df, g.limit), lowest = hn::Neg(limit);
    gate = hn::IfThenElse(hn::Gt(gate, limit), limit, gate);
    up = hn::IfThenElse(hn::Gt(up, limit), limit, up);
    up = hn::IfThenElse(hn::Lt(up, lowest), lowest, up);
  }
  if (g.activation == Activation::silu) {
    const VF e = exp(hn::Mul(gate, hn::Set(df, -g.alpha)));
    gate = hn::Div(gate, hn::Add(hn::Set(df, 1.0f), e));
  } else {
    gate = activate(g.activation, gate);
  }
  return hn::Mul(gate, hn::Add(up, hn::Set(df, g.offset)));
}

constexpr size_t bytes_of_y(DType dtype) { return dtype == DType::f32 ? 4 : 2; }

inline std::byte* y_place(const RunArgs& a, size_t row, size_t col) {
  return static_cast<std::byte*>(a.y.data) + (a.y_at(row) + col * bytes_of_y(a.y.dtype));
}

// A vector of y, as f32.
HWY_INLINE VF load_y(DType dtype, const std::byte* y) {
  const DF df;
  const DU du;
  const hn::Rebind<uint16_t, DF> dh;
  if (dtype == DType::f32) return load_bytes(df, y);
  if (dtype == DType::f16) return load_f16(df, y);
  return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(du, load_bytes(dh, y))));
}
HWY_INLINE void store_y(VF v, DType dtype, std::byte* y) {
  const hn::Rebind<uint16_t, DF> dh;
  if (dtype == DType::f32) {
    store_bytes(v, DF(), y);
  } else {
    store_bytes(hn::TruncateTo(dh, dtype == DType::f16 ? f16_bits(v) : bf16_bits(v)), dh, y);
  }
}

// What up to kLanes elements of one row of y are made of: `count` values of each from here on.
struct RowPiece {
  const float* sums;
  const float *bias, *column_scale, *gate;  // or null
  std::byte* y;
  size_t count;
};

// `scale` and `factor` are those of the row. Fewer elements than a vector go through copies.
HWY_INLINE void finish_vector(const RunArgs& a, float scale, float factor, RowPiece p) {
  const Epilogue& e = a.epilogue;
  const DType y_dtype = a.y.dtype;
  const DF df;
  const size_t y_bytes = p.count * bytes_of_y(y_dtype);
  alignas(64) float copies[4][kLanes];
  alignas(64) std::byte y_part[kLanes * 4];
  std::byte* const y = p.y;
  const bool part = p.count < kLanes;
  if (part) {
    const auto copy = [&p](const float* from, float* to) TESSERA_ATTR -> const float* {
      if (from == nullptr) return nullptr;
      std::memset(to, 0, kLanes * sizeof(float));
      std::memcpy(to, from, p.count * sizeof(float));
      return to;
    };
    p.sums = copy(p.sums, copies[0]);
    p.bias = copy(p.bias, copies[1]);
    p.column_scale = copy(p.column_scale, copies[2]);
    p.gate = copy(p.gate, copies[3]);
    std::memset(y_part, 0, sizeof(y_part));
    if (e.beta != 0.0f) std::memcpy(y_part, y, y_bytes);
    p.y = y_part;
  }
  VF scales = hn::Set(df, scale);
  if (p.column_scale != nullptr) scales = hn::Mul(scales, hn::LoadU(df, p.column_scale));
  VF v = hn::LoadU(df, p.sums);
  if (p.bias != nullptr) {
    v = hn::MulAdd(v, scales, hn::LoadU(df, p.bias));
  } else {
    v = hn::Mul(v, scales);
  }
  if (e.beta != 0.0f) v = hn::MulAdd(load_y(y_dtype, p.y), hn::Set(df, e.beta), v);
  v = p.gate == nullptr ? activate(e.activation, v)
                        : gated(a.gate->gating, hn::LoadU(df, p.gate), v);
  v = hn::Mul(v, hn::Set(df, factor));
  store_y(v, y_dtype, p.y);
  if (part) std::memcpy(y, y_part, y_bytes);
}

// Rows `rows` x columns `cols` of y from sums, where row `rows.begin`, column `cols.begin` is
// sums[0]. sums_stride: floats.
inline void finish(const RunArgs& a, const float* sums, size_t sums_stride, Range rows,
                   Range cols) {
  const Epilogue& e = a.epilogue;
  const auto from = [](const float* list, size_t at) { return list == nullptr ? list : list + at; };
  for (size_t row = rows.begin; row < rows.end; ++row, sums += sums_stride) {
    const size_t y_row = a.pairs == nullptr ? row : a.pairs[row].y;
    const float factor = a.factors == nullptr ? 1.0f : a.factors[row];
    const float scale = e.row_scale == nullptr ? e.scale : e.scale * e.row_scale[y_row];
    std::byte* y = y_place(a, y_row, cols.begin);
    const float* gate = nullptr;
    if (a.gate != nullptr) {
      const size_t at = a.gate->at(row) + cols.begin * sizeof(float);
      gate = reinterpret_cast<const float*>(a.gate->data + at);
    }
    for (size_t col = cols.begin; col < cols.end; col += kLanes) {
      const size_t i = col - cols.begin;
      finish_vector(a, scale, factor,
                    {sums + i, from(e.bias, col), from(e.column_scale, col), from(gate, i),
                     y + i * bytes_of_y(a.y.dtype), std::min(kLanes, cols.end - col)});
    }
  }
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_EPILOGUE_INL_H_

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

// Up to kLanes elements of y: `sums`, `bias` and y have `count` values from here on. Fewer than a
// vector go through copies.
HWY_INLINE void finish_vector(const Epilogue& e, float factor, const float* sums, const float* bias,
                              DType y_dtype, std::byte* y, size_t count) {
  const DF df;
  const DU du;
  const hn::Rebind<uint16_t, DF> dh;
  const size_t y_bytes = y_dtype == DType::f32 ? 4 : 2;
  alignas(64) float sums_part[kLanes], bias_part[kLanes];
  alignas(64) std::byte y_part[kLanes * 4];
  std::byte* y_at = y;
  if (count < kLanes) {
    std::memset(sums_part, 0, sizeof(sums_part));
    std::memset(bias_part, 0, sizeof(bias_part));
    std::memset(y_part, 0, sizeof(y_part));
    std::memcpy(sums_part, sums, count * sizeof(float));
    if (bias != nullptr) std::memcpy(bias_part, bias, count * sizeof(float));
    if (e.beta != 0.0f) std::memcpy(y_part, y, count * y_bytes);
    sums = sums_part;
    if (bias != nullptr) bias = bias_part;
    y_at = y_part;
  }
  VF v = hn::LoadU(df, sums);
  const VF scale = hn::Set(df, e.scale);
  if (bias != nullptr) {
    v = hn::MulAdd(v, scale, hn::LoadU(df, bias));
  } else {
    v = hn::Mul(v, scale);
  }
  if (e.beta != 0.0f) {
    const VF old =
        y_dtype == DType::f32
            ? load_bytes(df, y_at)
            : hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(du, load_bytes(dh, y_at))));
    v = hn::MulAdd(old, hn::Set(df, e.beta), v);
  }
  v = hn::Mul(activate(e.activation, v), hn::Set(df, factor));
  if (y_dtype == DType::f32) {
    store_bytes(v, df, y_at);
  } else {
    store_bytes(hn::TruncateTo(dh, bf16_bits(v)), dh, y_at);
  }
  if (count < kLanes) std::memcpy(y, y_part, count * y_bytes);
}

// Rows `rows` x columns `cols` of y from sums, where row `rows.begin`, column `cols.begin` is
// sums[0]. sums_stride: floats.
inline void finish(const RunArgs& a, const float* sums, size_t sums_stride, Range rows,
                   Range cols) {
  const Epilogue& e = a.epilogue;
  const size_t y_bytes = a.y.dtype == DType::f32 ? 4 : 2;
  for (size_t row = rows.begin; row < rows.end; ++row, sums += sums_stride) {
    const size_t y_row = a.pairs == nullptr ? row : a.pairs[row].y;
    const float factor = a.factors == nullptr ? 1.0f : a.factors[row];
    std::byte* y = static_cast<std::byte*>(a.y.data) + a.y_at(y_row);
    for (size_t col = cols.begin; col < cols.end; col += kLanes) {
      finish_vector(e, factor, sums + (col - cols.begin),
                    e.bias == nullptr ? nullptr : e.bias + col, a.y.dtype, y + col * y_bytes,
                    std::min(kLanes, cols.end - col));
    }
  }
}

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE
TESSERA_AFTER_NAMESPACE();

#endif  // TESSERA_SIMD_EPILOGUE_INL_H_

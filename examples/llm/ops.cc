// SPDX-License-Identifier: MIT
#include "ops.h"

#include <algorithm>
#include <cmath>

#include "tessera/simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops.cc"
#include "hwy/foreach_target.h"
// foreach_target.h first: it compiles this file once for each target.
#include "tessera/simd/epilogue-inl.h"

HWY_BEFORE_NAMESPACE();
namespace llm::HWY_NAMESPACE {

namespace simd = tessera::HWY_NAMESPACE;
namespace hn = hwy::HWY_NAMESPACE;
using simd::DF;
using simd::VF;
constexpr size_t kLanes = simd::kLanes;

// Calls each(i, lanes) for every vector of [0, size); the last may have fewer lanes.
template <class Each>
HWY_INLINE void for_vectors(size_t size, const Each& each) {
  size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) each(i, kLanes);
  if (i < size) each(i, size - i);
}

HWY_INLINE VF load(const float* from, size_t lanes) {
  return lanes == kLanes ? hn::LoadU(DF(), from) : hn::LoadN(DF(), from, lanes);
}
HWY_INLINE void store(VF v, float* to, size_t lanes) {
  if (lanes == kLanes) return hn::StoreU(v, DF(), to);
  hn::StoreN(v, DF(), to, lanes);
}

void rms_norm(const float* x, const float* weight, size_t size, float epsilon, float* y) {
  VF sums[2] = {hn::Zero(DF()), hn::Zero(DF())};  // that additions need not wait for each other
  for_vectors(size, [&](size_t i, size_t lanes) HWY_ATTR {
    const VF v = load(x + i, lanes);
    VF& sum = sums[i / kLanes % 2];
    sum = hn::MulAdd(v, v, sum);
  });
  const float mean = hn::ReduceSum(DF(), hn::Add(sums[0], sums[1])) / static_cast<float>(size);
  const VF scale = hn::Set(DF(), 1.0f / std::sqrt(mean + epsilon));
  for_vectors(size, [&](size_t i, size_t lanes) HWY_ATTR {
    const VF scaled = hn::Mul(load(x + i, lanes), scale);
    store(hn::Mul(scaled, load(weight + i, lanes)), y + i, lanes);
  });
}

float softmax(float* scores, size_t visible, size_t size, float scale, float sink) {
  VF top = hn::Set(DF(), std::max(scores[0], sink));
  for_vectors(visible, [&](size_t i, size_t lanes) HWY_ATTR {
    const VF v = load(scores + i, lanes);
    top = hn::Max(top, lanes == kLanes ? v : hn::IfThenElse(hn::FirstN(DF(), lanes), v, top));
  });
  const VF highest = hn::Set(DF(), hn::ReduceMax(DF(), top));
  const VF factor = hn::Set(DF(), scale);
  VF sum = hn::Zero(DF());
  for_vectors(visible, [&](size_t i, size_t lanes) HWY_ATTR {
    VF e = simd::exp(hn::Mul(hn::Sub(load(scores + i, lanes), highest), factor));
    if (lanes < kLanes) e = hn::IfThenElseZero(hn::FirstN(DF(), lanes), e);
    store(e, scores + i, lanes);
    sum = hn::Add(sum, e);
  });
  std::fill(scores + visible, scores + size, 0.0f);
  return hn::ReduceSum(DF(), sum) + std::exp((sink - hn::GetLane(highest)) * scale);
}

void scale(const float* x, size_t size, float factor, float* y) {
  for_vectors(size, [&](size_t i, size_t lanes) HWY_ATTR {
    store(hn::Mul(load(x + i, lanes), hn::Set(DF(), factor)), y + i, lanes);
  });
}

void add(const float* x, size_t size, float* y) {
  for_vectors(size, [&](size_t i, size_t lanes) HWY_ATTR {
    store(hn::Add(load(y + i, lanes), load(x + i, lanes)), y + i, lanes);
  });
}

void rotate(const float* x, const float* cosines, const float* sines, size_t pairs, RopePairs kind,
            float* y) {
  const bool halves = kind == RopePairs::halves;
  size_t i = 0;
  for (; i + kLanes <= pairs; i += kLanes) {
    VF a, b;
    if (halves) {
      a = hn::LoadU(DF(), x + i);
      b = hn::LoadU(DF(), x + pairs + i);
    } else {
      hn::LoadInterleaved2(DF(), x + 2 * i, a, b);
    }
    const VF cos = hn::LoadU(DF(), cosines + i), sin = hn::LoadU(DF(), sines + i);
    const VF first = hn::NegMulAdd(b, sin, hn::Mul(a, cos));
    const VF second = hn::MulAdd(b, cos, hn::Mul(a, sin));
    if (halves) {
      hn::StoreU(first, DF(), y + i);
      hn::StoreU(second, DF(), y + pairs + i);
    } else {
      hn::StoreInterleaved2(first, second, DF(), y + 2 * i);
    }
  }
  for (; i < pairs; ++i) {
    const size_t at = halves ? i : 2 * i, other = halves ? pairs + i : at + 1;
    const float a = x[at], b = x[other];
    y[at] = a * cosines[i] - b * sines[i];
    y[other] = a * sines[i] + b * cosines[i];
  }
}

void to_f16(const float* x, size_t size, tessera::f16_t* y) {
  const hn::Rebind<hwy::float16_t, DF> dh;
  for_vectors(size, [&](size_t i, size_t lanes) HWY_ATTR {
    hn::StoreN(hn::DemoteTo(dh, load(x + i, lanes)), dh, reinterpret_cast<hwy::float16_t*>(y + i),
               lanes);
  });
}

}  // namespace llm::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llm {

HWY_EXPORT(rms_norm);
HWY_EXPORT(softmax);
HWY_EXPORT(scale);
HWY_EXPORT(add);
HWY_EXPORT(rotate);
HWY_EXPORT(to_f16);

void rms_norm(const float* x, const float* weight, size_t size, float epsilon, float* y) {
  HWY_DYNAMIC_DISPATCH(rms_norm)(x, weight, size, epsilon, y);
}
float softmax(float* scores, size_t visible, size_t size, float scale, float sink) {
  return HWY_DYNAMIC_DISPATCH(softmax)(scores, visible, size, scale, sink);
}
void scale(const float* x, size_t size, float factor, float* y) {
  HWY_DYNAMIC_DISPATCH(scale)(x, size, factor, y);
}
void add(const float* x, size_t size, float* y) { HWY_DYNAMIC_DISPATCH(add)(x, size, y); }
void rotate(const float* x, const float* cosines, const float* sines, size_t pairs, RopePairs kind,
            float* y) {
  HWY_DYNAMIC_DISPATCH(rotate)(x, cosines, sines, pairs, kind, y);
}
void to_f16(const float* x, size_t size, tessera::f16_t* y) {
  HWY_DYNAMIC_DISPATCH(to_f16)(x, size, y);
}

}  // namespace llm
#endif  // HWY_ONCE

// SPDX-License-Identifier: MIT
// A layer of experts, as mixtures of experts have it: a router has chosen some experts for each
// token; gate and up run on the same packed x, down adds the router's factors.
#include <cmath>
#include <cstddef>
#include <iostream>
#include <span>
#include <vector>

#include "tessera/tessera.h"

namespace {

constexpr size_t kTokens = 5, kExperts = 4, kChosen = 2, kWidth = 32, kHidden = 48;

std::vector<float> numbers(size_t count, size_t period) {
  std::vector<float> v(count);
  for (size_t i = 0; i < count; ++i) v[i] = 0.1f * static_cast<float>(i % period) - 0.3f;
  return v;
}

// One matrix [rows, cols] for each expert, one after the other.
tessera::GroupedMatmul plan_of(const std::vector<float>& w, size_t rows, size_t cols) {
  const tessera::Experts experts{tessera::rows_of(std::span(w).first(rows * cols), rows, cols),
                                 kExperts, rows * cols * sizeof(float)};
  return *tessera::GroupedMatmul::plan(experts, kChosen, tessera::DType::f32);
}

// x[rows, k] -> y, which has a row for each token and choice. (An engine packs x once for all plans
// that share it, sizes scratch at load time, and runs parts on its threads.)
bool multiply(const tessera::GroupedMatmul& plan, const std::vector<float>& x, size_t rows,
              size_t k, const std::vector<tessera::ExpertRows>& groups, std::vector<float>& y,
              const tessera::GroupEpilogue& epilogue = {}) {
  std::vector<std::byte> packed_x(plan.packed_x_bytes(rows)), worker(plan.worker_bytes(rows));
  const tessera::MutMatView to =
      tessera::rows_of(y, kTokens * kChosen, y.size() / kTokens / kChosen);
  return plan.pack(tessera::rows_of(x, rows, k), packed_x).ok() &&
         plan.run(packed_x, rows, groups, to, worker, epilogue).ok();
}

}  // namespace

int main() {
  const std::vector<float> x = numbers(kTokens * kWidth, 7);
  const std::vector<float> gate = numbers(kExperts * kHidden * kWidth, 5),
                           up = numbers(kExperts * kHidden * kWidth, 11),
                           down = numbers(kExperts * kWidth * kHidden, 9);

  // Token t goes to experts t and t + 1. For each expert: the rows of x, and where y goes. For
  // down, what it multiplies are the rows that came out.
  std::vector<std::vector<tessera::RowPair>> to_hidden(kExperts), to_width(kExperts);
  std::vector<std::vector<float>> factors(kExperts);
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t c = 0; c < kChosen; ++c) {
      const size_t expert = (t + c) % kExperts, row = t * kChosen + c;
      to_hidden[expert].push_back({t, row});
      to_width[expert].push_back({row, row});
      factors[expert].push_back(c == 0 ? 0.75f : 0.25f);
    }
  }
  std::vector<tessera::ExpertRows> in, out;
  for (size_t e = 0; e < kExperts; ++e) {
    in.push_back({e, to_hidden[e]});
    out.push_back({e, to_width[e], factors[e].data()});
  }

  std::vector<float> hidden(kTokens * kChosen * kHidden), other(hidden.size()),
      rows(kTokens * kChosen * kWidth), y(kTokens * kWidth);
  tessera::GroupEpilogue silu;
  silu.activation = tessera::Activation::silu;
  bool ok = multiply(plan_of(gate, kHidden, kWidth), x, kTokens, kWidth, in, hidden, silu) &&
            multiply(plan_of(up, kHidden, kWidth), x, kTokens, kWidth, in, other);
  for (size_t i = 0; i < hidden.size(); ++i) hidden[i] *= other[i];
  ok =
      ok && multiply(plan_of(down, kWidth, kHidden), hidden, kTokens * kChosen, kHidden, out, rows);
  for (size_t i = 0; i < rows.size(); ++i) y[i / kWidth / kChosen * kWidth + i % kWidth] += rows[i];

  // The same by loops.
  for (size_t t = 0; t < kTokens; ++t) {
    std::vector<double> wanted(kWidth);
    for (size_t c = 0; c < kChosen; ++c) {
      const size_t expert = (t + c) % kExperts;
      for (size_t h = 0; h < kHidden; ++h) {
        double g = 0, u = 0;
        for (size_t k = 0; k < kWidth; ++k) {
          const size_t at = (expert * kHidden + h) * kWidth + k;
          g += static_cast<double>(x[t * kWidth + k]) * static_cast<double>(gate[at]);
          u += static_cast<double>(x[t * kWidth + k]) * static_cast<double>(up[at]);
        }
        const double value = g / (1 + std::exp(-g)) * u * (c == 0 ? 0.75 : 0.25);
        for (size_t j = 0; j < kWidth; ++j) {
          wanted[j] += value * static_cast<double>(down[(expert * kWidth + j) * kHidden + h]);
        }
      }
    }
    for (size_t j = 0; j < kWidth; ++j) {
      ok = ok && std::fabs(wanted[j] - static_cast<double>(y[t * kWidth + j])) < 1e-4;
    }
  }
  std::cout << (ok ? "ok" : "wrong") << '\n';
  return ok ? 0 : 1;
}

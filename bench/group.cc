// SPDX-License-Identifier: MIT
#include "group.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "weights.h"

namespace bench {
namespace {

double quantile(std::vector<double> v, double q) {
  std::sort(v.begin(), v.end());
  const double at = q * static_cast<double>(v.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, v.size() - 1);
  return v[low] + (at - static_cast<double>(low)) * (v[high] - v[low]);
}

// Sums of four uniform bytes: near enough to normal, and quick.
void fill(float* to, size_t count, float scale, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < count; i += 2) {
    const uint64_t bits = random();
    for (size_t h = 0; h < 2 && i + h < count; ++h) {
      int sum = 0;
      for (size_t b = 0; b < 4; ++b) sum += static_cast<int>((bits >> (8 * (4 * h + b))) & 255);
      to[i + h] = scale * (static_cast<float>(sum) - 510.0f) / 147.8f;
    }
  }
}

// Different experts for each of so many rows, all as likely.
std::vector<int32_t> choices(size_t rows, size_t experts, size_t chosen) {
  std::mt19937 random(4);
  std::vector<int32_t> all(experts), list;
  std::iota(all.begin(), all.end(), 0);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < chosen; ++c) {
      std::swap(all[c], all[c + random() % (experts - c)]);
      list.push_back(all[c]);
    }
  }
  return list;
}

}  // namespace

double Samples::median() const { return quantile(seconds, 0.5); }
double Samples::noise() const {
  return (quantile(seconds, 0.75) - quantile(seconds, 0.25)) / 2 / median();
}

Data::Data(const Shape& shape, DType format, const std::vector<size_t>& ms, bool memory,
           Pages pages) {
  Problem& p = problem_;
  p.format = format;
  p.n = shape.n;
  p.k = shape.k;
  p.ms = ms;
  p.pages = pages;
  const size_t rows = p.max_m();
  x_ = Arena(rows * p.k * sizeof(float), Pages::huge);
  auto* x = reinterpret_cast<float*>(x_.data());
  fill(x, rows * p.k, 1.0f, 1);
  p.x = x;
  if (format == DType::bf16) {
    x_bf16_ = Arena(rows * p.k * 2, Pages::huge);
    auto* rounded = reinterpret_cast<tessera::bf16_t*>(x_bf16_.data());
    for (size_t i = 0; i < rows * p.k; ++i) rounded[i] = tessera::to_bf16(x[i]);
    p.x_bf16 = rounded;
  }

  if (shape.experts > 0) {
    p.experts = shape.experts;
    p.chosen = shape.chosen;
    const std::vector<int32_t> list = choices(rows, p.experts, p.chosen);
    choice_ = Arena(list.size() * sizeof(int32_t), Pages::huge);  // ggml wants it aligned
    std::memcpy(choice_.data(), list.data(), list.size() * sizeof(int32_t));
    p.choice = reinterpret_cast<const int32_t*>(choice_.data());
  }
  const bool u8s8 = format == DType::i8;
  p.w_bytes = p.experts * p.n * dense_row_bytes(format, p.k);
  p.copy_stride = (p.w_bytes + 4095) / 4096 * 4096;
  const size_t l3 = cache_bytes(3), total = std::max(size_t{544} << 20, l3 * 4 + l3 / 16);
  p.copies = memory ? (total + p.w_bytes - 1) / p.w_bytes : 1;
  w_ = Arena(p.copy_stride * p.copies, pages);
  p.w = w_.data();
  if (u8s8) {
    x_u8_ = Arena(rows * p.k, Pages::huge);
    auto* codes = reinterpret_cast<uint8_t*>(x_u8_.data());
    for (size_t i = 0; i < rows * p.k; ++i) {
      x[i] = std::clamp(std::nearbyint(x[i] * 32.0f + 128.0f), 0.0f, 255.0f);
      codes[i] = static_cast<uint8_t>(x[i]);
    }
    p.x_u8 = codes;
    std::mt19937_64 random(2);
    for (size_t i = 0; i < p.w_bytes; ++i) w_.data()[i] = static_cast<std::byte>(random());
  } else {
    // Four experts that differ, again and again.
    const size_t different = std::min<size_t>(p.experts, 4), each = p.w_bytes / p.experts;
    std::vector<float> w(different * p.n * p.k);
    fill(w.data(), w.size(), 1.0f / std::sqrt(static_cast<float>(p.k)), 2);
    put_weights(w, different * p.n, format, w_.data());
    for (size_t e = different; e < p.experts; ++e) {
      std::memcpy(w_.data() + e * each, w_.data() + e % different * each, each);
    }
  }
  for (size_t i = 1; i < p.copies; ++i) {
    std::memcpy(w_.data() + i * p.copy_stride, w_.data(), p.w_bytes);
  }
}

Problem Data::problem(bool packed, size_t threads) const {
  Problem p = problem_;
  p.packed = packed;
  p.threads = threads;
  return p;
}

Group::Group(const Data& data, bool packed, size_t threads,
             const std::vector<BackendInfo>& backends, bool ceilings)
    : problem_(data.problem(packed, threads)), oracle_(problem_) {
  for (const BackendInfo& b : backends) {
    workers_.push_back(std::make_unique<Worker>(b, problem_, oracle_));
  }
  if (!ceilings) return;
  for (const BackendInfo& b : backends) {
    const std::string what = b.in_f32 ? "f32" : instruction_of(problem_.format);
    const auto at = peaks_.try_emplace(what + "/" + b.target, what, b.target, threads).first;
    peak_of_.push_back(&at->second);
  }
  if (problem_.copies > 1) reading_ = std::make_unique<ReadTurns>(problem_);
}

Times Group::time(size_t worker, size_t calls, std::string* error) {
  const Answer a = workers_[worker]->time(calls, copy_);
  copy_ += calls;
  *error = a.text;
  return a.times;
}

// A turn of each ceiling that bounds a backend without an error. This process reads the memory that
// it shares with the workers. Peaks hardly depend on what others do but for the moments in which
// they have the CPU, so a quarter of the time is enough to hit a free one; most cases have but one
// backend, and would take twice as long.
void Group::ceilings(std::vector<Samples>& all, double seconds) {
  std::map<const PeakTurns*, double> peaks;
  double bandwidth = 0;
  for (size_t i = 0; i < peak_of_.size(); ++i) {
    if (!all[i].error.empty()) continue;
    const auto [peak, is_new] = peaks.try_emplace(peak_of_[i]);
    if (is_new) peak->second = peak->first->turn(seconds / 4);
    if (reading_ && bandwidth == 0) bandwidth = reading_->turn(seconds, &copy_);
    all[i].peak = std::max(all[i].peak, peak->second);
    all[i].bandwidth = std::max(all[i].bandwidth, bandwidth);
  }
}

// Each backend that has no error takes `samples` turns.
void Group::go(std::vector<Samples>& all, const std::vector<size_t>& calls, const Effort& effort) {
  for (Samples& s : all) s = {{}, {}, s.error, 0, 0};
  for (size_t round = 0; round < effort.samples; ++round) {
    for (size_t i = 0; i <= all.size(); ++i) {
      const size_t at = round % 2 == 0 ? i : all.size() - i;
      if (at == all.size()) {
        ceilings(all, effort.seconds / static_cast<double>(effort.samples));
        continue;
      }
      if (!all[at].error.empty()) continue;
      const Times times = time(at, calls[at], &all[at].error);
      all[at].seconds.push_back(times.mean);
      all[at].best.push_back(times.best);
    }
  }
}

std::vector<Samples> Group::measure(size_t m, const Effort& effort) {
  std::vector<Samples> all(workers_.size());
  std::vector<size_t> calls(workers_.size(), 1);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].error = workers_[i]->text();
    if (all[i].error.empty()) all[i].error = workers_[i]->check(m, copy_++).text;
    if (!all[i].error.empty()) continue;
    double seconds = time(i, 1, &all[i].error).mean;
    if (all[i].error.empty() && seconds < 1e-3)
      seconds = time(i, static_cast<size_t>(1e-3 / seconds) + 1, &all[i].error).mean;
    calls[i] = std::max(size_t{1},
                        static_cast<size_t>(effort.seconds / static_cast<double>(effort.samples) /
                                            std::max(seconds, 1e-7)));
  }
  go(all, calls, effort);
  const auto worst = [](const std::vector<Samples>& set) {
    double noise = 0;
    for (const Samples& s : set) {
      if (s.error.empty()) noise = std::max(noise, s.noise());
    }
    return noise;
  };
  for (size_t retry = 0; retry < effort.retries && worst(all) > kMaxNoise; ++retry) {
    std::vector<Samples> again = all;
    go(again, calls, effort);
    if (worst(again) < worst(all)) all = std::move(again);
  }
  return all;
}

}  // namespace bench

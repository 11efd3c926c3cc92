// SPDX-License-Identifier: MIT
// Grouped products: each row of y has the bits that the plain product of its row of x and its
// expert has, whatever else is in the groups and however the work is cut.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "support/guarded.h"
#include "support/random_case.h"
#include "support/suite.h"

namespace tessera::test {
namespace {

constexpr size_t kExperts = 3, kChosen = 2, kGap = 24;

// All experts' weights, apart from each other, and who chose which.
struct Mixture {
  size_t n, k, tokens;
  DType y_dtype;
  Matrix w, x;                   // [experts * n, k], [tokens, k]
  std::vector<std::byte> apart;  // the same W, kGap bytes after each expert
  size_t stride = 0;
  std::vector<RowPair> pairs;        // of all groups
  std::vector<float> factors, bias;  // [pairs], [experts, n]
  std::vector<ExpertRows> groups;

  Experts experts() const { return {{apart.data(), n, k, w.row_bytes, w.dtype}, kExperts, stride}; }
  MatView expert(size_t e) const { return {apart.data() + e * stride, n, k, w.row_bytes, w.dtype}; }
};

Mixture make_mixture(DType w_dtype, size_t n, size_t k, size_t tokens, DType x_dtype, DType y_dtype,
                     Rng& rng) {
  Mixture m{n,
            k,
            tokens,
            y_dtype,
            random_weights(w_dtype, kExperts * n, k, rng),
            random_x(x_dtype, tokens, k, rng),
            {},
            0,
            {},
            {},
            {},
            {}};
  const size_t bytes = n * m.w.row_bytes;
  m.stride = bytes + kGap;
  m.apart.resize(kExperts * m.stride);
  for (size_t e = 0; e < kExperts; ++e) {
    std::copy_n(m.w.row(e * n), bytes, m.apart.begin() + static_cast<ptrdiff_t>(e * m.stride));
  }
  // Token t leaves out expert t % 3 or, of the first few, the last one, so that its group is small.
  std::vector<std::vector<RowPair>> of_expert(kExperts);
  std::vector<size_t> y_rows(tokens * kChosen);
  std::iota(y_rows.begin(), y_rows.end(), 0);
  for (size_t i = y_rows.size(); i > 1; --i) std::swap(y_rows[i - 1], y_rows[rng.below(i)]);
  size_t next = 0;
  for (size_t t = 0; t < tokens; ++t) {
    const size_t left_out = t < 5 ? kExperts - 1 : t % kExperts;
    for (size_t e = 0; e < kExperts; ++e) {
      if (e != left_out) of_expert[e].push_back({t, y_rows[next++]});
    }
  }
  for (const auto& rows : of_expert) m.pairs.insert(m.pairs.end(), rows.begin(), rows.end());
  for (size_t i = 0; i < m.pairs.size(); ++i)
    m.factors.push_back(static_cast<float>(rng.uniform(0, 1)));
  for (size_t i = 0; i < kExperts * n; ++i)
    m.bias.push_back(static_cast<float>(rng.uniform(-1, 1)));
  size_t first = 0;
  for (size_t e = 0; e < kExperts; ++e) {
    const size_t count = of_expert[e].size();
    m.groups.push_back({e, std::span(m.pairs).subspan(first, count), m.factors.data() + first});
    first += count;
  }
  std::rotate(m.groups.begin(), m.groups.begin() + 1, m.groups.end());
  return m;
}

// Row by row, by Matmul.
std::vector<float> plain_rows(const Mixture& m, const PlanOptions& options, bool packed) {
  std::vector<float> y(m.tokens * kChosen * m.n);
  for (const ExpertRows& group : m.groups) {
    Matmul plan = *Matmul::plan(m.expert(group.expert), m.x.dtype, options);
    std::vector<std::byte> panels(packed ? plan.packed_w_bytes() : 0);
    if (packed) {
      REQUIRE(plan.pack_weights(panels).ok());
      plan = *plan.with_packed(panels);
    }
    std::vector<std::byte> packed_x(plan.packed_x_bytes(1)), worker(plan.worker_bytes(1));
    const Epilogue epilogue{0.5f, 0.0f, m.bias.data() + group.expert * m.n, Activation::silu};
    for (size_t i = 0; i < group.pairs.size(); ++i) {
      MatView row = m.x.view();
      row.data = static_cast<const std::byte*>(row.data) + group.pairs[i].x * row.row_stride;
      row.rows = 1;
      float* to = y.data() + group.pairs[i].y * m.n;
      REQUIRE(plan.pack(row, packed_x).ok());
      REQUIRE(plan.run(packed_x, {to, 1, m.n, m.n * 4, DType::f32}, worker, epilogue).ok());
      for (size_t j = 0; j < m.n; ++j) to[j] *= group.factors[i];
    }
  }
  return y;
}

std::vector<float> grouped_rows(const Mixture& m, const GroupedMatmul& plan, size_t parts) {
  const GuardedBuffer packed_x(plan.packed_x_bytes(m.tokens), {true, 0});
  const GuardedBuffer worker(plan.worker_bytes(m.tokens), {true, 0});
  const GuardedY y(m.y_dtype, m.tokens * kChosen, m.n, 8, {true, 0});
  for (size_t i = 0; i < 3; ++i) REQUIRE(plan.pack(m.x.view(), packed_x.bytes(), {i, 3}).ok());
  GroupEpilogue epilogue;
  epilogue.scale = 0.5f;
  epilogue.bias = m.bias.data();
  epilogue.activation = Activation::silu;
  epilogue.bias_stride = m.n;
  for (size_t i = parts; i-- > 0;) {
    const Status s = plan.run(packed_x.bytes(), m.tokens, m.groups, y.view(), worker.bytes(),
                              epilogue, {i, parts});
    INFO(s.message().c_str());
    REQUIRE(s.ok());
  }
  CHECK(y.padding_untouched());
  return y.values();
}

}  // namespace

TESSERA_FORMAT_TEST(grouped, "a grouped product is that of each of its rows", "[group]") {
  Rng rng = suite_rng();
  for_each_target([&](const char* target) {
    for (const Accuracy accuracy : kAccuracies) {
      const Tile tile = tile_of(w_dtype, target, accuracy);
      for (const size_t tokens : {size_t{1}, size_t{7}, size_t{61}, size_t{250}}) {
        if (tokens == 250 && accuracy != Accuracy::fast) continue;
        const size_t n = 2 * tile.nr + 3, k = whole_blocks(w_dtype, 3 * 32 + 8);
        const Mixture m =
            make_mixture(w_dtype, n, k, tokens, kXTypes[tokens % 3], kYTypes[tokens % 3], rng);
        const PlanOptions options{accuracy, target, {}};
        const Result<GroupedMatmul> in_place =
            GroupedMatmul::plan(m.experts(), kChosen, m.x.dtype, options);
        REQUIRE(in_place.ok());
        for (const bool packed : {false, true}) {
          GroupedMatmul plan = *in_place;
          const GuardedBuffer panels(packed ? plan.packed_w_bytes() : 0, {false, 0});
          if (packed) {
            for (size_t i = 0; i < 2; ++i) REQUIRE(plan.pack_weights(panels.bytes(), {i, 2}).ok());
            plan = *plan.with_packed(panels.bytes());
          }
          const bool by_tiles =
              (tokens * kChosen + kExperts - 1) / kExperts > plan.value().plan.matvec_rows;
          std::vector<float> want = plain_rows(m, options, packed || by_tiles);
          for (float& v : want) v = rounded_to(m.y_dtype, v);
          for (const size_t parts : {size_t{1}, size_t{2}, size_t{17}}) {
            const std::vector<float> got = grouped_rows(m, plan, parts);
            REQUIRE(got.size() == want.size());
            for (size_t i = 0; i < got.size(); ++i) {
              if (std::bit_cast<uint32_t>(got[i]) == std::bit_cast<uint32_t>(want[i])) continue;
              FAIL(target << ' ' << to_string(accuracy) << (packed ? " packed" : " in place")
                          << ", tokens " << tokens << ", parts " << parts << ": y[" << i / n << ", "
                          << i % n << "] is " << got[i] << ", not " << want[i]);
            }
          }
        }
      }
    }
  });
}

TESSERA_FORMAT_TEST(shared_x, "grouped products that share packed x", "[group]") {
  Rng rng = suite_rng();
  const size_t k = 256, tokens = 9;  // whole blocks of every format
  const Mixture m = make_mixture(w_dtype, 40, k, tokens, DType::f32, DType::f32, rng);
  const GroupedMatmul plan = *GroupedMatmul::plan(m.experts(), kChosen, DType::f32);
  CHECK(plan.shares_packed_x(plan));
  CHECK_FALSE(plan.shares_packed_x(GroupedMatmul()));
  for_each_format([&](DType other_dtype) {
    Mixture other = make_mixture(other_dtype, 21, k, tokens, DType::f32, DType::f32, rng);
    other.x = m.x;
    const GroupedMatmul sharer = *GroupedMatmul::plan(other.experts(), kChosen, DType::f32);
    CHECK(plan.shares_packed_x(sharer) == sharer.shares_packed_x(plan));
    if (!plan.shares_packed_x(sharer)) return;
    std::vector<std::byte> packed_x(plan.packed_x_bytes(tokens)),
        worker(sharer.worker_bytes(tokens));
    std::vector<float> y(tokens * kChosen * 21);
    REQUIRE(plan.pack(m.x.view(), packed_x).ok());
    REQUIRE(packed_x.size() == sharer.packed_x_bytes(tokens));
    GroupEpilogue epilogue;
    epilogue.scale = 0.5f;
    epilogue.bias = other.bias.data();
    epilogue.activation = Activation::silu;
    epilogue.bias_stride = 21;
    REQUIRE(sharer
                .run(packed_x, tokens, other.groups,
                     {y.data(), tokens * kChosen, 21, 84, DType::f32}, worker, epilogue)
                .ok());
    CHECK(y == grouped_rows(other, sharer, 1));
  });
}

TEST_CASE("parts of grouped products are even if one expert has all rows", "[group]") {
  constexpr size_t tokens = 400, parts = 16;
  Rng rng = suite_rng();
  for (const DType w_dtype : {all_formats().front(), all_formats().back()}) {
    const size_t depth = whole_blocks(w_dtype, size_t{8});
    const Matrix x = random_x(DType::f32, tokens, depth, rng);
    const size_t nr = tile_of(w_dtype, default_target(), Accuracy::fast).nr, n = 3 * nr;
    const Matrix w = random_weights(w_dtype, 2 * n, depth, rng);
    const GroupedMatmul plan = *GroupedMatmul::plan(
        {{w.bytes.data(), n, depth, w.row_bytes, w_dtype}, 2, n * w.row_bytes}, 1, DType::f32);
    std::vector<std::byte> packed_x(plan.packed_x_bytes(tokens)), worker(plan.worker_bytes(tokens));
    REQUIRE(plan.pack(x.view(), packed_x).ok());
    std::vector<RowPair> pairs;
    for (size_t t = 0; t < tokens; ++t) pairs.push_back({t, t});
    const ExpertRows groups[] = {{1, pairs}, {0, {}}};
    size_t all = 0;
    for (size_t i = 0; i < parts; ++i) {
      std::vector<float> y(tokens * n, std::numeric_limits<float>::quiet_NaN());
      REQUIRE(plan.run(packed_x, tokens, groups, {y.data(), tokens, n, n * 4, DType::f32}, worker,
                       {}, {i, parts})
                  .ok());
      const auto written = static_cast<size_t>(
          std::count_if(y.begin(), y.end(), [](float v) { return !std::isnan(v); }));
      INFO(dtype_name(w_dtype) << ", part " << i << " of " << parts);
      CHECK(2 * written <= 3 * tokens * n / parts);
      all += written;
    }
    CHECK(all == tokens * n);
  }
}

TEST_CASE("what grouped products refuse", "[group]") {
  const std::vector<float> w(2 * 5 * 8, 1.0f), x(3 * 8, 1.0f);
  std::vector<float> y(4 * 5);
  const Experts experts{{w.data(), 5, 8, 32, DType::f32}, 2, 160};
  const auto plan_of = [&](const Experts& e, size_t chosen) {
    return GroupedMatmul::plan(e, chosen, DType::f32).status();
  };
  CHECK(plan_of(experts, 0).message().c_str() == std::string("chosen 0 is outside a count of 2"));
  CHECK(plan_of(experts, 3).code == StatusCode::group_out_of_range);
  Experts bad = experts;
  bad.stride = 159;
  CHECK(plan_of(bad, 1).code == StatusCode::stride_too_small);
  bad.stride = ~size_t{0} / 2;
  CHECK(plan_of(bad, 1).code == StatusCode::size_overflow);
  bad = experts;
  bad.first.data = nullptr;
  CHECK(plan_of(bad, 1).code == StatusCode::null_data);

  const GroupedMatmul plan = *GroupedMatmul::plan(experts, 1, DType::f32);
  std::vector<std::byte> packed_x(plan.packed_x_bytes(3)), worker(plan.worker_bytes(3));
  const MutMatView y_view{y.data(), 4, 5, 20, DType::f32};
  REQUIRE(plan.pack(rows_of(x, 3, 8), packed_x).ok());
  const auto run = [&](ExpertRows group, size_t tokens = 3, Part part = {}) {
    return plan.run(packed_x, tokens, {&group, 1}, y_view, worker, {}, part);
  };
  const RowPair pair{2, 3}, no_x{3, 0}, no_y{0, 4};
  CHECK(run({1, {&pair, 1}}).ok());
  CHECK(y[15] == 8.0f);
  CHECK(run({2, {&pair, 1}}).message().c_str() == std::string("expert 2 is outside a count of 2"));
  CHECK(run({1, {&no_x, 1}}).message().c_str() ==
        std::string("row of x 3 is outside a count of 3"));
  CHECK(run({1, {&no_y, 1}}).message().c_str() ==
        std::string("row of y 4 is outside a count of 4"));
  CHECK(run({1, {static_cast<const RowPair*>(nullptr), 1}}).code == StatusCode::null_data);
  CHECK(run({1, {}}).ok());
  CHECK(run({1, {&pair, 1}}, 4).code == StatusCode::buffer_too_small);
  CHECK(run({1, {&pair, 1}}, ~size_t{0}).code == StatusCode::size_overflow);
  CHECK(run({1, {&pair, 1}}, 3, {1, 1}).code == StatusCode::part_out_of_range);
  CHECK(GroupedMatmul().run(packed_x, 3, {}, y_view, worker).code == StatusCode::wrong_plan);
  CHECK(plan.packed_x_bytes(~size_t{0}) == 0);
}

}  // namespace tessera::test

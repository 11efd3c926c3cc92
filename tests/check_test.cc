// SPDX-License-Identifier: MIT
// check() of each sort of plan says, before anything is packed, word for word what pack() or run()
// says then: for each argument that either refuses, and nothing where both go.
#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

constexpr size_t kMax = ~size_t{0};
constexpr size_t kM = 3, kN = 5, kK = 32;
constexpr size_t kDeep = 1 << 20, kTooManyDeep = kMax / 4 / (kDeep * 4) + 1;  // rows of f32

// Of any format and any number: what lies in them does not matter.
alignas(64) std::byte w_bytes[1 << 14], x_bytes[1 << 12], y_bytes[1 << 12];
std::vector<std::byte> packed_x(1 << 20), worker(1 << 22);

Matmul plan_of(DType w, DType x = DType::f32, size_t n = kN, size_t k = kK) {
  return *Matmul::plan({w_bytes, n, k, *row_bytes(w, k), w}, x);
}
GroupedMatmul groups_of(DType w, DType x = DType::f32, size_t k = kK) {
  const size_t row = *row_bytes(w, k);
  return *GroupedMatmul::plan({{w_bytes, kN, k, row, w}, 2, kN * row}, 1, x);
}
const MatView kX{x_bytes, kM, kK, kK * 4, DType::f32};
const MutMatView kY{y_bytes, kM, kN, kN * 4, DType::f32};

// The arguments of one product.
template <class Plan, class X, class Y, class E>
struct Call {
  Plan plan;
  X x;
  Y y;
  E epilogue = {};

  Status check() const { return plan.check(x, y, epilogue); }
  Status pack() const { return plan.pack(x, packed_x); }
  Status run() const { return plan.run(packed_x, y, worker, epilogue); }
};
template <class Plan, class E>
struct GroupCall {
  Plan plan;
  MatView x;
  MutMatView y;
  std::span<const ExpertRows> groups;
  E epilogue = {};

  Status check() const { return plan.check(x, groups, y, epilogue); }
  Status pack() const { return plan.pack(x, packed_x); }
  Status run() const { return plan.run(packed_x, x.rows, groups, y, worker, epilogue); }
};

MatView& view(MatView& v) { return v; }
MutMatView& view(MutMatView& v) { return v; }
template <class View>
View& view(BatchOf<View>& v) {
  return v.inner;
}
Activation& activation(Epilogue& e) { return e.activation; }
Activation& activation(GatedEpilogue& e) { return e.gating.activation; }

void check_same(const std::string& what, const Status& got, const Status& want) {
  if (got.code != want.code || got.subject != std::string(want.subject) ||
      got.detail != std::string(want.detail) || got.got != want.got || got.want != want.want ||
      got.name != std::string(want.name)) {
    FAIL(what << ": check() says \"" << got.message().c_str() << "\", the call \""
              << want.message().c_str() << '"');
  }
  SUCCEED();
}

// Changes arguments that are good, one at a time.
template <class Call>
class Changes {
 public:
  explicit Changes(const Call& good) : good_(good) {
    accepted("all as it should be", [](Call&) {});
  }

  // pack() or run() refuses it.
  template <class Change>
  void refused(const std::string& what, const Change& change) {
    const auto [call, want] = after(change);
    if (want.ok()) FAIL(what << " is not refused");
    check_same(what, call.check(), want);
    codes_.insert(want.code);
  }
  template <class Change>
  void accepted(const std::string& what, const Change& change) const {
    const auto [call, want] = after(change);
    if (!want.ok()) FAIL(what << " is refused: " << want.message().c_str());
    check_same(what, call.check(), want);
  }
  const std::set<StatusCode>& codes() const { return codes_; }

  // What every sort of plan refuses.
  void refuse_common() {
    refused("an empty plan", [](Call& c) { c.plan = {}; });
    refused("activation", [](Call& c) { activation(c.epilogue) = Activation(9); });
    for_views([&](const std::string& of, const auto& v) {
      refused(of + ".cols", [&](Call& c) { --v(c).cols; });
      refused(of + ".data", [&](Call& c) { v(c).data = nullptr; });
      for (const size_t stride : {size_t{0}, v(good_).row_stride - 1}) {
        refused(of + ".row_stride, rows overlap", [&](Call& c) { v(c).row_stride = stride; });
      }
      for (const size_t huge : {kMax, kMax / 4}) {
        refused(of + ".row_stride", [&](Call& c) { v(c).row_stride = huge; });
        refused(of + ".rows", [&](Call& c) { v(c).rows = huge; });
        refused(of + ".cols", [&](Call& c) { v(c).cols = huge; });
      }
      for (const DType t : {DType::q8_0, DType::i32, DType(255)}) {
        refused(of + ".dtype", [&](Call& c) { v(c).dtype = t; });
      }
    });
    refused("x.dtype", [](Call& c) { view(c.x).dtype = DType::f16; });
    accepted("y.dtype", [](Call& c) { view(c.y).dtype = DType::f16; });
    accepted("no rows, no data", [](Call& c) {
      view(c.x).rows = view(c.y).rows = 0;
      view(c.x).data = view(c.y).data = nullptr;
      if constexpr (requires { c.groups; }) c.groups = {};
    });
  }

 private:
  template <class Change>
  std::pair<Call, Status> after(const Change& change) const {
    Call call = good_;
    change(call);
    const Status s = call.pack();
    return {call, s.ok() ? call.run() : s};
  }
  template <class Visit>
  static void for_views(const Visit& visit) {
    visit(
        "x", [](auto& c) -> auto& { return view(c.x); });
    visit(
        "y", [](auto& c) -> auto& { return view(c.y); });
  }

  Call good_;
  std::set<StatusCode> codes_;
};

const std::set<StatusCode> kCodes{
    StatusCode::null_data,     StatusCode::shape_mismatch,    StatusCode::stride_too_small,
    StatusCode::size_overflow, StatusCode::unsupported_dtype, StatusCode::unknown_choice,
    StatusCode::wrong_plan,
};

}  // namespace

TEST_CASE("check: Matmul", "[engine]") {
  using Arguments = Call<Matmul, MatView, MutMatView, Epilogue>;
  Changes<Arguments> changes({plan_of(DType::f32), kX, kY});
  changes.refuse_common();
  CHECK(changes.codes() == kCodes);
  check_same(
      "rows", plan_of(DType::f32).check(kX, {y_bytes, 2, kN, kN * 4, DType::f32}),
      matmul({y_bytes, 2, kN, kN * 4, DType::f32}, kX, {w_bytes, kN, kK, kK * 4, DType::f32}));
  // pack() needs no weights, run() does.
  const Matmul shape = *Matmul::plan(MatShape{kN, kK, DType::f32}, DType::f32);
  check_same("no weights", shape.check(kX, kY), shape.run(packed_x, kY, worker));
}

TEST_CASE("check: BatchedMatmul", "[engine]") {
  using Arguments = Call<BatchedMatmul, BatchView, MutBatchView, Epilogue>;
  const Matmul first = plan_of(DType::f32);
  const BatchedMatmul two = *BatchedMatmul::plan(first, 2, 0);
  // Rows of x and y at two strides.
  const Arguments good{two, {kX, 768, 2, 384}, {kY, 120, 2, 60}};
  Changes<Arguments> changes(good);
  changes.refuse_common();
  for (const size_t huge : {kMax, kMax / 2, kMax / 4}) {
    changes.refused("x.stride", [&](Arguments& c) { c.x.stride = huge; });
    changes.refused("x.outer", [&](Arguments& c) { c.x.outer = huge; });
    changes.refused("x.outer_stride", [&](Arguments& c) { c.x.outer_stride = huge; });
    changes.refused("y.stride", [&](Arguments& c) { c.y.stride = huge; });
    changes.refused("y.outer", [&](Arguments& c) { c.y.outer = huge; });
    changes.refused("y.outer_stride", [&](Arguments& c) { c.y.outer_stride = huge; });
  }
  changes.refused("all y in one place", [](Arguments& c) { c.y.stride = 0; });
  changes.accepted("all x in one place", [](Arguments& c) { c.x.stride = 0; });
  changes.accepted("no products", [&](Arguments& c) {
    c.plan = *BatchedMatmul::plan(first, 0, 0);
    c.y.stride = 0;
  });
  changes.accepted("one y", [&](Arguments& c) {
    c.plan = *BatchedMatmul::plan(first, 1, 0);
    c.y.stride = 0;
  });
  changes.accepted("the same rows at one stride", [](Arguments& c) {
    c.y = {{y_bytes, 2 * kM, kN, kN * 4, DType::f32}, 120};
  });
  changes.refused("packed x of all", [](Arguments& c) {
    c.plan = *BatchedMatmul::plan(plan_of(DType::f32, DType::f32, kN, 0), size_t{1} << 40, 0);
    c.x = {{nullptr, size_t{1} << 30, 0, 0, DType::f32}};
  });
  CHECK(changes.codes() == kCodes);
  const Status rows = two.check(good.x, {kY, 120, 1, 0});
  CHECK(rows.message().c_str() == std::string("rows of y = 3, but rows of x = 6"));
}

TEST_CASE("check: GatedMatmul", "[engine]") {
  using Arguments = Call<GatedMatmul, MatView, MutMatView, GatedEpilogue>;
  const Matmul f32 = plan_of(DType::f32), q8 = plan_of(DType::q8_0),
               of_f16 = plan_of(DType::q8_0, DType::f16);
  REQUIRE_FALSE(f32.shares_packed_x(q8));
  REQUIRE(q8.shares_packed_x(of_f16));
  for (const Matmul& up : {f32, q8}) {  // packed once, and twice
    Changes<Arguments> changes({*GatedMatmul::plan(q8, up), kX, kY});
    changes.refuse_common();
    CHECK(changes.codes() == kCodes);
    changes.accepted("up of another x that is packed alike",
                     [&](Arguments& c) { c.plan = *GatedMatmul::plan(q8, of_f16); });
    changes.refused("up of another x",
                    [&](Arguments& c) { c.plan = *GatedMatmul::plan(f32, of_f16); });
  }
  // Rows whose packed x can be counted for gate, of which it has a quarter of the bytes.
  const Matmul q8_deep = plan_of(DType::q8_0, DType::f32, kN, kDeep),
               f32_deep = plan_of(DType::f32, DType::f32, kN, kDeep);
  Changes<Arguments> changes({*GatedMatmul::plan(q8, f32), kX, kY});
  changes.refused("x.rows, of up", [&](Arguments& c) {
    c.plan = *GatedMatmul::plan(q8_deep, f32_deep);
    c.x = {x_bytes, kTooManyDeep, kDeep, kDeep * 4, DType::f32};
    REQUIRE(q8_deep.packed_x_bytes(c.x) != 0);
  });
  changes.refused("y.rows, of up", [&](Arguments& c) {
    c.plan = *GatedMatmul::plan(q8_deep, f32_deep);
    c.x = {x_bytes, 0, kDeep, kDeep * 4, DType::f32};
    c.y.rows = kTooManyDeep;
  });
  const Status rows = GatedMatmul::plan(q8, q8)->check(kX, {y_bytes, 2, kN, kN * 4, DType::f32});
  CHECK(rows.message().c_str() == std::string("y.rows = 2, but x.rows = 3"));
}

// What both sorts of groups refuse; `plan_of` makes one of another plan of groups.
template <class Plan, class E, class PlanOf>
void check_groups(const Plan& plan, const PlanOf& plan_of) {
  using Arguments = GroupCall<Plan, E>;
  std::set<StatusCode> codes = kCodes;
  codes.insert(StatusCode::group_out_of_range);
  const RowPair pairs[] = {{0, 2}, {2, 0}}, no_x[] = {{0, 0}, {kM, 1}}, no_y[] = {{0, kM}};
  const std::vector<ExpertRows> good{{1, pairs}, {0, {}}};
  Changes<Arguments> changes({plan, kX, kY, good});
  changes.refuse_common();
  const auto refused = [&](const char* what, std::initializer_list<ExpertRows> groups) {
    changes.refused(what, [&](Arguments& c) { c.groups = groups; });
  };
  refused("expert", {{1, pairs}, {2, {}}});
  refused("expert", {{kMax, pairs}});
  refused("row of x", {{1, pairs}, {0, no_x}});
  refused("row of y", {{1, no_y}});
  refused("pairs", {{1, {static_cast<const RowPair*>(nullptr), 1}}});
  refused("pairs", {{1, {static_cast<const RowPair*>(nullptr), kMax}}});
  changes.refused("groups", [](Arguments& c) {
    c.groups = {static_cast<const ExpertRows*>(nullptr), 1};
  });
  changes.refused("rows of x", [](Arguments& c) { c.x.rows = 2; });
  changes.refused("rows of y", [](Arguments& c) { c.y.rows = 2; });
  changes.accepted("more rows of y than of x", [](Arguments& c) { c.y.rows = 4; });
  changes.accepted("no groups", [](Arguments& c) { c.groups = {}; });
  changes.accepted("the same row of x twice", [](Arguments& c) {
    static const RowPair twice[] = {{0, 0}, {0, 1}};
    static const ExpertRows groups[] = {{0, twice}};
    c.groups = groups;
  });
  CHECK(changes.codes() == codes);

  // Numbers that only matrices without bytes can have: pairs, and what all groups cost.
  const MatView no_depth{nullptr, size_t{1} << 20, 0, 0, DType::f32};
  changes.refused("pairs of all tokens", [&](Arguments& c) {
    const size_t many = size_t{1} << 50;
    c.plan =
        plan_of(*GroupedMatmul::plan({{nullptr, kN, 0, 0, DType::f32}, many, 0}, many, DType::f32));
    c.x = no_depth;
  });
  const size_t wide = size_t{1} << 60;
  const std::vector<RowPair> many(1 << 12, RowPair{0, 0});
  const std::vector<ExpertRows> costly{{0, many}};
  changes.refused("what groups cost", [&](Arguments& c) {
    c.plan =
        plan_of(*GroupedMatmul::plan({{nullptr, wide, 0, 0, DType::f32}, 1, 0}, 1, DType::f32));
    c.x = {nullptr, 1, 0, 0, DType::f32};
    c.y = {y_bytes, 1, wide, 2 * wide, DType::f16};
    c.groups = costly;
  });
}

TEST_CASE("check: GroupedMatmul", "[engine]") {
  check_groups<GroupedMatmul, GroupEpilogue>(groups_of(DType::q8_0),
                                             [](const GroupedMatmul& plan) { return plan; });
}

TEST_CASE("check: GatedGroupedMatmul", "[engine]") {
  const GroupedMatmul f32 = groups_of(DType::f32), q8 = groups_of(DType::q8_0),
                      of_f16 = groups_of(DType::q8_0, DType::f16);
  REQUIRE_FALSE(f32.shares_packed_x(q8));
  REQUIRE(q8.shares_packed_x(of_f16));
  for (const GroupedMatmul& up : {f32, q8}) {  // packed twice, and once
    check_groups<GatedGroupedMatmul, GatedGroupEpilogue>(
        *GatedGroupedMatmul::plan(q8, up),
        [](const GroupedMatmul& plan) { return *GatedGroupedMatmul::plan(plan, plan); });
  }
  using Arguments = GroupCall<GatedGroupedMatmul, GatedGroupEpilogue>;
  Changes<Arguments> changes({*GatedGroupedMatmul::plan(q8, f32), kX, kY, {}});
  changes.accepted("up of another x that is packed alike",
                   [&](Arguments& c) { c.plan = *GatedGroupedMatmul::plan(q8, of_f16); });
  for (const size_t rows : {kM, size_t{0}}) {
    changes.refused("up of another x", [&](Arguments& c) {
      c.plan = *GatedGroupedMatmul::plan(f32, of_f16);
      c.x.rows = rows;
    });
  }
  // Rows whose packed x can be counted for gate, of which it has a quarter of the bytes.
  const GroupedMatmul q8_deep = groups_of(DType::q8_0, DType::f32, kDeep),
                      f32_deep = groups_of(DType::f32, DType::f32, kDeep);
  REQUIRE(q8_deep.packed_x_bytes(kTooManyDeep) != 0);
  changes.refused("x.rows, of up", [&](Arguments& c) {
    c.plan = *GatedGroupedMatmul::plan(q8_deep, f32_deep);
    c.x = {x_bytes, kTooManyDeep, kDeep, kDeep * 4, DType::f32};
  });
}

}  // namespace tessera::test

// SPDX-License-Identifier: MIT
// Abuse of every door, in C++ and in C: spans of null with a size, values that no enumerator names,
// sizes near 2^64. Each call gives a Status, at once: a crash ends this program, and a loop over
// what is not there takes more CPU time than a call may. What a view claims about memory nobody can
// check, so calls that would read or write it claim nothing that is not there.
#include <ctime>
#include <limits>
#include <string>
#include <vector>

#include "support/suite.h"
#include "tessera/c_api.h"

namespace tessera::test {
namespace {

constexpr size_t kMax = std::numeric_limits<size_t>::max();
constexpr size_t kHuge[] = {kMax,
                            kMax - 1,
                            kMax - 63,
                            kMax / 2 + 1,
                            kMax / 2,
                            kMax / 4,
                            kMax / 4 + 1,
                            (size_t{1} << 61) + 1,
                            size_t{1} << 60,
                            size_t{1} << 58,
                            size_t{1} << 56,
                            size_t{1} << 50};

float floats[1 << 12];
alignas(64) std::byte bytes[1 << 16];
const std::span<std::byte> kNull{static_cast<std::byte*>(nullptr), 1 << 20};

Status status_of(const Status& s) { return s; }
template <class T>
Status status_of(const Result<T>& r) {
  return r.status();
}
Status status_of(const tessera_status& c) {
  Status s;
  s.code = static_cast<StatusCode>(c.code);
  char text[320];
  CHECK(tessera_status_text(&c, text, sizeof(text))[0] != '\0');
  return s;
}

/// Calls it, and fails if that takes long. (CPU time: the machine may be busy.)
template <class Call>
auto at_once(const std::string& what, const Call& call) {
  const std::clock_t begin = std::clock();
  const auto out = call();
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  if (seconds > 1) FAIL(what << " took " << seconds << " s");
  return out;
}
template <class Call>
void check_any(const std::string& what, const Call& call) {
  const Status s = status_of(at_once(what, call));
  if (s.message().c_str()[0] == '\0') FAIL(what << " has no text");
}
template <class Call>
void check_refused(const std::string& what, const Call& call) {
  if (status_of(at_once(what, call)).ok()) FAIL(what << " was not refused");
}
template <class Call>
void check_ok(const std::string& what, const Call& call) {
  const Status s = status_of(at_once(what, call));
  if (!s.ok()) FAIL(what << ": " << s.message().c_str());
}

std::string text(const char* what, std::initializer_list<size_t> numbers) {
  std::string out = what;
  for (const size_t number : numbers) out.append(" ").append(std::to_string(number));
  return out;
}

const MatView kW{floats, 16, 32, 128, DType::f32}, kX{floats, 4, 32, 128, DType::f32};
const MutMatView kY{floats + 2048, 4, 16, 64, DType::f32};

/// What check() of each sort of plan over kW says of these, of which a batch takes the strides too.
template <class Visit>
void for_checks(const MatView& x, const MutMatView& y, std::span<const ExpertRows> groups,
                Activation activation, size_t stride, const Visit& visit) {
  const Matmul plan = *Matmul::plan(kW, DType::f32);
  const GroupedMatmul experts = *GroupedMatmul::plan({kW, 1, 0}, 1, DType::f32);
  GroupEpilogue e;
  GatedGroupEpilogue gated;
  e.activation = gated.gating.activation = activation;
  visit("check", [&] { return plan.check(x, y, e); });
  visit("groups.check", [&] { return experts.check(x, groups, y, e); });
  visit("gated.check", [&] { return GatedMatmul::plan(plan, plan)->check(x, y, gated); });
  visit("gated groups.check",
        [&] { return GatedGroupedMatmul::plan(experts, experts)->check(x, groups, y, gated); });
  for (const size_t outer : {size_t{1}, stride}) {
    visit("batch.check", [&] {
      return BatchedMatmul::plan(plan, 2, 0)
          ->check({x, stride, outer, stride}, {y, stride, outer, stride}, e);
    });
  }
}

/// All that a plan says for any number of rows and workers, and what it refuses.
template <class P>
void abuse_sizes(const std::string& what, const P& plan) {
  for (const size_t m : kHuge) {
    at_once(what, [&] { return plan.packed_x_bytes(m) + plan.worker_bytes(m); });
    if constexpr (requires { plan.parts(m, m); }) {
      at_once(what, [&] { return plan.parts(m, kMax).run + plan.parts(1, m).pack; });
    }
    if constexpr (requires { plan.small_parts(m, m); }) {
      at_once(what, [&] { return plan.small_parts(m, kMax) + plan.small_parts(1, m); });
      at_once(what, [&] { return plan.tile_rows(m) + plan.tile_cols(); });
      at_once(what, [&] { return plan.explain(m).text().text[0]; });
      check_any(what, [&] { return plan.scratch(m, 1); });
      check_any(what, [&] { return plan.scratch(1, m); });
      at_once(what, [&] { return plan.packed_x_bytes(MatView{nullptr, m, m, m, DType::f32}); });
      check_any(what, [&] {
        return plan.check({floats, m, 32, m, DType::f32}, {floats, m, 16, m, DType::f32});
      });
    }
  }
}

// ---- Products
// -------------------------------------------------------------------------------------

TEST_CASE("abuse: plans of huge shapes", "[abuse]") {
  for_each_format([](DType t) {
    const size_t block = dtype_info(t).block_values;
    std::vector<size_t> sizes(std::begin(kHuge), std::end(kHuge));
    for (const size_t size : {0, 1, 32, 256}) sizes.push_back(size);
    for (const size_t n : sizes) {
      for (const size_t cols : sizes) {
        for (const size_t k : {cols, cols / block * block}) {
          const std::string what = text(dtype_name(t), {n, k});
          const Result<Matmul> plan = at_once(what, [&] {
            return Matmul::plan(MatShape{n, k, t}, DType::f32, {});
          });
          for (const size_t stride : {size_t{0}, kMax, kMax / 2}) {
            check_any(what, [&] { return Matmul::plan({floats, n, k, stride, t}, DType::f32); });
            check_any(what, [&] { return Matmul::plan({nullptr, n, k, stride, t}, DType::f32); });
          }
          check_any(what, [&] {
            return GroupedMatmul::plan({{floats, n, k, kMax, t}, n, k}, n, DType::f32);
          });
          if (!plan.ok()) continue;
          abuse_sizes(what, *plan);
          const size_t panels = plan->packed_w_bytes();
          if (n != 0 && k != 0) {
            CHECK(panels != 0);
            if (panels > sizeof(bytes)) {
              check_refused(what, [&] { return plan->with_packed(bytes); });
              check_refused(what, [&] {
                return plan->unpack_rows(bytes, 0, {floats, 0, k, 0, t});
              });
            }
          } else {  // no bytes: everything is done at once
            CHECK(panels == 0);
            const Result<Matmul> packed = at_once(what, [&] { return plan->with_packed({}); });
            CHECK(packed.ok());
            check_any(what, [&] { return plan->pack_weights({}, {n, k}); });
            check_any(what, [&] { return plan->pack_rows({nullptr, n, k, 0, t}, 0, {}); });
            check_any(what, [&] { return plan->unpack_rows({}, 0, {nullptr, n, k, 0, t}); });
          }
        }
      }
    }
  });
}

TEST_CASE("abuse: rows without bytes, as many as there are numbers", "[abuse]") {
  for (const bool borrow : {false, true}) {
    const Matmul no_depth =
        *Matmul::plan({nullptr, 16, 0, 0, DType::f32}, DType::f32, {.borrow_x = borrow});
    const Matmul nothing =
        *Matmul::plan({nullptr, 0, 0, 0, DType::f32}, DType::f32, {.borrow_x = borrow});
    for (const size_t m : kHuge) {
      const MatView x{nullptr, m, 0, 0, DType::f32};
      const MutMatView y{nullptr, m, 0, 0, DType::f32};
      for (const Part part : {Part{0, 1}, Part{1, 2}, Part{kMax - 1, kMax}}) {
        check_any(text("pack", {m}), [&] { return no_depth.pack(x, bytes, part); });
        check_any(text("run", {m}), [&] { return nothing.run(bytes, y, bytes, {}, part); });
        check_any(text("quantize", {m}), [&] { return quantize(x, y, part); });
      }
      check_any(text("run_rect", {m}), [&] {
        return nothing.run_rect(bytes, y, bytes, {}, {0, m, 0, 0});
      });
      check_any(text("matmul", {m}), [&] { return matmul(y, x, {nullptr, 0, 0, 0, DType::f32}); });
      using blas::Op;
      for (const Op op : {Op::none, Op::transpose}) {
        check_any(text("gemm", {m}), [&] {
          return blas::gemm(op, op, m, 0, m, 1, nullptr, m, nullptr, m, 0, nullptr, 0);
        });
        check_any(text("gemm", {m}), [&] {
          return blas::gemm(op, op, 0, m, m, 1, nullptr, m, nullptr, m, 0, nullptr, m);
        });
      }
      const Result<BatchedMatmul> batch =
          at_once("batch", [&] { return BatchedMatmul::plan(no_depth, m, 0); });
      if (!batch.ok()) continue;
      abuse_sizes("batch", *batch);
      for (const size_t rows : {size_t{0}, size_t{1}, m}) {
        check_any(text("batch.pack", {m, rows}), [&] {
          return batch->pack({{nullptr, rows, 0, 0, DType::f32}, 0, rows, 0}, bytes);
        });
      }
      check_any(text("batch.run", {m}), [&] {
        return batch->run(bytes, {{nullptr, 0, 16, 64, DType::f32}, 0}, bytes);
      });
      check_refused(text("batch.run on one y", {m}), [&] {
        return batch->run(bytes, {{floats, 1, 16, 64, DType::f32}, 0}, bytes);
      });
    }
  }
}

TEST_CASE("abuse: each number of a product's arguments is huge", "[abuse]") {
  const Matmul plan = *Matmul::plan(kW, DType::f32);
  check_ok("pack", [&] { return plan.pack(kX, bytes); });
  for (const size_t huge : kHuge) {
    const std::string what = text("argument", {huge});
    for (size_t MatView::*field : {&MatView::rows, &MatView::cols}) {
      MatView w = kW, x = kX;
      w.*field = x.*field = huge;
      const MutMatView y{floats, field == &MatView::rows ? huge : 4,
                         field == &MatView::cols ? huge : 16, 64, DType::f32};
      // Rows of a stride may be claimed up to what an address holds: only with packed x of them.
      if (huge > kMax / 2 / 128) check_refused(what, [&] { return Matmul::plan(w, DType::f32); });
      check_refused(what, [&] { return plan.over(w); });
      check_refused(what, [&] { return plan.pack(x, bytes); });
      check_refused(what, [&] { return plan.run(bytes, y, bytes); });
      for_checks(x, y, {}, Activation::none, 0, [&](const char* name, const auto& check) {
        check_any(what + ' ' + name, check);  // it asks for no packed x
      });
      for_checks(x, kY, {}, Activation::none, huge,
                 [&](const char* name, const auto& check) { check_any(what + ' ' + name, check); });
      check_refused(what, [&] { return matmul(y, kX, kW); });
      check_refused(what, [&] { return matmul(kY, x, kW); });
      check_refused(what, [&] { return quantize(x, kY); });
    }
    for_checks(kX, kY, {}, Activation::none, huge,
               [&](const char* name, const auto& check) { check_any(what + ' ' + name, check); });
    MatView wide = kW;
    wide.row_stride = huge;
    if (huge > kMax / 2 / 16) {
      check_refused(what, [&] { return Matmul::plan(wide, DType::f32); });
      check_refused(what, [&] { return plan.pack(wide, bytes); });
      check_refused(what, [&] {
        return plan.run(bytes, {floats, 16, 16, huge, DType::f32}, bytes);
      });
    }
    for (const Part part : {Part{huge, huge}, Part{huge, 1}, Part{0, 0}, Part{huge, 0}}) {
      check_refused(what, [&] { return plan.pack(kX, bytes, part); });
      check_refused(what, [&] { return plan.run(bytes, kY, bytes, {}, part); });
      check_refused(what, [&] { return plan.pack_weights(bytes, part); });
      check_refused(what, [&] {
        return quantize(kX, {floats + 2048, 4, 32, 128, DType::f32}, part);
      });
    }
    for (const Part part : {Part{0, huge}, Part{huge - 1, huge}}) {
      check_ok(what, [&] { return plan.pack(kX, bytes, part); });
      check_ok(what, [&] { return plan.run(bytes, kY, bytes, {}, part); });
      check_ok(what, [&] { return plan.pack_weights(std::span(bytes).last(1 << 15), part); });
    }
    check_refused(what, [&] { return plan.run_rect(bytes, kY, bytes, {}, {0, huge, 0, 1}); });
    check_refused(what, [&] { return plan.run_rect(bytes, kY, bytes, {}, {0, 1, 0, huge}); });
    check_ok(what, [&] { return plan.run_rect(bytes, kY, bytes, {}, {huge, 1, huge, 1}); });
    check_refused(what, [&] { return plan.pack_rows(kW, huge, bytes); });
    check_refused(what, [&] {
      return plan.unpack_rows(bytes, huge, {floats + 2048, 1, 32, 128, DType::f32});
    });
    Executor many;
    many.workers = huge;
    check_ok(what, [&] { return PackedWeights::pack(plan, many).status(); });
    check_ok(what, [&] { return matmul(kY, kX, kW, {}, many); });
    check_any(what, [&] { return row_bytes(DType::q4_0, huge); });
    check_any(what, [&] { return dtype_from_ggml(static_cast<uint32_t>(huge)); });
    using blas::Op;
    const auto gemm = [&](size_t m, size_t n, size_t k, size_t lda, size_t ldb, size_t ldc) {
      check_refused(what, [&] {
        return blas::gemm(Op::none, Op::none, m, n, k, 1, floats, lda, floats, ldb, 0,
                          floats + 2048, ldc);
      });
    };
    gemm(huge, 4, 4, 4, 4, 4);
    gemm(4, huge, 4, 4, 4, 4);
    gemm(4, 4, huge, 4, 4, 4);
    if (huge > kMax / 16) {  // a stride that no address has
      gemm(4, 4, 4, huge, 4, 4);
      gemm(4, 4, 4, 4, huge, 4);
      gemm(4, 4, 4, 4, 4, huge);
    }
  }
}

TEST_CASE("abuse: null with a size, and none where some is needed", "[abuse]") {
  const Matmul plan = *Matmul::plan(kW, DType::f32);
  REQUIRE(plan.worker_bytes(4) + plan.packed_w_bytes() <= sizeof(bytes));
  const Matmul packed = *plan.with_packed(bytes);
  REQUIRE(packed.worker_bytes(4) > 0);
  const GroupedMatmul groups = *GroupedMatmul::plan({kW, 1, 0}, 1, DType::f32);
  const GatedMatmul gated = *GatedMatmul::plan(plan, plan);
  const BatchedMatmul batch = *BatchedMatmul::plan(plan, 1, 0);
  for (const std::span<std::byte> none : {kNull, std::span<std::byte>()}) {
    check_refused("pack", [&] { return plan.pack(kX, none); });
    check_refused("pack_weights", [&] { return plan.pack_weights(none); });
    check_refused("with_packed", [&] { return plan.with_packed(none); });
    check_refused("pack_rows", [&] { return plan.pack_rows(kW, 0, none); });
    check_refused("unpack_rows", [&] {
      return plan.unpack_rows(none, 0, {floats + 2048, 16, 32, 128, DType::f32});
    });
    check_refused("run", [&] { return plan.run(none, kY, bytes); });
    check_refused("worker", [&] { return packed.run(bytes, kY, none); });
    check_refused("groups.pack", [&] { return groups.pack(kX, none); });
    check_refused("groups.run", [&] { return groups.run(none, 4, {}, kY, bytes); });
    check_refused("groups.worker", [&] { return groups.run(bytes, 4, {}, kY, none); });
    check_refused("groups.with_packed", [&] { return groups.with_packed(none); });
    check_refused("gated.run", [&] { return gated.run(none, kY, bytes); });
    check_refused("gated.worker", [&] { return gated.run(bytes, kY, none); });
    check_refused("batch.pack", [&] { return batch.pack({kX}, none); });
    check_refused("batch.run", [&] { return batch.run(none, {kY}, bytes); });
    check_refused("panel file", [&] { return check_panel_file(none, {}, 0); });
  }
  const std::span<const RowPair> pairs{static_cast<const RowPair*>(nullptr), 5};
  const ExpertRows rows[] = {{0, pairs, nullptr}};
  check_refused("pairs", [&] { return groups.run(bytes, 4, rows, kY, bytes); });
  const GatedGroupedMatmul gated_groups = *GatedGroupedMatmul::plan(groups, groups);
  const auto refused_by_checks = [&](const char* what, std::span<const ExpertRows> lists) {
    check_refused(what, [&] { return groups.check(kX, lists, kY); });
    check_refused(what, [&] { return gated_groups.check(kX, lists, kY); });
    check_refused(what, [&] { return gated_groups.run(bytes, 4, lists, kY, bytes); });
  };
  refused_by_checks("pairs", rows);
  for (const size_t count : {size_t{5}, kMax / 8, kMax}) {
    const std::span<const ExpertRows> none{static_cast<const ExpertRows*>(nullptr), count};
    check_refused("groups", [&] { return groups.run(bytes, 4, none, kY, bytes); });
    refused_by_checks("groups", none);
  }
  for (const size_t huge : kHuge) {
    const RowPair pair[] = {{huge, 0}}, other[] = {{0, huge}};
    const ExpertRows from[] = {{0, pair, nullptr}}, to[] = {{0, other, nullptr}},
                     expert[] = {{huge, {}, nullptr}};
    check_refused("pair.x", [&] { return groups.run(bytes, 4, from, kY, bytes); });
    check_refused("pair.y", [&] { return groups.run(bytes, 4, to, kY, bytes); });
    check_refused("expert", [&] { return groups.run(bytes, 4, expert, kY, bytes); });
    refused_by_checks("pair.x", from);
    refused_by_checks("pair.y", to);
    refused_by_checks("expert", expert);
    check_refused("tokens", [&] { return groups.run(bytes, huge, {}, kY, bytes); });
    check_refused("count", [&] { return GroupedMatmul::plan({kW, huge, huge}, 1, DType::f32); });
    // Experts without bytes.
    const Result<GroupedMatmul> none =
        GroupedMatmul::plan({{nullptr, 0, 0, 0, DType::f32}, huge, 0}, 1, DType::f32);
    if (!none.ok()) continue;
    check_any("experts", [&] { return none->pack_weights({}); });
    check_any("experts", [&] { return none->pack({nullptr, huge, 0, 0, DType::f32}, {}); });
    check_any("experts", [&] {
      return none->check({nullptr, huge, 0, 0, DType::f32}, {}, {nullptr, huge, 0, 0, DType::f32});
    });
    abuse_sizes("experts", *none);
  }
}

TEST_CASE("abuse: values that no enumerator names", "[abuse]") {
  const Matmul plan = *Matmul::plan(kW, DType::f32);
  check_ok("pack", [&] { return plan.pack(kX, bytes); });
  for (unsigned value = 0; value < 256; ++value) {
    const auto t = static_cast<DType>(value);
    const std::string what = text("value", {value});
    if (!multiplies(t)) {
      check_refused(what, [&] { return Matmul::plan({floats, 1, 256, 8192, t}, DType::f32); });
      check_refused(what, [&] { return Matmul::plan(MatShape{1, 256, t}, DType::f32); });
    }
    if (!supports(DType::f32, t)) {
      check_refused(what, [&] { return Matmul::plan(kW, t); });
      check_refused(what, [&] { return plan.run(bytes, {floats, 4, 16, 64, t}, bytes); });
    }
    if (t != DType::f32) {
      check_refused(what, [&] { return plan.pack({floats, 4, 32, 128, t}, bytes); });
      for_checks(
          {floats, 4, 32, 128, t}, kY, {}, Activation::none, 64,
          [&](const char* name, const auto& check) { check_refused(what + ' ' + name, check); });
      check_refused(what, [&] { return plan.over({floats, 16, 32, 128, t}); });
    }
    if (!can_encode(t)) {
      check_refused(what, [&] { return quantize(kX, {floats + 2048, 4, 32, 128, t}); });
    }
    at_once(what, [&] { return dtype_name(t)[0]; });
    Status with;
    with.code = static_cast<StatusCode>(value);
    at_once(what, [&] { return with.message().text[0]; });
    if (value > 2) {
      check_refused(what, [&] {
        return Matmul::plan(kW, DType::f32, {.accuracy = static_cast<Accuracy>(value)});
      });
    }
    if (value > 1) {
      const auto op = static_cast<blas::Op>(value);
      for (const bool first : {true, false}) {
        check_refused(what, [&] {
          return blas::gemm(first ? op : blas::Op::none, first ? blas::Op::none : op, 2, 2, 2, 1,
                            floats, 2, floats, 2, 0, floats + 2048, 2);
        });
      }
    }
    if (value > 3) {
      Epilogue e;
      e.activation = static_cast<Activation>(value);
      check_refused(what, [&] { return plan.run(bytes, kY, bytes, e); });
      check_refused(what, [&] { return matmul(kY, kX, kW, e); });
      for_checks(kX, kY, {}, e.activation, 64, [&](const char* name, const auto& check) {
        check_refused(what + ' ' + name, check);
      });
      GatedEpilogue gated;
      gated.gating.activation = e.activation;
      check_refused(what,
                    [&] { return GatedMatmul::plan(plan, plan)->run(bytes, kY, bytes, gated); });
    }
  }
}

// ---- C
// --------------------------------------------------------------------------------------------

TEST_CASE("abuse: C", "[abuse]") {
  const tessera_view w{floats, 16, 32, 128, TESSERA_F32}, x{floats, 4, 32, 128, TESSERA_F32};
  const tessera_mut_view y{floats + 2048, 4, 16, 64, TESSERA_F32};
  tessera_plan plan, other;
  check_ok("plan", [&] { return tessera_make_plan(&plan, &w, TESSERA_F32, nullptr); });
  check_ok("pack", [&] { return tessera_pack(&plan, &x, bytes, sizeof(bytes), nullptr); });
  tessera_sizes sizes;
  tessera_scratch_sizes scratch;
  tessera_group_plan of_groups;
  const tessera_experts one_expert{w, 1, 0};
  check_ok("plan", [&] {
    return tessera_make_group_plan(&of_groups, &one_expert, 1, TESSERA_F32, nullptr);
  });
  const auto run = [&](void* packed, size_t size, const tessera_epilogue* e,
                       const tessera_part* part) {
    return tessera_run(&plan, packed, size, &y, bytes, sizeof(bytes), e, part);
  };
  for (const size_t huge : kHuge) {
    const std::string what = text("C", {huge});
    size_t a, b;
    check_any(what, [&] { return tessera_plan_sizes(&plan, huge, &sizes); });
    check_ok(what, [&] { return tessera_plan_parts(&plan, huge, huge, &a, &b); });
    char line[8];
    check_any(what, [&] { return tessera_explain(&plan, huge, line, sizeof(line)); });
    check_any(what, [&] { return tessera_row_bytes(TESSERA_Q4_0, huge, &a); });
    check_refused(what, [&] { return tessera_pack(&plan, &x, nullptr, huge, nullptr); });
    check_refused(what, [&] { return run(nullptr, huge, nullptr, nullptr); });
    check_refused(what, [&] { return tessera_pack_weights(&plan, nullptr, huge, nullptr); });
    check_refused(what, [&] { return tessera_with_packed(&plan, nullptr, huge, &other); });
    const tessera_part parts[] = {{huge, huge}, {huge, 0}, {huge, 2}};
    for (const tessera_part& part : parts) {
      check_refused(what, [&] { return run(bytes, sizeof(bytes), nullptr, &part); });
      check_refused(what, [&] { return tessera_pack(&plan, &x, bytes, sizeof(bytes), &part); });
    }
    const tessera_rect rect{0, huge, 0, huge};
    check_refused(what, [&] {
      return tessera_run_rect(&plan, bytes, sizeof(bytes), &y, bytes, sizeof(bytes), nullptr,
                              &rect);
    });
    tessera_view bad = x;
    bad.rows = huge;
    check_refused(what, [&] { return tessera_pack(&plan, &bad, bytes, sizeof(bytes), nullptr); });
    bad = x;
    bad.cols = huge;
    check_refused(what, [&] { return tessera_pack(&plan, &bad, bytes, sizeof(bytes), nullptr); });
    check_refused(what, [&] { return tessera_matmul(&y, &bad, &w, nullptr, nullptr, nullptr); });
    check_any(what, [&] {
      return tessera_make_shape_plan(&other, huge, huge / 32 * 32, TESSERA_Q4_0, TESSERA_F32,
                                     nullptr);
    });
    const tessera_executor many{nullptr, nullptr, huge};
    check_ok(what, [&] { return tessera_matmul(&y, &x, &w, nullptr, &many, nullptr); });
    const tessera_experts experts{w, huge, huge};
    tessera_group_plan groups;
    check_refused(what, [&] {
      return tessera_make_group_plan(&groups, &experts, huge, TESSERA_F32, nullptr);
    });
    const tessera_batch batch{&plan, huge, huge};
    check_any(what, [&] { return tessera_batch_sizes(&batch, huge, &sizes); });
    check_any(what, [&] { return tessera_scratch(&plan, huge, huge, &scratch); });
    check_any(what, [&] { return tessera_scratch(&plan, 1, huge, &scratch); });
    const tessera_batch_view xs{x, huge, huge, huge};
    check_refused(what,
                  [&] { return tessera_batch_pack(&batch, &xs, bytes, sizeof(bytes), nullptr); });
    const tessera_mut_batch_view ys{y, huge, huge, huge};
    check_refused(what, [&] { return tessera_batch_check(&batch, &xs, &ys, nullptr); });
    const tessera_batch one{&plan, 1, 0};
    check_refused(what, [&] { return tessera_batch_check(&one, &xs, &ys, nullptr); });
    check_refused(what,
                  [&] { return tessera_group_check(&of_groups, &x, nullptr, huge, &y, nullptr); });
    check_refused(what, [&] {
      return tessera_gated_group_check(&of_groups, &of_groups, &x, nullptr, huge, &y, nullptr);
    });
    bad = x;
    bad.rows = huge;
    check_refused(what, [&] { return tessera_gated_check(&plan, &plan, &bad, &y, nullptr); });
    check_any(what, [&] { return tessera_group_check(&of_groups, &bad, nullptr, 0, &y, nullptr); });
    at_once(what, [&] { return tessera_targets(nullptr, huge); });

    check_ok(what, [&] { return tessera_small_parts(&plan, huge, huge, &a); });
    bad = w;
    bad.rows = huge;
    check_refused(what, [&] { return tessera_pack_rows(&plan, &bad, 0, bytes, sizeof(bytes)); });
    check_refused(what, [&] { return tessera_pack_rows(&plan, &w, huge, bytes, sizeof(bytes)); });
    check_refused(what, [&] { return tessera_pack_rows(&plan, &w, 0, nullptr, huge); });
    tessera_mut_view back{floats + 2048, 16, 32, 128, TESSERA_F32};
    check_refused(what, [&] { return tessera_unpack_rows(&plan, nullptr, huge, 0, &back); });
    check_refused(what,
                  [&] { return tessera_unpack_rows(&plan, bytes, sizeof(bytes), huge, &back); });
    back.rows = huge;
    check_refused(what, [&] { return tessera_unpack_rows(&plan, bytes, sizeof(bytes), 0, &back); });
    check_any(what, [&] { return tessera_check(&plan, &bad, &back, nullptr); });
    tessera_panels entry{};
    tessera_panel_head head;
    entry.bytes = huge;
    check_any(what, [&] { return tessera_place_panels(&entry, 1, &a); });
    check_refused(what, [&] { return tessera_place_panels(nullptr, huge, &a); });
    check_refused(what, [&] { return tessera_panel_file_head(nullptr, huge, 0, &head); });
    check_refused(what, [&] { return tessera_check_panel_file(nullptr, huge, &entry, 1, 0); });
    check_refused(what,
                  [&] { return tessera_check_panel_file(bytes, sizeof(bytes), nullptr, huge, 0); });
    if (huge > kMax / 4 / sizeof(entry)) {
      check_refused(what, [&] { return tessera_place_panels(&entry, huge, &a); });
      check_refused(what, [&] { return tessera_panel_file_head(&entry, huge, 0, &head); });
    }
    uint64_t hash;
    check_refused(what, [&] { return tessera_hash_bytes(nullptr, huge, 0, &hash); });
    CHECK(tessera_advise_huge_pages(nullptr, huge) == 0);
  }
  // Any bits as an enumerator.
  for (const int32_t value :
       {-1, 255, 256, 1 << 20, 1 << 30, INT32_MAX, INT32_MIN, INT32_MIN + 1}) {
    const std::string what = std::string("C ").append(std::to_string(value));
    tessera_view bad = x;
    bad.dtype = value;
    check_refused(what, [&] { return tessera_make_plan(&other, &bad, TESSERA_F32, nullptr); });
    check_refused(what, [&] { return tessera_make_plan(&other, &w, value, nullptr); });
    check_refused(
        what, [&] { return tessera_make_shape_plan(&other, 1, 1, value, TESSERA_F32, nullptr); });
    check_refused(what, [&] { return tessera_pack(&plan, &bad, bytes, sizeof(bytes), nullptr); });
    const tessera_options options{value, 0, nullptr};
    check_refused(what, [&] { return tessera_make_plan(&other, &w, TESSERA_F32, &options); });
    tessera_epilogue e = TESSERA_EPILOGUE;
    e.activation = value;
    check_refused(what, [&] { return run(bytes, sizeof(bytes), &e, nullptr); });
    tessera_gating gating = TESSERA_GATING;
    gating.activation = value;
    check_refused(what, [&] {
      return tessera_gated_run(&plan, &plan, bytes, sizeof(bytes), &y, bytes, sizeof(bytes),
                               &gating, nullptr);
    });
    check_refused(what, [&] { return tessera_gated_check(&plan, &plan, &x, &y, &gating); });
    check_refused(what, [&] {
      return tessera_gated_group_check(&of_groups, &of_groups, &x, nullptr, 0, &y, &gating);
    });
    const tessera_group_epilogue group_epilogue{e, 0, 0};
    check_refused(
        what, [&] { return tessera_group_check(&of_groups, &x, nullptr, 0, &y, &group_epilogue); });
    const tessera_batch batch{&plan, 1, 0};
    const tessera_batch_view xs{bad, 0, 1, 0};
    const tessera_mut_batch_view ys{y, 0, 1, 0};
    check_refused(what, [&] { return tessera_batch_check(&batch, &xs, &ys, nullptr); });
    size_t row;
    check_refused(what, [&] { return tessera_row_bytes(value, 1, &row); });
    CHECK(tessera_multiplies(value) == 0);
    CHECK(tessera_can_encode(value) == 0);
    CHECK(tessera_supports(value, TESSERA_F32) == 0);
    CHECK(tessera_supports(TESSERA_F32, value) == 0);
    CHECK(tessera_dtype_name(value) == std::string("unknown"));
    tessera_status status{};
    status.code = value;
    char line[320];
    CHECK(tessera_status_text(&status, line, sizeof(line))[0] != '\0');
  }
}

}  // namespace
}  // namespace tessera::test

// SPDX-License-Identifier: MIT
// core/view.h and the size facts of format/list.h: views from spans and containers, row_bytes,
// dtype_info, dtype_from_ggml, check_view. (Refusals with their texts: status_test.cc; views of
// arrays: compile/tessera_alone.cc.)
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

TEST_CASE("rows_of: shape, stride and type", "[view]") {
  std::vector<float> f(12);
  const std::vector<bf16_t> b(12);
  std::vector<f16_t> h(6);

  const auto view = rows_of(f, 3, 4);
  STATIC_REQUIRE(std::is_same_v<decltype(rows_of(f, 3, 4)), MutMatView>);
  CHECK(view.data == f.data());
  CHECK(view.rows == 3);
  CHECK(view.cols == 4);
  CHECK(view.row_stride == 16);
  CHECK(view.dtype == DType::f32);

  STATIC_REQUIRE(std::is_same_v<decltype(rows_of(b, 3, 4)), MatView>);
  CHECK(rows_of(b, 3, 4).data == b.data());
  CHECK(rows_of(b, 3, 4).row_stride == 8);
  CHECK(rows_of(b, 3, 4).dtype == DType::bf16);

  STATIC_REQUIRE(std::is_same_v<decltype(rows_of(h, 2, 3)), MutMatView>);
  CHECK(rows_of(h, 2, 3).dtype == DType::f16);
  CHECK(rows_of(std::span<const float>(f), 3, 4).data == f.data());
  CHECK(rows_of(std::span<float>(f), 3, 4).data == f.data());

  const MatView read_only = view;
  CHECK(read_only.data == view.data);
  CHECK(read_only.rows == 3);
  CHECK(read_only.cols == 4);
  CHECK(read_only.row_stride == 16);
  CHECK(read_only.dtype == DType::f32);
}

TEST_CASE("rows_of: a span that is too short has no data", "[view]") {
  std::vector<float> f(12);
  CHECK(rows_of(f, 3, 4).data != nullptr);
  CHECK(rows_of(f, 2, 5).data != nullptr);
  CHECK(rows_of(f, 3, 5).data == nullptr);
  CHECK(rows_of(f, 13, 1).data == nullptr);
  CHECK(rows_of(f, 0, 99).data != nullptr);
  CHECK(rows_of(f, 99, 0).data != nullptr);
  const size_t most = std::numeric_limits<size_t>::max();
  CHECK(rows_of(f, most, most).data == nullptr);       // rows * cols wraps to 1
  CHECK(rows_of(f, most / 2 + 1, 2).data == nullptr);  // rows * cols wraps to 0
  const MatView v = rows_of(f, 3, 5);
  CHECK(check_view(v, "w").code == StatusCode::null_data);
}

TEST_CASE("dtype_of", "[view]") {
  STATIC_REQUIRE(dtype_of<float>() == DType::f32);
  STATIC_REQUIRE(dtype_of<f16_t>() == DType::f16);
  STATIC_REQUIRE(dtype_of<bf16_t>() == DType::bf16);
}

// ggml's ids and blocks, as its headers have them.
TEST_CASE("formats: ids, names, sizes", "[view]") {
  struct Row {
    uint32_t id;
    const char* name;
    size_t values, bytes;
  };
  const std::vector<Row> rows = {
      {0, "f32", 1, 4},       {1, "f16", 1, 2},      {30, "bf16", 1, 2},     {8, "q8_0", 32, 34},
      {2, "q4_0", 32, 18},    {3, "q4_1", 32, 20},   {6, "q5_0", 32, 22},    {7, "q5_1", 32, 24},
      {20, "iq4_nl", 32, 18}, {39, "mxfp4", 32, 17}, {12, "q4_K", 256, 144}, {13, "q5_K", 256, 176},
      {14, "q6_K", 256, 210}};
  std::set<DType> without_row;
  for_each_format([&](DType t) { without_row.insert(t); });
  for (const Row& r : rows) {
    const Result<DType> t = dtype_from_ggml(r.id);
    REQUIRE(t.ok());
    CHECK(static_cast<uint32_t>(*t) == r.id);
    CHECK(std::string(dtype_name(*t)) == r.name);
    CHECK(dtype_info(*t).block_values == r.values);
    CHECK(dtype_info(*t).block_bytes == r.bytes);
    CHECK(*row_bytes(*t, 5 * r.values) == 5 * r.bytes);
    CHECK(*row_bytes(*t, 0) == 0);
    without_row.erase(*t);
  }
  CHECK(without_row.empty());
  for_each_format([](DType t) {
    CHECK(*dtype_from_ggml(static_cast<uint32_t>(t)) == t);
    CHECK(is_block_format(t) == (dtype_info(t).block_values != 1));
  });
}

TEST_CASE("dtype_from_ggml: every other id is refused", "[view]") {
  std::set<uint32_t> known;
  for_each_format([&](DType t) { known.insert(static_cast<uint32_t>(t)); });
  for (uint32_t id = 0; id < 70000; ++id) {
    const Result<DType> t = dtype_from_ggml(id);
    if (known.contains(id) != t.ok()) FAIL("id " << id);
    if (!t.ok() && (t.status().code != StatusCode::unsupported_dtype || t.status().got != id)) {
      FAIL("id " << id << ": " << t.status().message().c_str());
    }
  }
  CHECK_FALSE(dtype_from_ggml(0xFFFFFFFFu).ok());
  CHECK(dtype_info(DType::q3_k).block_values == 0);
}

TEST_CASE("check_view: what is allowed", "[view]") {
  const float data[8] = {};
  CHECK(check_view({data, 2, 4, 16, DType::f32}, "w").ok());
  CHECK(check_view({data, 1, 8, 0, DType::f32}, "w").ok());   // one row needs no stride
  CHECK(check_view({data, 2, 3, 17, DType::f32}, "w").ok());  // any stride that is enough
  CHECK(check_view({nullptr, 0, 3, 0, DType::f32}, "w").ok());
  CHECK(check_view({nullptr, 3, 0, 0, DType::f32}, "w").ok());
}

}  // namespace
}  // namespace tessera::test

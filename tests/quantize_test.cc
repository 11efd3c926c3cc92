// SPDX-License-Identifier: MIT
// plan/quantize.h: every format to every format through the scalar definitions, whatever the
// strides, alignment and parts. (What the definitions themselves must say: format_test.cc.)
#include <algorithm>
#include <vector>

#include "support/suite.h"

namespace tessera::test {
namespace {

TESSERA_FORMAT_TEST(every_pair, "from every format", "[quantize]") {
  const DType from_dtype = w_dtype;
  Rng rng = suite_rng();
  const size_t rows = 5;
  for_each_format([&](DType to_dtype) {
    if (!can_encode(to_dtype)) return;
    const std::vector<size_t> widths =
        whole_blocks(from_dtype, {1, 3, 32, 63, 64, 65, 96, 160, 416});
    for (const size_t k : whole_blocks(to_dtype, widths)) {
      const Matrix from = random_weights(from_dtype, rows, k, rng);
      std::vector<float> values(rows * k);
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(from.value[i]);
      const Matrix want = encode(to_dtype, rows, k, values);
      for (const bool at_end : {true, false}) {
        for (const size_t parts : {1, 2, 5, 9}) {
          const Placement place{at_end, rng.below(4)};
          const GuardedRows source(from, rows, rng.below(8), place);
          const size_t stride = want.row_bytes + rng.below(8);
          const GuardedBuffer memory((rows - 1) * stride + want.row_bytes, place);
          for (size_t i = 0; i < parts; ++i) {
            const MutMatView to{memory.data(), rows, k, stride, to_dtype};
            const Status s = quantize(source.view(), to, {i, parts});
            INFO(s.message().c_str());
            REQUIRE(s.ok());
          }
          INFO(dtype_name(from_dtype)
               << " to " << dtype_name(to_dtype) << ", k " << k << ", stride " << stride
               << ", parts " << parts << ", offset " << place.offset);
          for (size_t r = 0; r < rows; ++r) {
            const std::byte* got = memory.data() + r * stride;
            CHECK(std::memcmp(got, want.bytes.data() + r * want.row_bytes, want.row_bytes) == 0);
            for (size_t i = want.row_bytes; r + 1 < rows && i < stride; ++i) {
              CHECK(got[i] == std::byte{GuardedBuffer::kFill});
            }
          }
          CHECK(memory.slack_untouched());
        }
      }
    }
  });
}

TESSERA_FORMAT_TEST(part_rows, "a part writes its own rows only", "[quantize]") {
  Rng rng = suite_rng();
  const size_t k = whole_blocks(w_dtype, 64);
  const Matrix from = random_weights(DType::f32, 7, k, rng);
  std::vector<float> values(from.value.begin(), from.value.end());
  const Matrix want = encode(w_dtype, 7, k, values);
  std::vector<std::byte> got(want.bytes.size(), std::byte{0xA5});
  const MutMatView to{got.data(), 7, k, want.row_bytes, w_dtype};
  const Status s = quantize(from.view(), to, {1, 3});
  if (!can_encode(w_dtype)) {
    CHECK(s.code == StatusCode::unsupported_dtype);
    CHECK(std::ranges::count(got, std::byte{0xA5}) == std::ssize(got));
    return;
  }
  REQUIRE(s.ok());
  const Range rows = split(7, 1, 1, 3);
  for (size_t i = 0; i < got.size(); ++i) {
    const size_t row = i / want.row_bytes;
    const bool mine = row >= rows.begin && row < rows.end;
    CHECK(got[i] == (mine ? want.bytes[i] : std::byte{0xA5}));
  }
}

TEST_CASE("quantize: nothing to do", "[quantize]") {
  CHECK(quantize({nullptr, 0, 32, 128, DType::f32}, {nullptr, 0, 32, 18, DType::q4_0}).ok());
  CHECK(quantize({nullptr, 3, 0, 0, DType::f32}, {nullptr, 3, 0, 0, DType::bf16}).ok());
}

}  // namespace
}  // namespace tessera::test

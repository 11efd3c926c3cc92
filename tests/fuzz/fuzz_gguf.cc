// SPDX-License-Identifier: MIT
// Any file, as `info` and `tokenize` read it.
#include "fuzz.h"

using namespace llm;

namespace {

void read_all(const std::vector<std::byte>& bytes) {
  const gguf::File file = gguf::File::parse(bytes);
  for (const auto& [key, value] : file.metadata()) {
    (void)printable(key);
    (void)value.text();
  }
  size_t sum = 0;
  for (const gguf::Tensor& t : file.tensors()) {
    (void)t.shape();
    if (!t.data.empty())
      sum += static_cast<size_t>(t.data.front()) + static_cast<size_t>(t.data.back());
  }
  test::must(sum <= 2 * 255 * file.tensors().size());
  test::there_and_back(*Tokenizer::create(file), "It is 12 o'clock,\n\xC3\xA9 <s>\xFF",
                       Specials::parse, Bos::usual);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A copy of its own, so that a read past the end is seen.
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  try {
    read_all(bytes);
  } catch (const Error&) {  // refused
  }
  return 0;
}

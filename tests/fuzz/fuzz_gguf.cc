// SPDX-License-Identifier: MIT
// Any file, as `info` and `tokenize` read it.
#include "fuzz.h"

using namespace llm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A copy of its own, so that a read past the end is seen.
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  gguf::File file;
  if (gguf::File::parse(bytes, file)) return 0;
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
  std::unique_ptr<Tokenizer> tokenizer;
  if (Tokenizer::create(file, tokenizer)) return 0;
  test::there_and_back(*tokenizer, "It is 12 o'clock,\n\xC3\xA9 <s>\xFF", Specials::parse,
                       Bos::usual);
  return 0;
}

// SPDX-License-Identifier: MIT
// forward.h with the shipped model: what must not change a bit, what may change little, and what is
// refused.
#include "forward.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gguf_builder.h"
#include "tokenizer.h"

namespace llm::test {
namespace {

// A model of the repository with its tokenizer.
struct Shipped {
  explicit Shipped(const std::string& type, Packing packing = Packing::never) {
    const std::string path = std::string(TESSERA_MODELS) + "/austen-3.7M-" + type + ".gguf";
    file = gguf::File::open(path);
    tokenizer = Tokenizer::create(file);
    model = load_model(file, tokenizer->size(), {{}, packing}, tessera::serial());
    tokens = tokenizer->encode(
        "It is a truth universally acknowledged, that a single man in "
        "possession of a good fortune, must be in want of a wife. However "
        "little known the feelings or views of such a man may be on his "
        "first entering a neighbourhood, this truth is so well fixed in the minds of "
        "the surrounding families",
        Specials::parse);
    REQUIRE(tokens.size() > 70);  // more than attention takes at a time
  }
  gguf::File file;
  std::unique_ptr<Tokenizer> tokenizer;
  Model model;
  std::vector<TokenId> tokens;
};

// The logits behind every token, [tokens, vocab], in batches of a given size.
std::vector<float> logits_of(const Shipped& shipped, size_t threads, size_t batch,
                             size_t most = std::numeric_limits<size_t>::max()) {
  tessera::ThreadPool pool(threads);
  const size_t size = std::min(most, shipped.tokens.size());
  Forward forward(shipped.model, pool, {size, batch, batch});
  std::vector<float> out;
  while (forward.position() < size) {
    const size_t count = std::min(batch, size - forward.position());
    const auto tokens = std::span(shipped.tokens).subspan(forward.position(), count);
    forward.run(tokens, count);
    for (size_t row = 0; row < count; ++row) {
      out.insert(out.end(), forward.logits(row).begin(), forward.logits(row).end());
    }
  }
  return out;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= largest)) largest = difference;  // NaN too
  }
  return largest;
}

TEST_CASE("threads change no bit", "[forward]") {
  for (const char* type : {"q8_0", "q4_0"}) {
    const Shipped shipped(type);
    for (const size_t batch : {size_t{1}, shipped.tokens.size()}) {
      INFO(type << ", batches of " << batch);
      const size_t most = batch == 1 ? 20 : batch;
      const std::vector<float> one = logits_of(shipped, 1, batch, most);
      CHECK(logits_of(shipped, 2, batch, most) == one);
      CHECK(logits_of(shipped, 3, batch, most) == one);
    }
  }
}

TEST_CASE("batches and packing change little", "[forward]") {
  const Shipped shipped("q8_0"), packed("q8_0", Packing::always);
  CHECK(shipped.model.packed_bytes == 0);
  CHECK(packed.model.packed_bytes > 3'900'000);
  const std::vector<float> whole = logits_of(shipped, 1, shipped.tokens.size());
  // The rounding of x to 8 bits amplifies the last bit of sums: some 0.1 is as sound as 0.
  CHECK(largest_difference(logits_of(shipped, 1, 1), whole) < 0.4);
  CHECK(largest_difference(logits_of(shipped, 1, 7), whole) < 0.4);
  CHECK(largest_difference(logits_of(packed, 1, 7), whole) < 0.4);
}

TEST_CASE("weights are packed as far as memory goes", "[forward]") {
  const Shipped shipped("q8_0");
  for (const auto packing : {Packing::automatic, Packing::always}) {
    for (const size_t memory : {size_t{1} << 20, size_t{1} << 30}) {
      const ModelOptions options{{}, packing, memory};
      const Model model =
          load_model(shipped.file, shipped.tokenizer->size(), options, tessera::serial());
      const bool packed = packing == Packing::always || memory > 4'000'000;
      CHECK((model.packed_bytes > 0) == packed);
      CHECK(model.layers[0].q.explain(1).packed == packed);
      CHECK(model.notes.size() == (packed ? 0 : 1));
    }
  }
  CHECK(available_memory() > 1 << 20);
}

TEST_CASE("what does not fit is refused", "[forward]") {
  const Shipped shipped("q4_0");
  tessera::ThreadPool pool(1);
  Forward forward(shipped.model, pool, {10, 4, 1});
  const std::span<const TokenId> tokens(shipped.tokens);
  const auto run = [&](size_t count) {
    return refused([&] { forward.run(tokens.first(count), 1); });
  };
  CHECK(run(5) == "5 tokens at position 0 do not fit a batch of 4 and a context of 10");
  CHECK(run(0) != "");
  for (int i = 0; i < 2; ++i) REQUIRE(run(4) == "");
  CHECK(forward.position() == 8);
  CHECK(run(3) == "3 tokens at position 8 do not fit a batch of 4 and a context of 10");
  REQUIRE_NOTHROW(forward.run(tokens.first(2), 0));
  CHECK(run(1) != "");
  forward.reset();
  CHECK(run(4) == "");

  const auto with_context = [&](size_t context) {
    return refused([&] { (void)Forward(shipped.model, pool, {context, 4, 1}); });
  };
  CHECK(with_context(std::numeric_limits<size_t>::max() / 4)
            .starts_with("not enough memory for a context of 4611686018427387903"));
  CHECK(with_context(size_t{1} << 45)
            .starts_with("not enough memory for a context of 35184372088832"));
}

TEST_CASE("a context that was reset gives the same again", "[forward]") {
  const Shipped shipped("q4_0");
  tessera::ThreadPool pool(2);
  Forward forward(shipped.model, pool, {64, 64, 1});
  const auto run = [&] {
    forward.reset();
    forward.run(std::span(shipped.tokens).first(20), 1);
    return std::vector<float>(forward.logits(0).begin(), forward.logits(0).end());
  };
  const std::vector<float> first = run();
  forward.run(std::span(shipped.tokens).subspan(20, 30), 1);
  CHECK(run() == first);
}

}  // namespace
}  // namespace llm::test

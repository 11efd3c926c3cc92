// SPDX-License-Identifier: MIT
// gguf.h: files as they should be, and each way that a file can lie about itself. Every buffer ends
// flush against an unreadable page.
#include "gguf.h"

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <limits>
#include <utility>

#include "gguf_builder.h"
#include "model.h"
#include "support/guarded.h"
#include "tokenizer.h"

namespace llm::test {
namespace {

using gguf::File;
using tessera::test::GuardedBuffer;

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
constexpr const char* kQ = "blk.0.attn_q.weight";

GuardedBuffer guarded(const std::vector<std::byte>& bytes) {
  GuardedBuffer buffer(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return buffer;
}

// The text of the error that the reader, the tokenizer or the model has for a file; "" if none has.
std::string refusal(const std::vector<std::byte>& bytes) {
  const GuardedBuffer buffer = guarded(bytes);
  return refused([&] {
    const File file = File::parse(buffer.bytes());
    (void)load_model(file, Tokenizer::create(file)->size(), {}, tessera::serial());
  });
}
std::string refusal(const Builder& builder) { return refusal(builder.build()); }

// A model with one key set to another value.
template <class T>
Builder with(std::string_view key, Kind kind, T value) {
  return tiny_model().drop(key).number(key, kind, value);
}
Builder with(std::string_view key, uint32_t value) { return with(key, Kind::u32, value); }

// A model with the record of one tensor replaced.
Builder with(const TensorRecord& record) {
  Builder b = tiny_model();
  for (TensorRecord& t : b.tensors) {
    if (t.name == kQ) t = record;
  }
  return b;
}

// A model with one more pair, which begins as given.
Builder with_pair(const Bytes& bytes) { return tiny_model().pair("k", bytes); }

Bytes key_and(Kind kind) { return Bytes().text("k").kind(kind); }
Bytes array_of(Kind element, uint64_t count) {
  return key_and(Kind::array).kind(element).put(count);
}

#define CHECK_REFUSED(file, text)                   \
  do {                                              \
    const std::string message = refusal(file);      \
    INFO("message: " << message);                   \
    CHECK(message.find(text) != std::string::npos); \
  } while (false)

TEST_CASE("a valid model is read", "[gguf]") {
  Builder b = tiny_model();
  b.number("x.u8", Kind::u8, uint8_t{200}).number("x.i64", Kind::i64, int64_t{-5});
  b.number("x.bool", Kind::boolean, uint8_t{1}).numbers("x.f64", Kind::f64, std::vector{1.5, 2.5});
  b.numbers("x.i16", Kind::i16, std::vector<int16_t>{-3, 4, 5, 6, 7, 8, 9});
  const GuardedBuffer buffer = guarded(b.build());
  const File file = File::parse(buffer.bytes());
  CHECK(file.version() == 3);
  CHECK(file.size() == buffer.size());
  CHECK(file.tensors().size() == 11);
  REQUIRE(file.tensor(kQ) != nullptr);
  CHECK(file.tensor(kQ)->shape() == "[32, 32]");
  CHECK(file.tensor(kQ)->data.size() == 4096);
  CHECK(file.tensor(kQ)->data.data() == buffer.data() + file.tensor(kQ)->offset);
  CHECK(file.tensor("absent") == nullptr);

  const auto natural = [&](const char* key) { return refused([&] { (void)file.natural(key); }); };
  CHECK(file.natural("x.u8") == 200);
  CHECK(natural("x.i64") == "x.i64 = -5 is negative");
  CHECK(natural("x.bool") == "x.bool is bool, not u64");
  CHECK(natural("absent") == "absent is missing");
  CHECK(file.natural("absent", 7) == 7);
  CHECK(file.get<bool>("x.bool"));
  CHECK(file.get<float>("llama.attention.layer_norm_rms_epsilon") == 1e-5f);
  CHECK(refused([&] { (void)file.get<float>("x.f64"); }) == "x.f64 is an array of f64, not f32");
  CHECK(file.get<std::string_view>("general.architecture") == "llama");
  CHECK(file.get("absent", std::string_view("usual")) == "usual");
  CHECK(file.find("x.i16")->text() == "[7] -3, 4, 5, 6, 7, 8, ...");
  CHECK(file.find("x.f64")->text() == "[2] 1.5, 2.5");
  CHECK(file.find("general.architecture")->text() == "\"llama\"");
  CHECK(file.find("x.bool")->text() == "1");
}

TEST_CASE("what is unusual but right is read", "[gguf]") {
  CHECK(refusal(tiny_model()) == "");
  Builder b = tiny_model();
  b.version = 2;
  CHECK(refusal(b) == "");
  b = tiny_model();
  std::vector<std::byte> more = b.build();
  more.resize(more.size() + 36);
  CHECK(refusal(more) == "");
  b = tiny_model();
  b.u32("general.alignment", 4096).alignment = 4096;
  CHECK_REFUSED(b, "is not a multiple of the alignment 4096");  // the offsets are multiples of 32
  Builder empty;
  const std::vector<std::byte> bytes = empty.build();
  CHECK_NOTHROW(File::parse(bytes));
  CHECK_REFUSED(bytes, "tokenizer.ggml.model is missing");
  CHECK(refusal(with("llama.context_length", 0xFFFFFFFFu)) == "");
  CHECK(refusal(with("tokenizer.ggml.bos_token_id", 0xFFFFFFFFu)) == "");  // "none"
  CHECK(refusal(with("llama.block_count", Kind::u64, uint64_t{1})) == "");
  CHECK(refusal(tiny_model()
                    .drop("llama.attention.head_count_kv")
                    .drop("blk.0.attn_k.weight")
                    .drop("blk.0.attn_v.weight")
                    .f32("blk.0.attn_k.weight", {32, 32})
                    .f32("blk.0.attn_v.weight", {32, 32})) == "");
  CHECK(refusal(tiny_model().f32("output.weight", {32, 272})) == "");
}

TEST_CASE("a file that is cut anywhere is refused", "[gguf]") {
  const std::vector<std::byte> whole = tiny_model().build();
  size_t step = 1;  // every byte of the header, and some of the data
  for (size_t size = 0; size < whole.size(); size += step) {
    if (size > 8000) step = 997;
    const std::vector<std::byte> cut(whole.begin(),
                                     whole.begin() + static_cast<std::ptrdiff_t>(size));
    INFO("cut at " << size << " of " << whole.size());
    CHECK(refusal(cut) != "");
  }
  CHECK_REFUSED(std::vector<std::byte>(3),
                "header: the file ends, 4 bytes are needed and 3 are left");
  CHECK_REFUSED(std::vector<std::byte>(whole.begin(), whole.begin() + 24),
                "the header counts 14 metadata pairs, but 0 bytes are left");
}

TEST_CASE("a wrong byte anywhere is refused or read, nothing worse", "[gguf]") {
  const std::vector<std::byte> whole = tiny_model().build();
  for (size_t at = 0; at < whole.size() && at < 9000; ++at) {
    for (const unsigned value : {0x00u, 0x7Fu, 0x80u, 0xFFu}) {
      if (at > 600 && at < 7000 && at % 7 != 0) continue;  // within the vocabulary
      std::vector<std::byte> bytes = whole;
      bytes[at] = static_cast<std::byte>(value);
      (void)refusal(bytes);
    }
  }
  SUCCEED();
}

TEST_CASE("header", "[gguf]") {
  Builder b = tiny_model();
  b.magic = 0x67676D6Cu;
  CHECK_REFUSED(b, "not a GGUF file: it begins with \"lmgg\"");
  for (const uint32_t version : {0u, 1u, 4u}) {
    b = tiny_model();
    b.version = version;
    CHECK_REFUSED(b, "GGUF version " + std::to_string(version) + " is not read");
  }
  b.version = 0x03000000u;
  CHECK_REFUSED(b, "GGUF version 50331648 is not read (2 and 3 are); it may be big-endian");
  for (const uint64_t count : {uint64_t{1} << 63, kMost, uint64_t{1} << 60, uint64_t{1} << 32}) {
    b = tiny_model();
    b.n_pairs = count;
    CHECK_REFUSED(b, "the header counts " + std::to_string(count) + " metadata pairs, but ");
    b = tiny_model();
    b.n_tensors = count;
    CHECK_REFUSED(b, "the header counts " + std::to_string(count) + " tensors, but ");
  }
  b = tiny_model();
  b.n_pairs = b.pairs.size() + 1;
  CHECK(refusal(b) != "");
  b = tiny_model();
  b.n_tensors = b.tensors.size() + 1;
  CHECK(refusal(b) != "");
}

TEST_CASE("files that are something else say what", "[gguf]") {
  const auto said = [](std::string_view text) { return refusal(Bytes().raw(text).data); };
  CHECK(said("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
            .ends_with("; it is a pointer of Git LFS, not the file itself: `git lfs pull` fetches "
                       "that"));
  CHECK(said("<!doctype html><html><body>404</body></html>").find("a page of HTML") !=
        std::string::npos);
  CHECK(said("\r\n<html>").find("a page of HTML") != std::string::npos);
  CHECK(said(std::string("\x40\0\0\0\0\0\0\0{\"a\":", 13)).find("a safetensors file") !=
        std::string::npos);
  CHECK(said("PK\x03\x04 and more").find("a ZIP archive") != std::string::npos);
  CHECK(said("{\"error\": 1}").find("a file of JSON") != std::string::npos);
  CHECK(said("nonsense") == "not a GGUF file: it begins with \"nons\"");
  std::vector<std::byte> cut = tiny_model().build();
  cut.resize(cut.size() - 1);
  CHECK(refusal(cut).ends_with("; the file is not complete: was a download cut off?"));
}

TEST_CASE("files that are no model of ours are called what they are", "[gguf]") {
  const auto refused_by = [](const Builder& builder) {
    const std::vector<std::byte> bytes = builder.build();
    const File file = File::parse(bytes);
    return refused([&] { check_architecture(file); });
  };
  const auto named = [](std::string_view name) {
    return Builder().string("general.architecture", name);
  };
  CHECK(refused_by(named("clip")).find("reads images or sound") != std::string::npos);
  CHECK(refused_by(named("llama").string("general.type", "mmproj")).find("images or sound") !=
        std::string::npos);
  CHECK(refused_by(named("llama").string("general.type", "adapter")) ==
        "it is an adapter (LoRA) for a model, not a model");
  CHECK(refused_by(Builder().string("general.type", "imatrix")) ==
        "it is an importance matrix for quantizing, not a model");
  CHECK(refused_by(named("nomic-bert")) ==
        "general.architecture = \"nomic-bert\" is not supported (it is a model for embeddings); "
        "llama, qwen2, qwen3, qwen2moe, qwen3moe, olmoe, gpt-oss are");
  CHECK(refused_by(named("qwen35")).starts_with("general.architecture = \"qwen35\" is not"));
  CHECK(refused_by(named("llama")) == "");
}

TEST_CASE("arrays with a number for each layer", "[gguf]") {
  const auto with_heads = [](const std::vector<int32_t>& heads) {
    const std::string key = "llama.attention.head_count_kv";
    return refusal(tiny_model().drop(key).numbers(key, Kind::i32, heads));
  };
  CHECK(with_heads({2}) == "");
  CHECK(with_heads({2, 2, 2}) == "");
  CHECK(with_heads({2, 2, 4}) ==
        "llama.attention.head_count_kv = [3] 2, 2, 4: layers that differ are not run");
  CHECK(with_heads({}) == "llama.attention.head_count_kv is an array of i32, not u64");
  CHECK(with_heads({-2, -2}).ends_with("is negative"));
}

TEST_CASE("types of tensors that are listed and not run", "[gguf]") {
  for (const auto& [type, name] : {std::pair{40u, "nvfp4"}, {41u, "q1_0"}}) {
    Builder b = tiny_model();
    for (TensorRecord& t : b.tensors) {
      if (t.name == kQ) t.dims = {128, 32}, t.type = type;
    }
    const std::vector<std::byte> bytes = b.build();
    const File file = File::parse(bytes);
    CHECK(gguf::type_name(file.tensor(kQ)->dtype) == std::string(name));
    CHECK_REFUSED(b, std::string("tensor ") + kQ + " is of type " + name + ", which is not run");
  }
  CHECK(gguf::block_size(40)->values == 64);
  CHECK(gguf::block_size(41)->values == 128);
}

// A model in three files: the first one has the metadata, the others two tensors each.
TEST_CASE("a model in parts is opened by its first one", "[gguf]") {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("parts-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const auto path = [&](int i) {
    return (folder / ("m-0000" + std::to_string(i) + "-of-00003.gguf")).string();
  };
  const auto write = [&](int i, const Builder& builder) {
    const std::vector<std::byte> bytes = builder.build();
    std::ofstream(path(i), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  };
  const auto part = [](uint32_t number) {
    return Builder().u32("split.count", 3).u32("split.no", number);
  };
  write(1, part(0).f32("a", {4}));
  write(2, part(1).f32("b", {8}));
  CHECK(refused([&] { (void)File::open_parts(path(1)); }) ==
        path(1) + ": " + path(3) + ": No such file or directory");
  write(3, part(2).f32("c", {16}).f32("d", {32}));
  const File whole = File::open_parts(path(1));
  CHECK(whole.parts() == 3);
  CHECK(whole.tensors().size() == 4);
  REQUIRE(whole.tensor("d") != nullptr);
  CHECK(whole.tensor("d")->data.size() == 128);
  CHECK(whole.tensor("d")->data[127] == std::byte{0});
  CHECK(whole.more_paths() == std::vector<std::string>{path(2), path(3)});
  CHECK(File::open(path(1)).tensors().size() == 1);
  write(1, part(0).f32("a", {4}).number("split.tensors.count", Kind::i32, int32_t{4}));
  CHECK(File::open_parts(path(1)).tensors().size() == 4);
  write(1, part(0).f32("a", {4}).number("split.tensors.count", Kind::i32, int32_t{5}));
  CHECK(refused([&] { (void)File::open_parts(path(1)); }) ==
        path(1) + ": its parts have 4 tensors, but split.tensors.count = 5");
  write(2, part(2).f32("b", {8}));
  CHECK(refused([&] { (void)File::open_parts(path(1)); }) ==
        path(1) + ": " + path(2) + ": it is part 3 of 3 (split.no and split.count)");
  write(2, Builder().u32("split.count", 2).u32("split.no", 1).f32("b", {8}));
  CHECK(refused([&] { (void)File::open_parts(path(1)); }) ==
        path(1) + ": " + path(2) + ": it is part 2 of 2 (split.no and split.count)");
  write(2, Builder().f32("b", {8}));
  CHECK(refused([&] { (void)File::open_parts(path(1)); }) ==
        path(1) + ": " + path(2) + ": split.no is missing");
  write(2, part(1).f32("b", {8}));
  CHECK(refused([&] { (void)File::open_parts(path(2)); }) ==
        path(2) + ": it is not the first part; that is " + path(1));
  write(3, part(2).f32("a", {16}));
  CHECK(refused([&] { (void)File::open_parts(path(1)); }).find("tensor a stands in ") !=
        std::string::npos);
  std::filesystem::rename(path(1), folder / "first.gguf");
  CHECK(refused([&] {
          (void)File::open_parts((folder / "first.gguf").string());
        }).ends_with("its name does not end in -00001-of-00003.gguf"));
  std::filesystem::remove_all(folder);
}

TEST_CASE("keys", "[gguf]") {
  const auto keyed = [](std::string_view key) {
    return with_pair(Bytes().text(key).kind(Kind::u32).put(uint32_t{1}));
  };
  CHECK_REFUSED(keyed(""), "metadata pair 14: a key of 0 bytes (1 to 65535 are allowed)");
  CHECK_REFUSED(keyed(std::string(65536, 'k')), "a key of 65536 bytes (1 to 65535 are allowed)");
  CHECK_REFUSED(keyed("\xFF\xFE"), "the key \"\\xFF\\xFE\" is not text");
  CHECK_REFUSED(keyed(std::string_view("a\0b", 3)), "the key \"a\\x00b\" is not text");
  CHECK_REFUSED(keyed("llama.block_count"), "the key llama.block_count stands there twice");
  CHECK(refusal(keyed(std::string(65535, 'k'))) == "");
  CHECK(refusal(keyed("my note here")) == "");
  CHECK(refusal(keyed("caf\xC3\xA9")) == "");
  for (const uint64_t length : {uint64_t{1} << 63, kMost, kMost - 7, uint64_t{1} << 32}) {
    CHECK_REFUSED(
        with_pair(Bytes().put(length).raw("k")),
        "metadata pair 14: the file ends, " + std::to_string(length) + " bytes are needed and ");
  }
}

TEST_CASE("values", "[gguf]") {
  for (const uint32_t kind : {13u, 99u, 0xFFFFFFFFu}) {
    const std::string text = "k: kind " + std::to_string(kind) + " of value is unknown";
    CHECK_REFUSED(with_pair(Bytes().text("k").put(kind).put(uint64_t{1})), text);
    CHECK_REFUSED(with_pair(key_and(Kind::array).put(kind).put(uint64_t{1}).put(uint64_t{1})),
                  text);
  }
  for (const uint64_t length : {uint64_t{1} << 63, kMost, kMost - 8}) {
    CHECK_REFUSED(with_pair(key_and(Kind::string).put(length)),
                  "k: the file ends, " + std::to_string(length) + " bytes are needed and ");
  }
  CHECK_REFUSED(with_pair(key_and(Kind::boolean).put(uint8_t{7})), "k: a bool is 7, not 0 or 1");
  CHECK_REFUSED(with_pair(array_of(Kind::boolean, 2).put(uint8_t{1}).put(uint8_t{2})),
                "k: a bool is 2, not 0 or 1");
  CHECK_REFUSED(with_pair(array_of(Kind::array, 1).kind(Kind::u32).put(uint64_t{1}).put(7u)),
                "k: arrays of arrays are not read");
  CHECK_REFUSED(with_pair(array_of(Kind::u64, uint64_t{1} << 61)), "k: 2305843009213693952 x u64");
  CHECK_REFUSED(with_pair(array_of(Kind::string, uint64_t{1} << 60)),
                "k: 1152921504606846976 x string of at least 8 bytes each, but ");
  CHECK_REFUSED(with_pair(array_of(Kind::u8, uint64_t{1} << 40)), "k: 1099511627776 x u8");
  CHECK_REFUSED(with_pair(array_of(Kind::u8, kMost)), "k: 18446744073709551615 x u8");
  CHECK_REFUSED(with_pair(array_of(Kind::string, 1).put(kMost)),
                "k: the file ends, 18446744073709551615 bytes are needed and ");
  CHECK(refusal(with_pair(array_of(Kind::string, 0))) == "");
}

TEST_CASE("many keys take no more time each than few", "[gguf]") {
  Builder b = tiny_model();
  for (uint32_t i = 0; i < 100'000; ++i) b.u32(std::string("k").append(std::to_string(i)), i);
  CHECK(refusal(b) == "");
  CHECK_REFUSED(b.u32("k7", 7), "the key k7 stands there twice");
}

TEST_CASE("alignment", "[gguf]") {
  for (const uint32_t a : {0u, 1u, 3u, 4u, 48u}) {
    CHECK_REFUSED(with("general.alignment", a), "general.alignment = " + std::to_string(a) +
                                                    " is not a power of two of at least 8");
  }
  CHECK_REFUSED(with("general.alignment", 0x80000000u), "at offset 0 of the data, which has 0");
  CHECK_REFUSED(with("general.alignment", Kind::i32, 32), "general.alignment is i32, not u32");
  CHECK_REFUSED(tiny_model().string("general.alignment", "32"),
                "general.alignment is string, not u32");
}

TEST_CASE("tensor records", "[gguf]") {
  const std::string q = std::string("tensor ") + kQ;
  CHECK_REFUSED(with({kQ, {}}), q + " has 0 dimensions (1 to 4 are allowed)");
  CHECK_REFUSED(with({kQ, {32, 1, 1, 1, 32}}), q + " has 5 dimensions (1 to 4 are allowed)");
  CHECK_REFUSED(with({.name = kQ, .dims = {32, 32}, .n_dims = 0xFFFFFFFFu}), "has 4294967295 dim");
  CHECK_REFUSED(with({kQ, {32, 0}}), q + ": dimension 1 is 0");
  CHECK_REFUSED(with({kQ, {0, 32}}), q + ": dimension 0 is 0");
  CHECK_REFUSED(with({kQ, {32, kMost - 31}}), "32 x 18446744073709551584 values (dimension 1)");
  const uint64_t i64_most = kMost >> 1;
  CHECK_REFUSED(with({kQ, {i64_most, 2}}), "9223372036854775807 x 2 values (dimension 1)");
  CHECK_REFUSED(with({kQ, {uint64_t{1} << 32, uint64_t{1} << 32}}), "values (dimension 1) are too");
  CHECK_REFUSED(with({kQ, {uint64_t{1} << 32, (uint64_t{1} << 32) + 1}}), "are too many");
  CHECK_REFUSED(with({kQ, {4, (uint64_t{1} << 42) + 1}}), "values of f32 do not fit a file of ");
  CHECK_REFUSED(with({kQ, {i64_most}, 24}), "9223372036854775807 values of i8 do not fit a file");
  CHECK_REFUSED(with({kQ, {i64_most - 63}, 0}), "values of f32 do not fit");  // x 4 wraps
  for (const uint32_t type : {4u, 5u, 31u, 99u, 0xFFFFFFFFu}) {
    CHECK_REFUSED(with({kQ, {32, 32}, type}), q + ": type " + std::to_string(type) + " is unknown");
  }
  CHECK_REFUSED(with({kQ, {33, 32}, 8}), "rows of 33 are not a multiple of 32, the block of q8_0");
  CHECK_REFUSED(with({kQ, {32, 32}, 12}),
                "rows of 32 are not a multiple of 256, the block of q4_K");
  CHECK_REFUSED(with({"", {32, 32}}), "tensor 4: a name of 0 bytes (1 to 63 are allowed)");
  CHECK_REFUSED(with({std::string(64, 'n'), {32, 32}}), "tensor 4: a name of 64 bytes");
  CHECK_REFUSED(with({.name = kQ, .dims = {32, 32}, .name_length = kMost}),
                "tensor 4: the file ends, 18446744073709551615 bytes are needed and ");
  CHECK_REFUSED(with({"blk.0.attn_v.weight", {32, 16}}), "blk.0.attn_v.weight stands there twice");
}

TEST_CASE("places of tensors", "[gguf]") {
  const std::string q = std::string("tensor ") + kQ;
  CHECK_REFUSED(with({kQ, {32, 32}, 0, 33}), "its offset 33 is not a multiple of the alignment 32");
  CHECK_REFUSED(with({kQ, {32, 32}, 0, uint64_t{1} << 40}),
                q + ": 4096 bytes at offset 1099511627776 of the data, which has ");
  CHECK_REFUSED(with({kQ, {32, 32}, 0, kMost - 31}), "at offset 18446744073709551584 of the data");
  CHECK_REFUSED(with({kQ, {32, 32}, 0, 0}), "overlaps");
  Builder b = tiny_model();
  b.data_bytes -= 32;
  CHECK_REFUSED(b, "tensor blk.0.ffn_down.weight: 8192 bytes at offset ");
  b = tiny_model();  // behind the others, with a gap: allowed
  b.drop(kQ).data_bytes += 4096;
  CHECK(refusal(b.f32(kQ, {32, 32})) == "");
}

TEST_CASE("numbers of the model", "[gguf]") {
  const std::string heads = "llama.attention.head_count", kv = heads + "_kv";
  CHECK_REFUSED(with(heads, 3), heads + " = 3 does not divide llama.embedding_length = 32");
  CHECK_REFUSED(with(heads, 0), heads + " = 0 is not in 1 .. 4294967295");
  CHECK_REFUSED(with(heads, 0xFFFFFFFFu), heads + " = 4294967295 does not divide");
  CHECK_REFUSED(with(kv, 0), kv + " = 0 is not in 1 .. 4294967295");
  CHECK_REFUSED(with(kv, 3), kv + " = 3 does not divide " + heads + " = 4");
  CHECK_REFUSED(with(kv, 8), kv + " = 8 does not divide " + heads + " = 4");
  CHECK_REFUSED(with("llama.block_count", 0), "llama.block_count = 0 is not in");
  CHECK_REFUSED(with("llama.block_count", 0xFFFFFFFFu),
                "llama.block_count = 4294967295, but the file has 11 tensors");
  CHECK_REFUSED(with("llama.block_count", 2), "tensor blk.1.attn_norm.weight is missing");
  CHECK_REFUSED(tiny_model().drop("llama.block_count").string("llama.block_count", "1"),
                "llama.block_count is string, not u64");
  CHECK_REFUSED(with("llama.embedding_length", 64),
                "tensor token_embd.weight has the shape [32, 272], the model needs [64, 272]");
  CHECK_REFUSED(with("llama.feed_forward_length", 96),
                "tensor blk.0.ffn_gate.weight has the shape [32, 64], the model needs [32, 96]");
  CHECK_REFUSED(with("llama.context_length", 0), "llama.context_length = 0 is not in");
  const std::string rope = "llama.rope.dimension_count";
  for (const uint32_t dims : {7u, 10u, 64u}) {
    CHECK_REFUSED(with(rope, dims), rope + " = " + std::to_string(dims) +
                                        " must be even and at most the size of a head = 8");
  }
  for (const float value : {0.0f, -1.0f, std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
    for (const char* key :
         {"llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base",
          "llama.rope.scaling.factor", "llama.rope.scaling.attn_factor",
          "llama.rope.scaling.yarn_beta_fast", "llama.rope.scaling.yarn_beta_slow"}) {
      CHECK_REFUSED(with(key, Kind::f32, value), "is not a finite number above 0");
    }
  }
  CHECK_REFUSED(with("llama.attention.key_length", 16),
                "attn_q.weight has the shape [32, 32], the model needs [32, 64]");
  CHECK_REFUSED(with("llama.attention.key_length", 1 << 20),
                "llama.attention.key_length = 1048576 is more than the largest head = 65536");
  CHECK_REFUSED(with("llama.attention.value_length", 16), "= 16 is not supported, only 8 is");
  CHECK_REFUSED(with("llama.rope.scaling.original_context_length", 0),
                "llama.rope.scaling.original_context_length = 0 is not in 1 .. 4294967295");
  CHECK_REFUSED(with("llama.expert_count", 8), "llama.expert_used_count is missing");
  CHECK_REFUSED(with("split.count", 3), "split.count = 3 is not supported, only 1 is");
  CHECK_REFUSED(tiny_model().string("llama.rope.scaling.type", "longrope"),
                "llama.rope.scaling.type = \"longrope\" is not supported; none, linear and yarn");
  CHECK_REFUSED(tiny_model().drop("general.architecture").string("general.architecture", "gpt2"),
                "general.architecture = \"gpt2\" is not supported; llama, qwen2, qwen3, qwen2moe, "
                "qwen3moe, olmoe, gpt-oss are");
  for (const char* key :
       {"general.architecture", "llama.block_count", "llama.embedding_length",
        "llama.feed_forward_length", "llama.context_length", "llama.attention.head_count",
        "tokenizer.ggml.tokens", "llama.attention.layer_norm_rms_epsilon"}) {
    CHECK_REFUSED(tiny_model().drop(key), std::string(key) + " is missing");
  }
}

TEST_CASE("tensors of the model", "[gguf]") {
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.0.attn_k.weight"}) {
    CHECK_REFUSED(tiny_model().drop(name), "tensor " + std::string(name) + " is missing");
  }
  CHECK_REFUSED(tiny_model().drop("output_norm.weight").f32("output_norm.weight", {64}),
                "tensor output_norm.weight has the shape [64], the model needs [32]");
  CHECK_REFUSED(tiny_model().drop("token_embd.weight").f32("token_embd.weight", {32, 271}),
                "token_embd.weight has the shape [32, 271], but tokenizer.ggml.tokens has 272");
  CHECK_REFUSED(with({kQ, {32, 32}, 26, tiny_model().tensors[4].offset}),
                "i32 (ggml type 26)");  // known to ggml, but not multiplied here
  CHECK_REFUSED(tiny_model().f32("rope_freqs.weight", {4}),
                "tensor rope_freqs.weight: value 0 is 0, not above 0");
  for (const char* name : {"blk.0.ffn_gate_inp.weight", "blk.1.attn_norm.weight"}) {
    CHECK_REFUSED(tiny_model().f32(name, {32}),
                  "tensor " + std::string(name) + " belongs to a kind of model that this program");
  }
}

TEST_CASE("tensors of foreign types", "[gguf]") {
  Builder b = tiny_model(256);  // all zeros; iq4_xs has 136 bytes for 256 values
  for (TensorRecord& t : b.tensors) {
    if (t.name == kQ || t.name == "token_embd.weight") t.type = 23;
  }
  const std::vector<std::byte> bytes = b.build();
  for (const Packing packing : {Packing::never, Packing::always}) {
    const File file = File::parse(bytes);
    const Model model = load_model(file, 272, {{}, packing}, tessera::serial());
    REQUIRE(model.notes.size() == 1);
    CHECK(
        model.notes[0].starts_with("2 tensors of type iq4_xs run as q8_0: 0.1 MiB become 0.1 MiB"));
    CHECK(model.embedding.dtype == tessera::DType::q8_0);
    CHECK((model.packed_bytes > 0) == (packing == Packing::always));
  }
  CHECK_REFUSED(with({kQ, {256, 4}, 16, tiny_model().tensors[4].offset}),
                "tensor blk.0.attn_q.weight has the shape [256, 4]");
  for (TensorRecord& t : b.tensors) {
    if (t.name == kQ) t.type = 24;
  }
  CHECK_REFUSED(b, "i8 (ggml type 24)");
}

TEST_CASE("tensors of blocks of 256 run as they are", "[gguf]") {
  for (const tessera::DType type :
       {tessera::DType::q4_k, tessera::DType::q5_k, tessera::DType::q6_k}) {
    Builder b = tiny_model(256);  // all zeros
    for (TensorRecord& t : b.tensors) {
      if (t.dims.size() == 2) t.type = static_cast<uint32_t>(type);
    }
    const std::vector<std::byte> bytes = b.build();
    const File file = File::parse(bytes);
    for (const Packing packing : {Packing::never, Packing::automatic, Packing::always}) {
      const Model model = load_model(file, 272, {{}, packing}, tessera::serial());
      CHECK(model.notes.empty());
      CHECK(model.embedding.dtype == type);
      CHECK(model.embedding.data == file.tensor("token_embd.weight")->data.data());
      CHECK((model.packed_bytes > 0) == (packing != Packing::never));
    }
  }
}

TEST_CASE("vocabulary", "[gguf]") {
  const auto ids = [](const char* name) { return std::string("tokenizer.ggml.") + name; };
  const auto tokens = [&](const std::vector<std::string>& values) {
    return tiny_model().drop(ids("tokens")).strings(ids("tokens"), values);
  };
  CHECK_REFUSED(tokens({}), "tokenizer.ggml.tokens has 0 tokens");
  CHECK_REFUSED(tokens({"a"}), "tokenizer.ggml.scores has 272 entries for 1 tokens");
  CHECK_REFUSED(
      tiny_model().drop(ids("scores")).numbers(ids("scores"), Kind::f32, std::vector{0.f}),
      "tokenizer.ggml.scores has 1 entries for 272 tokens");
  CHECK_REFUSED(
      tiny_model().drop(ids("scores")).numbers(ids("scores"), Kind::u8, std::vector<uint8_t>(272)),
      "tokenizer.ggml.scores is an array of u8, not an array of f32");
  CHECK_REFUSED(tiny_model()
                    .drop(ids("scores"))
                    .numbers(ids("scores"), Kind::f32,
                             std::vector<float>(272, std::numeric_limits<float>::quiet_NaN())),
                "tokenizer.ggml.scores[0] is not a number");
  const auto types = [&](const std::vector<int32_t>& values) {
    return tiny_model().drop(ids("token_type")).numbers(ids("token_type"), Kind::i32, values);
  };
  CHECK_REFUSED(types({6}), "tokenizer.ggml.token_type has 1 entries for 272 tokens");
  CHECK_REFUSED(types(std::vector<int32_t>(272, 77)), "token_type[0] = 77 is not in 0 .. 6");
  CHECK_REFUSED(types(std::vector<int32_t>(272, -1)), "token_type[0] = -1 is not in 0 .. 6");
  CHECK_REFUSED(types(std::vector<int32_t>(272, 6)),
                "tokenizer.ggml.tokens[0] is of type byte, but \"<unk>\" is not <0x00> .. <0xFF>");
  for (const char* text : {"<0x-1>", "<0xZZ>", "", "<0x1>", "<0x001>", "\xFF\xC0"}) {
    std::vector<std::string> values(272, "x");
    values[3] = text;
    CHECK_REFUSED(tokens(values), "tokenizer.ggml.tokens[3] is of type byte, but \"");
  }
  for (const char* name : {"bos_token_id", "eos_token_id", "unknown_token_id"}) {
    CHECK_REFUSED(with(ids(name), 272), ids(name) + " = 272, but there are 272 tokens");
    CHECK_REFUSED(with(ids(name), Kind::i32, -2), ids(name) + " = -2 is negative");
  }
  CHECK_REFUSED(tiny_model().drop(ids("model")).string(ids("model"), "bert"),
                "tokenizer.ggml.model = \"bert\" is not supported, \"llama\" and "
                "\"gpt2\" are");
  // Twice the same text is odd, but harmless.
  std::vector<std::string> same(272, "a");
  CHECK(refusal(
            types(std::vector<int32_t>(272, 1)).drop(ids("tokens")).strings(ids("tokens"), same)) ==
        "");
}

TEST_CASE("a file on disk that is none", "[gguf]") {
  CHECK(refused([] { (void)File::open("/nonexistent/model.gguf"); }) ==
        "/nonexistent/model.gguf: No such file or directory");
  CHECK(refused([] { (void)File::open("/"); }) == "/ is not a regular file");
}

}  // namespace
}  // namespace llm::test

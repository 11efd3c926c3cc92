// SPDX-License-Identifier: MIT
#include "gguf.h"

#include <algorithm>
#include <bit>
#include <cinttypes>

namespace llm::gguf {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies");

// Least bytes of a metadata pair (length, one byte of key, kind, one byte of
// value) and of a tensor's record (length, one byte of name, number of
// dimensions, one dimension, type, offset).
constexpr size_t kLeastPairBytes = 8 + 1 + 4 + 1;
constexpr size_t kLeastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;
constexpr size_t kLongestKey = 65535;
constexpr size_t kLongestTensorName = 63;

// What there is to know of each kind of value, by its number.
enum class Class : uint8_t { natural, integer, real, other };
struct KindFacts {
  const char* name;
  size_t least_bytes;
  Class number;
};
constexpr KindFacts kKinds[] = {
    {"u8", 1, Class::natural},  {"i8", 1, Class::integer},  {"u16", 2, Class::natural},
    {"i16", 2, Class::integer}, {"u32", 4, Class::natural}, {"i32", 4, Class::integer},
    {"f32", 4, Class::real},    {"bool", 1, Class::other},  {"string", 8, Class::other},
    {"array", 1, Class::other}, {"u64", 8, Class::natural}, {"i64", 8, Class::integer},
    {"f64", 8, Class::real}};

const KindFacts& facts(Kind kind) { return kKinds[static_cast<size_t>(kind)]; }

// Values and bytes of a block, for all types of ggml: `info` shows files that
// nothing here runs.
using enum tessera::DType;
constexpr auto kNvfp4 = static_cast<tessera::DType>(40), kQ1 = static_cast<tessera::DType>(41);
constexpr BlockSize kBlockSizes[] = {
    {f32, 1, 4},       {f16, 1, 2},        {q4_0, 32, 18},   {q4_1, 32, 20},   {q5_0, 32, 22},
    {q5_1, 32, 24},    {q8_0, 32, 34},     {q8_1, 32, 36},   {q2_k, 256, 84},  {q3_k, 256, 110},
    {q4_k, 256, 144},  {q5_k, 256, 176},   {q6_k, 256, 210}, {q8_k, 256, 292}, {iq2_xxs, 256, 66},
    {iq2_xs, 256, 74}, {iq3_xxs, 256, 98}, {iq1_s, 256, 50}, {iq4_nl, 32, 18}, {iq3_s, 256, 110},
    {iq2_s, 256, 82},  {iq4_xs, 256, 136}, {i8, 1, 1},       {i16, 1, 2},      {i32, 1, 4},
    {i64, 1, 8},       {f64, 1, 8},        {iq1_m, 256, 56}, {bf16, 1, 2},     {tq1_0, 256, 54},
    {tq2_0, 256, 66},  {mxfp4, 32, 17},    {kNvfp4, 64, 36}, {kQ1, 128, 18}};

// The integer in the bytes of one value, sign-extended if it has a sign.
uint64_t integer(Kind kind, Bytes bytes) {
  uint64_t bits = 0;
  const size_t size = facts(kind).least_bytes;
  std::memcpy(&bits, bytes.data(), size);
  const uint64_t sign = uint64_t{1} << (8 * size - 1);
  const bool negative = facts(kind).number == Class::integer && bits >= sign;
  return negative ? bits | ~(sign - 1) : bits;
}

Kind read_kind(Cursor& cursor, const std::string& key) {
  const auto id = cursor.get<uint32_t>();
  if (id < std::size(kKinds)) return static_cast<Kind>(id);
  throw error("%s: kind %" PRIu32 " of value is unknown (0 to 12 are known)", key.c_str(), id);
}

// Reads what stands behind a key. `all` is what the cursor runs over.
Value read_value(Cursor& cursor, Bytes all, const std::string& key) {
  Value out;
  cursor.reading(key);
  out.kind = out.element = read_kind(cursor, key);
  if (out.kind == Kind::array) {
    out.element = read_kind(cursor, key);
    if (out.element == Kind::array) throw error("%s: arrays of arrays are not read", key.c_str());
    out.count = cursor.get<uint64_t>();
  }
  const size_t begin = cursor.at(), least = facts(out.element).least_bytes;
  if (out.count > cursor.left() / least) {
    throw error("%s: %" PRIu64 " x %s of at least %zu bytes each, but %zu bytes are left",
                key.c_str(), out.count, kind_name(out.element), least, cursor.left());
  }
  if (out.element == Kind::string) {
    for (uint64_t i = 0; i < out.count; ++i) (void)cursor.get<std::string_view>();
  } else {
    (void)cursor.take(out.count * least);
  }
  out.bytes = all.subspan(begin, cursor.at() - begin);
  const auto wrong = std::find_if(out.bytes.begin(), out.bytes.end(),
                                  [](std::byte b) { return b > std::byte{1}; });
  if (out.element == Kind::boolean && wrong != out.bytes.end()) {
    throw error("%s: a bool is %d, not 0 or 1", key.c_str(), static_cast<int>(*wrong));
  }
  return out;
}

// What a file is that somebody took for a GGUF file, if it is known.
std::string other_format(Bytes bytes) {
  constexpr size_t kLooked = 512;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min(bytes.size(), kLooked));
  const std::string words = uppercase(text);
  if (text.starts_with("version https://git-lfs")) {
    return "a pointer of Git LFS, not the file itself: `git lfs pull` fetches that";
  }
  if (words.find("<HTML") != words.npos || words.find("<!DOCTYPE HTML") != words.npos) {
    return "a page of HTML: the download went wrong";
  }
  if (text.size() > 8 && text[8] == '{') return "a safetensors file, which has to be converted";
  if (text.starts_with("PK\x03\x04")) return "a ZIP archive, as PyTorch writes, to be converted";
  if (text.starts_with("{")) return "a file of JSON";
  return "";
}

constexpr const char* kCutOff = "; the file is not complete: was a download cut off?";

Error wrong_kind(std::string_view key, const Value& value, const std::string& wanted) {
  return error("%s is %s%s, not %s", printable(key).c_str(),
               value.kind == Kind::array ? "an array of " : "", kind_name(value.element),
               wanted.c_str());
}

}  // namespace

const BlockSize* block_size(uint32_t type) {
  const auto* block =
      std::find_if(std::begin(kBlockSizes), std::end(kBlockSizes),
                   [&](const BlockSize& b) { return static_cast<uint32_t>(b.dtype) == type; });
  return block != std::end(kBlockSizes) ? block : nullptr;
}

const char* type_name(tessera::DType type) {
  return type == kNvfp4 ? "nvfp4" : type == kQ1 ? "q1_0" : tessera::dtype_name(type);
}

const char* kind_name(Kind kind) { return facts(kind).name; }

std::string Value::text() const {
  constexpr uint64_t kShown = 6;  // elements of an array
  const bool array = kind == Kind::array;
  std::string out;
  if (array) out.append("[").append(std::to_string(count)).append("]");
  Cursor cursor(bytes);
  for (uint64_t i = 0; i < std::min(count, kShown); ++i) {
    out += !array ? "" : i == 0 ? " " : ", ";
    char real[40];
    if (element == Kind::string) {
      out.append("\"").append(printable(cursor.get<std::string_view>(), array ? 24 : 200)) += '"';
    } else if (facts(element).number == Class::real) {
      const bool wide = element == Kind::f64;
      const double number = wide ? cursor.get<double>() : static_cast<double>(cursor.get<float>());
      std::snprintf(real, sizeof(real), "%.*g", wide ? 17 : 9, number);
      out += real;
    } else {
      const uint64_t n = integer(element, cursor.take(facts(element).least_bytes));
      const bool has_sign = facts(element).number == Class::integer;
      out += has_sign ? std::to_string(static_cast<int64_t>(n)) : std::to_string(n);
    }
  }
  return out + (count > kShown ? ", ..." : "");
}

std::string Tensor::shape() const {
  std::string text = "[";
  for (size_t d = 0; d < n_dims; ++d)
    text.append(d > 0 ? ", " : "").append(std::to_string(dims[d]));
  return text.append("]");
}

File File::open(const std::string& path) {
  MappedFile mapped = map_file(path);
  File file = in_file(path, [&] { return parse(mapped.bytes); });
  file.mapping_ = std::move(mapped.mapping);
  return file;
}

File File::open_parts(const std::string& path) {
  File file = open(path);
  return in_file(path, [&] {
    const uint64_t count = file.natural("split.count", 1), number = file.natural("split.no", 0);
    if (count <= 1) return std::move(file);
    constexpr uint64_t kMostParts = 99999;
    char end[40];
    std::snprintf(end, sizeof(end), "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", number + 1,
                  std::min(count, kMostParts));
    if (!path.ends_with(end) || count > kMostParts || number >= count) {
      throw error("it is part %" PRIu64 " of %" PRIu64
                  " (split.no and split.count), but its name "
                  "does not end in %s",
                  number + 1, count, end);
    }
    const std::string begin = path.substr(0, path.size() - std::strlen(end));
    for (uint64_t i = 0; i < count; ++i) {
      std::snprintf(end, sizeof(end), "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", i + 1, count);
      if (number != 0) throw error("it is not the first part; that is %s", (begin + end).c_str());
      if (i == 0) continue;
      File part = open(begin + end);
      in_file(begin + end, [&] {
        const uint64_t own = part.natural("split.no"), of = part.natural("split.count");
        if (own == i && of == count) return;
        throw error("it is part %" PRIu64 " of %" PRIu64 " (split.no and split.count)", own + 1,
                    of);
      });
      file.add_part(std::move(part), begin + end);
    }
    const uint64_t tensors = file.natural("split.tensors.count", file.tensors_.size());
    if (tensors != file.tensors_.size()) {
      throw error("its parts have %zu tensors, but split.tensors.count = %" PRIu64,
                  file.tensors_.size(), tensors);
    }
    return std::move(file);
  });
}

void File::add_part(File part, const std::string& path) {
  for (const Tensor& t : part.tensors_) {
    if (!tensor_index_.emplace(t.name, tensors_.size()).second) {
      throw error("tensor %s stands in %s again", printable(t.name).c_str(), path.c_str());
    }
    tensors_.push_back(t);
  }
  bytes_of_parts_ += part.bytes_.size();
  parts_.push_back(std::move(part.mapping_));
  more_paths_.push_back(path);
}

File File::parse(Bytes bytes) {
  File file;
  file.bytes_ = bytes;
  file.parse_all();
  return file;
}

void File::parse_all() {
  Cursor cursor(bytes_, "header");
  const auto magic = cursor.get<uint32_t>();
  if (magic != 0x46554747u) {  // "GGUF"
    const std::string what = other_format(bytes_);
    throw error("not a GGUF file: it begins with \"%s\"%s%s",
                printable({reinterpret_cast<const char*>(bytes_.data()), 4}).c_str(),
                what.empty() ? "" : "; it is ", what.c_str());
  }
  version_ = cursor.get<uint32_t>();
  if (version_ != 2 && version_ != 3) {
    throw error("GGUF version %" PRIu32 " is not read (2 and 3 are)%s", version_,
                (version_ & 0xFFFFu) == 0 && version_ != 0 ? "; it may be big-endian" : "");
  }
  const auto tensors = cursor.get<uint64_t>(), pairs = cursor.get<uint64_t>();
  if (pairs > cursor.left() / kLeastPairBytes) {
    throw error("the header counts %" PRIu64 " metadata pairs, but %zu bytes are left", pairs,
                cursor.left());
  }
  if (tensors > cursor.left() / kLeastTensorBytes) {
    throw error("the header counts %" PRIu64 " tensors, but %zu bytes are left", tensors,
                cursor.left());
  }
  for (uint64_t i = 0; i < pairs; ++i) parse_pair(cursor);
  for (uint64_t i = 0; i < tensors; ++i) parse_tensor(cursor);
  place_tensors(cursor.at());
}

void File::parse_pair(Cursor& cursor) {
  const std::string what = "metadata pair " + std::to_string(metadata_.size());
  cursor.reading(what);
  const auto key = cursor.get<std::string_view>();
  const std::string shown = printable(key);
  if (key.empty() || key.size() > kLongestKey) {
    throw error("%s: a key of %zu bytes (1 to %zu are allowed)", what.c_str(), key.size(),
                kLongestKey);
  }
  if (printable(key, 4 * key.size() + 1) != key) {
    throw error("%s: the key \"%s\" is not text", what.c_str(), shown.c_str());
  }
  const Value value = read_value(cursor, bytes_, shown);
  if (!key_index_.emplace(key, metadata_.size()).second) {
    throw error("%s: the key %s stands there twice", what.c_str(), shown.c_str());
  }
  metadata_.emplace_back(key, value);
}

// Reads one record and checks what it says of itself; the place of the data
// follows later.
void File::parse_tensor(Cursor& cursor) {
  const std::string index = "tensor " + std::to_string(tensors_.size());
  cursor.reading(index);
  Tensor t;
  t.name = cursor.get<std::string_view>();
  const auto n_dims = cursor.get<uint32_t>();
  if (t.name.empty() || t.name.size() > kLongestTensorName) {
    throw error("%s: a name of %zu bytes (1 to %zu are allowed)", index.c_str(), t.name.size(),
                kLongestTensorName);
  }
  const std::string what = "tensor " + printable(t.name);
  cursor.reading(what);
  if (n_dims < 1 || n_dims > t.dims.size()) {
    throw error("%s has %" PRIu32 " dimensions (1 to %zu are allowed)", what.c_str(), n_dims,
                t.dims.size());
  }
  t.n_dims = n_dims;
  for (size_t d = 0; d < n_dims; ++d) t.dims[d] = cursor.get<uint64_t>();
  const auto type_id = cursor.get<uint32_t>();
  t.offset = cursor.get<uint64_t>();

  uint64_t values = 1, size = 0;
  for (size_t d = 0; d < n_dims; ++d) {
    const uint64_t before = values;
    if (t.dims[d] == 0) throw error("%s: dimension %zu is 0", what.c_str(), d);
    if (__builtin_mul_overflow(before, t.dims[d], &values) || values >> 63 != 0) {
      throw error("%s: %" PRIu64 " x %" PRIu64 " values (dimension %zu) are too many", what.c_str(),
                  before, t.dims[d], d);
    }
  }
  const BlockSize* block = block_size(type_id);
  if (block == nullptr) throw error("%s: type %" PRIu32 " is unknown", what.c_str(), type_id);
  t.dtype = block->dtype;
  if (t.dims[0] % block->values != 0) {
    throw error("%s: rows of %" PRIu64 " are not a multiple of %d, the block of %s", what.c_str(),
                t.dims[0], block->values, type_name(t.dtype));
  }
  if (__builtin_mul_overflow(values / block->values, block->bytes, &size) || size > bytes_.size()) {
    throw error("%s: %" PRIu64 " values of %s do not fit a file of %zu bytes%s", what.c_str(),
                values, type_name(t.dtype), bytes_.size(), kCutOff);
  }
  t.data = bytes_.first(static_cast<size_t>(size));  // the right length; place_tensors() moves it
  if (!tensor_index_.emplace(t.name, tensors_.size()).second) {
    throw error("%s stands there twice", what.c_str());
  }
  tensors_.push_back(t);
}

// Turns offsets within the data section into places in the file.
void File::place_tensors(uint64_t header_end) {
  if (const Value* value = find("general.alignment"); value != nullptr) {
    if (value->kind != Kind::u32) throw wrong_kind("general.alignment", *value, "u32");
    alignment_ = integer(value->kind, value->bytes);
    if (alignment_ < 8 || !std::has_single_bit(alignment_)) {
      throw error("general.alignment = %" PRIu64 " is not a power of two of at least 8",
                  alignment_);
    }
  }
  const uint64_t begin = (header_end + alignment_ - 1) / alignment_ * alignment_;
  const uint64_t room = begin <= bytes_.size() ? bytes_.size() - begin : 0;
  std::vector<const Tensor*> by_place;
  for (Tensor& t : tensors_) {
    const std::string name = printable(t.name);
    if (t.offset % alignment_ != 0) {
      throw error("tensor %s: its offset %" PRIu64 " is not a multiple of the alignment %" PRIu64,
                  name.c_str(), t.offset, alignment_);
    }
    if (t.offset > room || t.data.size() > room - t.offset) {
      throw error("tensor %s: %zu bytes at offset %" PRIu64 " of the data, which has %" PRIu64 "%s",
                  name.c_str(), t.data.size(), t.offset, room, kCutOff);
    }
    t.offset += begin;
    t.data = bytes_.subspan(static_cast<size_t>(t.offset), t.data.size());
    by_place.push_back(&t);
  }
  std::sort(by_place.begin(), by_place.end(),
            [](const Tensor* a, const Tensor* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < by_place.size(); ++i) {
    const Tensor &a = *by_place[i - 1], &b = *by_place[i];
    if (b.offset - a.offset < a.data.size()) {
      throw error("tensor %s at byte %" PRIu64 " overlaps %s, which has %zu bytes at %" PRIu64,
                  printable(b.name).c_str(), b.offset, printable(a.name).c_str(), a.data.size(),
                  a.offset);
    }
  }
}

const Value* File::find(std::string_view key) const {
  const auto at = key_index_.find(key);
  return at == key_index_.end() ? nullptr : &metadata_[at->second].second;
}

const Tensor* File::tensor(std::string_view name) const {
  const auto at = tensor_index_.find(name);
  return at == tensor_index_.end() ? nullptr : &tensors_[at->second];
}

const Value& File::expect(std::string_view key, bool array, Kind kind) const {
  const Value* value = find(key);
  if (value == nullptr) throw error("%s is missing", printable(key).c_str());
  if ((value->kind == Kind::array) == array && value->element == kind) return *value;
  throw wrong_kind(key, *value, std::string(array ? "an array of " : "") + kind_name(kind));
}

uint64_t File::natural(std::string_view key) const {
  const Value* value = find(key);
  const Class number = value == nullptr ? Class::other : facts(value->element).number;
  if ((number != Class::natural && number != Class::integer) || value->count == 0) {
    (void)expect(key, false, Kind::u64);  // says what is wrong
  }
  const size_t size = facts(value->element).least_bytes;
  const uint64_t n = integer(value->element, value->bytes);
  for (size_t at = size; at < value->bytes.size(); at += size) {
    if (integer(value->element, value->bytes.subspan(at)) == n) continue;
    throw error("%s = %s: layers that differ are not run", printable(key).c_str(),
                value->text().c_str());
  }
  if (number == Class::integer && n >> 63 != 0) {
    throw error("%s = %s is negative", printable(key).c_str(), value->text().c_str());
  }
  return n;
}

}  // namespace llm::gguf

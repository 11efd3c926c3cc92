// SPDX-License-Identifier: MIT
// A reader of GGUF files (versions 2 and 3, little-endian). The file is mapped and nothing is
// copied: names, values and tensors are views of the mapping. Every byte is read through one
// bounds-checked Cursor, and all that the file says about itself is checked before it is used, so
// that memory is in proportion to what is there, never to what is claimed.
#ifndef TESSERA_EXAMPLES_LLM_GGUF_H_
#define TESSERA_EXAMPLES_LLM_GGUF_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "error.h"
#include "tessera/core/dtype.h"

namespace llm::gguf {

using Bytes = std::span<const std::byte>;

/// Reads forward through bytes. A read that would pass the end gives zeros or nothing, and so do
/// all that follow: look at failed() before what was read is believed.
class Cursor {
 public:
  explicit Cursor(Bytes bytes) : bytes_(bytes) {}
  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }
  bool failed() const { return failed_; }
  /// Why it failed, for the reader of `what`.
  Error failure(const std::string& what) const;

  Bytes take(uint64_t count) {
    if (!failed_) wanted_ = count;
    failed_ = failed_ || count > left();
    if (failed_) return {};
    at_ += static_cast<size_t>(count);
    return bytes_.subspan(at_ - static_cast<size_t>(count), static_cast<size_t>(count));
  }
  /// A number as it lies, or a string: a 64-bit length and so many bytes.
  template <class T>
  T get() {
    T value{};
    if constexpr (std::is_same_v<T, std::string_view>) {
      const Bytes raw = take(get<uint64_t>());
      value = {reinterpret_cast<const char*>(raw.data()), raw.size()};
    } else if (const Bytes raw = take(sizeof(T)); !raw.empty()) {
      std::memcpy(&value, raw.data(), sizeof(T));
    }
    return value;
  }

 private:
  Bytes bytes_;
  size_t at_ = 0;
  uint64_t wanted_ = 0;
  bool failed_ = false;
};

/// The kinds of metadata values, by their number in the file.
enum class Kind : uint8_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};
const char* kind_name(Kind kind);

struct Value {
  Kind kind = Kind::u8;
  Kind element = Kind::u8;  // of an array; else the same as kind
  uint64_t count = 1;       // elements of an array
  Bytes bytes;              // as they lie in the file; all strings in it are whole
  /// A text for people: the first elements, if there are many.
  std::string text() const;
};

/// Values and bytes of a block, which rows of a type consist of.
struct BlockSize {
  tessera::DType dtype;
  uint16_t values, bytes;
};
/// Null if there is no type of this number.
const BlockSize* block_size(uint32_t type);

struct Tensor {
  std::string_view name;
  std::array<uint64_t, 4> dims = {1, 1, 1, 1};  // dims[0] lies dense: the length of a row
  size_t n_dims = 0;
  tessera::DType dtype = tessera::DType::f32;  // may be one that the library does not multiply
  uint64_t offset = 0;                         // of the data in the file
  Bytes data;
  uint64_t rows() const { return dims[1] * dims[2] * dims[3]; }
  std::string shape() const;  // "[64, 512]"
};

/// Whether read() minds that a key is missing.
enum class Need : uint8_t { required, optional };

class File {
 public:
  /// Maps a file and reads it into `out`, which must outlive whatever it hands out.
  static Error open(const std::string& path, File& out);
  /// Reads bytes that somebody else keeps.
  static Error parse(Bytes bytes, File& out);

  File() = default;
  File(File&& other) noexcept { *this = std::move(other); }
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  size_t size() const { return bytes_.size(); }
  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  const std::vector<std::pair<std::string_view, Value>>& metadata() const { return metadata_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  const Value* find(std::string_view key) const;
  const Tensor* tensor(std::string_view name) const;

  /// Sets `out` to the value of `key`. If the key is missing: an error, or nothing if it is
  /// optional. Another kind of value is an error. Integers of any width are taken, if not negative.
  Error read(std::string_view key, Need need, uint64_t& out) const;
  Error read(std::string_view key, Need need, float& out) const {
    return read_as(key, need, Kind::f32, out);
  }
  Error read(std::string_view key, Need need, bool& out) const {
    return read_as(key, need, Kind::boolean, out);
  }
  Error read(std::string_view key, Need need, std::string_view& out) const {
    return read_as(key, need, Kind::string, out);
  }
  Error read(std::string_view key, Need need, std::vector<std::string_view>& out) const {
    return read_as(key, need, Kind::string, out);
  }
  Error read(std::string_view key, Need need, std::vector<float>& out) const {
    return read_as(key, need, Kind::f32, out);
  }
  Error read(std::string_view key, Need need, std::vector<int32_t>& out) const {
    return read_as(key, need, Kind::i32, out);
  }

 private:
  Error parse_all();
  Error parse_pair(Cursor& cursor, const std::string& what);
  Error parse_tensor(Cursor& cursor, const std::string& index);
  Error place_tensors(uint64_t header_end);

  // The value of a key, if it is of this kind. Without an error it is null only if it is optional.
  Error expect(std::string_view key, Need need, bool array, Kind kind, const Value*& out) const;
  template <class T>
  Error read_as(std::string_view key, Need need, Kind kind, T& out) const {
    const Value* value = nullptr;
    if (Error e = expect(key, need, false, kind, value)) return e;
    if (value != nullptr) out = Cursor(value->bytes).get<T>();
    return {};
  }
  template <class T>
  Error read_as(std::string_view key, Need need, Kind kind, std::vector<T>& out) const {
    const Value* value = nullptr;
    if (Error e = expect(key, need, true, kind, value)) return e;
    if (value == nullptr) return {};
    out.resize(static_cast<size_t>(value->count));
    Cursor cursor(value->bytes);
    for (T& element : out) element = cursor.get<T>();
    return {};
  }

  Bytes bytes_;
  bool mapped_ = false;  // bytes_ are ours to unmap
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;  // of every tensor's data
  std::vector<std::pair<std::string_view, Value>> metadata_;
  std::vector<Tensor> tensors_;
  std::unordered_map<std::string_view, size_t> key_index_, tensor_index_;
};

}  // namespace llm::gguf

#endif  // TESSERA_EXAMPLES_LLM_GGUF_H_

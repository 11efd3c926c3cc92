// SPDX-License-Identifier: MIT
// A reader of GGUF files (versions 2 and 3, little-endian). The file is mapped
// and nothing is copied: names, values and tensors are views of the mapping.
// Every byte is read through one bounds-checked Cursor, and all that the file
// says about itself is checked before it is used, so that memory is in
// proportion to what is there, never to what is claimed.
#ifndef TESSERA_EXAMPLES_LLM_GGUF_H_
#define TESSERA_EXAMPLES_LLM_GGUF_H_

#include <array>
#include <cinttypes>
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
#include "system.h"
#include "tessera/core/dtype.h"
#include "text.h"

namespace llm::gguf {

using Bytes = std::span<const std::byte>;

/// Reads forward through bytes. A read that would pass the end throws, naming
/// what was read.
class Cursor {
 public:
  explicit Cursor(Bytes bytes, std::string what = {}) : bytes_(bytes), what_(std::move(what)) {}
  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }
  /// What follows is of this.
  void reading(std::string what) { what_ = std::move(what); }

  Bytes take(uint64_t count) {
    if (count > left()) {
      throw error("%s: the file ends, %" PRIu64 " bytes are needed and %zu are left", what_.c_str(),
                  count, left());
    }
    at_ += static_cast<size_t>(count);
    return bytes_.subspan(at_ - static_cast<size_t>(count), static_cast<size_t>(count));
  }
  /// A number as it lies, or a string: a 64-bit length and so many bytes.
  template <class T>
  T get() {
    if constexpr (std::is_same_v<T, std::string_view>) {
      const Bytes raw = take(get<uint64_t>());
      return {reinterpret_cast<const char*>(raw.data()), raw.size()};
    } else {
      T value;
      std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
      return value;
    }
  }

 private:
  Bytes bytes_;
  std::string what_;
  size_t at_ = 0;
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
/// The library's name of a type, or ggml's where the library knows none.
const char* type_name(tessera::DType type);

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

// The kind of value that a C++ type reads.
template <class T>
inline constexpr Kind kKindOf = Kind::string;
template <>
inline constexpr Kind kKindOf<float> = Kind::f32;
template <>
inline constexpr Kind kKindOf<bool> = Kind::boolean;
template <>
inline constexpr Kind kKindOf<int32_t> = Kind::i32;

/// It must outlive whatever it hands out.
class File {
 public:
  /// Maps a file and reads it.
  static File open(const std::string& path);
  /// The same; and if it is the first of several parts, the tensors of all of them.
  static File open_parts(const std::string& path);
  /// Reads bytes that somebody else keeps.
  static File parse(Bytes bytes);

  /// Bytes of all parts.
  size_t size() const { return bytes_.size() + bytes_of_parts_; }
  /// Files that it consists of.
  size_t parts() const { return 1 + parts_.size(); }
  /// The names of all but the first.
  const std::vector<std::string>& more_paths() const { return more_paths_; }
  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  const std::vector<std::pair<std::string_view, Value>>& metadata() const { return metadata_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  const Value* find(std::string_view key) const;
  const Tensor* tensor(std::string_view name) const;

  /// The value of `key`: a float, a bool or a string_view. If the key is
  /// missing, what is usual, else an error. Another kind of value is an error.
  template <class T>
  T get(std::string_view key) const {
    return Cursor(expect(key, false, kKindOf<T>).bytes).template get<T>();
  }
  template <class T>
  T get(std::string_view key, T usual) const {
    return find(key) != nullptr ? get<T>(key) : usual;
  }
  /// The same for integers of any width, if they are not negative; of an array with an element for
  /// each layer that one which all of them are.
  uint64_t natural(std::string_view key) const;
  uint64_t natural(std::string_view key, uint64_t usual) const {
    return find(key) != nullptr ? natural(key) : usual;
  }
  /// The same for an array of such values or of int32_t.
  template <class T>
  std::vector<T> list(std::string_view key) const {
    const Value& value = expect(key, true, kKindOf<T>);
    std::vector<T> out(static_cast<size_t>(value.count));
    Cursor cursor(value.bytes);
    for (T& element : out) element = cursor.get<T>();
    return out;
  }
  template <class T>
  std::vector<T> list(std::string_view key, std::vector<T> usual) const {
    return find(key) != nullptr ? list<T>(key) : std::move(usual);
  }

 private:
  void parse_all();
  void parse_pair(Cursor& cursor);
  void parse_tensor(Cursor& cursor);
  void place_tensors(uint64_t header_end);
  const Value& expect(std::string_view key, bool array, Kind kind) const;

  void add_part(File part, const std::string& path);

  Mapping mapping_;  // of bytes_, if they are ours
  std::vector<Mapping> parts_;
  std::vector<std::string> more_paths_;
  size_t bytes_of_parts_ = 0;
  Bytes bytes_;
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;  // of every tensor's data
  std::vector<std::pair<std::string_view, Value>> metadata_;
  std::vector<Tensor> tensors_;
  std::unordered_map<std::string_view, size_t> key_index_, tensor_index_;
};

}  // namespace llm::gguf

#endif  // TESSERA_EXAMPLES_LLM_GGUF_H_

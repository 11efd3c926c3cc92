// SPDX-License-Identifier: MIT
// The tensors of a GGUF file that is known to be sound: a test's own reader, which shares no code
// with the example's.
#ifndef TESSERA_TESTS_SUPPORT_GGUF_TENSORS_H_
#define TESSERA_TESTS_SUPPORT_GGUF_TENSORS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace tessera::test {

inline std::vector<char> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> shape;  // as stored: the shortest stride first
  uint32_t type = 0;
  size_t offset = 0;  // into the file
};

/// Empty if the file is not there or is not GGUF version 3.
class GgufTensors {
 public:
  explicit GgufTensors(const std::string& path) : bytes_(read_bytes(path)) {
    if (bytes_.size() < 24 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) return;
    at_ = 4;
    if (take<uint32_t>() != 3) return;
    const uint64_t tensor_count = take<uint64_t>(), entries = take<uint64_t>();
    for (uint64_t i = 0; i < entries; ++i) {
      text();
      skip_value(take<uint32_t>());
    }
    for (uint64_t i = 0; i < tensor_count; ++i) {
      GgufTensor t;
      t.name = text();
      t.shape.resize(take<uint32_t>());
      for (uint64_t& n : t.shape) n = take<uint64_t>();
      t.type = take<uint32_t>();
      t.offset = take<uint64_t>();
      tensors_.push_back(t);
    }
    const size_t data = (at_ + 31) / 32 * 32;  // these files have the default alignment
    for (GgufTensor& t : tensors_) t.offset += data;
  }

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const char* data(const GgufTensor& t) const { return bytes_.data() + t.offset; }
  size_t size() const { return bytes_.size(); }

 private:
  template <class T>
  T take() {
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  std::string text() {
    const size_t length = take<uint64_t>();
    at_ += length;
    return {bytes_.data() + at_ - length, length};
  }
  void skip_value(uint32_t type) {
    constexpr size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) {
      text();
    } else if (type == 9) {
      const uint32_t element = take<uint32_t>();
      const uint64_t count = take<uint64_t>();
      for (uint64_t i = 0; i < count; ++i) skip_value(element);
    } else {
      at_ += kSizes[type];
    }
  }

  std::vector<char> bytes_;
  size_t at_ = 0;
  std::vector<GgufTensor> tensors_;
};

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_GGUF_TENSORS_H_

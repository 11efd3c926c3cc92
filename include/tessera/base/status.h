// SPDX-License-Identifier: MIT
// Errors as values: a code, the argument that is wrong, and the numbers that show why. A Status is
// trivially copyable and never allocates; its text is written on demand.
#ifndef TESSERA_BASE_STATUS_H_
#define TESSERA_BASE_STATUS_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {

enum class StatusCode : uint8_t {
  ok,
  null_data,           // a view of a non-empty matrix without data
  shape_mismatch,      // a dimension differs from the one that it must equal
  partial_block,       // k is no multiple of the format's block, or rows of W of a panel's
  stride_too_small,    // rows overlap: the stride is less than a row's bytes
  size_overflow,       // rows * row_stride does not fit an address
  unsupported_dtype,   // no kernel takes this format here
  unknown_choice,      // a value that no enumerator of its type names
  misaligned,          // a buffer of packed data starts at an odd address
  buffer_too_small,    // a caller's buffer holds fewer bytes than asked for
  part_out_of_range,   // part.index >= part.count, or count == 0
  rect_out_of_range,   // a rectangle reaches outside y
  group_out_of_range,  // an expert or a row that there is none of
  unknown_target,      // no such target was compiled in
  unavailable_target,  // compiled in, but this CPU does not run it
  wrong_plan,          // the plan does not offer this call (see the text)
  out_of_memory,       // an allocation failed
  other_panels,        // a file of panels is not what the plans would write
};

/// The text of a Status, in place.
struct StatusText {
  char text[320] = {};
  const char* c_str() const noexcept { return text; }
};

/// Outcome of a call. `subject` names the argument and `detail` the format or rule (both static
/// strings); `got` and `want` are the offending numbers; `name` is a copy of a name given by the
/// caller.
struct [[nodiscard]] Status {
  StatusCode code = StatusCode::ok;
  const char* subject = "";
  const char* detail = "";
  uint64_t got = 0;
  uint64_t want = 0;
  char name[24] = {};

  constexpr bool ok() const noexcept { return code == StatusCode::ok; }
  /// The sentence to show a person, e.g. "k = 172 is not a multiple of 32, the block of q4_0".
  StatusText message() const noexcept;
};

namespace detail {
inline Status error(StatusCode code, const char* subject, uint64_t got = 0, uint64_t want = 0,
                    const char* detail = "") noexcept {
  Status s;
  s.code = code;
  s.subject = subject;
  s.detail = detail;
  s.got = got;
  s.want = want;
  return s;
}
}  // namespace detail

inline StatusText Status::message() const noexcept {
  StatusText out;
  const unsigned long long g = got, w = want;
  const auto print = [&out](const char* format, auto... args) {
    std::snprintf(out.text, sizeof(out.text), format, args...);
  };
  switch (code) {
    case StatusCode::ok:
      print("%s", "ok");
      break;
    case StatusCode::null_data:
      print("%s has no data but %llu bytes", subject, g);
      break;
    case StatusCode::shape_mismatch:
      print("%s = %llu, but %s = %llu", subject, g, detail, w);
      break;
    case StatusCode::partial_block:
      print("%s = %llu is not a multiple of %llu, the block of %s", name, g, w, detail);
      break;
    case StatusCode::stride_too_small:
      print("%s.row_stride = %llu bytes is less than the %llu bytes of a row of %s", subject, g, w,
            detail);
      break;
    case StatusCode::size_overflow:
      print("%s: %llu rows of %llu bytes do not fit the address space", subject, g, w);
      break;
    case StatusCode::unsupported_dtype:
      print("%s is %s (ggml type %llu), which %s", subject, name, g, detail);
      break;
    case StatusCode::unknown_choice:
      print("%s = %llu is no value of %s", subject, g, detail);
      break;
    case StatusCode::misaligned:
      print("%s starts %llu bytes past a multiple of %llu", subject, g, w);
      break;
    case StatusCode::buffer_too_small:
      print("%s has %llu bytes, needs %llu", subject, g, w);
      break;
    case StatusCode::part_out_of_range:
      print("part index %llu is outside a count of %llu", g, w);
      break;
    case StatusCode::rect_out_of_range:
      print("%s reaches to %llu of %llu", subject, g, w);
      break;
    case StatusCode::group_out_of_range:
      print("%s %llu is outside a count of %llu", subject, g, w);
      break;
    case StatusCode::unknown_target:
      print("unknown target \"%s\"; known are: %s", name, detail);
      break;
    case StatusCode::unavailable_target:
      print("this CPU does not run target %s; it runs: %s", name, detail);
      break;
    case StatusCode::wrong_plan:
      print("%s", detail);
      break;
    case StatusCode::out_of_memory:
      print("could not allocate %llu bytes for %s", g, subject);
      break;
    case StatusCode::other_panels:
      if (name[0] != '\0') {
        print("panel file: its %s is %s, not %s", subject, name, detail);
      } else {
        print("panel file: its %s is %llu, not %llu", subject, g, w);
      }
      break;
  }
  return out;
}

/// A value or the Status that explains its absence (std::expected is not in every C++20 library).
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) noexcept : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Status status) noexcept : status_(status) {}     // NOLINT(google-explicit-constructor)

  bool ok() const noexcept { return status_.ok(); }
  explicit operator bool() const noexcept { return ok(); }
  const Status& status() const noexcept { return status_; }
  /// Only when ok(); otherwise a default-constructed T.
  T& value() noexcept { return value_; }
  const T& value() const noexcept { return value_; }
  T& operator*() noexcept { return value_; }
  const T& operator*() const noexcept { return value_; }
  T* operator->() noexcept { return &value_; }
  const T* operator->() const noexcept { return &value_; }

 private:
  Status status_;
  T value_{};
};

}  // namespace tessera::inline v0_1

#endif  // TESSERA_BASE_STATUS_H_

// SPDX-License-Identifier: MIT
// Runs products through plan, pack and run. All memory lies flush against unreadable pages, of the
// size that was asked for and no more, filled with NaN before use and read-only where the library
// only reads. Uses neither Catch2 nor exceptions: an error is a text.
#ifndef TESSERA_TESTS_SUPPORT_PRODUCT_H_
#define TESSERA_TESTS_SUPPORT_PRODUCT_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/guarded.h"
#include "support/matrix.h"
#include "support/random.h"
#include "tessera/tessera.h"

namespace tessera::test {

/// Which product.
struct Setup {
  DType w = DType::f32, x = DType::f32, y = DType::f32;
  Accuracy accuracy = Accuracy::fast;
  bool packed = false;
  const char* target = nullptr;
  Blocking blocking = {};
  bool borrow_x = false;
  std::shared_ptr<const Tuning> tuning = nullptr;  // null: this CPU's
};

inline PlanOptions plan_options(const Setup& s) {
  return {s.accuracy, s.target, s.blocking, s.borrow_x, s.tuning.get()};
}

/// Where its memory lies: the place of W, x and y at any offset, bytes between their rows, and the
/// place of packed x, panels and the worker's memory, which start at multiples of 4.
struct Layout {
  Placement place = {};
  size_t w_padding = 0, x_padding = 0, y_padding = 0;
  size_t w_offset = 0, x_offset = 0, y_offset = 0, scratch_words = 0;  // beyond the common offset
  Placement w_place() const { return {place.at_end, place.offset + w_offset}; }
  Placement x_place() const { return {place.at_end, place.offset + x_offset}; }
  Placement y_place() const { return {place.at_end, place.offset + y_offset}; }
  Placement scratch() const { return {place.at_end, 4 * (place.offset + scratch_words)}; }
};

/// How its work is cut.
struct Work {
  size_t pack_parts = 1;
  size_t parts = 1;
  std::vector<Rect> rects = {};  // used instead of parts if there are any
  bool last_first = false;       // the order of the calls
};

/// Rectangles of any size that cover y[m, n], in any order.
inline std::vector<Rect> random_covering(size_t m, size_t n, Rng& rng) {
  std::vector<Rect> rects;
  for (size_t row = 0; row < m;) {
    const size_t rows = 1 + rng.below(m - row);
    for (size_t col = 0; col < n;) {
      const size_t cols = 1 + rng.below(n - col);
      rects.push_back({row, row + rows, col, col + cols});
      col += cols;
    }
    row += rows;
  }
  for (size_t i = rects.size(); i > 1; --i) std::swap(rects[i - 1], rects[rng.below(i)]);
  return rects;
}

struct Output {
  std::string error;     // empty if all went well
  std::vector<float> y;  // [m, n]; 16 bits widened, which keeps bits apart
};

inline std::string describe(const Setup& s, size_t m, size_t n, size_t k) {
  char text[256];
  std::snprintf(
      text, sizeof(text),
      "w %s, x %s%s, y %s, accuracy %s, %s, target %s, blocking {%zu, %zu, %zu}, m %zu n %zu k %zu",
      dtype_name(s.w), dtype_name(s.x), s.borrow_x ? " lent" : "", dtype_name(s.y),
      to_string(s.accuracy), s.packed ? "packed" : "in place",
      s.target != nullptr ? s.target : "(default)", s.blocking.mc, s.blocking.kc_units,
      s.blocking.nc, m, n, k);
  return text;
}

/// Rows copied to guarded memory, `padding` bytes of NaN between them.
class GuardedRows {
 public:
  GuardedRows() = default;
  GuardedRows(const Matrix& a, size_t rows, size_t padding, Placement place)
      : stride_(a.row_bytes + padding),
        buffer_(rows == 0 ? 0 : (rows - 1) * stride_ + a.row_bytes, place),
        view_{buffer_.data(), rows, a.cols, stride_, a.dtype} {
    for (size_t r = 0; r < rows && a.row_bytes != 0; ++r) {
      std::memcpy(buffer_.data() + r * stride_, a.bytes.data() + r * a.row_bytes, a.row_bytes);
    }
    buffer_.make_read_only();
  }
  const MatView& view() const { return view_; }
  void make_unreadable() { buffer_.make_unreadable(); }

 private:
  size_t stride_ = 0;
  GuardedBuffer buffer_;
  MatView view_;
};

/// y, filled with NaN (or with old values); what lies between its rows is watched.
class GuardedY {
 public:
  GuardedY(DType dtype, size_t m, size_t n, size_t padding, Placement place,
           const std::vector<float>* old = nullptr)
      : row_(n * element(dtype)),
        stride_(row_ + padding),
        buffer_(m == 0 ? 0 : (m - 1) * stride_ + row_, place),
        view_{buffer_.data(), m, n, stride_, dtype} {
    if (old == nullptr) return;
    for (size_t i = 0; i < m * n; ++i) {
      const float value = (*old)[i];
      if (dtype == DType::f32) {
        std::memcpy(at(i / n, i % n), &value, sizeof(value));
      } else {
        const uint16_t narrow = dtype == DType::f16 ? to_f16(value).bits : to_bf16(value).bits;
        std::memcpy(at(i / n, i % n), &narrow, sizeof(narrow));
      }
    }
  }

  const MutMatView& view() const { return view_; }
  std::vector<float> values() const {
    std::vector<float> out(view_.rows * view_.cols);
    for (size_t i = 0; i < out.size(); ++i) {
      const std::byte* from = at(i / view_.cols, i % view_.cols);
      if (view_.dtype == DType::f32) {
        std::memcpy(&out[i], from, sizeof(float));
      } else {
        uint16_t narrow;
        std::memcpy(&narrow, from, sizeof(narrow));
        out[i] = view_.dtype == DType::f16 ? to_float(f16_t{narrow}) : to_float(bf16_t{narrow});
      }
    }
    return out;
  }
  /// What `values` gives for an element that nobody has written.
  static uint32_t untouched_bits(DType dtype) {
    if (dtype == DType::f16) return detail::bit_cast<uint32_t>(to_float(f16_t{0xFFFF}));
    return dtype == DType::f32 ? 0xFFFFFFFFu : 0xFFFF0000u;
  }
  bool padding_untouched() const {
    for (size_t r = 0; r + 1 < view_.rows; ++r) {
      const std::byte* row = buffer_.data() + r * stride_;
      if (std::any_of(row + row_, row + stride_,
                      [](std::byte b) { return b != std::byte{GuardedBuffer::kFill}; })) {
        return false;
      }
    }
    return buffer_.slack_untouched();
  }

 private:
  static size_t element(DType dtype) { return dtype == DType::f32 ? 4 : 2; }
  std::byte* at(size_t row, size_t col) const {
    return buffer_.data() + row * stride_ + col * element(view_.dtype);
  }

  size_t row_, stride_;
  GuardedBuffer buffer_;
  MutMatView view_;
};

/// x packed by a plan, read-only. What it was packed from cannot be read any more, unless borrowed.
class PackedInput {
 public:
  template <class Plan>
  PackedInput(const Plan& plan, const Matrix& x, size_t m, const Layout& layout, size_t parts,
              std::string& error, bool borrow_x = false, bool last_first = false)
      : buffer_(plan.packed_x_bytes(m), layout.scratch()),
        rows_(x, m, layout.x_padding, layout.x_place()) {
    for (size_t i = 0; i < parts; ++i) {
      const Part part{last_first ? parts - 1 - i : i, parts};
      const Status s = plan.pack(rows_.view(), buffer_.bytes(), part);
      if (!s.ok()) error = std::string("pack: ") + s.message().c_str();
    }
    if (!borrow_x) rows_.make_unreadable();
    if (!buffer_.slack_untouched()) error = "pack wrote outside packed_x";
    buffer_.make_read_only();
  }
  std::span<const std::byte> bytes() const { return buffer_.bytes(); }
  /// x as it was packed, which may no longer be read.
  const MatView& view() const { return rows_.view(); }

 private:
  GuardedBuffer buffer_;
  GuardedRows rows_;
};

/// The first n rows of W in guarded memory, planned and, if asked for, packed, in parts or by
/// PackedWeights on the executor `owner`; then W itself is taken away.
class Product {
 public:
  Product(const Matrix& w, size_t n, const Setup& setup, const Layout& layout = {},
          size_t pack_parts = 1, const Executor* owner = nullptr)
      : setup_(setup), layout_(layout), w_(w, n, layout.w_padding, layout.w_place()) {
    const Result<Matmul> plan = Matmul::plan(w_.view(), setup.x, plan_options(setup));
    if (!plan.ok()) {
      error_ = std::string("plan: ") + plan.status().message().c_str();
      return;
    }
    plan_ = *plan;
    if (!setup.packed) return;
    if (owner != nullptr) {
      pack_weights(*owner);
    } else {
      pack_weights(pack_parts);
    }
    w_.make_unreadable();
  }

  const std::string& error() const { return error_; }
  const Matmul& plan() const { return plan_; }
  const Setup& setup() const { return setup_; }
  std::string describe(size_t m) const { return test::describe(setup_, m, plan_.n(), plan_.k()); }

  /// The first m rows of x times W^T.
  Output run(const Matrix& x, size_t m, const Epilogue& epilogue = {}, const Work& work = {},
             const std::vector<float>* old_y = nullptr) const {
    Output out;
    out.error = error_;
    if (!error_.empty()) return out;
    const PackedInput packed_x(plan_, x, m, layout_, work.pack_parts, out.error, setup_.borrow_x,
                               work.last_first);
    if (out.error.empty()) out = run_packed(packed_x.bytes(), m, epilogue, work, old_y);
    return out;
  }

  /// The same from x that a plan has packed.
  Output run_packed(std::span<const std::byte> packed_x, size_t m, const Epilogue& epilogue = {},
                    const Work& work = {}, const std::vector<float>* old_y = nullptr) const {
    Output out;
    const GuardedY y(setup_.y, m, plan_.n(), layout_.y_padding, layout_.y_place(), old_y);
    const GuardedBuffer worker(plan_.worker_bytes(m), layout_.scratch());
    const size_t calls = work.rects.empty() ? work.parts : work.rects.size();
    for (size_t call = 0; call < calls; ++call) {
      const size_t i = work.last_first ? calls - 1 - call : call;
      const Status s =
          work.rects.empty()
              ? plan_.run(packed_x, y.view(), worker.bytes(), epilogue, {i, work.parts})
              : plan_.run_rect(packed_x, y.view(), worker.bytes(), epilogue, work.rects[i]);
      if (!s.ok()) out.error = std::string("run: ") + s.message().c_str();
    }
    if (!y.padding_untouched()) out.error = "bytes between the rows of y were written";
    if (!worker.slack_untouched()) out.error = "bytes beside the worker's memory were written";
    out.y = y.values();
    return out;
  }

 private:
  void pack_weights(size_t parts) {
    panels_ = GuardedBuffer(plan_.packed_w_bytes(), layout_.scratch());
    for (size_t i = 0; i < parts; ++i) {
      const Status s = plan_.pack_weights(panels_.bytes(), {i, parts});
      if (!s.ok()) error_ = std::string("pack_weights: ") + s.message().c_str();
    }
    if (!panels_.slack_untouched()) error_ = "pack_weights wrote outside its buffer";
    panels_.make_read_only();
    const Result<Matmul> packed = plan_.with_packed(panels_.bytes());
    if (!packed.ok()) {
      error_ = std::string("with_packed: ") + packed.status().message().c_str();
      return;
    }
    plan_ = *packed;
  }
  void pack_weights(const Executor& executor) {
    Result<PackedWeights> owned = PackedWeights::pack(plan_, executor);
    if (!owned.ok()) {
      error_ = std::string("PackedWeights: ") + owned.status().message().c_str();
      return;
    }
    owned_ = std::move(*owned);
    plan_ = owned_.plan();
  }

  Setup setup_;
  Layout layout_;
  GuardedRows w_;
  GuardedBuffer panels_;
  PackedWeights owned_;
  Matmul plan_;
  std::string error_;
};

/// The place of the first difference in bits, or `a.size()`.
inline size_t first_difference(const std::vector<float>& a, const std::vector<float>& b) {
  size_t i = 0;
  while (i < a.size() && i < b.size() &&
         detail::bit_cast<uint32_t>(a[i]) == detail::bit_cast<uint32_t>(b[i])) {
    ++i;
  }
  return i == a.size() && a.size() == b.size() ? a.size() : i;
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_PRODUCT_H_

// SPDX-License-Identifier: MIT
// Bodies of Matmul's layout_id(), pack_rows() and unpack_rows().
#ifndef TESSERA_IMPL_PANELS_H_
#define TESSERA_IMPL_PANELS_H_

#include <algorithm>
#include <cstring>

#include "tessera/impl/plan.h"

namespace tessera::inline v0_1 {
namespace detail {

inline LayoutId layout_id_of(const Plan& p) noexcept {
  LayoutId id;
  const Kernel& kernel = *p.kernel;
  std::strncpy(id.target, p.set->name, sizeof(id.target) - 1);
  id.version = kPanelLayoutVersion;
  id.w = static_cast<uint32_t>(kernel.w);
  id.panel_rows = static_cast<uint32_t>(kernel.nr);
  id.unit_values = static_cast<uint32_t>(kernel.unit_values);
  id.unit_bytes = kernel.panel_unit_bytes;
  return id;
}

// Rows of W that are packed or unpacked from `first` on.
inline Status check_w_rows(const Plan& p, const MatView& rows, size_t first) noexcept {
  if (Status s = check_plan(p); !s.ok()) return s;
  if (Status s = check_view(rows, "rows"); !s.ok()) return s;
  if (rows.dtype != p.kernel->w) {
    return unsupported("rows", rows.dtype, "is not the format that the plan was made for");
  }
  if (rows.cols != p.k) {
    return error(StatusCode::shape_mismatch, "rows.cols", rows.cols, p.k, "the plan's k");
  }
  if (first > p.n) return error(StatusCode::rect_out_of_range, "first", first, p.n);
  if (rows.rows > p.n - first) {
    return error(StatusCode::rect_out_of_range, "first + rows.rows", first + rows.rows, p.n);
  }
  return {};
}

// Whether a row of W begins a panel, or is the end of W.
inline Status check_panel_row(const Plan& p, size_t row, const char* name) noexcept {
  if (row % p.kernel->nr == 0 || row == p.n) return {};
  Status s = error(StatusCode::partial_block, name, row, p.kernel->nr, "rows in a panel");
  std::snprintf(s.name, sizeof(s.name), "%s", name);
  return s;
}

// Bytes at most of one unit of a panel that can be unpacked: 32 rows of q6_K have 6720.
inline constexpr size_t kMostUnitBytes = 8192;

// A panel holds the bits of W in another order, some of them inverted, in each unit of k alike. In
// which order, a kernel's pack_panel tells if it packs numbered bits: no kernel needs code for the
// way back. So many bytes of a unit are asked for at once.
class PanelBits {
 public:
  static constexpr size_t kBytes = 64;

  explicit PanelBits(const Plan& p)
      : plan_(p),
        row_bytes_(p.kernel->unit_values / dtype_info(p.kernel->w).block_values *
                   dtype_info(p.kernel->w).block_bytes) {}

  /// Of bytes [begin, begin + kBytes) of a unit.
  void find(size_t begin) {
    count_ = std::min(kBytes, plan_.kernel->panel_unit_bytes - begin);
    std::memset(w_, 0, sizeof(w_));
    pack(begin, inverted_);
    uint32_t bit_of[kBytes * 8] = {};
    const size_t bits = plan_.kernel->nr * row_bytes_ * 8;
    for (unsigned digit = 0; (size_t{1} << digit) < bits; ++digit) {
      constexpr uint8_t kLow[] = {0xAA, 0xCC, 0xF0};  // digits 0 to 2 of a bit's number
      for (size_t i = 0; i < bits / 8; ++i) {
        w_[i] = std::byte(digit < 3 ? kLow[digit] : (i >> (digit - 3) & 1) != 0 ? 0xFF : 0);
      }
      std::byte packed[kBytes];
      pack(begin, packed);
      for (size_t i = 0; i < count_ * 8; ++i) {
        const auto differs = uint32_t(packed[i / 8] ^ inverted_[i / 8]) >> i % 8 & 1;
        bit_of[i] |= differs << digit;
      }
    }
    for (size_t i = 0; i < count_; ++i) {
      whole_[i] = true;
      for (size_t bit = 0; bit < 8; ++bit) {
        const uint32_t at = bit_of[i * 8 + bit], byte = at / 8;
        whole_[i] = whole_[i] && byte == bit_of[i * 8] / 8 && at % 8 == bit;
        to_[i * 8 + bit] = {static_cast<uint16_t>(byte / row_bytes_),
                            static_cast<uint16_t>(byte % row_bytes_),
                            static_cast<uint8_t>(1u << at % 8)};
      }
    }
  }

  /// Puts the bits of these bytes into rows [begin, end) of a panel, whose bytes were zero. `rows`
  /// is the place of row `begin` at this unit, of which `row_bytes` exist.
  void put(const std::byte* from, size_t begin, size_t end, std::byte* rows, size_t stride,
           size_t row_bytes) const {
    for (size_t i = 0; i < count_; ++i) {
      const std::byte value = from[i] ^ inverted_[i];
      for (size_t bit = 0; bit < 8; ++bit) {
        const Place& to = to_[i * 8 + bit];
        if (to.row >= begin && to.row < end && to.at < row_bytes) {
          std::byte& there = rows[(to.row - begin) * stride + to.at];
          if (whole_[i]) {
            there = value;
          } else if ((value >> bit & std::byte{1}) != std::byte{0}) {
            there |= std::byte{to.mask};
          }
        }
        if (whole_[i]) break;
      }
    }
  }

  size_t row_bytes() const { return row_bytes_; }

 private:
  struct Place {
    uint16_t row, at;
    uint8_t mask;
  };

  // Packs a unit of nr rows, w_, and keeps a piece of it.
  void pack(size_t begin, std::byte* piece) {
    const Kernel& kernel = *plan_.kernel;
    kernel.pack_panel({w_, row_bytes_, false, kernel.unit_values, 0, kernel.nr, {0, 1}, panel_});
    std::memcpy(piece, panel_ + begin, count_);
  }

  const Plan& plan_;
  const size_t row_bytes_;  // of a unit
  size_t count_ = 0;
  std::byte inverted_[kBytes];
  bool whole_[kBytes];  // all bits of a byte are those of one byte of W
  Place to_[kBytes * 8];
  alignas(64) std::byte w_[kMostUnitBytes], panel_[kMostUnitBytes];
};

}  // namespace detail

TESSERA_IMPL LayoutId Matmul::layout_id() const noexcept {
  return plan_.kernel == nullptr ? LayoutId() : detail::layout_id_of(plan_);
}

TESSERA_IMPL Status Matmul::pack_rows(const MatView& rows, size_t first,
                                      std::span<std::byte> panels) const noexcept {
  if (Status s = detail::check_w_rows(plan_, rows, first); !s.ok()) return s;
  if (Status s = detail::check_panel_row(plan_, first, "first"); !s.ok()) return s;
  if (Status s = detail::check_panel_row(plan_, first + rows.rows, "first + rows.rows"); !s.ok()) {
    return s;
  }
  if (Status s = detail::check_buffer(panels, packed_w_bytes(), "panels"); !s.ok()) return s;
  detail::pack_w(detail::over_rows(plan_, rows), {0, rows.rows},
                 panels.data() + detail::panel_at(plan_, first));
  return {};
}

TESSERA_IMPL Status Matmul::unpack_rows(std::span<const std::byte> panels, size_t first,
                                        const MutMatView& rows) const noexcept {
  if (Status s = detail::check_w_rows(plan_, rows, first); !s.ok()) return s;
  if (Status s = detail::check_buffer(panels, packed_w_bytes(), "panels"); !s.ok()) return s;
  const Kernel& kernel = *plan_.kernel;
  if (kernel.panel_unit_bytes > detail::kMostUnitBytes) {
    return detail::error(StatusCode::wrong_plan, "plan", 0, 0,
                         "panels with units of more than 8192 bytes cannot be unpacked");
  }
  const size_t bytes = *row_bytes(rows.dtype, rows.cols);
  if (rows.rows == 0 || bytes == 0) return {};
  auto* const data = static_cast<std::byte*>(rows.data);
  for (size_t r = 0; r < rows.rows; ++r) std::memset(data + r * rows.row_stride, 0, bytes);
  const size_t unit = kernel.panel_unit_bytes, nr = kernel.nr, end = first + rows.rows;
  detail::PanelBits bits(plan_);
  for (size_t piece = 0; piece < unit; piece += detail::PanelBits::kBytes) {
    bits.find(piece);
    for (size_t row = first / nr * nr; row < end; row += nr) {
      const size_t skip = std::max(row, first) - row;
      std::byte* to = data + (row + skip - first) * rows.row_stride;
      const std::byte* from = panels.data() + detail::panel_at(plan_, row) + piece;
      for (size_t at = 0; at < bytes; at += bits.row_bytes(), from += unit) {
        bits.put(from, skip, std::min(nr, end - row), to + at, rows.row_stride, bytes - at);
      }
    }
  }
  return {};
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_IMPL_PANELS_H_

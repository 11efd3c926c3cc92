// SPDX-License-Identifier: MIT
// Rows of one format to rows of another, by the formats' scalar definitions.
#ifndef TESSERA_PLAN_QUANTIZE_H_
#define TESSERA_PLAN_QUANTIZE_H_

#include "tessera/base/status.h"
#include "tessera/core/partition.h"
#include "tessera/core/view.h"

namespace tessera::inline v0_1 {

/// dst = src, row by row, through f32: any format to any format that can_encode(). Into a block
/// format the bytes are those of ggml's reference quantizers; out of one the values are exact. Parts (of rows) may run
/// at once; dst must not overlap src. Allocates nothing. Errors: unsupported_dtype, shape_mismatch,
/// partial_block, stride_too_small, size_overflow, null_data, part_out_of_range.
Status quantize(const MatView& src, const MutMatView& dst, Part = {}) noexcept;

}  // namespace tessera::inline v0_1

#endif  // TESSERA_PLAN_QUANTIZE_H_

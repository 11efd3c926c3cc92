// SPDX-License-Identifier: MIT
// A part of c_api.h: weights that are kept as panels, piece by piece and in a file, and what an
// engine asks before it begins.
#ifndef TESSERA_C_WEIGHTS_H_
#define TESSERA_C_WEIGHTS_H_

#include "tessera/c_api.h"

// NOLINTBEGIN(modernize-use-using): C has none
#ifdef __cplusplus
extern "C" {
#endif

// ---- Before a product ---------------------------------------------------------------------------

/// What tessera_pack() of x[m, k] and tessera_run() into y[m, n] would refuse, buffers and parts
/// aside; also x and y of different rows. After an ok, both can only fail for those: so whether to
/// fall back on other code can be decided alike by all threads, before any of them packs. Reads no
/// data. Errors: wrong_plan, null_data, unknown_choice, unsupported_dtype, shape_mismatch,
/// stride_too_small, size_overflow.
TESSERA_C tessera_status tessera_check(const tessera_plan* plan, const tessera_view* x,
                                       const tessera_mut_view* y, const tessera_epilogue* epilogue);

/// Scratch memory of products of up to some number of rows, each piece a multiple of 64.
typedef struct tessera_scratch_sizes {
  size_t packed_x_bytes;
  size_t worker_bytes;  // of each worker
  size_t bytes;         // of packed x, and behind it all workers
} tessera_scratch_sizes;

/// The most of tessera_plan_sizes() for all m up to most_rows, and all that so many workers need.
/// Errors: wrong_plan, size_overflow (also for more than 2^20 rows). Cost: some 30 ns for each row.
TESSERA_C tessera_status tessera_scratch(const tessera_plan* plan, size_t most_rows, size_t workers,
                                         tessera_scratch_sizes* sizes);

/// Into how many parts to cut a run of m rows for `workers` threads that take them from a shared
/// counter or steal them, as cores of different speed should: up to eight for each. A hint, as
/// tessera_plan_parts(). Error: wrong_plan.
TESSERA_C tessera_status tessera_small_parts(const tessera_plan* plan, size_t m, size_t workers,
                                             size_t* parts);

/// Advises the system to back this memory of the caller's with huge pages, the whole ones of 2 MiB
/// that lie in it: before it is first written. Panels in them are read up to 1.6 times faster. 0 if
/// the system did not take the advice, or knows none, which is no error, and for a null pointer;
/// else 1. Where: Linux.
TESSERA_C int tessera_advise_huge_pages(void* memory, size_t bytes);

// ---- Panels, piece by piece ---------------------------------------------------------------------

/// As tessera_pack_weights() for rows [first, first + rows->rows) of W, wherever they are at the
/// moment: for loaders that read W piece by piece. The range is of whole panels (multiples of
/// tile_cols), or ends with W. Any plan of W's shape and format does. `panels` are all those of W,
/// packed_w_bytes of tessera_plan_sizes() long; those of a group plan's experts lie one expert
/// after the other, each as a plan of one has them. Ranges may be packed at once. Errors:
/// wrong_plan, shape_mismatch, unsupported_dtype, stride_too_small, size_overflow, null_data,
/// rect_out_of_range, partial_block (the range), buffer_too_small, misaligned.
TESSERA_C tessera_status tessera_pack_rows(const tessera_plan* plan, const tessera_view* rows,
                                           size_t first, void* panels, size_t bytes);
/// Back again, bit by bit: panels -> rows [first, first + rows->rows) of W, any of them, in W's
/// format. Calls for different rows may run at once. For saving and merging, not for each token:
/// some 4 ns for each byte. Errors as of tessera_pack_rows(), but partial_block.
TESSERA_C tessera_status tessera_unpack_rows(const tessera_plan* plan, const void* panels,
                                             size_t bytes, size_t first,
                                             const tessera_mut_view* rows);

/// What decides how panels of W lie, beside its shape: plans with equal ones, n and k read each
/// other's panels. 48 bytes without gaps: good for memcmp(), and to be written to a file.
typedef struct tessera_layout {
  char target[24];  // "AVX3_ZEN4", zeros behind it
  uint32_t version;
  uint32_t w;            // tessera_dtype
  uint32_t panel_rows;   // of W in a panel
  uint32_t unit_values;  // of k that lie together
  uint64_t unit_bytes;   // of them, all rows of a panel
} tessera_layout;

/// Writes which panels a plan reads. Errors: wrong_plan, null_data.
TESSERA_C tessera_status tessera_layout_id(const tessera_plan* plan, tessera_layout* layout);

// ---- Panels in a file ---------------------------------------------------------------------------
//
// So that a second start maps what the first one packed. The head says which weights the panels are
// of and how they lie; panels that are not what a plan would write are refused, with the reason.
// Reading and writing are the caller's:
//
//   tessera_panel_head, tessera_panels[head.entries], then the panels of each at its offset
//
// To write: tessera_panel_entry() of each plan, their places by tessera_place_panels(), the head by
// tessera_panel_file_head(). To read: the same entries and places, tessera_check_panel_file() of
// the mapped bytes, then tessera_with_packed() of each piece. Write under a temporary name and
// rename when all is on the disk: then what has the name is complete.

/// Panels of one plan.
typedef struct tessera_panels {
  tessera_layout layout;
  uint64_t n, k;
  uint64_t count;   // matrices [n, k], such as experts, one after the other
  uint64_t offset;  // bytes from the beginning of the file, a multiple of 4096
  uint64_t bytes;   // of all of them
} tessera_panels;

/// The first bytes of the file.
typedef struct tessera_panel_head {
  char magic[8];
  uint64_t format;       // of head and entries
  uint64_t source_hash;  // of the weights that the panels were made of
  uint64_t file_bytes;
  uint64_t entries;
  uint64_t entries_hash;
} tessera_panel_head;

/// What a plan reads, without a place. Errors: wrong_plan, null_data.
TESSERA_C tessera_status tessera_panel_entry(const tessera_plan* plan, tessera_panels* entry);
TESSERA_C tessera_status tessera_group_panel_entry(const tessera_group_plan* plan,
                                                   tessera_panels* entry);

/// Gives each of entries[count] its place, one behind the other, and writes the bytes of the file.
/// Here and in the next calls `entries` may be null if count is 0. Errors: null_data,
/// size_overflow.
TESSERA_C tessera_status tessera_place_panels(tessera_panels* entries, size_t count,
                                              size_t* file_bytes);

/// Writes the head of a file of these entries, whose places are given. Errors: null_data,
/// size_overflow.
TESSERA_C tessera_status tessera_panel_file_head(const tessera_panels* entries, size_t count,
                                                 uint64_t source_hash, tessera_panel_head* head);

/// Whether `file` (all its bytes, aligned to 4) is one of these entries, in these places, made of a
/// source with this hash. Reads head and entries only: what the panels hold is not looked at.
/// Errors: null_data, size_overflow, misaligned, buffer_too_small (a file that ends early),
/// other_panels (anything else: not such a file, another source, target, layout, shape or number of
/// matrices).
TESSERA_C tessera_status tessera_check_panel_file(const void* file, size_t bytes,
                                                  const tessera_panels* entries, size_t count,
                                                  uint64_t source_hash);

/// Writes a hash of bytes that goes on from another one (or from 0): for a source. It finds what
/// changes by accident and guards against nothing else. Some 0.2 ns a byte, so hash all of a large
/// source only if the time is there; else what tells it from others: names, shapes, sizes, times, a
/// sample. `data` may be null if there are no bytes. Error: null_data.
TESSERA_C tessera_status tessera_hash_bytes(const void* data, size_t bytes, uint64_t before,
                                            uint64_t* hash);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-use-using)

#endif  // TESSERA_C_WEIGHTS_H_

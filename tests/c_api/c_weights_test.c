// SPDX-License-Identifier: MIT
// c_weights.h from C99: its bits against those of the C++ API, and what it refuses.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "c_api/check.h"
#include "c_api/in_cpp.h"
#include "tessera/c_api.h"

static void check_text(tessera_status s, const char* wanted, int line) {
  char text[320];
  if (strcmp(tessera_status_text(&s, text, sizeof text), wanted) == 0) return;
  printf("line %d: \"%s\", not \"%s\"\n", line, text, wanted);
  ++failures;
}
#define SAYS(text, call) check_text(call, text, __LINE__)

// ---- The same bits as in C++ --------------------------------------------------------------------

// Panels from two pieces of W, read back in part, for each format.
static void compare_rows(void) {
  enum { kN = 200, kK = 256, kFirst = 3, kBack = kN - 7 };
  float* w32 = numbers(kN * kK, 1);
  unsigned char* w = memory(kN * kK * 4);
  int32_t dtype;
  int compared = 0;
  for (dtype = 0; dtype < 256; ++dtype) {
    tessera_view w32_view = {NULL, kN, kK, kK * 4, TESSERA_F32}, rows;
    tessera_mut_view w_view = {NULL, kN, kK, 0, 0}, back = {NULL, kBack, kK, 0, 0};
    tessera_view view = {NULL, kN, kK, 0, 0};
    tessera_plan plan, shape;
    tessera_sizes sizes;
    tessera_layout layout, wanted_layout;
    unsigned char *whole, *panels, *wanted, *piece, *unpacked, *unpacked_wanted;
    size_t row, cut;
    if (!tessera_multiplies(dtype) || !tessera_can_encode(dtype)) continue;
    OK(tessera_row_bytes(dtype, kK, &row));
    w32_view.data = w32;
    w_view.data = w;
    w_view.dtype = view.dtype = back.dtype = dtype;
    w_view.row_stride = view.row_stride = row;
    OK(tessera_quantize(&w32_view, &w_view, NULL));
    view.data = w;
    OK(tessera_make_plan(&plan, &view, TESSERA_F32, NULL));
    OK(tessera_make_shape_plan(&shape, kN, kK, dtype, TESSERA_F32, NULL));
    OK(tessera_plan_sizes(&shape, 1, &sizes));
    whole = memory(sizes.packed_w_bytes);
    panels = memory(sizes.packed_w_bytes);
    wanted = memory(sizes.packed_w_bytes);
    OK(tessera_pack_weights(&plan, whole, sizes.packed_w_bytes, NULL));

    // Each piece where it is at the moment, by a plan that knows no weights.
    cut = sizes.tile_cols;
    CHECK(cut < kN);
    piece = memory(kN * row);
    rows = view;
    rows.data = piece;
    rows.rows = kN - cut;
    memcpy(piece, w + cut * row, rows.rows * row);
    OK(tessera_pack_rows(&shape, &rows, cut, panels, sizes.packed_w_bytes));
    rows.rows = cut;
    memcpy(piece, w, cut * row);
    OK(tessera_pack_rows(&shape, &rows, 0, panels, sizes.packed_w_bytes));
    CHECK(memcmp(panels, whole, sizes.packed_w_bytes) == 0);

    // Rows with gaps between them.
    back.row_stride = row + 5;
    unpacked = memory(kBack * back.row_stride);
    unpacked_wanted = memory(kBack * back.row_stride);
    back.data = unpacked;
    OK(tessera_unpack_rows(&shape, panels, sizes.packed_w_bytes, kFirst, &back));
    OK(tessera_layout_id(&shape, &layout));
    back.data = unpacked_wanted;
    CHECK(kept_in_cpp(&view, cut, wanted, sizes.packed_w_bytes, kFirst, &back, &wanted_layout));
    CHECK(memcmp(panels, wanted, sizes.packed_w_bytes) == 0);
    CHECK(memcmp(unpacked, unpacked_wanted, kBack * back.row_stride) == 0);
    CHECK(memcmp(unpacked, w + kFirst * row, row) == 0);
    CHECK(memcmp(unpacked + (kBack - 1) * back.row_stride, w + (kFirst + kBack - 1) * row, row) ==
          0);
    CHECK(memcmp(&layout, &wanted_layout, sizeof layout) == 0);
    CHECK(layout.w == (uint32_t)dtype && layout.panel_rows == cut);
    CHECK(strcmp(layout.target, tessera_default_target()) == 0);
    free(whole);
    free(panels);
    free(wanted);
    free(piece);
    free(unpacked);
    free(unpacked_wanted);
    ++compared;
  }
  CHECK(compared > 0);
  free(w32);
  free(w);
}

// A file of panels of a product and of three experts, in memory.
static void compare_files(void) {
  enum { kN = 40, kK = 64, kExperts = 3, kExpertN = 9, kExpertK = 16 };
  enum { kExpertBytes = kExpertN * kExpertK * 4 };
  const uint64_t source = 1234;
  float* w = numbers(kN * kK, 1);
  float* experts_w = numbers(kExperts * kExpertN * kExpertK, 2);
  void* back = memory(kN * kK * 4);
  tessera_view view = {NULL, kN, kK, kK * 4, TESSERA_F32};
  tessera_mut_view back_view = {NULL, kN, kK, kK * 4, TESSERA_F32};
  tessera_experts experts = {
      {NULL, kExpertN, kExpertK, kExpertK * 4, TESSERA_F32}, kExperts, kExpertBytes};
  tessera_plan plan, expert;
  tessera_group_plan group;
  tessera_sizes sizes;
  tessera_panels entries[2], entries_wanted[2];
  tessera_panel_head head, head_wanted;
  size_t bytes = 0, i;
  unsigned char* file;
  char text[320];
  view.data = w;
  experts.first.data = experts_w;
  OK(tessera_make_plan(&plan, &view, TESSERA_F32, NULL));
  OK(tessera_make_group_plan(&group, &experts, 1, TESSERA_F32, NULL));

  memset(entries, 0xFF, sizeof entries);
  OK(tessera_panel_entry(&plan, &entries[0]));
  OK(tessera_group_panel_entry(&group, &entries[1]));
  OK(tessera_place_panels(entries, 2, &bytes));
  OK(tessera_panel_file_head(entries, 2, source, &head));
  CHECK(panel_file_in_cpp(&view, &experts, source, entries_wanted, &head_wanted) == bytes);
  CHECK(memcmp(entries, entries_wanted, sizeof entries) == 0);
  CHECK(memcmp(&head, &head_wanted, sizeof head) == 0);
  CHECK(entries[1].count == kExperts && entries[1].n == kExpertN && entries[1].k == kExpertK);
  CHECK(entries[0].offset % 4096 == 0 && head.file_bytes == bytes && head.entries == 2);

  file = memory(bytes);
  memcpy(file, &head, sizeof head);
  memcpy(file + sizeof head, entries, sizeof entries);
  OK(tessera_pack_weights(&plan, file + entries[0].offset, (size_t)entries[0].bytes, NULL));
  OK(tessera_group_pack_weights(&group, file + entries[1].offset, (size_t)entries[1].bytes, NULL));
  OK(tessera_check_panel_file(file, bytes, entries, 2, source));
  check_panel_file_in_cpp(file, bytes, &view, &experts, source, text);
  CHECK(strcmp(text, "ok") == 0);
  check_panel_file_in_cpp(file, bytes, &view, &experts, source + 1, text);
  SAYS(text, tessera_check_panel_file(file, bytes, entries, 2, source + 1));
  check_panel_file_in_cpp(file, bytes - 1, &view, &experts, source, text);
  SAYS(text, tessera_check_panel_file(file, bytes - 1, entries, 2, source));

  OK(tessera_with_packed(&plan, file + entries[0].offset, (size_t)entries[0].bytes, &plan));
  back_view.data = back;
  OK(tessera_unpack_rows(&plan, file + entries[0].offset, (size_t)entries[0].bytes, 0, &back_view));
  CHECK(memcmp(back, w, kN * kK * 4) == 0);
  // Each expert alone, by a plan of its shape.
  OK(tessera_make_shape_plan(&expert, kExpertN, kExpertK, TESSERA_F32, TESSERA_F32, NULL));
  OK(tessera_plan_sizes(&expert, 1, &sizes));
  CHECK(sizes.packed_w_bytes * kExperts == entries[1].bytes);
  back_view.rows = kExpertN;
  back_view.cols = kExpertK;
  back_view.row_stride = kExpertK * 4;
  for (i = 0; i < kExperts; ++i) {
    const unsigned char* panels = file + entries[1].offset + i * sizes.packed_w_bytes;
    OK(tessera_unpack_rows(&expert, panels, sizes.packed_w_bytes, 0, &back_view));
    CHECK(memcmp(back, (char*)experts_w + i * kExpertBytes, kExpertBytes) == 0);
  }

  // A file of nothing.
  OK(tessera_place_panels(NULL, 0, &bytes));
  CHECK(bytes == sizeof head);
  OK(tessera_panel_file_head(NULL, 0, source, &head));
  OK(tessera_check_panel_file(&head, sizeof head, NULL, 0, source));
  free(w);
  free(experts_w);
  free(back);
  free(file);
}

static void compare_answers(void) {
  enum { kM = 3, kN = 8, kK = 32, kMemory = 5 << 20 };
  float* values = numbers(kN * kK, 1);
  unsigned char* large = memory(kMemory);
  tessera_view w = {NULL, kN, kK, kK * 4, TESSERA_F32}, x = {NULL, kM, kK, kK * 4, TESSERA_F32};
  tessera_mut_view y = {NULL, kM, kN, kN * 4, TESSERA_F32};
  tessera_epilogue epilogue = TESSERA_EPILOGUE;
  tessera_plan plan;
  tessera_scratch_sizes sizes, wanted;
  uint64_t hash = 0;
  size_t parts = 0;
  char text[320];
  w.data = x.data = values;
  y.data = large;
  OK(tessera_make_plan(&plan, &w, TESSERA_F32, NULL));
  OK(tessera_check(&plan, &x, &y, NULL));
  epilogue.activation = TESSERA_GELU;
  OK(tessera_check(&plan, &x, &y, &epilogue));
  y.rows = kM + 1;
  check_in_cpp(&w, &x, &y, &epilogue, text);
  CHECK(strcmp(text, "y.rows = 4, but x.rows = 3") == 0);
  SAYS(text, tessera_check(&plan, &x, &y, &epilogue));

  OK(tessera_make_shape_plan(&plan, 4096, 4096, TESSERA_F32, TESSERA_F32, NULL));
  OK(tessera_small_parts(&plan, 300, 3, &parts));
  CHECK(parts > 3 && parts == small_parts_in_cpp(4096, 4096, 300, 3));
  OK(tessera_small_parts(&plan, 3, 300, &parts));
  CHECK(parts == small_parts_in_cpp(4096, 4096, 3, 300));
  OK(tessera_small_parts(&plan, SIZE_MAX, SIZE_MAX, &parts));
  CHECK(parts == small_parts_in_cpp(4096, 4096, SIZE_MAX, SIZE_MAX));

  OK(tessera_scratch(&plan, 300, 3, &sizes));
  scratch_in_cpp(4096, 4096, 300, 3, &wanted);
  CHECK(memcmp(&sizes, &wanted, sizeof sizes) == 0);
  CHECK(sizes.packed_x_bytes > 0 && sizes.bytes == sizes.packed_x_bytes + 3 * sizes.worker_bytes);

  CHECK(tessera_advise_huge_pages(large, kMemory) == advise_huge_pages_in_cpp(large, kMemory));
  CHECK(tessera_advise_huge_pages(large, 4096) == 0);  // no whole one in it

  OK(tessera_hash_bytes(values, kK, 0, &hash));
  CHECK(hash == hash_in_cpp(values, kK, 0));
  OK(tessera_hash_bytes(values + kK, kK + 3, hash, &hash));
  CHECK(hash == hash_in_cpp(values + kK, kK + 3, hash_in_cpp(values, kK, 0)));
  OK(tessera_hash_bytes(NULL, 0, 7, &hash));
  CHECK(hash == hash_in_cpp(values, 0, 7));
  free(values);
  free(large);
}

// ---- What is refused ----------------------------------------------------------------------------

enum { kM = 3, kN = 200, kK = 32 };
static const char kEmpty[] = "the plan is empty: no call of this library made it";

static void refuse_check(void) {
  const size_t huge = SIZE_MAX;
  const int32_t no_choice[] = {-1, 4, 255, 256, INT_MAX, INT_MIN};
  float* values = numbers(kN * kK, 1);
  tessera_view w = {NULL, kN, kK, kK * 4, TESSERA_F32}, x = {NULL, kM, kK, kK * 4, TESSERA_F32}, v;
  tessera_mut_view y = {NULL, kM, kN, kN * 4, TESSERA_F32}, mv;
  tessera_epilogue epilogue = TESSERA_EPILOGUE;
  tessera_plan plan, shape, zeros;
  tessera_scratch_sizes sizes;
  size_t parts = 7, i;
  w.data = x.data = values;
  y.data = values;
  memset(&zeros, 0, sizeof zeros);
  OK(tessera_make_plan(&plan, &w, TESSERA_F32, NULL));
  OK(tessera_make_shape_plan(&shape, kN, kK, TESSERA_F32, TESSERA_F32, NULL));
  SAYS("plan is a null pointer", tessera_check(NULL, &x, &y, NULL));
  SAYS("x is a null pointer", tessera_check(&plan, NULL, &y, NULL));
  SAYS("y is a null pointer", tessera_check(&plan, &x, NULL, NULL));
  SAYS(kEmpty, tessera_check(&zeros, &x, &y, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_check(NULL, &x, &y, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_check(&zeros, &x, &y, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_check(&shape, &x, &y, NULL));  // without weights
  for (i = 0; i < sizeof no_choice / sizeof *no_choice; ++i) {
    epilogue.activation = no_choice[i];
    REFUSED(TESSERA_UNKNOWN_CHOICE, tessera_check(&plan, &x, &y, &epilogue));
    v = x;
    v.dtype = no_choice[i];
    REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_check(&plan, &v, &y, NULL));
    mv = y;
    mv.dtype = no_choice[i];
    REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_check(&plan, &x, &mv, NULL));
  }
#define CHECK_X(code, field, value)                    \
  do {                                                 \
    v = x;                                             \
    v.field = value;                                   \
    REFUSED(code, tessera_check(&plan, &v, &y, NULL)); \
  } while (0)
#define CHECK_Y(code, field, value)                     \
  do {                                                  \
    mv = y;                                             \
    mv.field = value;                                   \
    REFUSED(code, tessera_check(&plan, &x, &mv, NULL)); \
  } while (0)
  CHECK_X(TESSERA_NULL_DATA, data, NULL);
  CHECK_X(TESSERA_UNSUPPORTED_DTYPE, dtype, TESSERA_F16);
  CHECK_X(TESSERA_SHAPE_MISMATCH, cols, kK - 1);
  CHECK_X(TESSERA_SHAPE_MISMATCH, rows, kM - 1);
  CHECK_X(TESSERA_STRIDE_TOO_SMALL, row_stride, kK * 4 - 1);
  CHECK_X(TESSERA_SIZE_OVERFLOW, rows, huge);
  CHECK_Y(TESSERA_NULL_DATA, data, NULL);
  CHECK_Y(TESSERA_UNSUPPORTED_DTYPE, dtype, TESSERA_Q4_0);
  CHECK_Y(TESSERA_SHAPE_MISMATCH, cols, kN - 1);
  CHECK_Y(TESSERA_SHAPE_MISMATCH, rows, kM + 1);
  CHECK_Y(TESSERA_STRIDE_TOO_SMALL, row_stride, kN * 4 - 1);
  CHECK_Y(TESSERA_SIZE_OVERFLOW, row_stride, huge);

  SAYS(kEmpty, tessera_small_parts(&zeros, kM, 2, &parts));
  SAYS("parts is a null pointer", tessera_small_parts(&plan, kM, 2, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_small_parts(NULL, kM, 2, &parts));
  REFUSED(TESSERA_NULL_DATA, tessera_small_parts(&plan, kM, 2, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_small_parts(&zeros, kM, 2, &parts));
  CHECK(parts == 7);

  sizes.bytes = 7;
  SAYS(kEmpty, tessera_scratch(&zeros, kM, 2, &sizes));
  SAYS("sizes is a null pointer", tessera_scratch(&plan, kM, 2, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_scratch(NULL, kM, 2, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_scratch(&plan, kM, 2, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_scratch(&zeros, kM, 2, &sizes));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_scratch(&plan, (1 << 20) + 1, 2, &sizes));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_scratch(&plan, huge, 0, &sizes));
  CHECK(sizes.bytes == 7);
  CHECK(tessera_advise_huge_pages(NULL, huge) == 0);
  CHECK(tessera_advise_huge_pages(NULL, 0) == 0);
  free(values);
}

// What packing rows refuses, and unpacking them.
static void refuse_rows(void) {
  const size_t huge = SIZE_MAX, big = 1 << 20;
  float* w = numbers(kN * kK, 1);
  unsigned char* panels = memory(big);
  tessera_view wv = {NULL, kN, kK, kK * 4, TESSERA_F32}, v;
  tessera_mut_view back = {NULL, kN, kK, kK * 4, TESSERA_F32}, mv;
  tessera_plan plan, zeros;
  tessera_layout layout;
  wv.data = w;
  back.data = w;
  memset(&zeros, 0, sizeof zeros);
  OK(tessera_make_plan(&plan, &wv, TESSERA_F32, NULL));
  OK(tessera_pack_rows(&plan, &wv, 0, panels, big));
  OK(tessera_unpack_rows(&plan, panels, big, 0, &back));
#define BOTH(code, plan, first, panels, bytes)                           \
  do {                                                                   \
    REFUSED(code, tessera_pack_rows(plan, &v, first, panels, bytes));    \
    REFUSED(code, tessera_unpack_rows(plan, panels, bytes, first, &mv)); \
  } while (0)
#define ROWS(field, value)        \
  do {                            \
    v = wv;                       \
    mv = back;                    \
    v.field = (mv.field = value); \
  } while (0)
  ROWS(rows, kN);
  BOTH(TESSERA_NULL_DATA, NULL, 0, panels, big);
  BOTH(TESSERA_NULL_DATA, &plan, 0, NULL, huge);
  BOTH(TESSERA_WRONG_PLAN, &zeros, 0, panels, big);
  BOTH(TESSERA_BUFFER_TOO_SMALL, &plan, 0, panels, 4);
  BOTH(TESSERA_BUFFER_TOO_SMALL, &plan, 0, NULL, 0);
  BOTH(TESSERA_MISALIGNED, &plan, 0, panels + 1, big - 1);
  BOTH(TESSERA_RECT_OUT_OF_RANGE, &plan, 1, panels, big);
  BOTH(TESSERA_RECT_OUT_OF_RANGE, &plan, huge, panels, big);
  ROWS(data, NULL);
  BOTH(TESSERA_NULL_DATA, &plan, 0, panels, big);
  ROWS(cols, kK - 1);
  BOTH(TESSERA_SHAPE_MISMATCH, &plan, 0, panels, big);
  ROWS(row_stride, kK * 4 - 1);
  BOTH(TESSERA_STRIDE_TOO_SMALL, &plan, 0, panels, big);
  ROWS(row_stride, huge);
  BOTH(TESSERA_SIZE_OVERFLOW, &plan, 0, panels, big);
  ROWS(rows, huge);
  BOTH(TESSERA_SIZE_OVERFLOW, &plan, 0, panels, big);
  ROWS(dtype, TESSERA_F16);
  BOTH(TESSERA_UNSUPPORTED_DTYPE, &plan, 0, panels, big);
  ROWS(dtype, 256);
  BOTH(TESSERA_UNSUPPORTED_DTYPE, &plan, 0, panels, big);
  ROWS(dtype, INT_MIN);
  BOTH(TESSERA_UNSUPPORTED_DTYPE, &plan, 0, panels, big);
  ROWS(rows, 1);  // packing wants whole panels
  REFUSED(TESSERA_PARTIAL_BLOCK, tessera_pack_rows(&plan, &v, 0, panels, big));
  REFUSED(TESSERA_PARTIAL_BLOCK, tessera_pack_rows(&plan, &v, 1, panels, big));
  OK(tessera_unpack_rows(&plan, panels, big, 1, &mv));
  REFUSED(TESSERA_NULL_DATA, tessera_pack_rows(&plan, NULL, 0, panels, big));
  REFUSED(TESSERA_NULL_DATA, tessera_unpack_rows(&plan, panels, big, 0, NULL));
  SAYS("rows is a null pointer", tessera_pack_rows(&plan, NULL, 0, panels, big));
  SAYS("rows is a null pointer", tessera_unpack_rows(&plan, panels, big, 0, NULL));
  SAYS("first reaches to 201 of 200", tessera_pack_rows(&plan, &wv, kN + 1, panels, big));
  SAYS("first + rows.rows reaches to 202 of 200",
       tessera_unpack_rows(&plan, panels, big, 2, &back));

  REFUSED(TESSERA_NULL_DATA, tessera_layout_id(NULL, &layout));
  REFUSED(TESSERA_NULL_DATA, tessera_layout_id(&plan, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_layout_id(&zeros, &layout));
  SAYS("layout is a null pointer", tessera_layout_id(&plan, NULL));
  SAYS(kEmpty, tessera_layout_id(&zeros, &layout));
  free(w);
  free(panels);
}

static void refuse_files(void) {
  const size_t huge = SIZE_MAX, too_many = SIZE_MAX / 4 / sizeof(tessera_panels) + 1;
  float* w = numbers(kN * kK, 1);
  tessera_view wv = {NULL, kN, kK, kK * 4, TESSERA_F32};
  tessera_experts experts = {{NULL, kN / 2, kK, kK * 4, TESSERA_F32}, 2, kN / 2 * kK * 4};
  tessera_plan plan, zeros;
  tessera_group_plan group, no_group;
  tessera_panels entry, two[2];
  tessera_panel_head head;
  size_t bytes = 7, i;
  uint64_t hash = 7;
  unsigned char* file;
  wv.data = w;
  experts.first.data = w;
  memset(&zeros, 0, sizeof zeros);
  memset(&no_group, 0, sizeof no_group);
  OK(tessera_make_plan(&plan, &wv, TESSERA_F32, NULL));
  OK(tessera_make_group_plan(&group, &experts, 1, TESSERA_F32, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_panel_entry(NULL, &entry));
  REFUSED(TESSERA_NULL_DATA, tessera_panel_entry(&plan, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_panel_entry(&zeros, &entry));
  SAYS("entry is a null pointer", tessera_panel_entry(&plan, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_group_panel_entry(NULL, &entry));
  REFUSED(TESSERA_NULL_DATA, tessera_group_panel_entry(&group, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_group_panel_entry(&no_group, &entry));
  memcpy(&no_group, &plan, sizeof plan);  // the plan of one sort in the memory of the other
  REFUSED(TESSERA_WRONG_PLAN, tessera_group_panel_entry(&no_group, &entry));
  SAYS(kEmpty, tessera_group_panel_entry(&no_group, &entry));

  OK(tessera_panel_entry(&plan, &entry));
  REFUSED(TESSERA_NULL_DATA, tessera_place_panels(NULL, 1, &bytes));
  REFUSED(TESSERA_NULL_DATA, tessera_place_panels(NULL, huge, &bytes));
  REFUSED(TESSERA_NULL_DATA, tessera_place_panels(&entry, 1, NULL));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_place_panels(&entry, huge, &bytes));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_place_panels(&entry, too_many, &bytes));
  for (i = 0; i < 2; ++i) {
    two[i] = entry;
    two[i].bytes = (uint64_t)SIZE_MAX / 7;
  }
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_place_panels(two, 2, &bytes));
  two[0].bytes = 3;
  two[1].bytes = UINT64_MAX;
  SAYS("entries: 2 rows of 18446744073709551615 bytes do not fit the address space",
       tessera_place_panels(two, 2, &bytes));
  SAYS("entries is a null pointer", tessera_place_panels(NULL, 1, &bytes));
  CHECK(bytes == 7);
  OK(tessera_place_panels(&entry, 1, &bytes));

  REFUSED(TESSERA_NULL_DATA, tessera_panel_file_head(NULL, 1, 5, &head));
  REFUSED(TESSERA_NULL_DATA, tessera_panel_file_head(&entry, 1, 5, NULL));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_panel_file_head(&entry, too_many, 5, &head));
  SAYS("head is a null pointer", tessera_panel_file_head(&entry, 1, 5, NULL));
  OK(tessera_panel_file_head(&entry, 1, 5, &head));

  file = memory(bytes + 4);
  memcpy(file, &head, sizeof head);
  memcpy(file + sizeof head, &entry, sizeof entry);
  OK(tessera_check_panel_file(file, bytes, &entry, 1, 5));
#define FILE_IS(code, file, bytes, entries, count, source) \
  REFUSED(code, tessera_check_panel_file(file, bytes, entries, count, source))
  FILE_IS(TESSERA_NULL_DATA, NULL, huge, &entry, 1, 5);
  FILE_IS(TESSERA_NULL_DATA, file, bytes, NULL, 1, 5);
  FILE_IS(TESSERA_SIZE_OVERFLOW, file, bytes, &entry, huge, 5);
  FILE_IS(TESSERA_MISALIGNED, file + 1, bytes, &entry, 1, 5);
  FILE_IS(TESSERA_BUFFER_TOO_SMALL, NULL, 0, &entry, 1, 5);
  FILE_IS(TESSERA_BUFFER_TOO_SMALL, file, bytes - 1, &entry, 1, 5);
  FILE_IS(TESSERA_OTHER_PANELS, file, bytes + 1, &entry, 1, 5);
  FILE_IS(TESSERA_OTHER_PANELS, file, bytes, &entry, 1, 6);
  FILE_IS(TESSERA_OTHER_PANELS, file, bytes, NULL, 0, 5);
  SAYS("panel file: its source hash is 5, not 6",
       tessera_check_panel_file(file, bytes, &entry, 1, 6));
  SAYS("panel file has 47 bytes, needs 48", tessera_check_panel_file(file, 47, &entry, 1, 5));
  entry.n = kN + 1;
  SAYS("panel file: its n is 200, not 201", tessera_check_panel_file(file, bytes, &entry, 1, 5));

  REFUSED(TESSERA_NULL_DATA, tessera_hash_bytes(NULL, huge, 0, &hash));
  REFUSED(TESSERA_NULL_DATA, tessera_hash_bytes(w, 4, 0, NULL));
  SAYS("data is a null pointer", tessera_hash_bytes(NULL, 1, 0, &hash));
  SAYS("hash is a null pointer", tessera_hash_bytes(w, 1, 0, NULL));
  CHECK(hash == 7);
  free(w);
  free(file);
}

int main(void) {
  compare_rows();
  compare_files();
  compare_answers();
  refuse_check();
  refuse_rows();
  refuse_files();
  return result();
}

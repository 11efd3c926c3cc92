// SPDX-License-Identifier: MIT
// c_products.h from C99: its bits against those of the C++ API, and what it refuses.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "c_api/check.h"
#include "c_api/in_cpp.h"
#include "tessera/c_api.h"

// Two statuses with this code and one text.
static void check_same(tessera_status a, tessera_status b, int32_t code, const char* call,
                       int line) {
  char text[2][320];
  tessera_status_text(&a, text[0], sizeof text[0]);
  tessera_status_text(&b, text[1], sizeof text[1]);
  if (a.code == code && b.code == code && strcmp(text[0], text[1]) == 0) return;
  printf("line %d: %s\n  gave %d: %s\n  and %d: %s\n  not %d\n", line, call, (int)a.code, text[0],
         (int)b.code, text[1], (int)code);
  ++failures;
}

// More groups than are turned into those of C++ at once.
static void compare_groups(void) {
  enum { kExperts = 5, kTokens = 150, kChosen = 2, kGroups = kTokens * kChosen, kN = 48, kK = 64 };
  float* w = numbers(kExperts * kN * kK, 5);
  float* x = numbers(kTokens * kK, 6);
  float* bias = numbers(kExperts * kN, 7);
  float* column_scale = numbers(kExperts * kN, 11);
  float* factors = numbers(kGroups, 8);
  const size_t bytes = kGroups * kN * sizeof(float);
  void *y = memory(bytes), *wanted = memory(bytes);
  static tessera_row_pair pairs[kGroups];
  static tessera_expert_rows groups[kGroups];
  tessera_experts experts = {{NULL, kN, kK, kK * 4, TESSERA_F32}, kExperts, kN * kK * 4};
  tessera_view x_view = {NULL, kTokens, kK, kK * 4, TESSERA_F32};
  tessera_mut_view y_view = {NULL, kGroups, kN, kN * 4, TESSERA_F32};
  tessera_group_epilogue epilogue = {TESSERA_EPILOGUE, kN, kN};
  tessera_gating gating = TESSERA_GATING;
  int packed_w;
  size_t i;
  experts.first.data = w;
  x_view.data = x;
  epilogue.common.bias = bias;
  epilogue.common.column_scale = column_scale;
  epilogue.common.activation = TESSERA_GELU;
  for (i = 0; i < kGroups; ++i) {
    pairs[i].x = i / kChosen;
    pairs[i].y = (i * 7) % kGroups;
    groups[i].expert = (i * 3) % kExperts;
    groups[i].pairs = pairs + i;
    groups[i].count = 1;
    groups[i].factors = i % 2 ? factors + i : NULL;
  }
  for (packed_w = 0; packed_w < 2; ++packed_w) {
    tessera_group_plan plan;
    tessera_sizes sizes, sizes_wanted;
    tessera_part part = {0, 3};
    void *panels, *packed_x, *worker;
    memset(y, 0, bytes);
    memset(wanted, 0, bytes);
    OK(tessera_make_group_plan(&plan, &experts, kChosen, TESSERA_F32, NULL));
    OK(tessera_group_sizes(&plan, kTokens, &sizes));
    panels = memory(sizes.packed_w_bytes);
    if (packed_w) {
      OK(tessera_group_pack_weights(&plan, panels, sizes.packed_w_bytes, NULL));
      OK(tessera_group_with_packed(&plan, panels, sizes.packed_w_bytes, &plan));
      OK(tessera_group_sizes(&plan, kTokens, &sizes));
    }
    CHECK(tessera_group_shares_packed_x(&plan, &plan) == 1);
    packed_x = memory(sizes.packed_x_bytes);
    worker = memory(sizes.worker_bytes);
    for (part.index = 0; part.index < part.count; ++part.index) {
      OK(tessera_group_pack(&plan, &x_view, packed_x, sizes.packed_x_bytes, &part));
    }
    y_view.data = y;
    // A wrong last group: nothing is written.
    groups[kGroups - 1].expert = kExperts;
    REFUSED(TESSERA_GROUP_OUT_OF_RANGE,
            tessera_group_check(&plan, &x_view, groups, kGroups, &y_view, &epilogue));
    REFUSED(TESSERA_GROUP_OUT_OF_RANGE,
            tessera_gated_group_check(&plan, &plan, &x_view, groups, kGroups, &y_view, &gating));
    REFUSED(TESSERA_GROUP_OUT_OF_RANGE,
            tessera_group_run(&plan, packed_x, sizes.packed_x_bytes, kTokens, groups, kGroups,
                              &y_view, worker, sizes.worker_bytes, &epilogue, NULL));
    CHECK(memcmp(y, wanted, bytes) == 0);
    groups[kGroups - 1].expert = (kGroups - 1) * 3 % kExperts;
    OK(tessera_group_check(&plan, &x_view, groups, kGroups, &y_view, &epilogue));
    OK(tessera_group_check(&plan, &x_view, NULL, 0, &y_view, NULL));
    for (part.index = 0; part.index < part.count; ++part.index) {
      OK(tessera_group_run(&plan, packed_x, sizes.packed_x_bytes, kTokens, groups, kGroups, &y_view,
                           worker, sizes.worker_bytes, &epilogue, &part));
    }
    y_view.data = wanted;
    CHECK(group_in_cpp(&experts, kChosen, packed_w, &x_view, groups, kGroups, &y_view, &epilogue,
                       &sizes_wanted));
    CHECK(memcmp(y, wanted, bytes) == 0);
    CHECK(memcmp(&sizes, &sizes_wanted, sizeof sizes) == 0);
    // The same experts as gate and up.
    free(worker);
    OK(tessera_gated_group_sizes(&plan, &plan, kTokens, &sizes));
    worker = memory(sizes.worker_bytes);
    memset(y, 0, bytes);
    memset(wanted, 0, bytes);
    y_view.data = y;
    gating.gate_bias = bias;
    gating.up_bias = column_scale;
    OK(tessera_gated_group_check(&plan, &plan, &x_view, groups, kGroups, &y_view, &gating));
    OK(tessera_gated_group_check(&plan, &plan, &x_view, NULL, 0, &y_view, NULL));
    for (part.index = 0; part.index < part.count; ++part.index) {
      OK(tessera_gated_group_run(&plan, &plan, packed_x, sizes.packed_x_bytes, kTokens, groups,
                                 kGroups, &y_view, worker, sizes.worker_bytes, &gating, kN, &part));
    }
    y_view.data = wanted;
    CHECK(gated_group_in_cpp(&experts, kChosen, packed_w, &x_view, groups, kGroups, &y_view,
                             &gating, kN, &sizes_wanted));
    CHECK(memcmp(y, wanted, bytes) == 0);
    CHECK(memcmp(&sizes, &sizes_wanted, sizeof sizes) == 0);
    y_view.data = y;
    REFUSED(TESSERA_NULL_DATA, tessera_gated_group_sizes(&plan, NULL, kTokens, &sizes));
    REFUSED(TESSERA_NULL_DATA, tessera_gated_group_sizes(&plan, &plan, kTokens, NULL));
    REFUSED(TESSERA_SIZE_OVERFLOW, tessera_gated_group_sizes(&plan, &plan, SIZE_MAX, &sizes));
    REFUSED(TESSERA_NULL_DATA,
            tessera_gated_group_run(&plan, &plan, packed_x, sizes.packed_x_bytes, kTokens, NULL,
                                    kGroups, &y_view, worker, sizes.worker_bytes, NULL, 0, NULL));
    REFUSED(TESSERA_NULL_DATA,
            tessera_gated_group_run(&plan, &plan, packed_x, sizes.packed_x_bytes, kTokens, groups,
                                    kGroups, NULL, worker, sizes.worker_bytes, NULL, 0, NULL));
    REFUSED(TESSERA_BUFFER_TOO_SMALL,
            tessera_gated_group_run(&plan, &plan, packed_x, sizes.packed_x_bytes, kTokens, groups,
                                    kGroups, &y_view, worker, 64, NULL, 0, NULL));
    free(panels);
    free(packed_x);
    free(worker);
  }
  free(w);
  free(x);
  free(bias);
  free(column_scale);
  free(factors);
  free(y);
  free(wanted);
}

// A plan for f32, whose weights are panels in *panels if `packed`.
static tessera_plan plan_of(const tessera_view* w, int packed, void** panels) {
  tessera_plan plan;
  tessera_sizes sizes;
  *panels = NULL;
  OK(tessera_make_plan(&plan, w, TESSERA_F32, NULL));
  if (packed) {
    OK(tessera_plan_sizes(&plan, 1, &sizes));
    *panels = memory(sizes.packed_w_bytes);
    OK(tessera_pack_weights(&plan, *panels, sizes.packed_w_bytes, NULL));
    OK(tessera_with_packed(&plan, *panels, sizes.packed_w_bytes, &plan));
  }
  return plan;
}

static void compare_gated(void) {
  enum { kM = 21, kN = 70, kK = 64 };
  float* wg = numbers(kN * kK, 1);
  float* wu = numbers(kN * kK, 2);
  float* x = numbers(kM * kK, 3);
  float* bias = numbers(kN * 2, 4);
  const size_t bytes = kM * kN * sizeof(float);
  void *y = memory(bytes), *wanted = memory(bytes);
  tessera_view gate = {NULL, kN, kK, kK * 4, TESSERA_F32}, up = gate;
  tessera_view xv = {NULL, kM, kK, kK * 4, TESSERA_F32};
  tessera_mut_view yv = {NULL, kM, kN, kN * 4, TESSERA_F32};
  int mode;
  gate.data = wg;
  up.data = wu;
  xv.data = x;
  for (mode = 0; mode < 8; ++mode) {
    tessera_gating gating = TESSERA_GATING;
    void *panels[2], *packed_x, *worker;
    const tessera_plan g = plan_of(&gate, mode & 1, &panels[0]);
    const tessera_plan u = plan_of(&up, mode & 1, &panels[1]);
    tessera_sizes sizes, sizes_wanted;
    tessera_part part = {0, 3};
    if (mode & 2) {
      gating.activation = TESSERA_GELU;
      gating.offset = 1.0f;
      gating.gate_bias = bias;
      gating.up_bias = bias + kN;
    }
    if (mode & 4) {
      gating.alpha = 1.702f;
      gating.clips = 1000;
      gating.limit = 0.5f;
    }
    OK(tessera_gated_sizes(&g, &u, kM, &sizes));
    packed_x = memory(sizes.packed_x_bytes);
    worker = memory(sizes.worker_bytes);
    OK(tessera_pack(&u, &xv, packed_x, sizes.packed_x_bytes, NULL));
    yv.data = y;
    OK(tessera_gated_check(&g, &u, &xv, &yv, mode == 0 ? NULL : &gating));
    for (part.index = 0; part.index < part.count; ++part.index) {
      OK(tessera_gated_run(&g, &u, packed_x, sizes.packed_x_bytes, &yv, worker, sizes.worker_bytes,
                           mode == 0 ? NULL : &gating, &part));
    }
    yv.data = wanted;
    CHECK(gated_in_cpp(&gate, &up, mode & 1, &xv, &yv, &gating, &sizes_wanted));
    CHECK(memcmp(y, wanted, bytes) == 0);
    CHECK(memcmp(&sizes, &sizes_wanted, sizeof sizes) == 0);
    free(panels[0]);
    free(panels[1]);
    free(packed_x);
    free(worker);
  }
  free(wg);
  free(wu);
  free(x);
  free(bias);
  free(y);
  free(wanted);
}

// Rows of x and y at two strides, as of four heads of each token.
static void compare_batches(void) {
  enum { kCount = 3, kTokens = 5, kHeads = 4, kN = 33, kK = 32, kX = kTokens * kHeads * kK };
  enum { kY = kTokens * kHeads * kN };
  float* w = numbers(kCount * kN * kK, 1);
  float* x = numbers(kCount * kX, 2);
  float* bias = numbers(kN, 3);
  const size_t bytes = kCount * kY * sizeof(float);
  void *y = memory(bytes), *wanted = memory(bytes);
  tessera_view wv = {NULL, kN, kK, kK * 4, TESSERA_F32};
  // Batch i has heads i * kHeads and on: [tokens, batches, heads, k].
  tessera_batch_view xv = {
      {NULL, kHeads, kK, kK * 4, TESSERA_F32}, kHeads * kK * 4, kTokens, kCount * kHeads * kK * 4};
  tessera_mut_batch_view yv = {
      {NULL, kHeads, kN, kN * 4, TESSERA_F32}, kHeads * kN * 4, kTokens, kCount * kHeads * kN * 4};
  tessera_epilogue epilogue = TESSERA_EPILOGUE;
  int mode;
  wv.data = w;
  xv.inner.data = x;
  epilogue.bias = bias;
  for (mode = 0; mode < 2; ++mode) {
    tessera_plan first;
    tessera_batch batch = {NULL, kCount, kN * kK * 4};
    tessera_sizes sizes, sizes_wanted;
    tessera_part part = {0, 4};
    void *packed_x, *worker;
    OK(tessera_make_plan(&first, &wv, TESSERA_F32, NULL));
    batch.first = &first;
    OK(tessera_batch_sizes(&batch, kTokens * kHeads, &sizes));
    packed_x = memory(sizes.packed_x_bytes);
    worker = memory(sizes.worker_bytes);
    for (part.index = 0; part.index < part.count; ++part.index) {
      OK(tessera_batch_pack(&batch, &xv, packed_x, sizes.packed_x_bytes, &part));
    }
    yv.inner.data = y;
    OK(tessera_batch_check(&batch, &xv, &yv, mode ? &epilogue : NULL));
    for (part.index = 0; part.index < part.count; ++part.index) {
      OK(tessera_batch_run(&batch, packed_x, sizes.packed_x_bytes, &yv, worker, sizes.worker_bytes,
                           mode ? &epilogue : NULL, &part));
    }
    yv.inner.data = wanted;
    CHECK(batch_in_cpp(&wv, kCount, batch.w_stride, &xv, &yv, mode ? bias : NULL, &sizes_wanted));
    CHECK(memcmp(y, wanted, bytes) == 0);
    CHECK(memcmp(&sizes, &sizes_wanted, sizeof sizes) == 0);
    free(packed_x);
    free(worker);
  }
  free(w);
  free(x);
  free(bias);
  free(y);
  free(wanted);
}

// ---- What is refused ----------------------------------------------------------------------------

enum { kM = 3, kN = 8, kK = 32 };

static void refuse_groups(void) {
  const size_t huge = SIZE_MAX, big = 1 << 20;
  float* w = numbers(kN * kK, 1);
  float* x = numbers(kM * kK, 2);
  float y[kM * kN];
  unsigned char* buffer = memory(big);
  tessera_sizes sizes;
  tessera_plan plan;
  tessera_view wv = {NULL, kN, kK, kK * 4, TESSERA_F32}, xv = {NULL, kM, kK, kK * 4, TESSERA_F32};
  tessera_mut_view yv = {NULL, kM, kN, kN * 4, TESSERA_F32}, mv;
  tessera_options options = {0, 0, NULL};
  const tessera_part past = {2, 2};
  tessera_group_plan group, no_group, group_out;
  tessera_experts experts;
  tessera_row_pair pair = {0, 0};
  tessera_group_epilogue group_epilogue = {TESSERA_EPILOGUE, 0, 0};
  tessera_gating gating = TESSERA_GATING;
  tessera_expert_rows rows;
  wv.data = w;
  xv.data = x;
  yv.data = y;
  OK(tessera_make_plan(&plan, &wv, TESSERA_F32, NULL));
  experts.first = wv;
  experts.first.rows = kN / 2;
  experts.count = 2;
  experts.stride = kN / 2 * kK * 4;
  rows.expert = 1;
  rows.pairs = &pair;
  rows.count = 1;
  rows.factors = NULL;
  mv = yv;
  mv.cols = kN / 2;
  memset(&no_group, 0, sizeof no_group);
  OK(tessera_make_group_plan(&group, &experts, 1, TESSERA_F32, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_make_group_plan(NULL, &experts, 1, TESSERA_F32, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_make_group_plan(&group_out, NULL, 1, TESSERA_F32, NULL));
  REFUSED(TESSERA_GROUP_OUT_OF_RANGE,
          tessera_make_group_plan(&group_out, &experts, huge, TESSERA_F32, NULL));
  REFUSED(TESSERA_GROUP_OUT_OF_RANGE,
          tessera_make_group_plan(&group_out, &experts, 0, TESSERA_F32, NULL));
  REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_make_group_plan(&group_out, &experts, 1, 256, NULL));
  options.accuracy = 3;
  REFUSED(TESSERA_UNKNOWN_CHOICE,
          tessera_make_group_plan(&group_out, &experts, 1, TESSERA_F32, &options));
  options.accuracy = 0;
  experts.stride = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW,
          tessera_make_group_plan(&group_out, &experts, 1, TESSERA_F32, NULL));
  experts.stride = 4;
  REFUSED(TESSERA_STRIDE_TOO_SMALL,
          tessera_make_group_plan(&group_out, &experts, 1, TESSERA_F32, NULL));
  CHECK(memcmp(&group_out, &no_group, sizeof no_group) == 0);

  REFUSED(TESSERA_NULL_DATA, tessera_group_sizes(NULL, kM, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_group_sizes(&group, kM, NULL));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_group_sizes(&group, huge, &sizes));
  OK(tessera_group_sizes(&group, kM, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_group_pack_weights(NULL, buffer, big, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_group_pack_weights(&group, NULL, huge, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_group_with_packed(NULL, buffer, big, &group_out));
  REFUSED(TESSERA_NULL_DATA, tessera_group_with_packed(&group, buffer, big, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_group_with_packed(&group, NULL, huge, &group_out));
  REFUSED(TESSERA_NULL_DATA, tessera_group_pack(NULL, &xv, buffer, big, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_group_pack(&group, NULL, buffer, big, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_group_pack(&group, &xv, NULL, huge, NULL));
  OK(tessera_group_pack(&group, &xv, buffer, big, NULL));
  CHECK(tessera_group_shares_packed_x(NULL, &group) == 0);
  CHECK(tessera_group_shares_packed_x(&group, &no_group) == 0);
#define GROUP_RUN(code, plan, x, x_bytes, tokens, groups, count, y, worker, bytes, epilogue, part) \
  REFUSED(code, tessera_group_run(plan, x, x_bytes, tokens, groups, count, y, worker, bytes,       \
                                  epilogue, part))
  GROUP_RUN(TESSERA_OK, &group, buffer, big, kM, &rows, 1, &mv, buffer + big / 2, big / 2, NULL,
            NULL);
  GROUP_RUN(TESSERA_OK, &group, buffer, big, kM, NULL, 0, &mv, buffer, big, NULL, NULL);
  GROUP_RUN(TESSERA_NULL_DATA, NULL, buffer, big, kM, &rows, 1, &mv, buffer, big, NULL, NULL);
  GROUP_RUN(TESSERA_NULL_DATA, &group, NULL, huge, kM, &rows, 1, &mv, buffer, big, NULL, NULL);
  GROUP_RUN(TESSERA_NULL_DATA, &group, buffer, big, kM, NULL, 1, &mv, buffer, big, NULL, NULL);
  GROUP_RUN(TESSERA_NULL_DATA, &group, buffer, big, kM, NULL, huge, &mv, buffer, big, NULL, NULL);
  GROUP_RUN(TESSERA_NULL_DATA, &group, buffer, big, kM, &rows, 1, NULL, buffer, big, NULL, NULL);
  GROUP_RUN(TESSERA_NULL_DATA, &group, buffer, big, kM, &rows, 1, &mv, NULL, huge, NULL, NULL);
  GROUP_RUN(TESSERA_SIZE_OVERFLOW, &group, buffer, big, huge, &rows, 1, &mv, buffer, big, NULL,
            NULL);
  GROUP_RUN(TESSERA_PART_OUT_OF_RANGE, &group, buffer, big, kM, &rows, 1, &mv, buffer, big, NULL,
            &past);
  group_epilogue.common.activation = 256;
  GROUP_RUN(TESSERA_UNKNOWN_CHOICE, &group, buffer, big, kM, &rows, 1, &mv, buffer, big,
            &group_epilogue, NULL);
  rows.pairs = NULL;
  GROUP_RUN(TESSERA_NULL_DATA, &group, buffer, big, kM, &rows, 1, &mv, buffer, big, NULL, NULL);
  rows.count = huge;
  GROUP_RUN(TESSERA_NULL_DATA, &group, buffer, big, kM, &rows, 1, &mv, buffer, big, NULL, NULL);
  rows.pairs = &pair;
  rows.count = 1;
  rows.expert = huge;
  GROUP_RUN(TESSERA_GROUP_OUT_OF_RANGE, &group, buffer, big, kM, &rows, 1, &mv, buffer, big, NULL,
            NULL);
  rows.expert = 0;
  pair.x = huge;
  GROUP_RUN(TESSERA_GROUP_OUT_OF_RANGE, &group, buffer, big, kM, &rows, 1, &mv, buffer, big, NULL,
            NULL);
  REFUSED(TESSERA_WRONG_PLAN, tessera_group_sizes(&no_group, kM, &sizes));
  REFUSED(TESSERA_WRONG_PLAN, tessera_group_pack_weights(&no_group, buffer, big, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_group_with_packed(&no_group, buffer, big, &group_out));
  REFUSED(TESSERA_WRONG_PLAN, tessera_group_pack(&no_group, &xv, buffer, big, NULL));
  GROUP_RUN(TESSERA_WRONG_PLAN, &no_group, buffer, big, kM, &rows, 1, &mv, buffer, big, NULL, NULL);
  rows.expert = 0;
  pair.x = 0;
  group_epilogue.common.activation = TESSERA_NONE;
#define SAME_AS_PACK(code, plan, x)                             \
  check_same(tessera_group_check(plan, x, &rows, 1, &mv, NULL), \
             tessera_group_pack(plan, x, buffer, big, NULL), code, #plan " " #x, __LINE__)
#define SAME_AS_RUN(code, groups, count, y, epilogue)                                           \
  check_same(tessera_group_check(&group, &xv, groups, count, y, epilogue),                      \
             tessera_group_run(&group, buffer, big / 2, kM, groups, count, y, buffer + big / 2, \
                               big / 2, epilogue, NULL),                                        \
             code, #groups " " #count " " #y " " #epilogue, __LINE__)
  SAME_AS_PACK(TESSERA_OK, &group, &xv);
  SAME_AS_PACK(TESSERA_NULL_DATA, NULL, &xv);
  SAME_AS_PACK(TESSERA_NULL_DATA, &group, NULL);
  SAME_AS_PACK(TESSERA_WRONG_PLAN, &no_group, &xv);
  xv.row_stride = 0;
  SAME_AS_PACK(TESSERA_STRIDE_TOO_SMALL, &group, &xv);
  xv.row_stride = kK * 4;
  xv.dtype = INT_MIN;
  SAME_AS_PACK(TESSERA_UNSUPPORTED_DTYPE, &group, &xv);
  xv.dtype = TESSERA_F32;
  SAME_AS_RUN(TESSERA_OK, &rows, 1, &mv, NULL);
  SAME_AS_RUN(TESSERA_OK, NULL, 0, &mv, &group_epilogue);
  SAME_AS_RUN(TESSERA_NULL_DATA, NULL, huge, &mv, NULL);
  SAME_AS_RUN(TESSERA_NULL_DATA, &rows, 1, NULL, NULL);
  SAME_AS_RUN(TESSERA_SHAPE_MISMATCH, &rows, 1, &yv, NULL);
  rows.expert = huge;
  SAME_AS_RUN(TESSERA_GROUP_OUT_OF_RANGE, &rows, 1, &mv, NULL);
  rows.expert = 0;
  pair.x = kM;
  SAME_AS_RUN(TESSERA_GROUP_OUT_OF_RANGE, &rows, 1, &mv, NULL);
  rows.pairs = NULL;
  SAME_AS_RUN(TESSERA_NULL_DATA, &rows, 1, &mv, NULL);
  group_epilogue.common.activation = INT_MIN;
  SAME_AS_RUN(TESSERA_UNKNOWN_CHOICE, NULL, 0, &mv, &group_epilogue);
#undef SAME_AS_PACK
#undef SAME_AS_RUN
  // The plan of one sort in the memory of the other.
  memcpy(&group_out, &plan, sizeof plan);
  REFUSED(TESSERA_WRONG_PLAN, tessera_group_sizes(&group_out, kM, &sizes));
  REFUSED(TESSERA_WRONG_PLAN, tessera_group_check(&group_out, &xv, NULL, 0, &mv, NULL));
  // Two as one.
#define GATED_GROUPS(code, gate, up, x, groups, count, y, gating) \
  REFUSED(code, tessera_gated_group_check(gate, up, x, groups, count, y, gating))
  rows.pairs = &pair;
  pair.x = 0;
  GATED_GROUPS(TESSERA_OK, &group, &group, &xv, &rows, 1, &mv, NULL);
  GATED_GROUPS(TESSERA_NULL_DATA, NULL, &group, &xv, &rows, 1, &mv, NULL);
  GATED_GROUPS(TESSERA_NULL_DATA, &group, NULL, &xv, &rows, 1, &mv, NULL);
  GATED_GROUPS(TESSERA_NULL_DATA, &group, &group, NULL, &rows, 1, &mv, NULL);
  GATED_GROUPS(TESSERA_NULL_DATA, &group, &group, &xv, NULL, huge, &mv, NULL);
  GATED_GROUPS(TESSERA_NULL_DATA, &group, &group, &xv, &rows, 1, NULL, NULL);
  GATED_GROUPS(TESSERA_WRONG_PLAN, &group, &no_group, &xv, &rows, 1, &mv, NULL);
  GATED_GROUPS(TESSERA_WRONG_PLAN, &no_group, &group, &xv, &rows, 1, &mv, NULL);
  GATED_GROUPS(TESSERA_SHAPE_MISMATCH, &group, &group, &xv, &rows, 1, &yv, NULL);
  pair.y = kM;
  GATED_GROUPS(TESSERA_GROUP_OUT_OF_RANGE, &group, &group, &xv, &rows, 1, &mv, NULL);
  xv.row_stride = 0;
  GATED_GROUPS(TESSERA_STRIDE_TOO_SMALL, &group, &group, &xv, NULL, 0, &mv, NULL);
  xv.row_stride = kK * 4;
  gating.activation = 256;
  GATED_GROUPS(TESSERA_UNKNOWN_CHOICE, &group, &group, &xv, NULL, 0, &mv, &gating);
  free(w);
  free(x);
  free(buffer);
}

static void refuse_gated(void) {
  const size_t huge = SIZE_MAX, big = 1 << 20;
  float* w = numbers(kN * kK, 1);
  float y[kM * kN];
  unsigned char* buffer = memory(big);
  tessera_sizes sizes;
  tessera_plan plan, less, other, zeros;
  tessera_view wv = {NULL, kN, kK, kK * 4, TESSERA_F32};
  tessera_view xv = {NULL, kM, kK, kK * 4, TESSERA_F32};
  tessera_mut_view yv = {NULL, kM, kN, kN * 4, TESSERA_F32}, mv = yv;
  tessera_gating gating = TESSERA_GATING;
  const int32_t no_choice[] = {-1, 4, 256, 258, INT_MAX, INT_MIN};
  const tessera_part past = {2, 2};
  size_t i;
  wv.data = w;
  xv.data = w;
  yv.data = y;
  memset(&zeros, 0, sizeof zeros);
  OK(tessera_make_plan(&plan, &wv, TESSERA_F32, NULL));
  wv.rows = kN - 1;
  OK(tessera_make_plan(&less, &wv, TESSERA_F32, NULL));
  OK(tessera_pack(&plan, &xv, buffer, big / 2, NULL));
  OK(tessera_gated_sizes(&plan, &plan, kM, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_gated_sizes(NULL, &plan, kM, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_gated_sizes(&plan, NULL, kM, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_gated_sizes(&plan, &plan, kM, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_gated_sizes(&zeros, &plan, kM, &sizes));
  REFUSED(TESSERA_WRONG_PLAN, tessera_gated_sizes(&plan, &zeros, kM, &sizes));
  REFUSED(TESSERA_SHAPE_MISMATCH, tessera_gated_sizes(&plan, &less, kM, &sizes));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_gated_sizes(&plan, &plan, huge, &sizes));
  wv.rows = kN;
  wv.dtype = TESSERA_Q8_0;  // with another packed x
  wv.row_stride = kK / 32 * 34;
  OK(tessera_make_plan(&other, &wv, TESSERA_F32, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_gated_sizes(&plan, &other, kM, &sizes));
#define GATED(code, gate, up, x, x_bytes, y, worker, bytes, gating, part) \
  REFUSED(code, tessera_gated_run(gate, up, x, x_bytes, y, worker, bytes, gating, part))
  GATED(TESSERA_OK, &plan, &plan, buffer, big / 2, &yv, buffer + big / 2, big / 2, NULL, NULL);
  GATED(TESSERA_NULL_DATA, NULL, &plan, buffer, big, &yv, buffer, big, NULL, NULL);
  GATED(TESSERA_NULL_DATA, &plan, NULL, buffer, big, &yv, buffer, big, NULL, NULL);
  GATED(TESSERA_NULL_DATA, &plan, &plan, NULL, huge, &yv, buffer, big, NULL, NULL);
  GATED(TESSERA_NULL_DATA, &plan, &plan, buffer, big, NULL, buffer, big, NULL, NULL);
  GATED(TESSERA_NULL_DATA, &plan, &plan, buffer, big, &mv, buffer, big, NULL, NULL);
  GATED(TESSERA_NULL_DATA, &plan, &plan, buffer, big, &yv, NULL, huge, NULL, NULL);
  GATED(TESSERA_BUFFER_TOO_SMALL, &plan, &plan, buffer, 4, &yv, buffer, big, NULL, NULL);
  GATED(TESSERA_BUFFER_TOO_SMALL, &plan, &plan, buffer, big, &yv, NULL, 0, NULL, NULL);
  GATED(TESSERA_WRONG_PLAN, &zeros, &plan, buffer, big, &yv, buffer, big, NULL, NULL);
  GATED(TESSERA_SHAPE_MISMATCH, &plan, &less, buffer, big, &yv, buffer, big, NULL, NULL);
  GATED(TESSERA_PART_OUT_OF_RANGE, &plan, &plan, buffer, big, &yv, buffer, big, NULL, &past);
  mv = yv;
  mv.rows = huge;
  GATED(TESSERA_SIZE_OVERFLOW, &plan, &plan, buffer, big, &mv, buffer, big, NULL, NULL);
  mv = yv;
  mv.dtype = 256;
  GATED(TESSERA_UNSUPPORTED_DTYPE, &plan, &plan, buffer, big, &mv, buffer, big, NULL, NULL);
#define SAME_AS_RUN(code, gate, up, y, gating)                                                  \
  check_same(                                                                                   \
      tessera_gated_check(gate, up, &xv, y, gating),                                            \
      tessera_gated_run(gate, up, buffer, big / 2, y, buffer + big / 2, big / 2, gating, NULL), \
      code, #gate " " #up " " #y " " #gating, __LINE__)
  SAME_AS_RUN(TESSERA_UNSUPPORTED_DTYPE, &plan, &plan, &mv, NULL);
  for (i = 0; i < sizeof no_choice / sizeof *no_choice; ++i) {
    gating.activation = no_choice[i];
    GATED(TESSERA_UNKNOWN_CHOICE, &plan, &plan, buffer, big, &yv, buffer, big, &gating, NULL);
    SAME_AS_RUN(TESSERA_UNKNOWN_CHOICE, &plan, &plan, &yv, &gating);
  }
  SAME_AS_RUN(TESSERA_OK, &plan, &plan, &yv, NULL);
  SAME_AS_RUN(TESSERA_NULL_DATA, NULL, &plan, &yv, NULL);
  SAME_AS_RUN(TESSERA_NULL_DATA, &plan, NULL, &yv, NULL);
  SAME_AS_RUN(TESSERA_NULL_DATA, &plan, &plan, NULL, NULL);
  SAME_AS_RUN(TESSERA_WRONG_PLAN, &zeros, &plan, &yv, NULL);
  SAME_AS_RUN(TESSERA_WRONG_PLAN, &plan, &other, &yv, NULL);
  SAME_AS_RUN(TESSERA_SHAPE_MISMATCH, &plan, &less, &yv, NULL);
  mv = yv;
  mv.rows = huge;
  SAME_AS_RUN(TESSERA_SIZE_OVERFLOW, &plan, &plan, &mv, NULL);
#undef SAME_AS_RUN
  mv.rows = kM - 1;
  REFUSED(TESSERA_SHAPE_MISMATCH, tessera_gated_check(&plan, &plan, &xv, &mv, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_gated_check(&plan, &plan, NULL, &yv, NULL));
  xv.row_stride = 0;
  check_same(tessera_gated_check(&plan, &plan, &xv, &yv, NULL),
             tessera_pack(&plan, &xv, buffer, big, NULL), TESSERA_STRIDE_TOO_SMALL, "xv", __LINE__);
  free(w);
  free(buffer);
}

static void refuse_batches(void) {
  const size_t huge = SIZE_MAX, big = 1 << 20;
  float* w = numbers(kN * kK, 1);
  float y[kM * kN];
  unsigned char* buffer = memory(big);
  tessera_sizes sizes;
  tessera_plan plan, zeros;
  tessera_view wv = {NULL, kN, kK, kK * 4, TESSERA_F32};
  tessera_batch_view xv = {{NULL, kM, kK, kK * 4, TESSERA_F32}, 0, 1, 0}, v;
  tessera_mut_batch_view yv = {{NULL, kM, kN, kN * 4, TESSERA_F32}, 0, 1, 0}, mv;
  tessera_batch batch = {NULL, 1, 0}, bad;
  tessera_epilogue epilogue = TESSERA_EPILOGUE;
  const tessera_part past = {2, 2};
  wv.data = w;
  xv.inner.data = w;
  yv.inner.data = y;
  memset(&zeros, 0, sizeof zeros);
  OK(tessera_make_plan(&plan, &wv, TESSERA_F32, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_batch_sizes(&batch, kM, &sizes));
  batch.first = &zeros;
  REFUSED(TESSERA_WRONG_PLAN, tessera_batch_sizes(&batch, kM, &sizes));
  batch.first = &plan;
  OK(tessera_batch_sizes(&batch, kM, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_batch_sizes(NULL, kM, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_batch_sizes(&batch, kM, NULL));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_batch_sizes(&batch, huge, &sizes));
  bad = batch;
  bad.count = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_batch_sizes(&bad, kM, &sizes));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_batch_pack(&bad, &xv, buffer, big, NULL));
  REFUSED(TESSERA_SIZE_OVERFLOW,
          tessera_batch_run(&bad, buffer, big, &yv, buffer, big, NULL, NULL));
  bad.count = 2;
  bad.w_stride = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_batch_sizes(&bad, kM, &sizes));
  bad.count = 0;
  OK(tessera_batch_sizes(&bad, kM, &sizes));

  REFUSED(TESSERA_NULL_DATA, tessera_batch_pack(NULL, &xv, buffer, big, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_batch_pack(&batch, NULL, buffer, big, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_batch_pack(&batch, &xv, NULL, huge, NULL));
  REFUSED(TESSERA_BUFFER_TOO_SMALL, tessera_batch_pack(&batch, &xv, NULL, 0, NULL));
  REFUSED(TESSERA_PART_OUT_OF_RANGE, tessera_batch_pack(&batch, &xv, buffer, big, &past));
  v = xv;
  v.outer = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_batch_pack(&batch, &v, buffer, big, NULL));
  v = xv;
  v.outer = 2;
  v.outer_stride = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_batch_pack(&batch, &v, buffer, big, NULL));
  v = xv;
  v.inner.dtype = 256;
  REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_batch_pack(&batch, &v, buffer, big, NULL));
  v = xv;
  v.stride = huge;
  bad = batch;
  bad.count = 2;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_batch_pack(&bad, &v, buffer, big, NULL));
  OK(tessera_batch_pack(&batch, &xv, buffer, big / 2, NULL));

#define BATCH(code, batch, x, x_bytes, y, worker, bytes, epilogue, part) \
  REFUSED(code, tessera_batch_run(batch, x, x_bytes, y, worker, bytes, epilogue, part))
  BATCH(TESSERA_OK, &batch, buffer, big / 2, &yv, buffer + big / 2, big / 2, NULL, NULL);
  BATCH(TESSERA_NULL_DATA, NULL, buffer, big, &yv, buffer, big, NULL, NULL);
  BATCH(TESSERA_NULL_DATA, &batch, NULL, huge, &yv, buffer, big, NULL, NULL);
  BATCH(TESSERA_NULL_DATA, &batch, buffer, big, NULL, buffer, big, NULL, NULL);
  BATCH(TESSERA_NULL_DATA, &batch, buffer, big, &yv, NULL, huge, NULL, NULL);
  BATCH(TESSERA_PART_OUT_OF_RANGE, &batch, buffer, big, &yv, buffer, big, NULL, &past);
  epilogue.activation = 256;
  BATCH(TESSERA_UNKNOWN_CHOICE, &batch, buffer, big, &yv, buffer, big, &epilogue, NULL);
  mv = yv;
  mv.outer = huge;
  BATCH(TESSERA_SIZE_OVERFLOW, &batch, buffer, big, &mv, buffer, big, NULL, NULL);
  mv = yv;
  mv.inner.data = NULL;
  BATCH(TESSERA_NULL_DATA, &batch, buffer, big, &mv, buffer, big, NULL, NULL);
  mv = yv;
  mv.inner.dtype = -1;
  BATCH(TESSERA_UNSUPPORTED_DTYPE, &batch, buffer, big, &mv, buffer, big, NULL, NULL);
#define SAME_AS_PACK(code, batch, x)                   \
  check_same(tessera_batch_check(batch, x, &yv, NULL), \
             tessera_batch_pack(batch, x, buffer, big / 2, NULL), code, #batch " " #x, __LINE__)
#define SAME_AS_RUN(code, batch, y, epilogue)                                                  \
  check_same(                                                                                  \
      tessera_batch_check(batch, &xv, y, epilogue),                                            \
      tessera_batch_run(batch, buffer, big / 2, y, buffer + big / 2, big / 2, epilogue, NULL), \
      code, #batch " " #y " " #epilogue, __LINE__)
  SAME_AS_PACK(TESSERA_OK, &batch, &xv);
  SAME_AS_PACK(TESSERA_NULL_DATA, NULL, &xv);
  SAME_AS_PACK(TESSERA_NULL_DATA, &batch, NULL);
  v = xv;
  v.outer = huge;
  SAME_AS_PACK(TESSERA_SIZE_OVERFLOW, &batch, &v);
  v = xv;
  v.inner.row_stride = 0;
  SAME_AS_PACK(TESSERA_STRIDE_TOO_SMALL, &batch, &v);
  SAME_AS_RUN(TESSERA_OK, &batch, &yv, NULL);
  SAME_AS_RUN(TESSERA_NULL_DATA, &batch, NULL, NULL);
  SAME_AS_RUN(TESSERA_UNSUPPORTED_DTYPE, &batch, &mv, NULL);
  SAME_AS_RUN(TESSERA_UNKNOWN_CHOICE, &batch, &yv, &epilogue);
  bad.count = 2;
  bad.w_stride = 0;
  SAME_AS_RUN(TESSERA_STRIDE_TOO_SMALL, &bad, &yv, NULL);  // both y in one place
  mv = yv;
  mv.outer = 2;
  REFUSED(TESSERA_SHAPE_MISMATCH, tessera_batch_check(&batch, &xv, &mv, NULL));
  batch.first = NULL;
  SAME_AS_PACK(TESSERA_NULL_DATA, &batch, &xv);
#undef SAME_AS_PACK
#undef SAME_AS_RUN
  BATCH(TESSERA_NULL_DATA, &batch, buffer, big, &yv, buffer, big, NULL, NULL);
  free(w);
  free(buffer);
}

int main(void) {
  compare_groups();
  compare_gated();
  compare_batches();
  refuse_groups();
  refuse_gated();
  refuse_batches();
  return result();
}

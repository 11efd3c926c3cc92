// SPDX-License-Identifier: MIT
// The C API from C99: every call of c_api.h, its bits against those of the C++ API, and what it
// refuses.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "c_api/check.h"
#include "c_api/in_cpp.h"
#include "tessera/c_api.h"

// ---- Products -----------------------------------------------------------------------------------

// What product_in_cpp() does, by C, with the plan copied on the way.
static void product_in_c(const struct Product* p, tessera_sizes* sizes, char text[320]) {
  tessera_plan plan, copy, shape;
  tessera_part part;
  tessera_sizes in_place;
  void *panels, *packed_x, *worker;
  size_t pack_parts = 0, run_parts = 0;
  OK(tessera_make_plan(&plan, &p->w, p->x.dtype, &p->options));
  OK(tessera_plan_sizes(&plan, p->x.rows, &in_place));
  OK(tessera_make_shape_plan(&shape, p->w.rows, p->w.cols, p->w.dtype, p->x.dtype, &p->options));
  OK(tessera_plan_sizes(&shape, p->x.rows, sizes));
  CHECK(memcmp(&in_place, sizes, sizeof in_place) == 0);
  if (p->parts == 1) OK(tessera_over(&shape, &p->w, &plan));
  panels = memory(in_place.packed_w_bytes);
  if (p->packed_w) {
    for (part.index = 0, part.count = p->parts; part.index < part.count; ++part.index) {
      OK(tessera_pack_weights(&plan, panels, in_place.packed_w_bytes, &part));
    }
    OK(tessera_with_packed(&plan, panels, in_place.packed_w_bytes, &plan));
  }
  copy = plan;
  memset(&plan, 0xFF, sizeof plan);
  OK(tessera_plan_sizes(&copy, p->x.rows, sizes));
  OK(tessera_explain(&copy, p->x.rows, text, 320));
  OK(tessera_plan_parts(&copy, p->x.rows, 3, &pack_parts, &run_parts));
  CHECK(pack_parts >= 1 && pack_parts <= 3 && run_parts >= 1 && run_parts <= 3);
  CHECK(tessera_shares_packed_x(&copy, &copy) == 1);
  packed_x = memory(sizes->packed_x_bytes);
  worker = memory(sizes->worker_bytes);
  for (part.index = 0, part.count = p->parts; part.index < part.count; ++part.index) {
    OK(tessera_pack(&copy, &p->x, packed_x, sizes->packed_x_bytes, &part));
  }
  if (p->parts == 1) {  // by two rectangles that no tile begins at
    tessera_rect rect = {0, 0, 0, 0};
    rect.row_end = p->y.rows;
    rect.col_end = p->y.cols / 3;
    OK(tessera_run_rect(&copy, packed_x, sizes->packed_x_bytes, &p->y, worker, sizes->worker_bytes,
                        &p->epilogue, &rect));
    rect.col_begin = rect.col_end;
    rect.col_end = p->y.cols;
    OK(tessera_run_rect(&copy, packed_x, sizes->packed_x_bytes, &p->y, worker, sizes->worker_bytes,
                        &p->epilogue, &rect));
  } else {
    for (part.index = 0; part.index < part.count; ++part.index) {
      OK(tessera_run(&copy, packed_x, sizes->packed_x_bytes, &p->y, worker, sizes->worker_bytes,
                     &p->epilogue, &part));
    }
  }
  free(panels);
  free(packed_x);
  free(worker);
}

// Runs the tasks in an order of its own, and counts them.
static void backwards(void* self, size_t count, tessera_task task, void* argument) {
  *(size_t*)self += count;
  while (count-- > 0) task(argument, count);
}

static void compare_products(void) {
  enum { kM = 24, kN = 301, kK = 256 };
  float* w32 = numbers(kN * kK, 1);
  float* x = numbers(kM * kK, 2);
  float* bias = numbers(kN, 3);
  float* row_scale = numbers(kM, 9);
  float* column_scale = numbers(kN, 10);
  float* old = numbers(kM * kN, 4);
  unsigned char *y = memory(kM * kN * 4), *wanted = memory(kM * kN * 4);
  void *w = memory(kN * kK * 4), *w_wanted = memory(kN * kK * 4);
  const size_t rows[] = {1, 5, kM};
  int32_t dtype;
  int accuracy, mode, compared = 0;
  size_t i;
  for (dtype = 0; dtype < 256; ++dtype) {
    tessera_view w32_view = {NULL, kN, kK, kK * 4, TESSERA_F32};
    tessera_mut_view w_view = {NULL, kN, kK, 0, 0};
    if (!tessera_multiplies(dtype) || !tessera_can_encode(dtype)) continue;
    w32_view.data = w32;
    w_view.data = w;
    w_view.dtype = dtype;
    OK(tessera_row_bytes(dtype, kK, &w_view.row_stride));
    OK(tessera_quantize(&w32_view, &w_view, NULL));
    w_view.data = w_wanted;
    CHECK(quantize_in_cpp(&w32_view, &w_view));
    CHECK(memcmp(w, w_wanted, kN * w_view.row_stride) == 0);
    for (accuracy = TESSERA_FAST; accuracy <= TESSERA_COARSE; ++accuracy) {
      for (i = 0; i < sizeof rows / sizeof *rows; ++i) {
        for (mode = 0; mode < 16; ++mode) {
          const int narrow = (mode & 4) != 0;
          const size_t bytes = rows[i] * kN * (narrow ? 2 : sizeof(float));
          tessera_sizes sizes, sizes_wanted;
          char text[320], text_wanted[320];
          struct Product p;
          memset(&p, 0, sizeof p);
          p.y.data = y;
          p.y.rows = rows[i];
          p.y.cols = kN;
          p.y.row_stride = kN * (narrow ? 2 : sizeof(float));
          p.y.dtype = !narrow ? TESSERA_F32 : mode & 8 ? TESSERA_BF16 : TESSERA_F16;
          p.x.data = x;
          p.x.rows = rows[i];
          p.x.cols = kK;
          p.x.row_stride = kK * 4;
          p.x.dtype = TESSERA_F32;
          p.w.data = w;
          p.w.rows = kN;
          p.w.cols = kK;
          p.w.row_stride = w_view.row_stride;
          p.w.dtype = dtype;
          p.options.accuracy = accuracy;
          p.options.borrow_x = (mode & 2) * 1000;
          p.packed_w = mode & 1;
          p.parts = mode & 8 ? 3 : 1;
          p.epilogue.scale = 0.5f;
          p.epilogue.beta = 0.25f;
          p.epilogue.bias = bias;
          p.epilogue.activation = mode % 4;
          p.epilogue.row_scale = mode & 2 ? row_scale : NULL;
          p.epilogue.column_scale = mode & 4 ? column_scale : NULL;
          memcpy(y, old, bytes);
          memcpy(wanted, old, bytes);
          product_in_c(&p, &sizes, text);
          p.y.data = wanted;
          CHECK(product_in_cpp(&p, &sizes_wanted, text_wanted));
          CHECK(memcmp(y, wanted, bytes) == 0);
          CHECK(memcmp(y, old, bytes) != 0);
          CHECK(memcmp(&sizes, &sizes_wanted, sizeof sizes) == 0);
          CHECK(strcmp(text, text_wanted) == 0);
          ++compared;
          if (mode == 0) {  // in one call
            size_t tasks = 0;
            tessera_executor executor = {backwards, NULL, 3};
            executor.self = &tasks;
            memcpy(y, old, bytes);
            memcpy(wanted, old, bytes);
            CHECK(matmul_in_cpp(&p));
            p.y.data = y;
            OK(tessera_matmul(&p.y, &p.x, &p.w, &p.epilogue, &executor, &p.options));
            CHECK(memcmp(y, wanted, bytes) == 0);
            CHECK(tasks >= 3 || rows[i] < kM);
          }
        }
      }
    }
  }
  printf("%d products\n", compared);
  CHECK(compared >= 2 * 3 * 3 * 16);
  {  // a value that can be told: no epilogue, default options
    const float one[] = {1, 2, 3}, two[] = {1, 2, 3, -1, 0, 2};
    float result[2] = {0, 0};
    tessera_view one_view = {NULL, 1, 3, 12, TESSERA_F32}, two_view = {NULL, 2, 3, 12, TESSERA_F32};
    tessera_mut_view result_view = {NULL, 1, 2, 8, TESSERA_F32};
    one_view.data = one;
    two_view.data = two;
    result_view.data = result;
    OK(tessera_matmul(&result_view, &one_view, &two_view, NULL, NULL, NULL));
    CHECK(result[0] == 14 && result[1] == 5);
  }
  free(w32);
  free(x);
  free(bias);
  free(row_scale);
  free(column_scale);
  free(old);
  free(y);
  free(wanted);
  free(w);
  free(w_wanted);
}

// ---- Names --------------------------------------------------------------------------------------

static void compare_names(void) {
  char text[320], wanted[320], cut[6];
  tessera_status s;
  tessera_target list[64];
  size_t i, bytes = 7;
  const size_t count = tessera_targets(NULL, 64);
  int id, x;
  for (id = 0; id < 256; ++id) {
    CHECK(strcmp(tessera_dtype_name(id), dtype_name_in_cpp(id)) == 0);
    CHECK(tessera_multiplies(id) == multiplies_in_cpp(id));
    for (x = 0; x < 256; ++x) CHECK(tessera_supports(id, x) == supports_in_cpp(id, x));
  }
  CHECK(strcmp(tessera_dtype_name(-1), "unknown") == 0);
  CHECK(strcmp(tessera_dtype_name(256 + TESSERA_Q4_0), "unknown") == 0);
  CHECK(tessera_multiplies(256) == 0 && tessera_multiplies(INT_MIN) == 0);
  CHECK(tessera_supports(TESSERA_F32, TESSERA_F16) == 1);
  CHECK(tessera_supports(256, TESSERA_F32) == 0 && tessera_supports(TESSERA_F32, INT_MIN) == 0);
  CHECK(tessera_can_encode(256) == 0 && tessera_can_encode(TESSERA_F32) == 1);
  CHECK(strcmp(tessera_version(), "0.1.0") == 0);

  s = tessera_row_bytes(TESSERA_Q4_0, 33, &bytes);
  CHECK(s.code == TESSERA_PARTIAL_BLOCK && bytes == 7 && s.got == 33 && s.want == 32);
  partial_block_in_cpp(33, wanted);
  CHECK(strcmp(tessera_status_text(&s, text, sizeof text), wanted) == 0);
  CHECK(strcmp(tessera_status_text(&s, cut, sizeof cut), "k = 3") == 0);
  CHECK(strcmp(tessera_status_text(&s, NULL, 9), "") == 0);
  CHECK(strcmp(tessera_status_text(&s, cut, 0), "") == 0);
  CHECK(strcmp(tessera_status_text(NULL, text, sizeof text), "status is a null pointer") == 0);
  memset(&s, 0, sizeof s);
  CHECK(strcmp(tessera_status_text(&s, text, sizeof text), "ok") == 0);
  for (id = 1; id <= TESSERA_OTHER_PANELS; ++id) {  // without strings
    s.code = id;
    CHECK(strlen(tessera_status_text(&s, text, sizeof text)) < sizeof text);
  }
  memset(s.name, 'x', sizeof s.name);  // without an end
  s.code = TESSERA_UNKNOWN_TARGET;
  CHECK(strstr(tessera_status_text(&s, text, sizeof text), "xxx\"") != NULL);
  s.code = TESSERA_OTHER_PANELS + 1;
  CHECK(strstr(tessera_status_text(&s, text, sizeof text), "unknown") != NULL);
  s.code = -1;
  CHECK(strstr(tessera_status_text(&s, text, sizeof text), "unknown") != NULL);

  CHECK(count >= 1 && count <= 64);
  memset(list, 0xFF, sizeof list);
  CHECK(tessera_targets(list, 1) == count);
  CHECK(list[1].available == -1);
  CHECK(tessera_targets(list, 64) == count);
  for (i = 0; i < count; ++i) {
    int available = -1;
    CHECK(strcmp(list[i].name, target_in_cpp(i, &available)) == 0);
    CHECK(list[i].available == available && (list[i].vector_bytes != 0) == available);
  }
  for (i = 0; i < count && strcmp(list[i].name, tessera_default_target()) != 0; ++i) {
  }
  CHECK(i < count);
}

// ---- What is refused ----------------------------------------------------------------------------

static void refuse(void) {
  enum { kM = 3, kN = 8, kK = 32 };
  const size_t huge = SIZE_MAX, half = SIZE_MAX / 2;
  const int32_t no_choice[] = {-1, 4, 255, 256, 257, INT_MAX, INT_MIN};
  const int32_t no_dtype[] = {-1, 4, 5, 33, 255, 256, 256 + TESSERA_F32, INT_MAX, INT_MIN};
  float* w = numbers(kN * kK, 1);
  float* x = numbers(kM * kK, 2);
  float y[kM * kN];
  unsigned char* buffer = memory(1 << 20);
  const size_t big = 1 << 20;
  size_t i, sink = 0, other = 0;
  char text[320];
  tessera_status bad;
  tessera_sizes sizes;
  tessera_plan plan, shape, zeros, garbage, out;
  tessera_view wv = {NULL, kN, kK, kK * 4, TESSERA_F32}, xv = {NULL, kM, kK, kK * 4, TESSERA_F32};
  tessera_view v;
  tessera_mut_view yv = {NULL, kM, kN, kN * 4, TESSERA_F32}, mv;
  tessera_options options = {0, 0, NULL};
  tessera_epilogue epilogue = TESSERA_EPILOGUE;
  tessera_executor executor = {NULL, NULL, SIZE_MAX};
  tessera_rect rect = {0, kM, 0, kN};
  const tessera_part none = {0, 0}, past = {2, 2}, last = {SIZE_MAX - 1, SIZE_MAX};
  wv.data = w;
  xv.data = x;
  yv.data = y;
  memset(&zeros, 0, sizeof zeros);
  memset(&garbage, 0xFF, sizeof garbage);

  // Formats.
  REFUSED(TESSERA_NULL_DATA, tessera_row_bytes(TESSERA_F32, 1, NULL));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_row_bytes(TESSERA_F32, huge, &sink));
  for (i = 0; i < sizeof no_dtype / sizeof *no_dtype; ++i) {
    tessera_status s = tessera_row_bytes(no_dtype[i], 32, &sink);
    CHECK(s.code == TESSERA_UNSUPPORTED_DTYPE && s.got == (uint32_t)no_dtype[i]);
    v = wv;
    v.dtype = no_dtype[i];
    mv = yv;
    mv.dtype = no_dtype[i];
    REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_quantize(&v, &yv, NULL));
    REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_quantize(&wv, &mv, NULL));
    REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_make_plan(&out, &v, TESSERA_F32, NULL));
    REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_make_plan(&out, &wv, no_dtype[i], NULL));
    REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_matmul(&yv, &xv, &v, NULL, NULL, NULL));
    REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_matmul(&mv, &xv, &wv, NULL, NULL, NULL));
  }
  REFUSED(TESSERA_NULL_DATA, tessera_quantize(NULL, &yv, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_quantize(&wv, NULL, NULL));
  REFUSED(TESSERA_SHAPE_MISMATCH, tessera_quantize(&wv, &yv, NULL));
  mv = yv;
  mv.rows = kN;
  mv.cols = kK;
  mv.row_stride = kK * 4;
  mv.data = buffer;
  REFUSED(TESSERA_PART_OUT_OF_RANGE, tessera_quantize(&wv, &mv, &none));
  REFUSED(TESSERA_PART_OUT_OF_RANGE, tessera_quantize(&wv, &mv, &past));
  OK(tessera_quantize(&wv, &mv, &last));
  mv.data = NULL;
  REFUSED(TESSERA_NULL_DATA, tessera_quantize(&wv, &mv, NULL));
  v = wv;
  v.rows = mv.rows = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_quantize(&v, &mv, NULL));

  // Plans.
  OK(tessera_make_plan(&plan, &wv, TESSERA_F32, NULL));
  bad = tessera_make_plan(NULL, &wv, TESSERA_F32, NULL);
  CHECK(bad.code == TESSERA_NULL_DATA);
  CHECK(strcmp(tessera_status_text(&bad, text, sizeof text), "plan is a null pointer") == 0);
  out = plan;
  REFUSED(TESSERA_NULL_DATA, tessera_make_plan(&out, NULL, TESSERA_F32, NULL));
  CHECK(memcmp(&out, &zeros, sizeof out) == 0);  // an empty plan
  v = wv;
  v.data = NULL;
  REFUSED(TESSERA_NULL_DATA, tessera_make_plan(&out, &v, TESSERA_F32, NULL));
  v = wv;
  v.rows = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_make_plan(&out, &v, TESSERA_F32, NULL));
  v = wv;
  v.cols = half;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_make_plan(&out, &v, TESSERA_F32, NULL));
  v = wv;
  v.row_stride = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_make_plan(&out, &v, TESSERA_F32, NULL));
  v.row_stride = 4;
  REFUSED(TESSERA_STRIDE_TOO_SMALL, tessera_make_plan(&out, &v, TESSERA_F32, NULL));
  options.target = "NONSENSE";
  REFUSED(TESSERA_UNKNOWN_TARGET, tessera_make_plan(&out, &wv, TESSERA_F32, &options));
  options.target = NULL;
  for (i = 0; i < sizeof no_choice / sizeof *no_choice; ++i) {
    options.accuracy = no_choice[i];
    REFUSED(TESSERA_UNKNOWN_CHOICE, tessera_make_plan(&out, &wv, TESSERA_F32, &options));
    REFUSED(TESSERA_UNKNOWN_CHOICE, tessera_matmul(&yv, &xv, &wv, NULL, NULL, &options));
  }
  CHECK(memcmp(&out, &zeros, sizeof out) == 0);
  options.accuracy = TESSERA_FAST;

  OK(tessera_make_shape_plan(&shape, kN, kK, TESSERA_F32, TESSERA_F32, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_pack_weights(&shape, buffer, big, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_make_shape_plan(NULL, kN, kK, TESSERA_F32, TESSERA_F32, NULL));
  REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_make_shape_plan(&out, kN, kK, 256, TESSERA_F32, NULL));
  REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_make_shape_plan(&out, kN, kK, TESSERA_F32, 256, NULL));
  REFUSED(TESSERA_SIZE_OVERFLOW,
          tessera_make_shape_plan(&out, huge, kK, TESSERA_F32, TESSERA_F32, NULL));
  REFUSED(TESSERA_SIZE_OVERFLOW,
          tessera_make_shape_plan(&out, kN, huge, TESSERA_F32, TESSERA_F32, NULL));
  options.accuracy = -1;
  REFUSED(TESSERA_UNKNOWN_CHOICE,
          tessera_make_shape_plan(&out, kN, kK, TESSERA_F32, TESSERA_F32, &options));
  options.accuracy = TESSERA_FAST;
  CHECK(memcmp(&out, &zeros, sizeof out) == 0);
  REFUSED(TESSERA_NULL_DATA, tessera_over(NULL, &wv, &out));
  REFUSED(TESSERA_NULL_DATA, tessera_over(&shape, NULL, &out));
  REFUSED(TESSERA_NULL_DATA, tessera_over(&shape, &wv, NULL));
  REFUSED(TESSERA_WRONG_PLAN, tessera_over(&zeros, &wv, &out));
  v = wv;
  v.rows = kN - 1;
  REFUSED(TESSERA_SHAPE_MISMATCH, tessera_over(&shape, &v, &out));
  v = wv;
  v.dtype = 256;
  REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_over(&shape, &v, &out));
  CHECK(memcmp(&out, &zeros, sizeof out) == 0);

  OK(tessera_plan_sizes(&plan, kM, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_plan_sizes(NULL, kM, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_plan_sizes(&plan, kM, NULL));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_plan_sizes(&plan, huge, &sizes));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_plan_sizes(&plan, half, &sizes));
  REFUSED(TESSERA_NULL_DATA, tessera_plan_parts(NULL, kM, 2, &sink, &other));
  REFUSED(TESSERA_NULL_DATA, tessera_plan_parts(&plan, kM, 2, NULL, &other));
  REFUSED(TESSERA_NULL_DATA, tessera_plan_parts(&plan, kM, 2, &sink, NULL));
  OK(tessera_plan_parts(&plan, huge, huge, &sink, &other));
  CHECK(sink >= 1 && other >= 1);
  REFUSED(TESSERA_NULL_DATA, tessera_explain(NULL, kM, text, sizeof text));
  REFUSED(TESSERA_NULL_DATA, tessera_explain(&plan, kM, NULL, sizeof text));
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_explain(&plan, huge, text, sizeof text));
  OK(tessera_explain(&plan, kM, text, 0));
  CHECK(tessera_shares_packed_x(NULL, &plan) == 0 && tessera_shares_packed_x(&plan, NULL) == 0);
  CHECK(tessera_shares_packed_x(&zeros, &plan) == 0 &&
        tessera_shares_packed_x(&plan, &garbage) == 0);

  REFUSED(TESSERA_NULL_DATA, tessera_pack_weights(NULL, buffer, big, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_pack_weights(&plan, NULL, huge, NULL));
  REFUSED(TESSERA_BUFFER_TOO_SMALL, tessera_pack_weights(&plan, NULL, 0, NULL));
  REFUSED(TESSERA_BUFFER_TOO_SMALL,
          tessera_pack_weights(&plan, buffer, sizes.packed_w_bytes - 1, NULL));
  REFUSED(TESSERA_MISALIGNED, tessera_pack_weights(&plan, buffer + 1, big - 1, NULL));
  REFUSED(TESSERA_PART_OUT_OF_RANGE, tessera_pack_weights(&plan, buffer, big, &none));
  OK(tessera_pack_weights(&plan, buffer, big, &last));
  REFUSED(TESSERA_NULL_DATA, tessera_with_packed(NULL, buffer, big, &out));
  REFUSED(TESSERA_NULL_DATA, tessera_with_packed(&plan, NULL, huge, &out));
  REFUSED(TESSERA_NULL_DATA, tessera_with_packed(&plan, buffer, big, NULL));
  REFUSED(TESSERA_BUFFER_TOO_SMALL, tessera_with_packed(&plan, buffer, 1, &out));
  OK(tessera_with_packed(&plan, buffer, big, &out));
  REFUSED(TESSERA_WRONG_PLAN, tessera_pack_weights(&out, buffer, big, NULL));

  // x and y.
  REFUSED(TESSERA_NULL_DATA, tessera_pack(NULL, &xv, buffer, big, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_pack(&plan, NULL, buffer, big, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_pack(&plan, &xv, NULL, huge, NULL));
  REFUSED(TESSERA_BUFFER_TOO_SMALL, tessera_pack(&plan, &xv, NULL, 0, NULL));
  REFUSED(TESSERA_PART_OUT_OF_RANGE, tessera_pack(&plan, &xv, buffer, big, &past));
  v = xv;
  v.rows = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_pack(&plan, &v, buffer, big, NULL));
  v = xv;
  v.cols = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_pack(&plan, &v, buffer, big, NULL));
  v = xv;
  v.dtype = 256;
  REFUSED(TESSERA_UNSUPPORTED_DTYPE, tessera_pack(&plan, &v, buffer, big, NULL));
  OK(tessera_pack(&plan, &xv, buffer, big, NULL));

#define EACH_RUN(code, plan, x, x_bytes, y, worker, worker_bytes, epilogue)              \
  REFUSED(code, tessera_run(plan, x, x_bytes, y, worker, worker_bytes, epilogue, NULL)); \
  REFUSED(code, tessera_run_rect(plan, x, x_bytes, y, worker, worker_bytes, epilogue, &rect))
  EACH_RUN(TESSERA_OK, &plan, buffer, big, &yv, buffer + big / 2, big / 2, NULL);
  EACH_RUN(TESSERA_NULL_DATA, NULL, buffer, big, &yv, buffer, big, NULL);
  EACH_RUN(TESSERA_NULL_DATA, &plan, NULL, huge, &yv, buffer, big, NULL);
  EACH_RUN(TESSERA_NULL_DATA, &plan, buffer, big, NULL, buffer, big, NULL);
  EACH_RUN(TESSERA_NULL_DATA, &plan, buffer, big, &yv, NULL, huge, NULL);
  EACH_RUN(TESSERA_BUFFER_TOO_SMALL, &plan, buffer, 4, &yv, buffer, big, NULL);
  mv = yv;
  mv.data = NULL;
  EACH_RUN(TESSERA_NULL_DATA, &plan, buffer, big, &mv, buffer, big, NULL);
  mv = yv;
  mv.rows = huge;
  EACH_RUN(TESSERA_SIZE_OVERFLOW, &plan, buffer, big, &mv, buffer, big, NULL);
  mv = yv;
  mv.row_stride = huge;
  EACH_RUN(TESSERA_SIZE_OVERFLOW, &plan, buffer, big, &mv, buffer, big, NULL);
  mv = yv;
  mv.dtype = -1;
  EACH_RUN(TESSERA_UNSUPPORTED_DTYPE, &plan, buffer, big, &mv, buffer, big, NULL);
  for (i = 0; i < sizeof no_choice / sizeof *no_choice; ++i) {
    epilogue.activation = no_choice[i];
    EACH_RUN(TESSERA_UNKNOWN_CHOICE, &plan, buffer, big, &yv, buffer, big, &epilogue);
    REFUSED(TESSERA_UNKNOWN_CHOICE, tessera_matmul(&yv, &xv, &wv, &epilogue, NULL, NULL));
  }
  REFUSED(TESSERA_PART_OUT_OF_RANGE,
          tessera_run(&plan, buffer, big, &yv, buffer, big, NULL, &none));
  OK(tessera_run(&plan, buffer, big, &yv, buffer + big / 2, big / 2, NULL, &last));
  REFUSED(TESSERA_NULL_DATA, tessera_run_rect(&plan, buffer, big, &yv, buffer, big, NULL, NULL));
  rect.col_end = huge;
  REFUSED(TESSERA_RECT_OUT_OF_RANGE,
          tessera_run_rect(&plan, buffer, big, &yv, buffer, big, NULL, &rect));
  rect.col_end = kN;

  // Empty plans.
  for (i = 0; i < 2; ++i) {
    const tessera_plan* empty = i == 0 ? &zeros : &garbage;
    REFUSED(TESSERA_WRONG_PLAN, tessera_plan_sizes(empty, kM, &sizes));
    REFUSED(TESSERA_WRONG_PLAN, tessera_plan_parts(empty, kM, 2, &sink, &other));
    REFUSED(TESSERA_WRONG_PLAN, tessera_explain(empty, kM, text, sizeof text));
    REFUSED(TESSERA_WRONG_PLAN, tessera_pack_weights(empty, buffer, big, NULL));
    REFUSED(TESSERA_WRONG_PLAN, tessera_with_packed(empty, buffer, big, &out));
    REFUSED(TESSERA_WRONG_PLAN, tessera_pack(empty, &xv, buffer, big, NULL));
    EACH_RUN(TESSERA_WRONG_PLAN, empty, buffer, big, &yv, buffer, big, NULL);
  }

  // In one call.
  REFUSED(TESSERA_NULL_DATA, tessera_matmul(NULL, &xv, &wv, NULL, NULL, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_matmul(&yv, NULL, &wv, NULL, NULL, NULL));
  REFUSED(TESSERA_NULL_DATA, tessera_matmul(&yv, &xv, NULL, NULL, NULL, NULL));
  v = xv;
  v.rows = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_matmul(&yv, &v, &wv, NULL, NULL, NULL));
  v = wv;
  v.cols = huge;
  REFUSED(TESSERA_SIZE_OVERFLOW, tessera_matmul(&yv, &xv, &v, NULL, NULL, NULL));
  v = xv;
  v.cols = kK - 1;
  REFUSED(TESSERA_SHAPE_MISMATCH, tessera_matmul(&yv, &v, &wv, NULL, NULL, NULL));
  OK(tessera_matmul(&yv, &xv, &wv, NULL, &executor, NULL));  // without a function: this thread

  free(w);
  free(x);
  free(buffer);
}

int main(void) {
  compare_names();
  compare_products();
  refuse();
  return result();
}

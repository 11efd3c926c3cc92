// SPDX-License-Identifier: MIT
// Tessera for C (C99) and for languages that call C. Products of row-major matrices,
//
//   y[m, n] = epilogue(x[m, k] * W[n, k]^T)      m tokens, n output features, k depth
//
// as in tessera/tessera.h, whose comments say more of each call. No function aborts or throws; only
// tessera_matmul allocates. All are thread-safe; plans may be shared between threads.
//
// Link libtessera_c (CMake: tessera::c), or tessera::impl and C++'s library. A program that
// compiles the bodies itself includes tessera/impl/c_api.h in one .cc file beside tessera/impl.h.
//
// Pointers. A null pointer is refused with TESSERA_NULL_DATA but where this file says what it
// means. Strings that come back are static. Values of an enumeration are int32_t in arguments and
// structs; a value that no enumerator names is refused.
#ifndef TESSERA_C_API_H_
#define TESSERA_C_API_H_

#include <stddef.h>
#include <stdint.h>

#if !defined(TESSERA_C_EXPORT)  // set where the shared library is compiled
#define TESSERA_C
#elif defined(_WIN32)
#define TESSERA_C __declspec(dllexport)
#else
#define TESSERA_C __attribute__((visibility("default")))
#endif

// NOLINTBEGIN(modernize-use-using,performance-enum-size): C has neither
#ifdef __cplusplus
extern "C" {
#endif

// ---- Errors -------------------------------------------------------------------------------------

enum tessera_status_code {
  TESSERA_OK = 0,
  TESSERA_NULL_DATA,           // a null pointer, or a matrix without data
  TESSERA_SHAPE_MISMATCH,      // a dimension differs from the one that it must equal
  TESSERA_PARTIAL_BLOCK,       // k is no multiple of the format's block, or rows of W of a panel's
  TESSERA_STRIDE_TOO_SMALL,    // rows overlap: the stride is less than a row's bytes
  TESSERA_SIZE_OVERFLOW,       // bytes that do not fit an address
  TESSERA_UNSUPPORTED_DTYPE,   // no kernel takes this format here
  TESSERA_UNKNOWN_CHOICE,      // a value that no enumerator names
  TESSERA_MISALIGNED,          // a buffer of packed data starts at an odd address
  TESSERA_BUFFER_TOO_SMALL,    // a buffer holds fewer bytes than asked for
  TESSERA_PART_OUT_OF_RANGE,   // part.index >= part.count, or count == 0
  TESSERA_RECT_OUT_OF_RANGE,   // a rectangle reaches outside y
  TESSERA_GROUP_OUT_OF_RANGE,  // an expert or a row that there is none of
  TESSERA_UNKNOWN_TARGET,      // no such target was compiled in
  TESSERA_UNAVAILABLE_TARGET,  // compiled in, but this CPU does not run it
  TESSERA_WRONG_PLAN,          // the plan is empty, or does not offer this call
  TESSERA_OUT_OF_MEMORY,       // an allocation failed
  TESSERA_OTHER_PANELS         // a file of panels is not what the plans would write
};

/// Outcome of a call: a code (tessera_status_code), the argument that is wrong, and the numbers
/// that show why. Nothing of it has to be freed.
typedef struct tessera_status {
  int32_t code;
  const char* subject;  // the argument
  const char* detail;   // the format, or the rule
  uint64_t got, want;
  char name[24];  // copy of a name that the caller gave
} tessera_status;

/// Writes the sentence to show a person, such as "k = 172 is not a multiple of 32, the block of
/// q4_0", cut to `bytes` with the zero at its end. Returns `text`, or "" if there is no room. 320
/// bytes hold any.
TESSERA_C const char* tessera_status_text(const tessera_status* status, char* text, size_t bytes);

/// The version of the compiled library: "0.1.0".
TESSERA_C const char* tessera_version(void);

// ---- Formats and views --------------------------------------------------------------------------

/// ggml's type ids. Which of them W may have, tessera_multiplies() tells.
enum tessera_dtype {
  TESSERA_F32 = 0,
  TESSERA_F16 = 1,
  TESSERA_Q4_0 = 2,
  TESSERA_Q4_1 = 3,
  TESSERA_Q5_0 = 6,
  TESSERA_Q5_1 = 7,
  TESSERA_Q8_0 = 8,
  TESSERA_Q8_1 = 9,
  TESSERA_Q2_K = 10,
  TESSERA_Q3_K = 11,
  TESSERA_Q4_K = 12,
  TESSERA_Q5_K = 13,
  TESSERA_Q6_K = 14,
  TESSERA_Q8_K = 15,
  TESSERA_IQ2_XXS = 16,
  TESSERA_IQ2_XS = 17,
  TESSERA_IQ3_XXS = 18,
  TESSERA_IQ1_S = 19,
  TESSERA_IQ4_NL = 20,
  TESSERA_IQ3_S = 21,
  TESSERA_IQ2_S = 22,
  TESSERA_IQ4_XS = 23,
  TESSERA_I8 = 24,
  TESSERA_I16 = 25,
  TESSERA_I32 = 26,
  TESSERA_I64 = 27,
  TESSERA_F64 = 28,
  TESSERA_IQ1_M = 29,
  TESSERA_BF16 = 30,
  TESSERA_TQ1_0 = 34,
  TESSERA_TQ2_0 = 35,
  TESSERA_MXFP4 = 39
};

/// The name as users of ggml spell it ("q4_0"), "unknown" for a value that has none.
TESSERA_C const char* tessera_dtype_name(int32_t dtype);
/// 1 if W may have this format, else 0.
TESSERA_C int tessera_multiplies(int32_t dtype);
/// 1 if there are products of W in one format with x in another, else 0.
TESSERA_C int tessera_supports(int32_t w_dtype, int32_t x_dtype);
/// 1 if tessera_quantize() writes this format, else 0.
TESSERA_C int tessera_can_encode(int32_t dtype);
/// Bytes of a row of k values. Errors: unsupported_dtype, partial_block, size_overflow.
TESSERA_C tessera_status tessera_row_bytes(int32_t dtype, size_t k, size_t* bytes);

/// Read-only matrix [rows, cols], row-major: row r starts at data + r * row_stride bytes, at any
/// alignment. Data may be null where the matrix has no bytes.
typedef struct tessera_view {
  const void* data;
  size_t rows, cols;
  size_t row_stride;  // bytes
  int32_t dtype;
} tessera_view;

/// The same, writable.
typedef struct tessera_mut_view {
  void* data;
  size_t rows, cols;
  size_t row_stride;  // bytes
  int32_t dtype;
} tessera_mut_view;

/// Worker `index` of `count`: all parts together do the whole work, each exactly once. Where a
/// pointer to one is null, the call does all of it.
typedef struct tessera_part {
  size_t index, count;
} tessera_part;

/// Rows [row_begin, row_end) and columns [col_begin, col_end) of y.
typedef struct tessera_rect {
  size_t row_begin, row_end;
  size_t col_begin, col_end;
} tessera_rect;

/// dst = src, row by row: any format to any that tessera_can_encode() names, with the bytes of
/// ggml's reference quantizers. Parts may run at once; dst must not overlap src. Errors:
/// unsupported_dtype, shape_mismatch, partial_block, stride_too_small, size_overflow, null_data,
/// part_out_of_range.
TESSERA_C tessera_status tessera_quantize(const tessera_view* src, const tessera_mut_view* dst,
                                          const tessera_part* part);

// ---- Targets ------------------------------------------------------------------------------------

typedef struct tessera_target {
  const char* name;     // "AVX2", "AVX3_ZEN4", ...
  int32_t available;    // 1 if this CPU runs it, else 0
  size_t vector_bytes;  // 0 if it does not
} tessera_target;

/// Writes the first `capacity` of the targets that are compiled in, best first, and returns how
/// many there are. `list` may be null: then none is written.
TESSERA_C size_t tessera_targets(tessera_target* list, size_t capacity);
/// The target of plans that do not ask for one: that of the environment variable TESSERA_TARGET if
/// it is set, else the first available one.
TESSERA_C const char* tessera_default_target(void);

// ---- Plans --------------------------------------------------------------------------------------

enum tessera_accuracy {
  TESSERA_FAST,   // x is rounded to what the format's dot takes: 8-bit blocks for q*
  TESSERA_EXACT,  // W is widened to f32; x is not rounded
  TESSERA_COARSE  // as fast, but scales of 8-bit blocks are powers of two
};

/// All zeros are the defaults, as is a null pointer in place of one.
typedef struct tessera_options {
  int32_t accuracy;    // tessera_accuracy
  int32_t borrow_x;    // not 0: x stays as it is from tessera_pack() to the last run
  const char* target;  // a name from tessera_targets(); null: tessera_default_target()
} tessera_options;

enum tessera_activation {
  TESSERA_NONE,
  TESSERA_RELU,  // max(v, 0); NaN stays NaN
  TESSERA_SILU,  // v / (1 + exp(-v))
  TESSERA_GELU   // the tanh form
};

/// y = activation(scale * row_scale * column_scale * (x W^T) + bias + beta * y), in f32. With
/// beta == 0 the old y is not read. All zeros are not the default, as they make y zero: begin with
/// TESSERA_EPILOGUE, or pass a null pointer for y = x W^T.
typedef struct tessera_epilogue {
  float scale, beta;
  const float* bias;          // [n]; null for none
  int32_t activation;         // tessera_activation
  const float* row_scale;     // [m], of each row of y; null: 1
  const float* column_scale;  // [n]; null: 1
} tessera_epilogue;

#define TESSERA_EPILOGUE \
  { 1.0f, 0.0f, NULL, TESSERA_NONE, NULL, NULL }

/// How to multiply with one W: a value that may be copied, to be filled by tessera_make_plan().
/// Owns nothing, so there is nothing to free; refers to the bytes of W, which must outlive it, and
/// is good in the process that made it. Memory of zeros is an empty plan, with which every call
/// fails (wrong_plan).
typedef struct tessera_plan {
  uint64_t opaque[24];
} tessera_plan;

/// For W[n, k] where it lies and later x of format x_dtype (f32, f16, bf16). Cost: well under a
/// microsecond. Errors leave an empty plan: unsupported_dtype, partial_block, stride_too_small,
/// size_overflow, null_data, unknown_choice, unknown_target, unavailable_target.
TESSERA_C tessera_status tessera_make_plan(tessera_plan* plan, const tessera_view* w,
                                           int32_t x_dtype, const tessera_options* options);
/// The same before W[n, k] exists: sizes and tessera_pack() are at hand, what reads W is refused
/// (wrong_plan) until tessera_over() or tessera_with_packed() made a plan with weights.
TESSERA_C tessera_status tessera_make_shape_plan(tessera_plan* plan, size_t n, size_t k,
                                                 int32_t w_dtype, int32_t x_dtype,
                                                 const tessera_options* options);
/// *over = the plan with other weights of its shape and format, which may be *plan itself. Errors:
/// those of tessera_make_plan(), shape_mismatch.
TESSERA_C tessera_status tessera_over(const tessera_plan* plan, const tessera_view* w,
                                      tessera_plan* over);

/// Memory that the caller brings, in bytes. Buffers are aligned to 4 bytes, best to 64.
typedef struct tessera_sizes {
  size_t packed_w_bytes;        // of W as panels
  size_t packed_x_bytes;        // of packed x, a multiple of 64
  size_t worker_bytes;          // for each run at a time, a multiple of 64
  size_t tile_rows, tile_cols;  // rectangles at multiples of these waste nothing
} tessera_sizes;

/// For m rows of x. Fewer rows may need more worker_bytes: ask for each m, or for the most of those
/// to come. Errors: wrong_plan, size_overflow.
TESSERA_C tessera_status tessera_plan_sizes(const tessera_plan* plan, size_t m,
                                            tessera_sizes* sizes);

/// Into how many parts packing x and running are worth cutting, at most `workers`. A hint: other
/// parts give the same bits. Error: wrong_plan.
TESSERA_C tessera_status tessera_plan_parts(const tessera_plan* plan, size_t m, size_t workers,
                                            size_t* pack_parts, size_t* run_parts);

/// Rearranges this part of W into panels. Parts may run at once. Errors: wrong_plan,
/// part_out_of_range, buffer_too_small, null_data, misaligned.
TESSERA_C tessera_status tessera_pack_weights(const tessera_plan* plan, void* panels, size_t bytes,
                                              const tessera_part* part);
/// *packed = the plan that reads panels, once all parts of them are filled, instead of W. It may be
/// *plan itself. Errors as of tessera_pack_weights().
TESSERA_C tessera_status tessera_with_packed(const tessera_plan* plan, const void* panels,
                                             size_t bytes, tessera_plan* packed);

/// 1 if x packed by one plan can be run by the other (q, k, v: pack once, run three), else 0; 0 for
/// a null pointer, too.
TESSERA_C int tessera_shares_packed_x(const tessera_plan* plan, const tessera_plan* other);

/// Packs this part of x[m, k]. All parts must be done before any run begins; they may run at once.
/// Errors: wrong_plan, shape_mismatch, unsupported_dtype, stride_too_small, size_overflow,
/// null_data, buffer_too_small, misaligned, part_out_of_range.
TESSERA_C tessera_status tessera_pack(const tessera_plan* plan, const tessera_view* x,
                                      void* packed_x, size_t packed_x_bytes,
                                      const tessera_part* part);

/// Computes this part of y[m, n] (f32, f16 or bf16), m = y->rows as it was packed. y must not
/// overlap x or W. Parts may run at once, each with memory `worker` of its own, which may be null
/// if worker_bytes is 0. Errors: those of tessera_pack(), unknown_choice.
TESSERA_C tessera_status tessera_run(const tessera_plan* plan, const void* packed_x,
                                     size_t packed_x_bytes, const tessera_mut_view* y, void* worker,
                                     size_t worker_bytes, const tessera_epilogue* epilogue,
                                     const tessera_part* part);
/// The same for one rectangle of y. Error: rect_out_of_range.
TESSERA_C tessera_status tessera_run_rect(const tessera_plan* plan, const void* packed_x,
                                          size_t packed_x_bytes, const tessera_mut_view* y,
                                          void* worker, size_t worker_bytes,
                                          const tessera_epilogue* epilogue,
                                          const tessera_rect* rect);

/// Writes one line about what the plan does for m rows, for people and logs, as
/// tessera_status_text() does. Errors: wrong_plan, size_overflow.
TESSERA_C tessera_status tessera_explain(const tessera_plan* plan, size_t m, char* text,
                                         size_t bytes);

// ---- In one call --------------------------------------------------------------------------------

typedef void (*tessera_task)(void* argument, size_t index);

/// "Call task(argument, i) for i = 0 .. count-1, on any threads, and return when all are done."
/// `workers` is how many of them can run at once.
typedef struct tessera_executor {
  void (*run)(void* self, size_t count, tessera_task task, void* argument);
  void* self;
  size_t workers;
} tessera_executor;

/// y = epilogue(x W^T): plans, allocates scratch, packs x and runs. Null: no epilogue; everything
/// on the calling thread; default options. Errors: those of the steps, and out_of_memory.
TESSERA_C tessera_status tessera_matmul(const tessera_mut_view* y, const tessera_view* x,
                                        const tessera_view* w, const tessera_epilogue* epilogue,
                                        const tessera_executor* executor,
                                        const tessera_options* options);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-use-using,performance-enum-size)

#include "tessera/c_products.h"

#endif  // TESSERA_C_API_H_

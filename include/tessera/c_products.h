// SPDX-License-Identifier: MIT
// A part of c_api.h: calls that run several products at once, for mixtures of experts, for gated
// layers and for the heads of attention.
#ifndef TESSERA_C_PRODUCTS_H_
#define TESSERA_C_PRODUCTS_H_

#include "tessera/c_api.h"

// NOLINTBEGIN(modernize-use-using): C has none
#ifdef __cplusplus
extern "C" {
#endif

// ---- Groups, for mixtures of experts
// -------------------------------------------------------------
//
//   y[pair.y] = factor * epilogue(x[pair.x] * W[expert]^T)      for each pair of each group

/// The weights of `count` experts, all of one shape and format.
typedef struct tessera_experts {
  tessera_view first;  // [n, k]
  size_t count;
  size_t stride;  // bytes from one expert's first row to the next one's
} tessera_experts;

/// A row of x and the row of y that its product becomes.
typedef struct tessera_row_pair {
  size_t x, y;
} tessera_row_pair;

/// The rows that one expert multiplies.
typedef struct tessera_expert_rows {
  size_t expert;
  const tessera_row_pair* pairs;  // [count]
  size_t count;
  const float* factors;  // [count]; null: 1
} tessera_expert_rows;

/// `common`, and the floats from one expert's bias and column scales to the next one's; 0: they
/// share them.
typedef struct tessera_group_epilogue {
  tessera_epilogue common;
  size_t bias_stride, column_scale_stride;
} tessera_group_epilogue;

/// A plan, as tessera_plan.
typedef struct tessera_group_plan {
  uint64_t opaque[28];
} tessera_group_plan;

/// For tokens that go to `chosen` experts each. Errors: those of tessera_make_plan();
/// group_out_of_range (chosen is 0 or above experts->count).
TESSERA_C tessera_status tessera_make_group_plan(tessera_group_plan* plan,
                                                 const tessera_experts* experts, size_t chosen,
                                                 int32_t x_dtype, const tessera_options* options);
/// For so many tokens, whatever they choose; the sizes of a tile are 0. Errors: wrong_plan,
/// size_overflow.
TESSERA_C tessera_status tessera_group_sizes(const tessera_group_plan* plan, size_t tokens,
                                             tessera_sizes* sizes);
/// As the calls of the same names above, for all experts.
TESSERA_C tessera_status tessera_group_pack_weights(const tessera_group_plan* plan, void* panels,
                                                    size_t bytes, const tessera_part* part);
TESSERA_C tessera_status tessera_group_with_packed(const tessera_group_plan* plan,
                                                   const void* panels, size_t bytes,
                                                   tessera_group_plan* packed);
TESSERA_C int tessera_group_shares_packed_x(const tessera_group_plan* plan,
                                            const tessera_group_plan* other);
TESSERA_C tessera_status tessera_group_pack(const tessera_group_plan* plan, const tessera_view* x,
                                            void* packed_x, size_t packed_x_bytes,
                                            const tessera_part* part);
/// As tessera_check(): what tessera_group_pack() of this x and tessera_group_run() of these groups
/// into this y would refuse, buffers and parts aside. Reads the lists of groups and their pairs,
/// all of them, and no data; without groups yet (null and 0), of all errors only those of the lists
/// are left to tessera_group_run().
TESSERA_C tessera_status tessera_group_check(const tessera_group_plan* plan, const tessera_view* x,
                                             const tessera_expert_rows* groups, size_t group_count,
                                             const tessera_mut_view* y,
                                             const tessera_group_epilogue* epilogue);
/// Computes this part of all groups. `tokens` is x->rows as it was packed. No two pairs may name
/// the same row of y; rows that no pair names are left as they are. Errors: those of tessera_run();
/// group_out_of_range (an expert, a row of x or of y that there is none of).
TESSERA_C tessera_status tessera_group_run(
    const tessera_group_plan* plan, const void* packed_x, size_t packed_x_bytes, size_t tokens,
    const tessera_expert_rows* groups, size_t group_count, const tessera_mut_view* y, void* worker,
    size_t worker_bytes, const tessera_group_epilogue* epilogue, const tessera_part* part);

// ---- Gated layers -------------------------------------------------------------------------------
//
//   y[m, n] = activation(gate) * (up + offset)      gate = x * Wg^T + bg, up = x * Wu^T + bu

/// silu is v / (1 + exp(-alpha v)). If it clips, gate is min(gate, limit), and up is clamped to
/// [-limit, limit]. Begin with TESSERA_GATING; a null pointer in place of one means that.
typedef struct tessera_gating {
  int32_t activation;  // tessera_activation
  float alpha, offset;
  int32_t clips;  // not 0: it does
  float limit;
  const float* gate_bias;  // [n]; null for none
  const float* up_bias;    // [n]; null for none
} tessera_gating;

#define TESSERA_GATING \
  { TESSERA_SILU, 1.0f, 0.0f, 0, 0.0f, NULL, NULL }

/// For two plans that share packed x; packed_w_bytes is that of both. Errors: wrong_plan,
/// shape_mismatch, size_overflow.
TESSERA_C tessera_status tessera_gated_sizes(const tessera_plan* gate, const tessera_plan* up,
                                             size_t m, tessera_sizes* sizes);
/// As tessera_check(), of x that tessera_pack() packs by `gate`. Errors: also those of
/// tessera_gated_sizes().
TESSERA_C tessera_status tessera_gated_check(const tessera_plan* gate, const tessera_plan* up,
                                             const tessera_view* x, const tessera_mut_view* y,
                                             const tessera_gating* gating);
/// Computes this part of y, from x that tessera_pack() packed by either plan. Errors: those of
/// tessera_run(), and of tessera_gated_sizes().
TESSERA_C tessera_status tessera_gated_run(const tessera_plan* gate, const tessera_plan* up,
                                           const void* packed_x, size_t packed_x_bytes,
                                           const tessera_mut_view* y, void* worker,
                                           size_t worker_bytes, const tessera_gating* gating,
                                           const tessera_part* part);

/// The same for groups of two plans for as many experts, packed by tessera_group_pack() of either.
/// Biases of an expert lie bias_stride floats behind those of the one before; 0: they share them.
TESSERA_C tessera_status tessera_gated_group_sizes(const tessera_group_plan* gate,
                                                   const tessera_group_plan* up, size_t tokens,
                                                   tessera_sizes* sizes);
TESSERA_C tessera_status tessera_gated_group_run(
    const tessera_group_plan* gate, const tessera_group_plan* up, const void* packed_x,
    size_t packed_x_bytes, size_t tokens, const tessera_expert_rows* groups, size_t group_count,
    const tessera_mut_view* y, void* worker, size_t worker_bytes, const tessera_gating* gating,
    size_t bias_stride, const tessera_part* part);
/// As tessera_group_check(), of x that tessera_group_pack() packs by `gate`.
TESSERA_C tessera_status tessera_gated_group_check(const tessera_group_plan* gate,
                                                   const tessera_group_plan* up,
                                                   const tessera_view* x,
                                                   const tessera_expert_rows* groups,
                                                   size_t group_count, const tessera_mut_view* y,
                                                   const tessera_gating* gating);

// ---- Batches ------------------------------------------------------------------------------------
//
//   y[i] = epilogue(x[i] * W[i]^T)      for each i < count

/// Products like that of the plan `first`, each W (or its panels, if they are packed) w_stride
/// bytes behind the one before.
typedef struct tessera_batch {
  const tessera_plan* first;
  size_t count;
  size_t w_stride;  // bytes
} tessera_batch;

/// Equal matrices of outer * inner.rows rows each, `stride` bytes from one to the next. Where rows
/// have one stride, outer is 1; else every inner.rows of them begin outer_stride bytes behind those
/// before, as those of all heads that share keys do.
typedef struct tessera_batch_view {
  tessera_view inner;
  size_t stride;
  size_t outer, outer_stride;
} tessera_batch_view;

/// The same, writable.
typedef struct tessera_mut_batch_view {
  tessera_mut_view inner;
  size_t stride;
  size_t outer, outer_stride;
} tessera_mut_batch_view;

/// For m = outer * inner.rows rows each; packed_x_bytes is that of all x. Errors: wrong_plan,
/// size_overflow.
TESSERA_C tessera_status tessera_batch_sizes(const tessera_batch* batch, size_t m,
                                             tessera_sizes* sizes);
/// As tessera_check(); also x and y of different outer * inner.rows.
TESSERA_C tessera_status tessera_batch_check(const tessera_batch* batch,
                                             const tessera_batch_view* x,
                                             const tessera_mut_batch_view* y,
                                             const tessera_epilogue* epilogue);
/// Packs this part of all x; parts may run at once. Errors: those of tessera_pack().
TESSERA_C tessera_status tessera_batch_pack(const tessera_batch* batch, const tessera_batch_view* x,
                                            void* packed_x, size_t packed_x_bytes,
                                            const tessera_part* part);
/// Computes this part of all y. No two rows of them may overlap. Errors: those of tessera_run().
TESSERA_C tessera_status tessera_batch_run(const tessera_batch* batch, const void* packed_x,
                                           size_t packed_x_bytes, const tessera_mut_batch_view* y,
                                           void* worker, size_t worker_bytes,
                                           const tessera_epilogue* epilogue,
                                           const tessera_part* part);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-use-using)

#include "tessera/c_weights.h"  // which has groups, too

#endif  // TESSERA_C_PRODUCTS_H_

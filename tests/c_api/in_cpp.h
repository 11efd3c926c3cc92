// SPDX-License-Identifier: MIT
// The same by the C++ API, for the tests in C to compare with: in_cpp.cc.
#ifndef TESSERA_TESTS_C_API_IN_CPP_H_
#define TESSERA_TESTS_C_API_IN_CPP_H_

#include "tessera/c_api.h"

#ifdef __cplusplus
extern "C" {
#endif

// y[m, n] = epilogue(x[m, k] * W[n, k]^T), planned once, packed and run in so many parts.
struct Product {
  tessera_mut_view y;
  tessera_view x, w;
  tessera_options options;
  int packed_w;
  size_t parts;
  tessera_epilogue epilogue;
};

// Each returns 1 if all of its calls were ok.
int product_in_cpp(const struct Product* p, tessera_sizes* sizes, char text[320]);
int matmul_in_cpp(const struct Product* p);
int quantize_in_cpp(const tessera_view* src, const tessera_mut_view* dst);

// A plan for experts, with weights in place or packed.
int group_in_cpp(const tessera_experts* experts, size_t chosen, int packed_w, const tessera_view* x,
                 const tessera_expert_rows* groups, size_t count, const tessera_mut_view* y,
                 const tessera_group_epilogue* epilogue, tessera_sizes* sizes);

// Two plans for gate and up, and the product of both.
int gated_in_cpp(const tessera_view* gate, const tessera_view* up, int packed_w,
                 const tessera_view* x, const tessera_mut_view* y, const tessera_gating* gating,
                 tessera_sizes* sizes);
// One plan for experts as gate and as up.
int gated_group_in_cpp(const tessera_experts* experts, size_t chosen, int packed_w,
                       const tessera_view* x, const tessera_expert_rows* groups, size_t count,
                       const tessera_mut_view* y, const tessera_gating* gating, size_t bias_stride,
                       tessera_sizes* sizes);
// Equal products, with a bias or none.
int batch_in_cpp(const tessera_view* w, size_t count, size_t w_stride, const tessera_batch_view* x,
                 const tessera_mut_batch_view* y, const float* bias, tessera_sizes* sizes);

// W as C++ keeps it: panels, packed as rows from `cut` on and then those before; rows from `first`
// on, unpacked again; and what those panels are.
int kept_in_cpp(const tessera_view* w, size_t cut, void* panels, size_t bytes, size_t first,
                const tessera_mut_view* rows, tessera_layout* layout);
// The entries of a plan and of one for experts with their places, and the head; returns the bytes.
size_t panel_file_in_cpp(const tessera_view* w, const tessera_experts* experts, uint64_t source,
                         tessera_panels entries[2], tessera_panel_head* head);
// The sentence of what C++ says to such a file.
void check_panel_file_in_cpp(const void* file, size_t bytes, const tessera_view* w,
                             const tessera_experts* experts, uint64_t source, char text[320]);
uint64_t hash_in_cpp(const void* data, size_t bytes, uint64_t before);
// Of W[n, k] in f32.
size_t small_parts_in_cpp(size_t n, size_t k, size_t m, size_t workers);
void scratch_in_cpp(size_t n, size_t k, size_t most_rows, size_t workers,
                    tessera_scratch_sizes* sizes);
int advise_huge_pages_in_cpp(void* memory, size_t bytes);
// The sentence of what check() says.
void check_in_cpp(const tessera_view* w, const tessera_view* x, const tessera_mut_view* y,
                  const tessera_epilogue* epilogue, char text[320]);

// The sentence of a status that C++ gives for a k that is no whole number of blocks.
void partial_block_in_cpp(size_t k, char text[320]);
const char* dtype_name_in_cpp(int id);
int multiplies_in_cpp(int id);
int supports_in_cpp(int w, int x);
const char* target_in_cpp(size_t index, int* available);

#ifdef __cplusplus
}
#endif

#endif  // TESSERA_TESTS_C_API_IN_CPP_H_

// SPDX-License-Identifier: MIT
// What is measured: each shape is named by the model and the matrix that it comes from.
#ifndef TESSERA_BENCH_SHAPES_H_
#define TESSERA_BENCH_SHAPES_H_

#include <string>
#include <vector>

#include "problem.h"

namespace bench {

struct Shape {
  std::string name;
  size_t n, k;
  size_t experts = 0, chosen = 1;  // of a mixture; 0: an ordinary matrix
};

/// Products that are measured together: one shape in some formats, for each m. `memory`: the
/// weights rotate so that they come from memory, once in 4 KiB and once in 2 MiB pages (quick: 2
/// MiB only).
struct Series {
  Shape shape;
  std::vector<DType> formats;
  std::vector<size_t> ms;
  bool memory = false;
  bool quick = false;                      // also in the short run
  std::vector<std::string> backends = {};  // empty: all that are not on request
  std::vector<size_t> threads = {1};
  bool in_place = true, packed = true;
};

inline std::vector<size_t> from_to(size_t first, size_t last) {
  std::vector<size_t> v;
  for (size_t i = first; i <= last; ++i) v.push_back(i);
  return v;
}

inline std::vector<Series> all_series() {
  const std::vector<DType> floats{DType::f32, DType::bf16, DType::f16},
      blocks{DType::q8_0, DType::q4_0, DType::q4_1},
      more_blocks{DType::q4_k, DType::q5_k,   DType::q6_k, DType::q5_0,
                  DType::q5_1, DType::iq4_nl, DType::mxfp4},
      dense{DType::f32, DType::bf16},
      formats{DType::f32, DType::bf16, DType::f16, DType::q8_0, DType::q4_0, DType::q4_1};
  std::vector<DType> with_int8 = formats;
  with_int8.push_back(DType::i8);
  // [n, k] of each weight matrix, from the models' published configurations.
  const Shape tiny_q{"tinyllama-1.1b.attn_q", 2048, 2048},
      tiny_up{"tinyllama-1.1b.ffn_up", 5632, 2048}, llama2_q{"llama2-7b.attn_q", 4096, 4096},
      llama2_up{"llama2-7b.ffn_up", 11008, 4096}, llama32_up{"llama3.2-1b.ffn_up", 8192, 2048},
      llama3_up{"llama3-8b.ffn_up", 14336, 4096}, smol_up{"smollm-135m.ffn_up", 1536, 576},
      clip_up{"clip-vit-l.ffn_up", 4096, 1024}, odd{"odd.37x1000x992", 1000, 992};
  const std::vector<std::string> accuracies{"tessera", "tessera-exact", "tessera-coarse"};
  const std::vector<std::string> most{"tessera", "mkl", "onednn", "ggml", "ik_llama.cpp"};
  const auto cube = [](size_t size) { return Shape{"cube." + std::to_string(size), size, size}; };

  std::vector<Series> list{
      {llama2_q, formats, {1, 8}, true, true},
      {tiny_q, formats, {32, 512}, false, true},
      {odd, formats, {37}, false, true},
      {cube(256), dense, {256}, false, true},
      {llama2_q, with_int8, {2, 3, 4, 6}, true},
      {llama2_up, formats, {1}, true},
      {llama2_q, with_int8, {12, 16, 24, 32, 64, 128, 512}},
      {tiny_up, with_int8, {512}},
      {llama32_up, formats, {1}, true},
      {llama32_up, formats, {32}},
      {llama3_up, formats, {1}, true},
      {llama3_up, formats, {32}},
      {smol_up, formats, {1, 32, 512}},
      {clip_up, formats, {577}},
      {llama2_q, blocks, {512}, false, false, accuracies},
      {tiny_up, blocks, {512}, false, false, accuracies},
      {llama2_q, blocks, {1}, true, false, {"tessera", "tessera-AVX2"}},
      {llama2_q,
       formats,
       {512},
       false,
       false,
       {"tessera", "tessera-AVX3", "tessera-AVX2", "tessera-SSE4"}},
      {tiny_q, formats, from_to(1, 64), false, false, {"tessera"}},
      {llama2_q, formats, {512}, false, false, most, {2}},
      {llama2_q, formats, {1}, true, false, most, {2}},
      {odd, formats, {37}, false, false, {"tessera"}, {1, 2}},
  };
  // What people's files hold beside those.
  list.insert(list.end(), {{llama2_q, more_blocks, {1, 2, 4, 8}, true},
                           {tiny_q, more_blocks, {32, 512}},
                           {llama2_q, more_blocks, {32, 128, 512}},
                           {llama2_up, more_blocks, {1}, true}});
  // AVX2 beside engines that were built for it.
  const std::vector<std::string> avx2{"tessera-AVX2", "ggml-AVX2", "ik_llama.cpp-AVX2"};
  for (const std::vector<DType>& some : {blocks, more_blocks}) {
    list.push_back({llama2_q, some, {1, 8}, true, false, avx2});
    list.push_back({llama2_q, some, {512}, false, false, avx2});
  }
  // Experts, at 1 row each and, beside them, one expert alone at the rows that each then gets.
  const Shape experts{"qwen3-30b-a3b.experts_up", 768, 2048, 128, 8},
      expert{"qwen3-30b-a3b.expert_up", 768, 2048};
  const std::vector<DType> of_experts{DType::q8_0, DType::q4_0, DType::q4_k, DType::mxfp4};
  list.push_back({experts, of_experts, {1, 16, 512}, true});
  list.push_back({expert, of_experts, {1, 32}, true, false, {"tessera"}});
  for (const size_t size : {64, 128, 192, 256, 384, 512}) {
    list.push_back({cube(size), dense, {size}});
    list.push_back({cube(size), dense, {size}, false, false, {"tessera"}, {1, 2}});
  }
  return list;
}

}  // namespace bench

#endif  // TESSERA_BENCH_SHAPES_H_

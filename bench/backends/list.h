// SPDX-License-Identifier: MIT
// One line for each file of this folder that adds backends.
#ifndef TESSERA_BENCH_BACKENDS_LIST_H_
#define TESSERA_BENCH_BACKENDS_LIST_H_

#include "../backend.h"

namespace bench {

void add_tessera(std::vector<BackendInfo>&);
void add_mkl(std::vector<BackendInfo>&);
void add_onednn(std::vector<BackendInfo>&);
void add_openblas(std::vector<BackendInfo>&);
void add_blis(std::vector<BackendInfo>&);
void add_libxsmm(std::vector<BackendInfo>&);
void add_aocl(std::vector<BackendInfo>&);
void add_ggml(std::vector<BackendInfo>&);
void add_wrong(std::vector<BackendInfo>&);

inline std::vector<BackendInfo> all_backends() {
  std::vector<BackendInfo> list;
  add_tessera(list);
  add_mkl(list);
  add_onednn(list);
  add_openblas(list);
  add_blis(list);
  add_libxsmm(list);
  add_aocl(list);
  add_ggml(list);
  add_wrong(list);
  return list;
}

}  // namespace bench

#endif  // TESSERA_BENCH_BACKENDS_LIST_H_

// SPDX-License-Identifier: MIT
// AOCL-BLIS with its LPGEMM addon (configure with `-a aocl_gemm`), from TESSERA_AOCL_DIR. Weights
// in place are unordered ("n"), packed ones reordered ("r").
#include "../library.h"
#include "list.h"

namespace bench {
namespace {

using Dim = int64_t;
template <class T, class Out, class Scalar>
using Gemm = void(char order, char trans_a, char trans_b, Dim m, Dim n, Dim k, Scalar alpha,
                  const void* a, Dim lda, char format_a, const T* b, Dim ldb, char format_b,
                  Scalar beta, Out* c, Dim ldc, void* post_ops);
using ReorderSize = size_t(char order, char trans, char matrix, Dim k, Dim n);
template <class T>
using Reorder = void(char order, char trans, char matrix, const T* from, T* to, Dim k, Dim n,
                     Dim ldb);

Library library() {
  const char* dir = std::getenv("TESSERA_AOCL_DIR");
  const std::string how =
      "no package of Debian or PyPI; build AOCL-BLIS with `-a aocl_gemm` and set TESSERA_AOCL_DIR";
  if (dir == nullptr) throw Unsupported("TESSERA_AOCL_DIR is not set; " + how);
  const std::string lib = std::string(dir) + "/lib/";
  return Library({lib + "libblis.so", lib + "libblis-mt.so"}, how);
}

template <class T, class Out, class Scalar>
class Aocl : public Backend {
 public:
  explicit Aocl(const std::string& suffix) {
    const Library l = library();
    gemm_ = l.get<Gemm<T, Out, Scalar>>(("aocl_gemm_" + suffix).c_str());
    size_ = l.get<ReorderSize>(("aocl_get_reorder_buf_size_" + suffix).c_str());
    reorder_ = l.get<Reorder<T>>(("aocl_reorder_" + suffix).c_str());
  }
  void open(const Problem& p) override {
    p_ = &p;
    if (p.threads > 1) throw Unsupported("measured on one thread only");
    if (!p.packed) return;
    const auto n = static_cast<Dim>(p.n), k = static_cast<Dim>(p.k);
    stride_ = (size_('r', 't', 'B', k, n) + 63) / 64 * 64;
    panels_ = Arena(stride_ * p.copies, p.pages);
    for (size_t i = 0; i < p.copies; ++i) {
      reorder_('r', 't', 'B', reinterpret_cast<const T*>(p.copy(i)),
               reinterpret_cast<T*>(panels_.data() + i * stride_), k, n, k);
    }
  }
  void prepare(size_t m) override { m_ = static_cast<Dim>(m); }
  void run(size_t copy, float* y) override {
    const auto n = static_cast<Dim>(p_->n), k = static_cast<Dim>(p_->k);
    const void* x = p_->format == DType::i8     ? static_cast<const void*>(p_->x_u8)
                    : p_->format == DType::bf16 ? static_cast<const void*>(p_->x_bf16)
                                                : p_->x;
    const std::byte* w = p_->packed ? panels_.data() + copy % p_->copies * stride_ : p_->copy(copy);
    gemm_('r', 'n', 't', m_, n, k, 1, x, k, 'n', reinterpret_cast<const T*>(w), k,
          p_->packed ? 'r' : 'n', 0, reinterpret_cast<Out*>(y), n, nullptr);
  }

 private:
  Gemm<T, Out, Scalar>* gemm_ = nullptr;
  ReorderSize* size_ = nullptr;
  Reorder<T>* reorder_ = nullptr;
  const Problem* p_ = nullptr;
  Dim m_ = 0;
  size_t stride_ = 0;
  Arena panels_;
};

template <class T, class Out, class Scalar>
void add(std::vector<BackendInfo>& list, const std::string& suffix, bool (*supports)(DType, bool)) {
  list.push_back({"aocl", supports,
                  [] {
                    const Library l = library();
                    return std::string(l.get<const char*()>("bli_info_get_version_str")()) +
                           ", addon aocl_gemm, kernels " +
                           l.get<const char*(int)>("bli_arch_string")(
                               l.get<int()>("bli_arch_query_id")());
                  },
                  [suffix] { return std::make_unique<Aocl<T, Out, Scalar>>(suffix); }});
}

}  // namespace

void add_aocl(std::vector<BackendInfo>& list) {
  add<float, float, float>(list, "f32f32f32of32", [](DType t, bool) { return t == DType::f32; });
  add<int16_t, float, float>(list, "bf16bf16f32of32",
                             [](DType t, bool) { return t == DType::bf16; });
  // It takes the weights in place only untransposed.
  add<int8_t, int32_t, int32_t>(list, "u8s8s32os32",
                                [](DType t, bool p) { return t == DType::i8 && p; });
}

}  // namespace bench

// SPDX-License-Identifier: MIT
// libxsmm: one JIT kernel for a whole small product. It has no transposed operand, so the weights
// are transposed beforehand and count as packed. Column-major y^T[n, m] = Wt[n, k] * x^T[k, m].
#include "list.h"

#ifdef TESSERA_BENCH_LIBXSMM
#include <libxsmm.h>

namespace bench {
namespace {

constexpr size_t kMaxSize = size_t{1} << 21;  // of n * k; it is for small ones

class Libxsmm : public Backend {
 public:
  void open(const Problem& p) override {
    p_ = &p;
    if (p.n * p.k > kMaxSize || p.threads > 1)
      throw Unsupported("for small products on one thread");
    libxsmm_init();
    const auto* w = reinterpret_cast<const float*>(p.w);
    transposed_.resize(p.n * p.k);
    for (size_t j = 0; j < p.n; ++j) {
      for (size_t l = 0; l < p.k; ++l) transposed_[l * p.n + j] = w[j * p.k + l];
    }
  }
  void prepare(size_t m) override {
    const float alpha = 1.0f, beta = 0.0f;
    const auto n = static_cast<int>(p_->n), k = static_cast<int>(p_->k);
    const int flags = LIBXSMM_GEMM_FLAG_NONE, prefetch = LIBXSMM_PREFETCH_NONE;
    kernel_ = libxsmm_smmdispatch(n, static_cast<int>(m), k, &n, &k, &n, &alpha, &beta, &flags,
                                  &prefetch);
    if (kernel_ == nullptr) throw Unsupported("no kernel for this shape");
  }
  void run(size_t, float* y) override { kernel_(transposed_.data(), p_->x, y); }

 private:
  const Problem* p_ = nullptr;
  std::vector<float> transposed_;
  libxsmm_smmfunction kernel_ = nullptr;
};

}  // namespace

void add_libxsmm(std::vector<BackendInfo>& list) {
  list.push_back({"libxsmm",
                  [](DType format, bool packed) { return format == DType::f32 && packed; },
                  [] {
                    libxsmm_init();
                    return std::string("libxsmm " LIBXSMM_VERSION ", ") + libxsmm_get_target_arch();
                  },
                  [] { return std::make_unique<Libxsmm>(); }});
}

}  // namespace bench

#else

void bench::add_libxsmm(std::vector<BackendInfo>& list) {
  list.push_back(
      {"libxsmm", [](DType, bool) { return false; },
       []() -> std::string { throw Unsupported("built without it; Debian: libxsmm-dev"); },
       [] { return std::unique_ptr<Backend>(); }});
}

#endif

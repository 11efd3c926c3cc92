// SPDX-License-Identifier: MIT
// The part of CBLAS that the BLAS libraries share. Its constants are the same everywhere.
#ifndef TESSERA_BENCH_BACKENDS_CBLAS_H_
#define TESSERA_BENCH_BACKENDS_CBLAS_H_

#include "../library.h"

namespace bench {

constexpr int kRowMajor = 101, kNoTrans = 111, kTrans = 112;
using Sgemm = void(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                   const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);
using Sgemv = void(int order, int trans, int m, int n, float alpha, const float* a, int lda,
                   const float* x, int incx, float beta, float* y, int incy);

/// f32 weights in place: sgemm, and sgemv for one row, which is what its users call then.
class CblasInPlace : public Backend {
 public:
  explicit CblasInPlace(const Library& library, const char* prefix = "cblas_")
      : sgemm_(library.get<Sgemm>((prefix + std::string("sgemm")).c_str())),
        sgemv_(library.get<Sgemv>((prefix + std::string("sgemv")).c_str())) {}

  void open(const Problem& p) override { p_ = &p; }
  void prepare(size_t m) override { m_ = static_cast<int>(m); }
  void run(size_t copy, float* y) override {
    const auto n = static_cast<int>(p_->n), k = static_cast<int>(p_->k);
    const auto* w = reinterpret_cast<const float*>(p_->copy(copy));
    if (m_ == 1) {
      sgemv_(kRowMajor, kNoTrans, n, k, 1.0f, w, k, p_->x, 1, 0.0f, y, 1);
    } else {
      sgemm_(kRowMajor, kNoTrans, kTrans, m_, n, k, 1.0f, p_->x, k, w, k, 0.0f, y, n);
    }
  }

 protected:
  const Problem* p_ = nullptr;
  int m_ = 0;

 private:
  Sgemm* sgemm_;
  Sgemv* sgemv_;
};

inline bool f32_in_place(DType format, bool packed) { return format == DType::f32 && !packed; }

}  // namespace bench

#endif  // TESSERA_BENCH_BACKENDS_CBLAS_H_

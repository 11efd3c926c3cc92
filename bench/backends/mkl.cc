// SPDX-License-Identifier: MIT
// Intel MKL, twice: as it is, and with its question for the vendor of the CPU answered "Intel", so
// that it chooses its kernels by what the CPU can do. (On another vendor's CPU it takes the kernels
// of libmkl_def otherwise.) The answer is mkl_vendor.cc, loaded ahead of MKL.
#include "cblas.h"
#include "list.h"

namespace bench {
namespace {

constexpr int kPacked = 151, kBMatrix = 162;
using PackSize = size_t(int identifier, int m, int n, int k);
using SgemmPack = void(int order, int identifier, int trans, int m, int n, int k, float alpha,
                       const float* src, int ld, float* dest);
using SgemmCompute = void(int order, int trans_a, int trans_b, int m, int n, int k, const float* a,
                          int lda, const float* b, int ldb, float beta, float* c, int ldc);
using Bf16Gemm = void(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                      const void* a, int lda, const void* b, int ldb, float beta, float* c,
                      int ldc);
using Bf16Pack = void(int order, int identifier, int trans, int m, int n, int k, const void* src,
                      int ld, void* dest);

Library library(bool answered, size_t threads) {
  if (answered) {
    // Stays loaded, in front of everything that MKL will ask for.
    Library(std::vector<std::string>{TESSERA_MKL_VENDOR}, "made by this build", RTLD_GLOBAL);
  }
  Library mkl(
      {peers_dir() + "/lib/libmkl_rt.so.3", "libmkl_rt.so.3", "libmkl_rt.so.2", "libmkl_rt.so"},
      "PyPI: mkl");
  const int layer = threads == 1 ? 1 : 0;  // sequential, or of Intel's OpenMP
  mkl.get<int(int)>("MKL_Set_Threading_Layer")(layer);
  return mkl;
}

class Mkl : public Backend {
 public:
  explicit Mkl(bool answered) : answered_(answered) {}

  void open(const Problem& p) override {
    p_ = &p;
    const Library mkl = library(answered_, p.threads);
    if (p.format == DType::f32) {
      in_place_ = std::make_unique<CblasInPlace>(mkl);
      in_place_->open(p);
      size_ = mkl.get<PackSize>("cblas_sgemm_pack_get_size");
      sgemm_pack_ = mkl.get<SgemmPack>("cblas_sgemm_pack");
      sgemm_compute_ = mkl.get<SgemmCompute>("cblas_sgemm_compute");
    } else {
      bf16_gemm_ = mkl.get<Bf16Gemm>("cblas_gemm_bf16bf16f32");
      size_ = mkl.get<PackSize>("cblas_gemm_bf16bf16f32_pack_get_size");
      bf16_pack_ = mkl.get<Bf16Pack>("cblas_gemm_bf16bf16f32_pack");
      bf16_compute_ = mkl.get<Bf16Gemm>("cblas_gemm_bf16bf16f32_compute");
    }
  }

  void prepare(size_t m) override {
    m_ = static_cast<int>(m);
    if (in_place_) in_place_->prepare(m);
    if (!p_->packed) return;
    const auto n = static_cast<int>(p_->n), k = static_cast<int>(p_->k);
    stride_ = (size_(kBMatrix, m_, n, k) + 63) / 64 * 64;
    panels_ = Arena(stride_ * p_->copies, p_->pages);
    for (size_t i = 0; i < p_->copies; ++i) {
      std::byte* to = panels_.data() + i * stride_;
      if (in_place_) {
        sgemm_pack_(kRowMajor, kBMatrix, kTrans, m_, n, k, 1.0f,
                    reinterpret_cast<const float*>(p_->copy(i)), k, reinterpret_cast<float*>(to));
      } else {
        bf16_pack_(kRowMajor, kBMatrix, kTrans, m_, n, k, p_->copy(i), k, to);
      }
    }
  }

  void run(size_t copy, float* y) override {
    const auto n = static_cast<int>(p_->n), k = static_cast<int>(p_->k);
    const std::byte* panels = panels_.data() + copy % p_->copies * stride_;
    if (in_place_ && p_->packed) {
      sgemm_compute_(kRowMajor, kNoTrans, kPacked, m_, n, k, p_->x, k,
                     reinterpret_cast<const float*>(panels), k, 0.0f, y, n);
    } else if (in_place_) {
      in_place_->run(copy, y);
    } else if (p_->packed) {
      bf16_compute_(kRowMajor, kNoTrans, kPacked, m_, n, k, 1.0f, p_->x_bf16, k, panels, k, 0.0f, y,
                    n);
    } else {
      bf16_gemm_(kRowMajor, kNoTrans, kTrans, m_, n, k, 1.0f, p_->x_bf16, k, p_->copy(copy), k,
                 0.0f, y, n);
    }
  }

 private:
  bool answered_;
  const Problem* p_ = nullptr;
  int m_ = 0;
  std::unique_ptr<CblasInPlace> in_place_;  // f32
  PackSize* size_ = nullptr;
  SgemmPack* sgemm_pack_ = nullptr;
  SgemmCompute* sgemm_compute_ = nullptr;
  Bf16Gemm *bf16_gemm_ = nullptr, *bf16_compute_ = nullptr;
  Bf16Pack* bf16_pack_ = nullptr;
  size_t stride_ = 0;
  Arena panels_;
};

std::string describe(bool answered) {
  const Library mkl = library(answered, 1);
  char version[256] = {};
  mkl.get<void(char*, int)>("mkl_get_version_string")(version, sizeof(version) - 1);
  const float one = 1.0f;
  float y = 0.0f;
  mkl.get<Sgemm>("cblas_sgemm")(kRowMajor, kNoTrans, kTrans, 1, 1, 1, 1.0f, &one, 1, &one, 1, 0.0f,
                                &y, 1);
  std::string text = version;
  text.erase(text.find_last_not_of(' ') + 1);
  return text + (answered ? ", vendor check answered" : ", as it is") + ", code path: " +
         loaded_libraries(
             "libmkl_vml_");  // the matrix kernels are in its neighbour or in libmkl_def
}

bool supports(DType format, bool) { return format == DType::f32 || format == DType::bf16; }

}  // namespace

void add_mkl(std::vector<BackendInfo>& list) {
  list.push_back(
      {"mkl", supports, [] { return describe(true); }, [] { return std::make_unique<Mkl>(true); }});
  BackendInfo as_is{"mkl-as-is", supports, [] { return describe(false); },
                    [] { return std::make_unique<Mkl>(false); }};
  as_is.is_variant = true;
  list.push_back(as_is);
}

}  // namespace bench

// SPDX-License-Identifier: MIT
// oneDNN, two builds of PyPI: `onednn` with OpenMP (the last one published without SYCL), and
// `onednn-sycl`, the current one, whose CPU engine works through a SYCL queue. Weights in place are
// a plain strided matrix; packed ones have the layout that oneDNN picks for "any".
#include "../library.h"
#include "list.h"

#if __has_include("oneapi/dnnl/dnnl.h")
#include "oneapi/dnnl/dnnl.h"

namespace bench {
namespace {

struct Build {
  const char* name;
  const char* folder;
  const char* how_to_get;
};
constexpr Build kOmp{"onednn", "/onednn-omp/lib/",
                     "PyPI: onednn-devel-cpu-gomp; or TESSERA_ONEDNN=FILE"};
constexpr Build kSycl{"onednn-sycl", "/lib/", "PyPI: onednn-devel"};

Library library(const Build& build) {
  std::vector<std::string> candidates{peers_dir() + build.folder + "libdnnl.so.3"};
  const char* own = std::getenv("TESSERA_ONEDNN");
  if (own != nullptr && build.name == kOmp.name) candidates.insert(candidates.begin(), own);
  // Intel's CPU device for SYCL is an OpenCL driver that nobody registers.
  if (build.name == kSycl.name) setenv("OCL_ICD_FILENAMES", "libintelocl.so", 0);
  return Library(candidates, build.how_to_get);
}

#define TESSERA_DNNL(name) (*library_.get<decltype(name)>(#name))

class OneDnn : public Backend {
 public:
  explicit OneDnn(const Build& build) : library_(library(build)) {}

  void open(const Problem& p) override {
    p_ = &p;
    ok(TESSERA_DNNL(dnnl_engine_create)(&engine_, dnnl_cpu, 0), "engine");
    ok(TESSERA_DNNL(dnnl_stream_create)(&stream_, engine_, dnnl_stream_default_flags), "stream");
    execute_ = &TESSERA_DNNL(dnnl_primitive_execute);
    wait_ = &TESSERA_DNNL(dnnl_stream_wait);
    set_handle_ = &TESSERA_DNNL(dnnl_memory_set_data_handle);
  }

  void prepare(size_t m) override {
    const auto rows = static_cast<dnnl_dim_t>(m), n = static_cast<dnnl_dim_t>(p_->n),
               k = static_cast<dnnl_dim_t>(p_->k);
    const bool u8s8 = p_->format == DType::i8;
    const dnnl_data_type_t w_type = u8s8                        ? dnnl_s8
                                    : p_->format == DType::bf16 ? dnnl_bf16
                                                                : dnnl_f32;
    const dnnl_memory_desc_t x = strided(rows, k, u8s8 ? dnnl_u8 : w_type, k, 1);
    const dnnl_memory_desc_t w = strided(k, n, w_type, 1, k);
    const dnnl_memory_desc_t y = strided(rows, n, u8s8 ? dnnl_s32 : dnnl_f32, n, 1);
    dnnl_memory_desc_t wanted = w;
    if (p_->packed) {
      const dnnl_dims_t dims = {k, n};
      ok(TESSERA_DNNL(dnnl_memory_desc_create_with_tag)(&wanted, 2, dims, w_type,
                                                        dnnl_format_tag_any),
         "any");
    }
    dnnl_primitive_desc_t description = nullptr;
    ok(TESSERA_DNNL(dnnl_matmul_primitive_desc_create)(&description, engine_, x, wanted, nullptr, y,
                                                       nullptr),
       "matmul");
    ok(TESSERA_DNNL(dnnl_primitive_create)(&matmul_, description), "primitive");
    const auto* x_data = u8s8                        ? static_cast<const void*>(p_->x_u8)
                         : p_->format == DType::bf16 ? static_cast<const void*>(p_->x_bf16)
                                                     : p_->x;
    x_ = memory(x, const_cast<void*>(x_data));
    y_ = memory(y, nullptr);
    w_.clear();
    if (!p_->packed) {
      for (size_t i = 0; i < p_->copies; ++i)
        w_.push_back(memory(w, const_cast<std::byte*>(p_->copy(i))));
      return;
    }
    const const_dnnl_memory_desc_t chosen =
        TESSERA_DNNL(dnnl_primitive_desc_query_md)(description, dnnl_query_weights_md, 0);
    const size_t stride = (TESSERA_DNNL(dnnl_memory_desc_get_size)(chosen) + 63) / 64 * 64;
    if (packed_ != nullptr && TESSERA_DNNL(dnnl_memory_desc_equal)(packed_, chosen) != 0) {
      for (size_t i = 0; i < p_->copies; ++i)
        w_.push_back(memory(chosen, panels_.data() + i * stride));
      return;
    }
    ok(TESSERA_DNNL(dnnl_memory_desc_clone)(&packed_, chosen), "memory");
    panels_ = Arena();
    panels_ = Arena(stride * p_->copies, p_->pages);
    dnnl_primitive_desc_t reorder_description = nullptr;
    ok(TESSERA_DNNL(dnnl_reorder_primitive_desc_create)(&reorder_description, w, engine_, chosen,
                                                        engine_, nullptr),
       "reorder");
    dnnl_primitive_t reorder = nullptr;
    ok(TESSERA_DNNL(dnnl_primitive_create)(&reorder, reorder_description), "reorder");
    for (size_t i = 0; i < p_->copies; ++i) {
      dnnl_memory_t from = memory(w, const_cast<std::byte*>(p_->copy(i)));
      w_.push_back(memory(chosen, panels_.data() + i * stride));
      const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, w_.back()}};
      ok(execute_(reorder, stream_, 2, args), "reorder");
      ok(wait_(stream_), "wait");
      TESSERA_DNNL(dnnl_memory_destroy)(from);
    }
  }

  void run(size_t copy, float* y) override {
    ok(set_handle_(y_, y), "y");
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, w_[copy % w_.size()]}, {DNNL_ARG_DST, y_}};
    ok(execute_(matmul_, stream_, 3, args), "execute");
    ok(wait_(stream_), "wait");
  }

 private:
  static void ok(dnnl_status_t status, const char* what) {
    if (status == dnnl_unimplemented)
      throw Unsupported(std::string(what) + " is not implemented for this");
    if (status != dnnl_success) {
      throw std::runtime_error(std::string(what) + ": status " + std::to_string(status));
    }
  }
  dnnl_memory_desc_t strided(dnnl_dim_t rows, dnnl_dim_t cols, dnnl_data_type_t type,
                             dnnl_dim_t row_step, dnnl_dim_t col_step) {
    const dnnl_dims_t dims = {rows, cols}, strides = {row_step, col_step};
    dnnl_memory_desc_t md = nullptr;
    ok(TESSERA_DNNL(dnnl_memory_desc_create_with_strides)(&md, 2, dims, type, strides), "memory");
    return md;
  }
  dnnl_memory_t memory(const_dnnl_memory_desc_t md, void* data) {
    dnnl_memory_t m = nullptr;
    ok(TESSERA_DNNL(dnnl_memory_create)(&m, md, engine_, data), "memory");
    return m;
  }

  Library library_;
  const Problem* p_ = nullptr;
  dnnl_engine_t engine_ = nullptr;
  dnnl_stream_t stream_ = nullptr;
  dnnl_primitive_t matmul_ = nullptr;
  dnnl_memory_t x_ = nullptr, y_ = nullptr;
  std::vector<dnnl_memory_t> w_;
  dnnl_memory_desc_t packed_ = nullptr;  // layout of panels_
  Arena panels_;
  decltype(&dnnl_primitive_execute) execute_ = nullptr;
  decltype(&dnnl_stream_wait) wait_ = nullptr;
  decltype(&dnnl_memory_set_data_handle) set_handle_ = nullptr;
};

std::string describe(const Build& build) {
  const Library library_ = library(build);
  const dnnl_version_t* v = TESSERA_DNNL(dnnl_version)();
  dnnl_engine_t engine = nullptr;
  if (TESSERA_DNNL(dnnl_engine_create)(&engine, dnnl_cpu, 0) != dnnl_success) {
    throw Unsupported("oneDNN finds no CPU engine");
  }
  char isa[16];
  std::snprintf(isa, sizeof(isa), "0x%x", TESSERA_DNNL(dnnl_get_effective_cpu_isa)());
  return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
         std::to_string(v->patch) +
         (build.name == kSycl.name ? " (SYCL CPU engine, TBB)" : " (OpenMP)") + ", isa " + isa;
}

bool supports(DType format, bool) {
  return format == DType::f32 || format == DType::bf16 || format == DType::i8;
}

}  // namespace

void add_onednn(std::vector<BackendInfo>& list) {
  for (const Build& build : {kOmp, kSycl}) {
    list.push_back({build.name, supports, [build] { return describe(build); },
                    [build] { return std::make_unique<OneDnn>(build); }});
  }
}

}  // namespace bench

#else

void bench::add_onednn(std::vector<BackendInfo>& list) {
  list.push_back({"onednn", [](DType, bool) { return false; },
                  []() -> std::string {
                    throw Unsupported("built without oneDNN's headers; PyPI: onednn-devel");
                  },
                  [] { return std::unique_ptr<Backend>(); }});
}

#endif

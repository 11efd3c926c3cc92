// SPDX-License-Identifier: MIT
// ggml's CPU backend. Its tensor [ne0, ne1] is our matrix [rows = ne1, cols = ne0]. Weights in
// place are a tensor over the shared bytes; packed ones lie in ggml's repacking buffer. ggml takes
// f32 x and converts or quantizes it in the call.
#include "../library.h"
#include "list.h"

#if __has_include("ggml-cpu.h")  // of a found ggml
#include <cstring>

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

namespace bench {
namespace {

struct Ggml {
  Library base, cpu;
  Ggml()
      : base({folder() + "libggml-base.so", "libggml-base.so"}, kHowToGet, RTLD_GLOBAL),
        cpu({folder() + "libggml-cpu.so", "libggml-cpu.so"}, kHowToGet, RTLD_GLOBAL) {}
  static constexpr const char* kHowToGet =
      "built from the sources in PyPI's llama-cpp-python, or TESSERA_GGML_DIR=<prefix of an "
      "installed ggml>";
  static std::string folder() {
    const char* own = std::getenv("TESSERA_GGML_DIR");
    return (own != nullptr ? std::string(own) : peers_dir() + "/ggml") + "/lib/";
  }
};

#define TESSERA_GGML(name) (*ggml_.base.get<decltype(name)>(#name))
#define TESSERA_GGML_CPU(name) (*ggml_.cpu.get<decltype(name)>(#name))

class GgmlBackend : public Backend {
 public:
  void open(const Problem& p) override {
    p_ = &p;
    TESSERA_GGML(ggml_log_set)([](ggml_log_level, const char*, void*) {}, nullptr);
    TESSERA_GGML_CPU(ggml_cpu_init)();
    const ggml_init_params params{(p.copies * p.ms.size() * 8 + 64) * 4096, nullptr, true};
    context_ = TESSERA_GGML(ggml_init)(params);
    const auto type = static_cast<ggml_type>(p.format);
    for (size_t i = 0; i < p.copies; ++i) {
      w_.push_back(TESSERA_GGML(ggml_new_tensor_2d)(context_, type, static_cast<int64_t>(p.k),
                                                    static_cast<int64_t>(p.n)));
    }
    if (p.packed) {
      repack();
      return;
    }
    const ggml_backend_buffer_t buffer = TESSERA_GGML(ggml_backend_cpu_buffer_from_ptr)(
        const_cast<std::byte*>(p.w), p.copies * p.copy_stride);
    for (size_t i = 0; i < p.copies; ++i) place(buffer, w_[i], const_cast<std::byte*>(p.copy(i)));
    execute_ = &TESSERA_GGML_CPU(ggml_graph_compute);
  }

  void prepare(size_t m) override {
    const size_t x_bytes = m * p_->k * sizeof(float);
    x_ = TESSERA_GGML(ggml_new_tensor_2d)(context_, GGML_TYPE_F32, static_cast<int64_t>(p_->k),
                                          static_cast<int64_t>(m));
    place(TESSERA_GGML(ggml_backend_cpu_buffer_from_ptr)(const_cast<float*>(p_->x), x_bytes), x_,
          const_cast<float*>(p_->x));
    graphs_.clear();
    y_.clear();
    size_t work = 0;
    for (ggml_tensor* w : w_) {
      ggml_tensor* y = TESSERA_GGML(ggml_mul_mat)(context_, w, x_);
      ggml_cgraph* graph = TESSERA_GGML(ggml_new_graph_custom)(context_, 8, false);
      TESSERA_GGML(ggml_build_forward_expand)(graph, y);
      plan_ = TESSERA_GGML_CPU(ggml_graph_plan)(graph, static_cast<int>(p_->threads), nullptr);
      work = std::max(work, plan_.work_size);
      y_.push_back(y);
      graphs_.push_back(graph);
    }
    work_ = Arena(work + 64, Pages::huge);
    plan_.work_size = work;
    plan_.work_data = reinterpret_cast<uint8_t*>(work_.data());
  }

  void run(size_t copy, float* y) override {
    const size_t i = copy % w_.size();
    y_[i]->data = y;
    if (execute_(graphs_[i], &plan_) != GGML_STATUS_SUCCESS)
      throw std::runtime_error("ggml_graph_compute");
  }

 private:
  void place(ggml_backend_buffer_t buffer, ggml_tensor* tensor, void* data) {
    if (TESSERA_GGML(ggml_backend_tensor_alloc)(buffer, tensor, data) != GGML_STATUS_SUCCESS) {
      throw std::runtime_error("ggml_backend_tensor_alloc");
    }
  }

  void repack() {
    const ggml_backend_reg_t reg = TESSERA_GGML_CPU(ggml_backend_cpu_reg)();
    auto* extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
        TESSERA_GGML(ggml_backend_reg_get_proc_address)(reg, "ggml_backend_dev_get_extra_bufts"));
    if (extra == nullptr) throw Unsupported("no extra buffer types");
    ggml_backend_buffer_type_t repacking = nullptr;
    for (auto* b = extra(TESSERA_GGML(ggml_backend_reg_dev_get)(reg, 0));
         b != nullptr && *b != nullptr; ++b) {
      if (std::strcmp(TESSERA_GGML(ggml_backend_buft_name)(*b), "CPU_REPACK") == 0) repacking = *b;
    }
    if (repacking == nullptr) throw Unsupported("no repacking buffer");
    const size_t stride =
        (TESSERA_GGML(ggml_backend_buft_get_alloc_size)(repacking, w_[0]) + 63) / 64 * 64;
    const ggml_backend_buffer_t buffer =
        TESSERA_GGML(ggml_backend_buft_alloc_buffer)(repacking, stride * w_.size());
    auto* base = static_cast<std::byte*>(TESSERA_GGML(ggml_backend_buffer_get_base)(buffer));
    const size_t page = 4096, skip = (page - reinterpret_cast<uintptr_t>(base) % page) % page;
    madvise(base + skip, stride * w_.size() - skip,
            p_->pages == Pages::huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (size_t i = 0; i < w_.size(); ++i) {
      place(buffer, w_[i], base + i * stride);
      if (w_[i]->extra == nullptr) throw Unsupported("ggml does not repack this format here");
      TESSERA_GGML(ggml_backend_tensor_set)(w_[i], p_->copy(i), 0, p_->w_bytes);
    }
    execute_ = &TESSERA_GGML_CPU(ggml_graph_compute);
  }

  Ggml ggml_;
  const Problem* p_ = nullptr;
  ggml_context* context_ = nullptr;
  std::vector<ggml_tensor*> w_, y_;
  ggml_tensor* x_ = nullptr;
  std::vector<ggml_cgraph*> graphs_;
  ggml_cplan plan_{};
  Arena work_;
  decltype(&ggml_graph_compute) execute_ = nullptr;
};

std::string describe() {
  const Ggml ggml_;
  std::string text = "ggml";
  if (auto* version = ggml_.base.find<const char*()>("ggml_version"))
    text += std::string(" ") + version();
  if (auto* commit = ggml_.base.find<const char*()>("ggml_commit"))
    text += std::string(" ") + commit();
  const ggml_backend_reg_t reg = TESSERA_GGML_CPU(ggml_backend_cpu_reg)();
  auto* features = reinterpret_cast<ggml_backend_get_features_t>(
      TESSERA_GGML(ggml_backend_reg_get_proc_address)(reg, "ggml_backend_get_features"));
  if (features != nullptr) {
    for (auto* f = features(reg); f->name != nullptr; ++f) text += std::string(" ") + f->name;
  }
  return text;
}

bool supports(DType format, bool packed) {
  return format != DType::i8 && (!packed || is_blocks(format));
}

}  // namespace

void add_ggml(std::vector<BackendInfo>& list) {
  list.push_back({"ggml", supports, describe, [] { return std::make_unique<GgmlBackend>(); }});
}

}  // namespace bench

#else

void bench::add_ggml(std::vector<BackendInfo>& list) {
  list.push_back({"ggml", [](DType, bool) { return false; },
                  []() -> std::string {
                    throw Unsupported(
                        "built without ggml's headers; configure with -DTESSERA_GGML_DIR=<prefix>");
                  },
                  [] { return std::unique_ptr<Backend>(); }});
}

#endif

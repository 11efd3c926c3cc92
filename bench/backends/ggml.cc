// SPDX-License-Identifier: MIT
// ggml's CPU backend, and that of its fork ik_llama.cpp, whose matrix kernels are others. Both run
// a graph of one matrix product, as their users do. They are reached through functions of ggml that
// both have, which take numbers and opaque pointers, so that neither's headers are needed. A tensor
// [ne0, ne1] is our matrix [rows = ne1, cols = ne0]. x is f32; they convert or quantize it in the
// call.
#include <cstring>

#include "../library.h"
#include "list.h"

namespace bench {
namespace {

struct Context;
struct Tensor;
struct Graph;
struct Engine;      // ggml_backend
struct Buffer;      // ggml_backend_buffer
struct BufferType;  // ggml_backend_buffer_type
struct Registry;    // ggml_backend_reg
struct Device;      // ggml_backend_dev
struct InitParams {
  size_t bytes;
  void* memory;
  bool no_data;
};
struct Feature {
  const char *name, *value;
};

/// A function of the type of the pointer that it is assigned to.
struct Symbol {
  const Library& library;
  const char* name;
  template <class F>
  operator F*() const {  // NOLINT(google-explicit-constructor)
    return library.get<F>(name);
  }
};

/// What both libraries have.
struct Api {
  Library library;
  Symbol find(const char* name) const { return {library, name}; }

  Engine* (*cpu_init)() = find("ggml_backend_cpu_init");
  void (*set_threads)(Engine*, int) = find("ggml_backend_cpu_set_n_threads");
  int (*compute)(Engine*, Graph*) = find("ggml_backend_graph_compute");
  Context* (*init)(InitParams) = find("ggml_init");
  Tensor* (*matrix)(Context*, int type, int64_t cols, int64_t rows) = find("ggml_new_tensor_2d");
  Tensor* (*cube)(Context*, int type, int64_t cols, int64_t rows,
                  int64_t matrices) = find("ggml_new_tensor_3d");
  Tensor* (*mul_mat)(Context*, Tensor* w, Tensor* x) = find("ggml_mul_mat");
  Tensor* (*mul_mat_id)(Context*, Tensor* w, Tensor* x, Tensor* ids) = find("ggml_mul_mat_id");
  Graph* (*graph)(Context*, size_t nodes, bool grads) = find("ggml_new_graph_custom");
  void (*expand)(Graph*, Tensor*) = find("ggml_build_forward_expand");
  Buffer* (*buffer_over)(void*, size_t) = find("ggml_backend_cpu_buffer_from_ptr");
  void (*place)(Buffer*, Tensor*, void*) = find("ggml_backend_tensor_alloc");
};

class GraphBackend : public Backend {
 public:
  explicit GraphBackend(const Library& library) : api_{library} {}

  void open(const Problem& p) override {
    p_ = &p;
    engine_ = api_.cpu_init();
    api_.set_threads(engine_, static_cast<int>(p.threads));
    context_ = api_.init({(p.copies * p.ms.size() * 12 + 64) * 4096, nullptr, true});
    for (size_t i = 0; i < p.copies; ++i) {
      w_.push_back(p.choice == nullptr ? matrix(static_cast<int>(p.format), p.n)
                                       : cube(static_cast<int>(p.format), p.n, p.experts));
      if (!p.packed) place(w_[i], p.copy(i), p.w_bytes);
    }
    if (p.packed) pack();
  }

  void prepare(size_t m) override {
    m_ = m;
    y_ = nullptr;
  }

  void run(size_t copy, float* y) override {
    if (y != y_) build(y);
    if (api_.compute(engine_, graphs_[copy % graphs_.size()]) != 0)
      throw std::runtime_error("ggml_backend_graph_compute");
  }

 protected:
  /// Puts prepared weights into w_, whose tensors have no data yet.
  virtual void pack() = 0;

  Tensor* matrix(int type, size_t rows) {
    return api_.matrix(context_, type, static_cast<int64_t>(p_->k), static_cast<int64_t>(rows));
  }
  Tensor* cube(int type, size_t rows, size_t matrices) {
    return api_.cube(context_, type, static_cast<int64_t>(p_->k), static_cast<int64_t>(rows),
                     static_cast<int64_t>(matrices));
  }
  /// The product with m rows of x, of which none has data yet, nor the experts' choice.
  struct Product {
    Tensor *y, *x, *choice;
  };
  Product product(Tensor* w, size_t m) {
    const int f32 = static_cast<int>(DType::f32), i32 = static_cast<int>(DType::i32);
    if (p_->choice == nullptr) {
      Tensor* x = matrix(f32, m);
      return {api_.mul_mat(context_, w, x), x, nullptr};
    }
    Tensor* x = cube(f32, 1, m);
    Tensor* choice =
        api_.matrix(context_, i32, static_cast<int64_t>(p_->chosen), static_cast<int64_t>(m));
    return {api_.mul_mat_id(context_, w, x, choice), x, choice};
  }
  void place(Tensor* tensor, const void* data, size_t bytes) {
    void* at = const_cast<void*>(data);  // only y is written to
    api_.place(api_.buffer_over(at, bytes), tensor, at);
  }

  Api api_;
  const Problem* p_ = nullptr;
  Engine* engine_ = nullptr;
  Context* context_ = nullptr;
  std::vector<Tensor*> w_;

 private:
  // The place of y is part of a graph: it is built at the first, untimed call.
  void build(float* y) {
    graphs_.clear();
    for (Tensor* w : w_) {
      const Product p = product(w, m_);
      place(p.x, p_->x, m_ * p_->k * sizeof(float));
      if (p.choice != nullptr) place(p.choice, p_->choice, p_->y_rows(m_) * sizeof(int32_t));
      place(p.y, y, p_->y_rows(m_) * p_->n * sizeof(float));
      graphs_.push_back(api_.graph(context_, 8, false));
      api_.expand(graphs_.back(), p.y);
    }
    y_ = y;
  }

  size_t m_ = 0;
  const float* y_ = nullptr;
  std::vector<Graph*> graphs_;
};

// ---- ggml ----

Library ggml(bool avx2) {
  const char* own = std::getenv(avx2 ? "TESSERA_GGML_AVX2_DIR" : "TESSERA_GGML_DIR");
  const std::string built = peers_dir() + (avx2 ? "/ggml-b11549-avx2" : "/ggml-b11549");
  const std::string lib = (own != nullptr ? std::string(own) : built) + "/lib/";
  const std::string how = std::string("built from the sources in PyPI's xllamacpp, or ") +
                          (avx2 ? "TESSERA_GGML_AVX2_DIR" : "TESSERA_GGML_DIR") +
                          "=<prefix of an installed ggml>";
  std::vector<std::string> base_names{lib + "libggml-base.so"}, names{lib + "libggml-cpu.so"};
  if (!avx2) {  // one that the system has may use any instructions
    base_names.push_back("libggml-base.so");
    names.push_back("libggml-cpu.so");
  }
  const Library base(base_names, how, RTLD_GLOBAL);
  return Library(names, how, RTLD_GLOBAL);
}

/// Packed weights lie in the buffer that repacks what is put into it.
class Ggml : public GraphBackend {
 public:
  explicit Ggml(bool avx2) : GraphBackend(ggml(avx2)) {
    void (*log_set)(void (*)(int, const char*, void*), void*) = api_.find("ggml_log_set");
    log_set([](int, const char*, void*) {}, nullptr);
  }

 private:
  BufferType* repacking() {
    Registry* (*registry)() = api_.find("ggml_backend_cpu_reg");
    Device* (*device)(Registry*, size_t) = api_.find("ggml_backend_reg_dev_get");
    void* (*address)(Registry*, const char*) = api_.find("ggml_backend_reg_get_proc_address");
    const char* (*name)(BufferType*) = api_.find("ggml_backend_buft_name");
    auto* extra = reinterpret_cast<BufferType** (*)(Device*)>(
        address(registry(), "ggml_backend_dev_get_extra_bufts"));
    if (extra == nullptr) throw Unsupported("no extra buffer types");
    for (auto** b = extra(device(registry(), 0)); b != nullptr && *b != nullptr; ++b) {
      if (std::strcmp(name(*b), "CPU_REPACK") == 0) return *b;
    }
    throw Unsupported("no repacking buffer");
  }

  void pack() override {
    BufferType* type = repacking();
    size_t (*alloc_size)(BufferType*, const Tensor*) =
        api_.find("ggml_backend_buft_get_alloc_size");
    Buffer* (*alloc)(BufferType*, size_t) = api_.find("ggml_backend_buft_alloc_buffer");
    void* (*base_of)(Buffer*) = api_.find("ggml_backend_buffer_get_base");
    bool (*supports)(Engine*, const Tensor*) = api_.find("ggml_backend_supports_op");
    void (*set)(Tensor*, const void*, size_t, size_t) = api_.find("ggml_backend_tensor_set");

    const size_t stride = (alloc_size(type, w_[0]) + 63) / 64 * 64;
    Buffer* buffer = alloc(type, stride * w_.size());
    auto* base = static_cast<std::byte*>(base_of(buffer));
    const size_t page = 4096, skip = (page - reinterpret_cast<uintptr_t>(base) % page) % page;
    madvise(base + skip, stride * w_.size() - skip,
            p_->pages == Pages::huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (size_t i = 0; i < w_.size(); ++i) api_.place(buffer, w_[i], base + i * stride);
    if (!supports(engine_, product(w_[0], 1).y))
      throw Unsupported("ggml does not repack this format here");
    for (size_t i = 0; i < w_.size(); ++i) set(w_[i], p_->copy(i), 0, p_->w_bytes);
  }
};

std::string describe_ggml(bool avx2) {
  const Library l = ggml(avx2);
  std::string text = "ggml";
  for (const char* name : {"ggml_version", "ggml_commit"}) {
    if (auto* f = l.find<const char*()>(name)) text += std::string(" ") + f();
  }
  Registry* registry = l.get<Registry*()>("ggml_backend_cpu_reg")();
  auto* features = reinterpret_cast<Feature* (*)(Registry*)>(l.get<void*(Registry*, const char*)>(
      "ggml_backend_reg_get_proc_address")(registry, "ggml_backend_get_features"));
  if (features == nullptr) return text;
  for (const Feature* f = features(registry); f->name != nullptr; ++f) {
    text += std::string(" ") + f->name;
  }
  return text;
}

// ---- ik_llama.cpp ----

Library ik(bool avx2) {
  const std::string variable = avx2 ? "TESSERA_IK_AVX2_DIR" : "TESSERA_IK_DIR";
  const char* dir = std::getenv(variable.c_str());
  const std::string how = "no package of Debian or PyPI; build its target ggml and set " +
                          variable + " to the folder of libggml.so";
  if (dir == nullptr) throw Unsupported(variable + " is not set; " + how);
  Library l({std::string(dir) + "/libggml.so"}, how);
  l.get<void(Tensor*)>("iqk_repack_tensor");  // ggml has a library of this name too
  return l;
}

/// Packed weights are repacked where they lie, as by llama-cli's option --run-time-repack.
class Ik : public GraphBackend {
 public:
  explicit Ik(bool avx2) : GraphBackend(ik(avx2)) {}

 private:
  void pack() override {
    int (*repacked_type)(const Tensor*) = api_.find("iqk_repacked_type");
    const char* (*name_of)(int) = api_.find("ggml_type_name");
    void (*repack)(Tensor*) = api_.find("iqk_repack_tensor");

    const std::string repacked = name_of(repacked_type(w_[0]));
    if (repacked.rfind(format_name(p_->format) + "_r", 0) != 0)  // f16 becomes bf16
      throw Unsupported("repacked, this format is " + repacked);
    if (p_->n % 16 != 0) throw Unsupported("some repacked kernels abort if n % 16 is not 0");
    const size_t stride = (p_->w_bytes + 4095) / 4096 * 4096;
    panels_ = Arena(stride * w_.size(), p_->pages);
    for (size_t i = 0; i < w_.size(); ++i) {
      std::byte* at = panels_.data() + i * stride;
      std::memcpy(at, p_->copy(i), p_->w_bytes);
      place(w_[i], at, p_->w_bytes);
      repack(w_[i]);
    }
  }
  Arena panels_;
};

std::string describe_ik(bool avx2) {
  const Library l = ik(avx2);
  std::string text = "ik_llama.cpp (does not tell its version)";
  for (const char* feature : {"avx2", "avx_vnni", "avx512", "avx512_vnni", "avx512_bf16"}) {
    auto* has = l.find<int()>((std::string("ggml_cpu_has_") + feature).c_str());
    if (has != nullptr && has() != 0) text += std::string(" ") + feature;
  }
  return text;
}

bool supports_ggml(DType format, bool packed) {
  return format != DType::i8 && (!packed || is_blocks(format));
}
bool supports_ik(DType format, bool) { return format != DType::i8; }

}  // namespace

// Each as built for this CPU, and on request as built for AVX2 alone, for our target of that name.
void add_ggml(std::vector<BackendInfo>& list) {
  for (const bool avx2 : {false, true}) {
    const std::string suffix = avx2 ? "-AVX2" : "";
    BackendInfo g{"ggml" + suffix, supports_ggml, [avx2] { return describe_ggml(avx2); },
                  [avx2] { return std::make_unique<Ggml>(avx2); }};
    BackendInfo i{"ik_llama.cpp" + suffix, supports_ik, [avx2] { return describe_ik(avx2); },
                  [avx2] { return std::make_unique<Ik>(avx2); }};
    for (BackendInfo* info : {&g, &i}) {
      info->on_request = avx2;
      info->has_experts = true;
      if (avx2) info->target = "AVX2";
      list.push_back(*info);
    }
  }
}

}  // namespace bench

// SPDX-License-Identifier: MIT
// A backend with an error on purpose, which a test expects to be reported and not timed.
#include "list.h"

namespace bench {
namespace {

class Wrong : public Backend {
 public:
  void open(const Problem& p) override { p_ = &p; }
  void prepare(size_t m) override { m_ = m; }
  void run(size_t copy, float* y) override {
    const auto* w = reinterpret_cast<const float*>(p_->copy(copy));
    for (size_t i = 0; i < m_; ++i) {
      for (size_t j = 0; j < p_->n; ++j) {
        float sum = 0.0f;  // forgets the last product
        for (size_t l = 0; l + 1 < p_->k; ++l) sum += p_->x[i * p_->k + l] * w[j * p_->k + l];
        y[i * p_->n + j] = sum;
      }
    }
  }

 private:
  const Problem* p_ = nullptr;
  size_t m_ = 0;
};

}  // namespace

void add_wrong(std::vector<BackendInfo>& list) {
  BackendInfo info{"wrong",
                   [](DType format, bool packed) { return format == DType::f32 && !packed; },
                   [] { return std::string("forgets one product of each sum"); },
                   [] { return std::make_unique<Wrong>(); }};
  info.on_request = true;
  list.push_back(info);
}

}  // namespace bench

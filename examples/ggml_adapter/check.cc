// SPDX-License-Identifier: MIT
// Checks the adapter inside ggml: products through ggml's graphs, with weights in place and packed,
// against sums in double; and weights are read back. `test-backend-ops test -b CPU -o MUL_MAT` (and
// MUL_MAT_ID) of llama.cpp knows more layouts, but no packed weights.
//
//   cmake --build build --target tessera-ggml-check && build/bin/tessera-ggml-check
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

extern "C" uint64_t tessera_ggml_taken();  // ggml_adapter.cc

namespace {

struct Case {
  ggml_type type;
  int64_t k, n, w2;  // W[k, n, w2, w3]
  int64_t m, x2;     // x[k, m, x2, x3]; of experts: m choices (or 1) of x2 tokens
  int64_t used = 0;  // experts a token; 0: MUL_MAT
  int64_t w3 = 1, x3 = 1;
  bool gaps = false;  // as many rows again, not used, after those of each matrix of x
  bool packed = false;
  int threads = 1;
  bool reference = false;  // ggml's own code is wanted
  bool one_x = false;      // all tokens have the x of the first, which is left to ggml
};

template <class T, void (*kFree)(T*)>
using Owner = std::unique_ptr<T, decltype([](T* p) { kFree(p); })>;
using Context = Owner<ggml_context, ggml_free>;
using Buffer = Owner<ggml_backend_buffer, ggml_backend_buffer_free>;
using Backend = Owner<ggml_backend, ggml_backend_free>;

// The first of ggml's extra buffer types, which is the adapter's.
ggml_backend_buffer_type_t packed_buffers() {
  ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  const auto get =
      reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(ggml_backend_reg_get_proc_address(
          ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts"));
  return get(device)[0];
}

std::vector<float> random_values(size_t count, std::mt19937& random) {
  std::vector<float> values(count);
  std::normal_distribution<float> normal;
  for (float& v : values) v = normal(random);
  return values;
}

// Whether the bytes of weights are those that were set: all, some from the midst, and through a
// view of a few rows.
bool reads_back(ggml_context* context, ggml_tensor* w, const std::vector<char>& set,
                std::mt19937& random) {
  const auto reads = [&](const ggml_tensor* t, size_t at, size_t offset, size_t bytes) {
    std::vector<char> got(bytes + 1, 'x');
    ggml_backend_tensor_get(t, got.data(), offset, bytes);
    return std::memcmp(got.data(), set.data() + at + offset, bytes) == 0 && got[bytes] == 'x';
  };
  const size_t begin = random() % set.size(), row = random() % static_cast<size_t>(w->ne[1]);
  const ggml_tensor* view = ggml_view_2d(context, w, w->ne[0], w->ne[1] - static_cast<int64_t>(row),
                                         w->nb[1], row * w->nb[1]);
  return reads(w, 0, 0, set.size()) && reads(w, 0, begin, 1 + random() % (set.size() - begin)) &&
         reads(view, row * w->nb[1], w->nb[1] / 2, ggml_nbytes(view) - w->nb[1] / 2);
}

// The largest share of its bound that an error takes; above 1 is wrong.
double run(const Case& c, std::mt19937& random) {
  const Context weights(ggml_init({1 << 20, nullptr, true}));
  const Context rest(ggml_init({1 << 20, nullptr, true}));
  ggml_tensor* w = ggml_new_tensor_4d(weights.get(), c.type, c.k, c.n, c.w2, c.w3);
  const int64_t x_rows = c.gaps ? 2 * c.m : c.m;
  ggml_tensor* all_x = ggml_new_tensor_4d(rest.get(), GGML_TYPE_F32, c.k, x_rows, c.x2, c.x3);
  ggml_tensor* x = ggml_view_4d(rest.get(), all_x, c.k, c.m, c.x2, c.x3, all_x->nb[1],
                                c.one_x ? 0 : all_x->nb[2], all_x->nb[3], 0);
  ggml_tensor* ids = nullptr;
  ggml_tensor* y = nullptr;
  if (c.used == 0) {
    y = ggml_mul_mat(rest.get(), w, x);
  } else {
    ids = ggml_new_tensor_2d(rest.get(), GGML_TYPE_I32, c.used, c.x2);
    y = ggml_mul_mat_id(rest.get(), w, x, ids);
  }
  ggml_cgraph* graph = ggml_new_graph(rest.get());
  ggml_build_forward_expand(graph, y);

  const Backend backend(ggml_backend_cpu_init());
  ggml_backend_cpu_set_n_threads(backend.get(), c.threads);
  ggml_backend_cpu_set_use_ref(backend.get(), c.reference);
  const auto type = c.packed ? packed_buffers() : ggml_backend_cpu_buffer_type();
  const Buffer w_memory(ggml_backend_alloc_ctx_tensors_from_buft(weights.get(), type));
  const Buffer x_memory(ggml_backend_alloc_ctx_tensors(rest.get(), backend.get()));

  const int64_t rows = c.n * c.w2 * c.w3;
  const std::vector<float> w_values = random_values(static_cast<size_t>(rows * c.k), random);
  std::vector<char> w_bytes(ggml_nbytes(w));
  ggml_quantize_chunk(c.type, w_values.data(), w_bytes.data(), 0, rows, c.k, nullptr);
  ggml_backend_tensor_set(w, w_bytes.data(), 0, w_bytes.size());
  if (!reads_back(rest.get(), w, w_bytes, random)) {
    std::printf("FAILED: weights are not read as they were set\n");
    return HUGE_VAL;
  }
  std::vector<float> w_used(w_values.size());  // what the format holds
  if (c.type == GGML_TYPE_F32) {
    w_used = w_values;
  } else {
    ggml_get_type_traits(c.type)->to_float(w_bytes.data(), w_used.data(), rows * c.k);
  }
  const std::vector<float> x_values =
      random_values(static_cast<size_t>(c.k * x_rows * c.x2 * c.x3), random);
  ggml_backend_tensor_set(all_x, x_values.data(), 0, ggml_nbytes(all_x));
  std::vector<int32_t> id_values(static_cast<size_t>(c.used * c.x2));
  for (size_t i = 0; i < id_values.size(); ++i) {  // no expert twice for a token
    const auto used = static_cast<size_t>(c.used);
    const size_t first = i / used * 3 % static_cast<size_t>(c.w2);
    id_values[i] = static_cast<int32_t>((first + i % used) % static_cast<size_t>(c.w2));
  }
  if (ids != nullptr) ggml_backend_tensor_set(ids, id_values.data(), 0, ggml_nbytes(ids));

  const uint64_t taken = tessera_ggml_taken();
  if (ggml_backend_graph_compute(backend.get(), graph) != GGML_STATUS_SUCCESS) return HUGE_VAL;
  if (tessera_ggml_taken() != taken + (c.reference || c.one_x ? 0 : 1)) return HUGE_VAL;
  std::vector<float> got(static_cast<size_t>(ggml_nelements(y)));
  ggml_backend_tensor_get(y, got.data(), 0, ggml_nbytes(y));

  // Blocks of 32 of x are rounded by up to a 254th of their largest value, and with bf16 each value
  // by up to 2^-9 of itself; each of k sums by 2^-24 of what it is at most.
  const bool blocks = ggml_is_quantized(c.type);
  const double relative = (c.type == GGML_TYPE_BF16 ? std::ldexp(1.0, -9) : 0) +
                          static_cast<double>(c.k + 8) * std::ldexp(1.0, -24);
  double worst = 0;
  for (int64_t i = 0; i < ggml_nelements(y); ++i) {
    const int64_t row = i % c.n, i1 = i / c.n % y->ne[1];
    const int64_t i2 = i / c.n / y->ne[1] % c.x2, i3 = i / c.n / y->ne[1] / c.x2;
    const int64_t matrix = ids == nullptr ? i2 / (c.x2 / c.w2) + i3 / (c.x3 / c.w3) * c.w2
                                          : id_values[static_cast<size_t>(i2 * c.used + i1)];
    const float* wr = w_used.data() + (matrix * c.n + row) * c.k;
    const int64_t x_row = ids != nullptr && c.m == 1 ? 0 : i1;
    const int64_t x_matrix = i3 * c.x2 + (c.one_x ? 0 : i2);
    const float* xr = x_values.data() + (x_matrix * x_rows + x_row) * c.k;
    double want = 0, bound = 0;
    for (int64_t begin = 0; begin < c.k; begin += 32) {
      double most = 0, w_sum = 0, sum = 0;
      for (int64_t j = begin; j < std::min(c.k, begin + 32); ++j) {
        const double wv = static_cast<double>(wr[j]), xv = static_cast<double>(xr[j]);
        want += wv * xv;
        sum += std::abs(wv * xv);
        w_sum += std::abs(wv);
        most = std::max(most, std::abs(xv));
      }
      bound += sum * relative + (blocks ? most / 253 * w_sum : 0);
    }
    const double error = std::abs(static_cast<double>(got[static_cast<size_t>(i)]) - want);
    if (!(error <= bound)) return error / bound;
    worst = std::max(worst, error / bound);
  }
  return worst;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  int failed = 0, count = 0;
  for (ggml_type type :
       {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,
        GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_IQ4_NL, GGML_TYPE_MXFP4,
        GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K}) {
    double worst = 0;
    for (bool packed : {false, true}) {
      for (int threads : {1, 2, 3}) {
        for (Case c :
             {Case{type, 256, 50, 1, 1, 1}, Case{type, 512, 67, 1, 5, 1},
              Case{type, 256, 130, 1, 40, 1}, Case{type, 256, 33, 1, 1, 3},
              Case{type, 256, 64, 2, 3, 6}, Case{type, 256, 40, 2, 3, 4, 0, 2, 4},
              Case{type, 256, 40, 2, 3, 4, 0, 1, 2, true}, Case{type, 256, 31, 5, 1, 1, 2},
              Case{type, 256, 48, 4, 1, 70, 3}, Case{type, 256, 48, 4, 1, 7, 3, 1, 1, true},
              Case{type, 512, 20, 4, 2, 9, 2}}) {
          c.packed = packed;
          c.threads = threads;
          const double share = run(c, random);
          ++count;
          worst = std::max(worst, share);
          if (share <= 1) continue;
          ++failed;
          std::printf(
              "FAILED %s: W[%d, %d, %d, %d] x[., %d, %d, %d], %d experts a token, %s, %d threads: "
              "%g\n",
              ggml_type_name(type), static_cast<int>(c.k), static_cast<int>(c.n),
              static_cast<int>(c.w2), static_cast<int>(c.w3), static_cast<int>(c.m),
              static_cast<int>(c.x2), static_cast<int>(c.x3), static_cast<int>(c.used),
              packed ? "packed" : "in place", threads, share);
        }
      }
    }
    std::printf("%-7s at most %.3f of the bound\n", ggml_type_name(type), worst);
  }
  Case reference{GGML_TYPE_F32, 256, 50, 1, 5, 1};
  reference.reference = true;
  ++count;
  if (!(run(reference, random) <= 1)) {
    ++failed;
    std::printf("FAILED: reference mode is not ggml's own\n");
  }
  Case one_x{GGML_TYPE_F32, 256, 48, 4, 1, 7, 3};
  one_x.one_x = true;
  ++count;
  if (!(run(one_x, random) <= 1)) {
    ++failed;
    std::printf("FAILED: one x for all tokens\n");
  }
  std::printf("%d of %d products failed\n", failed, count);
  return failed == 0 ? 0 : 1;
}

// SPDX-License-Identifier: MIT
// A program of somebody else: a product in f32 and one in q4_0, a call of C, and whether this file
// sees the same formats as the file with the bodies.
#include <cstddef>
#include <cstdio>
#include <vector>

#include "tessera/c_api.h"
#include "tessera/tessera.h"

int main() {
  using tessera::DType;
  constexpr size_t kDepth = 32;
  std::vector<float> x(kDepth), w(kDepth, 0.5f);
  for (size_t i = 0; i < kDepth; ++i) x[i] = static_cast<float>(i);  // they add up to 496
  std::byte blocks[18];                                              // 0.5 is a code of q4_0
  const tessera::MutMatView q4{blocks, 1, kDepth, sizeof(blocks), DType::q4_0};
  float y = 0.0f, y_q4 = 0.0f;
  tessera::Status status =
      tessera::matmul(tessera::rows_of(std::span(&y, 1), 1, 1), tessera::rows_of(x, 1, kDepth),
                      tessera::rows_of(w, 1, kDepth));
  if (status.ok()) status = tessera::quantize(tessera::rows_of(w, 1, kDepth), q4);
  tessera::PlanOptions exact;
  exact.accuracy = tessera::Accuracy::exact;
  if (status.ok()) {
    status = tessera::matmul(tessera::rows_of(std::span(&y_q4, 1), 1, 1),
                             tessera::rows_of(x, 1, kDepth), q4, {}, tessera::serial(), exact);
  }
  std::printf("%s: %g %g by %s\n", status.message().c_str(), static_cast<double>(y),
              static_cast<double>(y_q4), tessera::default_target());

  const std::byte bytes[34] = {};
  const bool plans =
      tessera::Matmul::plan({bytes, 1, kDepth, sizeof(bytes), DType::q8_0}, DType::f32).ok();
  std::printf("q8_0 is %scompiled\n", plans ? "" : "not ");
  const bool right = status.ok() && y == 248.0f && y_q4 == 248.0f &&
                     plans == tessera::multiplies(DType::q8_0) &&
                     (tessera_multiplies(TESSERA_Q8_0) != 0) == plans;
  return right ? 0 : 1;
}

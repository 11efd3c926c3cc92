// SPDX-License-Identifier: MIT
// BLIS (Debian's packages).
#include "cblas.h"
#include "list.h"

namespace bench {
namespace {

Library library() {
  return Library(
      {"/usr/lib/x86_64-linux-gnu/blis-pthread/libblis.so.4", "libblis.so.4", "libblis.so"},
      "Debian: libblis4-pthread");
}

std::string describe() {
  const Library blis = library();
  std::string text = std::string("BLIS ") + blis.get<const char*()>("bli_info_get_version_str")();
  auto* id = blis.find<int()>("bli_arch_query_id");
  auto* name = blis.find<const char*(int)>("bli_arch_string");
  if (id != nullptr && name != nullptr) text += std::string(", kernels ") + name(id());
  return text + ", " + blis.path();
}

}  // namespace

void add_blis(std::vector<BackendInfo>& list) {
  list.push_back(
      {"blis", f32_in_place, describe, [] { return std::make_unique<CblasInPlace>(library()); }});
}

}  // namespace bench

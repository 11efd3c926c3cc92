// SPDX-License-Identifier: MIT
// Shared libraries of competitors, opened while running: the benchmark builds without any of them.
#ifndef TESSERA_BENCH_LIBRARY_H_
#define TESSERA_BENCH_LIBRARY_H_

#include <dlfcn.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "backend.h"

namespace bench {

/// Where `./bootstrap bench` puts what it fetches; TESSERA_PEERS in the environment goes first.
inline std::string peers_dir() {
  const char* dir = std::getenv("TESSERA_PEERS");
  return dir != nullptr ? dir : TESSERA_PEERS_DIR;
}

class Library {
 public:
  /// The first of the candidates that opens.
  Library(const std::vector<std::string>& candidates, const std::string& how_to_get,
          int scope = RTLD_LOCAL) {
    std::string tried;
    for (const std::string& path : candidates) {
      handle_ = dlopen(path.c_str(), RTLD_NOW | scope);
      if (handle_ != nullptr) {
        path_ = path;
        return;
      }
      const char* why = dlerror();
      tried += std::string(tried.empty() ? "" : "; ") + (why != nullptr ? why : path.c_str());
    }
    throw Unsupported("not found (" + tried + "); " + how_to_get);
  }
  const std::string& path() const { return path_; }

  template <class F>
  F* find(const char* symbol) const {
    return reinterpret_cast<F*>(dlsym(handle_, symbol));
  }
  template <class F>
  F* get(const char* symbol) const {
    F* f = find<F>(symbol);
    if (f == nullptr) throw Unsupported(path_ + " has no " + symbol);
    return f;
  }

 private:
  void* handle_ = nullptr;
  std::string path_;
};

/// File names of the loaded libraries that contain `part`: which code a library chose.
inline std::string loaded_libraries(const std::string& part) {
  std::ifstream maps("/proc/self/maps");
  std::string found;
  for (std::string line; std::getline(maps, line);) {
    const size_t slash = line.rfind('/');
    if (slash == std::string::npos) continue;
    const std::string name = line.substr(slash + 1);
    if (name.find(part) != std::string::npos && found.find(name) == std::string::npos) {
      found += (found.empty() ? "" : " ") + name;
    }
  }
  return found;
}

}  // namespace bench

#endif  // TESSERA_BENCH_LIBRARY_H_

// SPDX-License-Identifier: MIT
// tessera-blas-grid: cblas_sgemm of shared libraries by turns, over a grid of sizes and all
// transposes, row-major without gaps. Prints a table of what the first library reaches of the best
// of the others, and writes the cells to a file. Whoever differs from the first one is named. One
// thread is asked for as each library wants it:
//
//     export TESSERA_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_THREADING_LAYER=SEQUENTIAL
//     export LD_LIBRARY_PATH=.deps/peers/lib
//     taskset -c 1 build/release/bin/tessera-blas-grid --library
//     tessera=build/release/libtessera_cblas.so
//         openblas=.deps/peers/openblas/libscipy_openblas.so,scipy_
//         mkl=.deps/peers/lib/libmkl_rt.so.3
#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "library.h"
#include "machine.h"

namespace bench {
namespace {

constexpr int kRowMajor = 101, kNoTrans = 111, kTrans = 112;
using Sgemm = void(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                   const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);

// What others do on this CPU meanwhile does not count.
double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Peer {
  std::string name;
  Sgemm* sgemm;
};

// NAME=FILE or NAME=FILE,PREFIX of the names of its functions.
Peer open_peer(const std::string& text) {
  const size_t equals = text.find('='), comma = text.find(',', equals);
  if (equals == std::string::npos) throw Unsupported(text + " is not NAME=FILE");
  const std::string file = text.substr(equals + 1, comma - equals - 1);
  const std::string prefix = comma == std::string::npos ? "" : text.substr(comma + 1);
  return {text.substr(0, equals), Library({file}, "a library with cblas_sgemm", RTLD_DEEPBIND)
                                      .get<Sgemm>((prefix + "cblas_sgemm").c_str())};
}

struct Cell {
  bool trans_a, trans_b;
  int m, n, k;
  std::vector<double> gflops;  // of each library

  double products() const { return static_cast<double>(m) * n * k; }
  double ratio() const { return gflops[0] / *std::max_element(gflops.begin() + 1, gflops.end()); }
  const char* sort() const {
    if (m == 1 || n == 1) return "vectors (m or n = 1)";
    if (products() <= 4096) return "tiny (mnk up to 16^3)";
    if (std::min(m, n) <= 16) return "narrow (m or n up to 16)";
    return products() <= 4194304 ? "medium (mnk up to 2^22)" : "large";
  }
};

struct Operands {
  std::vector<float> a, b, c;

  explicit Operands(size_t values) : a(values), b(values), c(values) {
    uint32_t state = 1;
    const auto next = [&state] {
      state = state * 1664525u + 1013904223u;
      return static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
    };
    std::generate(a.begin(), a.end(), next);
    std::generate(b.begin(), b.end(), next);
  }
};

void call(const Peer& peer, const Cell& s, Operands& o) {
  peer.sgemm(kRowMajor, s.trans_a ? kTrans : kNoTrans, s.trans_b ? kTrans : kNoTrans, s.m, s.n, s.k,
             1.0f, o.a.data(), s.trans_a ? s.m : s.k, o.b.data(), s.trans_b ? s.k : s.n, 0.0f,
             o.c.data(), s.n);
}

// Whether C is `wanted` but for the roundings of two orders of k sums of products below 1.
bool agrees(const std::vector<float>& c, const std::vector<float>& wanted, int k) {
  const double bound = 2.0 * k * k * 0x1p-24;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!(std::abs(static_cast<double>(c[i]) - static_cast<double>(wanted[i])) <= bound))
      return false;
  }
  return true;
}

void measure(const std::vector<Peer>& peers, Cell& cell, Operands& o, int rounds, double seconds) {
  std::vector<size_t> calls(peers.size());
  std::vector<std::vector<double>> times(peers.size());
  std::vector<float> wanted;
  const size_t values = static_cast<size_t>(cell.m) * static_cast<size_t>(cell.n);
  for (size_t i = 0; i < peers.size(); ++i) {
    call(peers[i], cell, o);
    if (i == 0) wanted.assign(o.c.begin(), o.c.begin() + static_cast<ptrdiff_t>(values));
    if (!agrees(o.c, wanted, cell.k)) {
      std::printf("%s differs from %s at %d x %d x %d\n", peers[i].name.c_str(),
                  peers[0].name.c_str(), cell.m, cell.n, cell.k);
    }
    size_t count = 1;
    double each = 0;
    for (double spent = 0; spent < seconds / 4; count *= 4) {
      const double start = cpu_seconds();
      for (size_t c = 0; c < count; ++c) call(peers[i], cell, o);
      spent = cpu_seconds() - start;
      each = spent / static_cast<double>(count);
    }
    calls[i] = std::max<size_t>(1, static_cast<size_t>(seconds / std::max(each, 1e-9)));
  }
  for (int round = 0; round < rounds; ++round) {
    for (size_t turn = 0; turn < peers.size(); ++turn) {
      const size_t i = round % 2 == 0 ? turn : peers.size() - 1 - turn;
      const double start = cpu_seconds();
      for (size_t c = 0; c < calls[i]; ++c) call(peers[i], cell, o);
      times[i].push_back((cpu_seconds() - start) / static_cast<double>(calls[i]));
    }
  }
  for (std::vector<double>& t : times) {
    std::nth_element(t.begin(), t.begin() + rounds / 2, t.end());
    cell.gflops.push_back(2e-9 * cell.products() / t[static_cast<size_t>(rounds / 2)]);
  }
}

void print_table(const std::vector<Cell>& cells) {
  std::map<std::string, std::vector<double>> sorts;
  for (const Cell& cell : cells) {
    const std::string op = std::string(cell.trans_a ? "T" : "N") + (cell.trans_b ? "T" : "N");
    for (const std::string& sort : {std::string(cell.sort()), "op " + op, std::string("| all")}) {
      sorts[sort].push_back(cell.ratio());
    }
  }
  std::printf(
      "\n| shapes | cells | geometric mean | below 0.95 | worst |\n|---|---|---|---|---|\n");
  for (auto& [sort, ratios] : sorts) {
    double logs = 0;
    for (const double ratio : ratios) logs += std::log(ratio);
    const auto below =
        std::count_if(ratios.begin(), ratios.end(), [](double r) { return r < 0.95; });
    std::printf("| %s | %zu | %.2f | %ld | %.2f |\n", sort.c_str() + (sort[0] == '|' ? 2 : 0),
                ratios.size(), std::exp(logs / static_cast<double>(ratios.size())),
                static_cast<long>(below), *std::min_element(ratios.begin(), ratios.end()));
  }
}

int run(int argc, char** argv) {
  CLI::App app("cblas_sgemm of several libraries by turns");
  std::vector<std::string> libraries;
  std::vector<int> sizes{1, 2, 4, 8, 16, 64, 256, 1024, 2048};
  double most = 3e8, seconds = 1e-3;
  int rounds = 5;
  std::string file;
  app.add_option("--library", libraries, "NAME=FILE[,PREFIX], the one to compare first")
      ->required();
  app.add_option("--sizes", sizes, "of m, n and k");
  app.add_option("--most", most, "multiplications of a shape");
  app.add_option("--rounds", rounds);
  app.add_option("--seconds", seconds, "of a library in a round");
  app.add_option("--out", file, "for the cells, as tab-separated values");
  CLI11_PARSE(app, argc, argv);
  if (libraries.size() < 2) throw Unsupported("--library is wanted twice at least");
  std::vector<Peer> peers;
  for (const std::string& library : libraries) peers.push_back(open_peer(library));
  for (const auto& [what, value] : describe_machine()) {
    std::printf("%s: %s\n", what.c_str(), value.c_str());
  }
  std::FILE* out = file.empty() ? nullptr : std::fopen(file.c_str(), "w");
  if (!file.empty() && out == nullptr) throw Unsupported(file + " cannot be written");
  if (out != nullptr) {
    std::fputs("op\tm\tn\tk", out);
    for (const Peer& peer : peers) std::fprintf(out, "\t%s", peer.name.c_str());
    std::fputs("\n", out);
  }
  const size_t largest = static_cast<size_t>(*std::max_element(sizes.begin(), sizes.end()));
  Operands operands(largest * largest);
  std::vector<Cell> cells;
  for (const int m : sizes) {
    for (const int n : sizes) {
      for (const int k : sizes) {
        for (const bool trans_b : {false, true}) {
          for (const bool trans_a : {false, true}) {
            Cell cell{trans_a, trans_b, m, n, k, {}};
            if (cell.products() > most) continue;
            measure(peers, cell, operands, rounds, seconds);
            if (out != nullptr) {
              std::fprintf(out, "%c%c\t%d\t%d\t%d", trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', m, n,
                           k);
              for (const double g : cell.gflops) std::fprintf(out, "\t%.4g", g);
              std::fputs("\n", out);
            }
            cells.push_back(cell);
          }
        }
      }
    }
  }
  if (out != nullptr) std::fclose(out);
  print_table(cells);
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    return bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tessera-blas-grid: %s\n", e.what());
    return 1;
  }
}

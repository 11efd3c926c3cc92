// SPDX-License-Identifier: MIT
// The machine and the build, for the report.
#ifndef TESSERA_BENCH_MACHINE_H_
#define TESSERA_BENCH_MACHINE_H_

#include <sys/utsname.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "hwy/base.h"
#include "ceilings.h"
#include "commit.h"  // made by the build

namespace bench {

inline std::string first_line(const std::string& path, const std::string& otherwise = "unknown") {
  std::string line;
  std::ifstream file(path);
  return std::getline(file, line) && !line.empty() ? line : otherwise;
}

inline std::vector<std::pair<std::string, std::string>> describe_machine() {
  std::string cpu = "unknown";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) cpu = line.substr(line.find(':') + 2);
  }
  utsname kernel{};
  uname(&kernel);
#if defined(__clang__)
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "gcc " __VERSION__;
#endif
  return {{"cpu", cpu},
          {"kernel", std::string(kernel.sysname) + " " + kernel.release},
          {"governor", first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")},
          {"thp", first_line("/sys/kernel/mm/transparent_hugepage/enabled")},
          {"l1d_bytes", std::to_string(cache_bytes(1))},
          {"l2_bytes", std::to_string(cache_bytes(2))},
          {"l3_bytes", std::to_string(cache_bytes(3))},
          {"compiler", compiler},
          {"flags", TESSERA_BENCH_FLAGS},
          {"commit", TESSERA_BENCH_COMMIT},
          {"highway", std::to_string(HWY_MAJOR) + "." + std::to_string(HWY_MINOR) + "." +
                          std::to_string(HWY_PATCH)}};
}

}  // namespace bench

#endif  // TESSERA_BENCH_MACHINE_H_

// SPDX-License-Identifier: MIT
// How many threads are worth starting: what this process may use of the machine, which in a
// container is often a small part of it. For thread_pool.h and whoever chooses a number of threads.
#ifndef TESSERA_USABLE_CPUS_H_
#define TESSERA_USABLE_CPUS_H_

#if defined(__linux__)
#include <sched.h>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <vector>
#endif
#include <cstddef>
#include <limits>
#include <thread>

#include "tessera/base/config.h"

namespace tessera::inline v0_1 {
namespace detail {

inline constexpr size_t kNoQuota = (std::numeric_limits<size_t>::max)();

#if defined(__linux__)
// Whether a list of names that commas separate has this one.
inline bool is_listed(std::string_view name, std::string_view list) {
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = (min)(list.find(',', begin), list.size());
    if (list.substr(begin, end - begin) == name) return true;
    begin = end + 1;
  }
  return false;
}

// The text of a file, empty if it cannot be read.
inline std::string file_text(const std::string& path) {
  std::string text;
  if (std::FILE* file = std::fopen(path.c_str(), "re"); file != nullptr) {
    char some[1024];
    for (size_t bytes = sizeof(some); bytes == sizeof(some);) {  // fewer: the end
      bytes = std::fread(some, 1, sizeof(some), file);
      text.append(some, bytes);
    }
    std::fclose(file);
  }
  return text;
}

/// Whole CPUs of a quota, rounded down, at least 1; kNoQuota if there is none. The text is that of
/// a control group's cpu.max: "165000 100000" or "max 100000".
inline size_t whole_cpus(const std::string& text) {
  char* end = nullptr;
  const long long quota = std::strtoll(text.c_str(), &end, 10);
  const long long period = std::strtoll(end, nullptr, 10);
  if (quota <= 0 || period <= 0) return kNoQuota;
  return quota < period ? 1 : static_cast<size_t>(quota / period);
}

/// The least quota of the groups from the folder `mount + path` up to `mount`.
inline size_t quota_of_path(const std::string& mount, std::string path) {
  for (size_t least = kNoQuota;;) {
    const std::string folder = mount + path;
    std::string text = file_text(folder + "/cpu.max");
    if (text.empty()) {  // version 1: "-1" for no quota
      text = file_text(folder + "/cpu.cfs_quota_us") + file_text(folder + "/cpu.cfs_period_us");
    }
    least = (min)(least, whole_cpus(text));
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return least;
    path.resize(slash);
  }
}

/// The least quota, in whole CPUs, of the process's control groups and those around them. `root` is
/// where /proc and /sys lie.
inline size_t quota_cpus(const std::string& root = "") {
  size_t least = kNoQuota;
  const std::string groups = file_text(root + "/proc/self/cgroup");
  for (size_t begin = 0, end; begin < groups.size(); begin = end + 1) {
    // "0::/path" in version 2, "4:cpu,cpuacct:/path" in version 1.
    end = (min)(groups.find('\n', begin), groups.size());
    const size_t first = groups.find(':', begin), second = groups.find(':', first + 1);
    if (second >= end) continue;
    const std::string controllers = groups.substr(first + 1, second - first - 1);  // cpu,cpuacct
    const std::string path = groups.substr(second + 1, end - second - 1);
    const std::string mount = root + "/sys/fs/cgroup";
    if (controllers.empty()) {
      least = (min)(least, quota_of_path(mount, path));
    } else if (is_listed("cpu", controllers)) {
      std::string all = mount + "/";
      all += controllers;
      least = (min)(least, quota_of_path(mount + "/cpu", path));
      least = (min)(least, quota_of_path(all, path));
    }
  }
  return least;
}

// Of each CPU in the affinity mask, as the system numbers them; empty if it does not say.
inline std::vector<size_t> allowed_cpus() {
  std::vector<size_t> cpus;
  constexpr size_t kSets = 64;  // for 65536 CPUs; one is for 1024
  std::vector<cpu_set_t> mask(kSets);
  if (sched_getaffinity(0, sizeof(cpu_set_t) * kSets, mask.data()) == 0) {
    for (size_t cpu = 0; cpu < kSets * CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET_S(cpu, sizeof(cpu_set_t) * kSets, mask.data())) cpus.push_back(cpu);
    }
  }
  return cpus;
}
#endif

// `cpus` that the affinity mask allows, or 0 if it is not known; as many as a quota pays for.
inline size_t within_quota(size_t cpus) {
  if (cpus == 0) cpus = std::thread::hardware_concurrency();
#if defined(__linux__)
  cpus = (min)(cpus, quota_cpus());
#endif
  return (max)(cpus, 1);
}

}  // namespace detail

/// CPUs (hardware threads) that this process may use: those in the affinity mask of the calling
/// thread, but no more than the CPU quotas of its control groups pay for, rounded down: 1 for a
/// quota of 1.65. At least 1. Reads a few files.
inline size_t usable_cpus() {
#if defined(__linux__)
  return detail::within_quota(detail::allowed_cpus().size());
#else
  return detail::within_quota(0);
#endif
}

/// The same in physical cores, of which one may be several CPUs: what products are best run on.
/// Reads a file for each CPU.
inline size_t usable_cores() {
#if defined(__linux__)
  std::set<std::string> cores;  // each by the list of its hardware threads
  for (const size_t cpu : detail::allowed_cpus()) {
    const std::string name = "cpu" + std::to_string(cpu);
    const std::string siblings =
        detail::file_text("/sys/devices/system/cpu/" + name + "/topology/thread_siblings_list");
    cores.insert(siblings.empty() ? name : siblings);
  }
  return detail::within_quota(cores.size());
#else
  return detail::within_quota(0);
#endif
}

}  // namespace tessera::inline v0_1

#endif  // TESSERA_USABLE_CPUS_H_

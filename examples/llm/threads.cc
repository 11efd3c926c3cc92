// SPDX-License-Identifier: MIT
#include "threads.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>

namespace llm {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// CPUs that the control group in `folder` may use, or 0 if it sets no limit.
double cpu_quota(const std::string& folder) {
  double quota = 0, period = 0;
  std::string text = first_line(folder + "/cpu.max");  // version 2: "200000 100000" or "max 100000"
  if (text.empty()) {                                  // version 1: two files, "-1" for no limit
    text =
        first_line(folder + "/cpu.cfs_quota_us") + " " + first_line(folder + "/cpu.cfs_period_us");
  }
  std::istringstream(text) >> quota >> period;
  return quota > 0 && period > 0 ? quota / period : 0;
}

}  // namespace

size_t usable_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::set<std::string> cores;  // each by the list of its hardware threads
  if (::sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &allowed)) continue;
      const std::string name = "cpu" + std::to_string(cpu);
      const std::string siblings =
          first_line("/sys/devices/system/cpu/" + name + "/topology/thread_siblings_list");
      cores.insert(siblings.empty() ? name : siblings);
    }
  }
  size_t count = cores.empty() ? std::thread::hardware_concurrency() : cores.size();
  // The least quota of the process's control groups and those around them. Lines: "0::/path" in
  // version 2, "4:cpu,cpuacct:/path" in version 1.
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {
    const bool version_2 = line.starts_with("0::/");
    if (!version_2 && line.find(":cpu:/") == line.npos && line.find(":cpu,") == line.npos) continue;
    const std::string root = version_2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    for (std::string path = line.substr(line.find('/')); !path.empty();
         path.resize(path.rfind('/'))) {
      const double quota = cpu_quota(root + path);
      if (quota > 0) count = std::min(count, static_cast<size_t>(std::lround(quota)));
    }
  }
  return std::max<size_t>(count, 1);
}

}  // namespace llm

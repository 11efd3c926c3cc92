// SPDX-License-Identifier: MIT
// usable_cpus.h: quotas of control groups, from made-up folders, and the affinity mask.
#include "tessera/usable_cpus.h"

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace tessera::test {
namespace {

using detail::kNoQuota;

TEST_CASE("usable CPUs: a quota counts in whole CPUs, rounded down", "[usable_cpus]") {
  struct Row {
    const char* text;
    size_t cpus;
  };
  for (const Row& r : std::vector<Row>{{"165000 100000\n", 1},  // 1.65
                                       {"765000 100000\n", 7},  // 7.65
                                       {"799999 100000\n", 7},
                                       {"800000 100000\n", 8},
                                       {"50000 100000\n", 1},
                                       {"1000 1000000", 1},
                                       {"200000\n100000\n", 2},  // two files of version 1
                                       {"max 100000\n", kNoQuota},
                                       {"-1\n100000\n", kNoQuota},
                                       {"0 100000\n", kNoQuota},
                                       {"200000", kNoQuota},
                                       {"200000 0\n", kNoQuota},
                                       {"", kNoQuota},
                                       {"nonsense", kNoQuota}}) {
    INFO("\"" << r.text << "\"");
    CHECK(detail::whole_cpus(r.text) == r.cpus);
  }
}

// Files below a folder that is removed in the end.
class FakeRoot {
 public:
  explicit FakeRoot(const std::vector<std::pair<std::string, std::string>>& files)
      : path_(std::filesystem::temp_directory_path() /
              ("tessera_usable_cpus_" + std::to_string(getpid()))) {
    for (const auto& [name, text] : files) {
      const std::filesystem::path file = path_ / name;
      std::filesystem::create_directories(file.parent_path());
      std::ofstream(file) << text;
    }
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;
  size_t quota() const { return detail::quota_cpus(path_.string()); }

 private:
  std::filesystem::path path_;
};

TEST_CASE("usable CPUs: the least quota of all groups around the process", "[usable_cpus]") {
  const std::string groups = "proc/self/cgroup", mount = "sys/fs/cgroup/";
  SECTION("version 2, the group itself") {
    CHECK(FakeRoot({{groups, "0::/a/b\n"}, {mount + "a/b/cpu.max", "165000 100000\n"}}).quota() ==
          1);
  }
  SECTION("version 2, a group around it") {
    CHECK(FakeRoot({{groups, "0::/a/b\n"},
                    {mount + "a/b/cpu.max", "max 100000\n"},
                    {mount + "a/cpu.max", "765000 100000\n"}})
              .quota() == 7);
  }
  SECTION("version 2, a container that sees its own group at the top") {
    CHECK(FakeRoot({{groups, "0::/\n"}, {mount + "cpu.max", "300000 100000\n"}}).quota() == 3);
    CHECK(FakeRoot({{groups, "0::/x/y\n"}, {mount + "cpu.max", "300000 100000\n"}}).quota() == 3);
  }
  SECTION("version 1") {
    const std::string lines = "3:cpuset:/c\n2:cpu,cpuacct:/a\n1:cpuacct,cpux:/b\n0::/\n";
    CHECK(FakeRoot({{groups, lines},
                    {mount + "cpu/a/cpu.cfs_quota_us", "450000\n"},
                    {mount + "cpu/a/cpu.cfs_period_us", "100000\n"},
                    {mount + "cpu/cpu.cfs_quota_us", "-1\n"},
                    {mount + "cpu/cpu.cfs_period_us", "100000\n"},
                    {mount + "cpu/b/cpu.cfs_quota_us", "100000\n"},
                    {mount + "cpu/b/cpu.cfs_period_us", "100000\n"}})
              .quota() == 4);
  }
  SECTION("version 1, mounted under the names of both controllers, seen from a container") {
    CHECK(FakeRoot({{groups, "2:cpu,cpuacct:/docker/0123"},
                    {mount + "cpu,cpuacct/cpu.cfs_quota_us", "250000\n"},
                    {mount + "cpu,cpuacct/cpu.cfs_period_us", "100000\n"}})
              .quota() == 2);
  }
  SECTION("none") {
    CHECK(FakeRoot({{groups, "0::/a\n"}}).quota() == kNoQuota);
    CHECK(FakeRoot({{groups, "nonsense\n:\n::\n"}}).quota() == kNoQuota);
    CHECK(FakeRoot({}).quota() == kNoQuota);
  }
}

TEST_CASE("usable CPUs: those of the calling thread's affinity mask", "[usable_cpus]") {
  const std::vector<size_t> all = detail::allowed_cpus();
  REQUIRE(!all.empty());
  CHECK(usable_cpus() >= 1);
  CHECK(usable_cpus() <= all.size());
  CHECK(usable_cores() <= usable_cpus());
  size_t cpus = 0, cores = 0;
  std::thread([&] {  // a thread's mask is its own
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(all.back(), &one);
    if (sched_setaffinity(0, sizeof(one), &one) != 0) return;
    cpus = usable_cpus();
    cores = usable_cores();
  })
      .join();
  CHECK(cpus == 1);
  CHECK(cores == 1);
}

}  // namespace
}  // namespace tessera::test
#endif

// SPDX-License-Identifier: MIT
#include "system.h"

#include <fcntl.h>
#include <langinfo.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>

#include "error.h"

namespace llm {

void Unmap::operator()(void* address) const { ::munmap(address, bytes); }

MappedFile map_file(const std::string& path) {
  // O_NONBLOCK: a named pipe is refused below, not waited for.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw file_error(path);
  struct stat info = {};
  void* address = MAP_FAILED;
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  const auto size = static_cast<size_t>(info.st_size);
  if (regular && size > 0) address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int reason = errno;
  ::close(fd);
  if (!regular) throw error("%s is not a regular file", path.c_str());
  if (size == 0) throw error("%s is empty", path.c_str());
  if (address == MAP_FAILED) throw error("%s: mmap: %s", path.c_str(), std::strerror(reason));
  return {Mapping(address, {size}), {static_cast<const std::byte*>(address), size}};
}

Pages map_pages(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  if (bytes > std::numeric_limits<size_t>::max() / 2) return {};
  void* mapped = ::mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return {};
  const size_t past = reinterpret_cast<uintptr_t>(mapped) % kHugePage;
  auto* begin = static_cast<std::byte*>(mapped) + (past == 0 ? 0 : kHugePage - past);
#if defined(MADV_HUGEPAGE)
  ::madvise(begin, bytes, MADV_HUGEPAGE);  // advice: a refusal is no error
#endif
  return {Mapping(mapped, {bytes + kHugePage}), {begin, bytes}};
}

void release_pages(std::span<const std::byte> bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t end = (begin + bytes.size()) / page * page;
  if (first >= end) return;
  auto* at = const_cast<std::byte*>(bytes.data()) + (first - begin);
  ::madvise(at, end - first, MADV_DONTNEED);
}

size_t available_memory() {
  std::ifstream info("/proc/meminfo");
  std::string word;
  size_t kib = 0;
  while (info >> word) {
    if (word == "MemAvailable:" && info >> kib) return kib * 1024;
  }
  return std::numeric_limits<size_t>::max();
}

std::string lock_memory() { return ::mlockall(MCL_CURRENT) == 0 ? "" : std::strerror(errno); }

bool is_same_file(const std::string& a, const std::string& b) {
  struct stat first = {}, second = {};
  return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

bool write_through(std::FILE* file) {
  return std::fflush(file) == 0 && ::fsync(::fileno(file)) == 0;
}

bool replace_file(const std::string& from, const std::string& to) {
  return std::rename(from.c_str(), to.c_str()) == 0;
}

bool local_time(std::time_t time, std::tm& out) { return ::localtime_r(&time, &out) != nullptr; }

bool is_locale_utf8() { return std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0; }

std::span<const int> end_signals() {
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  return kSignals;
}

void on_interrupt(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  ::sigaction(SIGINT, &action, nullptr);  // without SA_RESTART: it also ends the wait for a line
}

void prepare_process() {
  // Reading a mapped page that the file no longer has raises SIGBUS.
  std::signal(SIGBUS, [](int) {
    constexpr char kText[] = "tessera-llm: the model file became shorter while it was in use\n";
    (void)!::write(STDERR_FILENO, kText, sizeof(kText) - 1);
    ::_exit(1);
  });
}

}  // namespace llm

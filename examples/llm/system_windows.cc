// SPDX-License-Identifier: MIT
#include "system.h"

#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

#include <fcntl.h>
#include <io.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <limits>

#include "error.h"

namespace llm {
namespace {

struct CloseHandleOf {
  void operator()(void* handle) const { CloseHandle(handle); }
};
using Handle = std::unique_ptr<void, CloseHandleOf>;

Handle handle_of(HANDLE handle) {
  return Handle(handle == INVALID_HANDLE_VALUE ? nullptr : handle);
}

Handle open_file(const std::string& path, DWORD access) {
  return handle_of(CreateFileA(path.c_str(), access, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr,
                               OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr));
}

void (*interrupt_handler)(int) = nullptr;

std::string last_error() {
  char text[300] = "";
  const DWORD code = GetLastError();
  DWORD length = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, nullptr,
                                code, 0, text, sizeof(text), nullptr);
  while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r')) --length;
  return length > 0 ? std::string(text, length) : "error " + std::to_string(code);
}

}  // namespace

void Unmap::operator()(void* address) const {
  if (bytes == 0) {
    UnmapViewOfFile(address);
  } else {
    VirtualFree(address, 0, MEM_RELEASE);
  }
}

MappedFile map_file(const std::string& path) {
  const Handle file = open_file(path, GENERIC_READ);
  if (file == nullptr) throw error("%s: %s", path.c_str(), last_error().c_str());
  LARGE_INTEGER size = {};
  if (GetFileType(file.get()) != FILE_TYPE_DISK || GetFileSizeEx(file.get(), &size) == 0) {
    throw error("%s is not a regular file", path.c_str());
  }
  if (size.QuadPart == 0) throw error("%s is empty", path.c_str());
  const Handle section =
      handle_of(CreateFileMappingA(file.get(), nullptr, PAGE_READONLY, 0, 0, nullptr));
  void* address =
      section == nullptr ? nullptr : MapViewOfFile(section.get(), FILE_MAP_READ, 0, 0, 0);
  if (address == nullptr) throw error("%s: %s", path.c_str(), last_error().c_str());
  return {Mapping(address, {0}),
          {static_cast<const std::byte*>(address), static_cast<size_t>(size.QuadPart)}};
}

// Large pages need a privilege that programs seldom have.
Pages map_pages(size_t bytes) {
  if (bytes == 0 || bytes > std::numeric_limits<size_t>::max() / 2) return {};
  void* address = VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (address == nullptr) return {};
  return {Mapping(address, {bytes}), {static_cast<std::byte*>(address), bytes}};
}

void release_pages(std::span<const std::byte> bytes) {
  constexpr uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t first = (begin + kPage - 1) / kPage * kPage;
  const uintptr_t end = (begin + bytes.size()) / kPage * kPage;
  if (first >= end) return;
  auto* at = const_cast<std::byte*>(bytes.data()) + (first - begin);
  MEMORY_BASIC_INFORMATION info;
  if (VirtualQuery(at, &info, sizeof(info)) == 0) return;
  if (info.Type == MEM_PRIVATE) {  // taken back and given anew: zero
    VirtualFree(at, end - first, MEM_DECOMMIT);
    VirtualAlloc(at, end - first, MEM_COMMIT, PAGE_READWRITE);
  } else {
    VirtualUnlock(at, end - first);  // what is not locked leaves the working set
  }
}

size_t available_memory() {
  MEMORYSTATUSEX status = {};
  status.dwLength = sizeof(status);
  if (GlobalMemoryStatusEx(&status) == 0) return std::numeric_limits<size_t>::max();
  return static_cast<size_t>(status.ullAvailPhys);
}

std::string lock_memory() { return "not known for Windows"; }

bool is_same_file(const std::string& a, const std::string& b) {
  const Handle first = open_file(a, 0), second = open_file(b, 0);
  BY_HANDLE_FILE_INFORMATION of_first, of_second;
  return first != nullptr && second != nullptr &&
         GetFileInformationByHandle(first.get(), &of_first) != 0 &&
         GetFileInformationByHandle(second.get(), &of_second) != 0 &&
         of_first.dwVolumeSerialNumber == of_second.dwVolumeSerialNumber &&
         of_first.nFileIndexHigh == of_second.nFileIndexHigh &&
         of_first.nFileIndexLow == of_second.nFileIndexLow;
}

bool write_through(std::FILE* file) {
  return std::fflush(file) == 0 && _commit(_fileno(file)) == 0;
}

bool replace_file(const std::string& from, const std::string& to) {
  if (MoveFileExA(from.c_str(), to.c_str(), MOVEFILE_REPLACE_EXISTING) != 0) return true;
  errno = EACCES;
  return false;
}

bool local_time(std::time_t time, std::tm& out) { return localtime_s(&out, &time) == 0; }

bool is_locale_utf8() { return GetACP() == CP_UTF8; }

std::span<const int> end_signals() {
  static constexpr int kSignals[] = {SIGINT, SIGTERM};
  return kSignals;
}

void on_interrupt(void (*handler)(int)) {
  interrupt_handler = handler;
  if (handler == SIG_IGN) {
    std::signal(SIGINT, SIG_IGN);
    return;
  }
  std::signal(SIGINT, [](int signal) {
    on_interrupt(interrupt_handler);  // Windows forgets it at each signal
    interrupt_handler(signal);
  });
}

// A file cannot become shorter while it is mapped.
void prepare_process() {
  for (std::FILE* stream : {stdin, stdout, stderr}) _setmode(_fileno(stream), _O_BINARY);
  SetConsoleOutputCP(CP_UTF8);
}

}  // namespace llm

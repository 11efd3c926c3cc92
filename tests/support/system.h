// SPDX-License-Identifier: MIT
// What the operating system does for the tests: whole pages of memory, and who may touch them;
// variables of the environment. WebAssembly knows no rights: there all pages can be touched.
#ifndef TESSERA_TESTS_SUPPORT_SYSTEM_H_
#define TESSERA_TESTS_SUPPORT_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#if defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#elif !defined(__EMSCRIPTEN__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace tessera::test {

enum class Access : uint8_t { none, read, write };

#if defined(_WIN32)
inline size_t page_bytes() {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return info.dwPageSize;
}
/// Pages that nobody may touch yet; null if there are none left.
inline void* map_pages(size_t bytes) {
  return VirtualAlloc(nullptr, bytes, MEM_COMMIT | MEM_RESERVE, PAGE_NOACCESS);
}
inline void unmap_pages(void* pages, size_t) { VirtualFree(pages, 0, MEM_RELEASE); }
inline bool protect_pages(void* pages, size_t bytes, Access access) {
  constexpr DWORD kProtection[] = {PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE};
  DWORD former;
  return VirtualProtect(pages, bytes, kProtection[static_cast<int>(access)], &former) != 0;
}
#elif defined(__EMSCRIPTEN__)
inline size_t page_bytes() { return 4096; }
inline void* map_pages(size_t bytes) { return std::aligned_alloc(page_bytes(), bytes); }
inline void unmap_pages(void* pages, size_t) { std::free(pages); }
inline bool protect_pages(void*, size_t, Access) { return true; }
#else
inline size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
/// Pages that nobody may touch yet; null if there are none left.
inline void* map_pages(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}
inline void unmap_pages(void* pages, size_t bytes) { munmap(pages, bytes); }
inline bool protect_pages(void* pages, size_t bytes, Access access) {
  constexpr int kProtection[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
  return mprotect(pages, bytes, kProtection[static_cast<int>(access)]) == 0;
}
#endif

/// Sets a variable of the environment, or removes it: null.
inline void set_variable(const char* name, const char* value) {
#if defined(_WIN32)
  _putenv_s(name, value == nullptr ? "" : value);
#else
  value == nullptr ? unsetenv(name) : setenv(name, value, 1);
#endif
}

}  // namespace tessera::test

#endif  // TESSERA_TESTS_SUPPORT_SYSTEM_H_

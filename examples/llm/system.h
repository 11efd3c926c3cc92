// SPDX-License-Identifier: MIT
// What the operating system does for the program. The bodies are in system_posix.cc or in
// system_windows.cc.
#ifndef TESSERA_EXAMPLES_LLM_SYSTEM_H_
#define TESSERA_EXAMPLES_LLM_SYSTEM_H_

#include <cstddef>
#include <cstdio>
#include <ctime>
#include <memory>
#include <span>
#include <string>

namespace llm {

// ---- Memory
// --------------------------------------------------------------------------------------

/// What the system mapped; it is given back at the end.
struct Unmap {
  size_t bytes = 0;  // 0: on Windows, those of a file
  void operator()(void* address) const;
};
using Mapping = std::unique_ptr<void, Unmap>;

/// All of a file, to be read only.
struct MappedFile {
  Mapping mapping;
  std::span<const std::byte> bytes;
};
/// Throws if there is none, or if it is empty or anything else than a regular file.
MappedFile map_file(const std::string& path);

/// Memory that is zero at first, in huge pages where the system grants them, taken from the system
/// as it is touched and given back piece by piece.
struct Pages {
  Mapping mapping;
  std::span<std::byte> bytes;  // begins at a huge page
};
/// Empty if the system has no such room.
Pages map_pages(size_t bytes);

/// Gives back the memory of the whole pages in `bytes`. If they are mapped from a file, a later
/// read brings them again; else they are then zero.
void release_pages(std::span<const std::byte> bytes);

/// Bytes that the system could hand out without swapping; a guess of "any" if it does not say.
size_t available_memory();

/// Keeps what the program has in memory out of swap space. Returns why it could not, or nothing.
std::string lock_memory();

// ---- Files
// ---------------------------------------------------------------------------------------

/// Whether both names lead to one file.
bool is_same_file(const std::string& a, const std::string& b);
/// Writes what is still on its way to a file to the disk. False, and errno, if it can't.
bool write_through(std::FILE* file);
/// Gives a file a name that another one may have until then. False, and errno, if it can't.
bool replace_file(const std::string& from, const std::string& to);

// ---- The rest
// ------------------------------------------------------------------------------------

/// False if the system cannot say what time it is here.
bool local_time(std::time_t time, std::tm& out);
/// Of the text that libraries read and write.
bool is_locale_utf8();

/// What ends a program that does not ask for it.
std::span<const int> end_signals();
/// Calls that at each Ctrl-C, which then also ends the wait for a line. SIG_IGN: nothing happens.
void on_interrupt(void (*handler)(int));
/// At the beginning of main(): standard streams carry bytes as they are, and if a mapped file
/// becomes shorter, the program says so as it ends.
void prepare_process();

}  // namespace llm

#endif  // TESSERA_EXAMPLES_LLM_SYSTEM_H_

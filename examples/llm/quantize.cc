// SPDX-License-Identifier: MIT
// The subcommand `quantize`: the same model with its matrices in another type.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "commands.h"
#include "error.h"
#include "files.h"
#include "gguf.h"
#include "system.h"
#include "tessera/tessera.h"
#include "tessera/thread_pool.h"
#include "text.h"
#include "threads.h"

namespace llm {
namespace {

using gguf::Kind;
using tessera::DType;

// The types, and how general.file_type names a file of them.
constexpr struct {
  DType type;
  uint32_t file_type;
} kTypes[] = {{DType::f32, 0},     {DType::f16, 1},   {DType::bf16, 32}, {DType::q8_0, 7},
              {DType::q4_0, 2},    {DType::q4_1, 3},  {DType::q5_0, 8},  {DType::q5_1, 9},
              {DType::iq4_nl, 25}, {DType::mxfp4, 38}};

template <class... F>
constexpr bool has_all(tessera::TypeList<F...>) {
  const auto has = [](DType type) {
    return std::any_of(std::begin(kTypes), std::end(kTypes),
                       [&](const auto& known) { return known.type == type; });
  };
  return ((has(F::kDType) == tessera::Encodable<F>)&&...);
}
static_assert(has_all(tessera::Formats{}));

constexpr const char* kFileType = "general.file_type";

// Vectors stay as they are, and so do what is added up with biases (those of experts are as many as
// there are experts) and routers, whose rounding would send tokens to other experts.
DType new_type(const gguf::Tensor& t, DType wanted) {
  if (t.n_dims < 2 || t.name.ends_with(".bias") || t.name.ends_with("ffn_gate_inp.weight")) {
    return DType::f32;
  }
  return tessera::row_bytes(wanted, t.dims[0]) ? wanted : DType::f16;
}

size_t row_bytes(const gguf::Tensor& t, DType type) {
  return *tessera::row_bytes(type, t.dims[0]);  // new_type() chose one that fits
}

// Header and tensor records, with every pair as it was but the type of the file, and those about
// parts: what is written is one file.
void write_head(const gguf::File& in, DType wanted, uint32_t file_type, NewFile& out) {
  const uint64_t alignment = in.alignment();
  const bool known = in.find(kFileType) != nullptr;
  const auto is_dropped = [](const auto& pair) { return pair.first.starts_with("split."); };
  const auto dropped = std::count_if(in.metadata().begin(), in.metadata().end(), is_dropped);
  out.write("GGUF", 4);
  out.put(uint32_t{3});
  out.put(uint64_t{in.tensors().size()});
  out.put(uint64_t{in.metadata().size() - static_cast<size_t>(dropped) + (known ? 0 : 1)});
  const auto put_file_type = [&] {
    out.text(kFileType);
    out.put(static_cast<uint32_t>(Kind::u32));
    out.put(file_type);
  };
  for (const auto& pair : in.metadata()) {
    if (is_dropped(pair)) continue;
    const auto& [key, value] = pair;
    if (key == kFileType) {
      put_file_type();
      continue;
    }
    out.text(key);
    out.put(static_cast<uint32_t>(value.kind));
    if (value.kind == Kind::array) {
      out.put(static_cast<uint32_t>(value.element));
      out.put(value.count);
    }
    out.write(value.bytes.data(), value.bytes.size());
  }
  if (!known) put_file_type();
  uint64_t offset = 0;
  for (const gguf::Tensor& t : in.tensors()) {
    const DType type = new_type(t, wanted);
    out.text(t.name);
    out.put(static_cast<uint32_t>(t.n_dims));
    out.write(t.dims.data(), t.n_dims * sizeof(t.dims[0]));
    out.put(static_cast<uint32_t>(type));
    out.put(offset);
    offset += (t.rows() * row_bytes(t, type) + alignment - 1) / alignment * alignment;
  }
  out.pad(alignment);
}

// Converts and writes some rows at a time.
void write_tensor(const gguf::Tensor& t, DType type, size_t alignment, tessera::ThreadPool& pool,
                  NewFile& out) {
  constexpr size_t kPieceBytes = size_t{4} << 20;
  const size_t cols = t.dims[0], rows = t.rows();
  const size_t from_bytes = row_bytes(t, t.dtype), to_bytes = row_bytes(t, type);
  const size_t piece_rows = std::clamp<size_t>(kPieceBytes / to_bytes, 1, rows);
  std::vector<std::byte> converted(piece_rows * to_bytes);
  for (size_t row = 0; row < rows; row += piece_rows) {
    const size_t count = std::min(piece_rows, rows - row);
    const tessera::MatView from{t.data.data() + row * from_bytes, count, cols, from_bytes, t.dtype};
    const tessera::MutMatView to{converted.data(), count, cols, to_bytes, type};
    check(for_parts(pool.executor(), 4 * pool.threads(),
                    [&](tessera::Part part) { return tessera::quantize(from, to, part); }),
          "tensor " + printable(t.name));
    out.write(converted.data(), count * to_bytes);
  }
  out.pad(alignment);
}

// What may be written again without losing more than the type loses.
void check_tensors(const gguf::File& in) {
  if (in.tensors().empty()) throw error("the file has no tensors");
  for (const gguf::Tensor& t : in.tensors()) {
    if (t.dtype == DType::f32 || t.dtype == DType::f16 || t.dtype == DType::bf16) continue;
    throw error("tensor %s is %s: only files of f32, f16 and bf16 are quantized",
                printable(t.name).c_str(), tessera::dtype_name(t.dtype));
  }
}

// Of a type's name in capitals.
bool is_decoded_only(const std::string& name) {
  for (unsigned id = 0; id < 256; ++id) {
    const auto type = static_cast<DType>(id);
    if (name == uppercase(tessera::dtype_name(type))) {
      return tessera::dtype_info(type).block_values != 0 && !tessera::can_encode(type);
    }
  }
  return false;
}

}  // namespace

std::string quantize_types() {
  std::string names;
  for (const auto& known : kTypes) {
    if (!names.empty()) names += ", ";
    names += tessera::dtype_name(known.type);
  }
  return names;
}

void quantize(const QuantizeArguments& arguments) {
  const std::string name = uppercase(arguments.type);
  const auto* wanted = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& t) {
    return name == uppercase(tessera::dtype_name(t.type));
  });
  if (wanted == std::end(kTypes)) {
    throw error("type \"%s\" %s; known are %s", printable(arguments.type).c_str(),
                is_decoded_only(name) ? "can be decoded only" : "is unknown",
                quantize_types().c_str());
  }
  const gguf::File in = gguf::File::open_parts(arguments.in);
  const auto check_other = [&](const std::string& path) {
    if (!is_same_file(path, arguments.out)) return;
    throw error("%s and %s are the same file", path.c_str(), arguments.out.c_str());
  };
  check_other(arguments.in);
  for (const std::string& path : in.more_paths()) check_other(path);
  in_file(arguments.in, [&] { check_tensors(in); });
  NewFile out(arguments.out);
  write_head(in, wanted->type, wanted->file_type, out);
  tessera::ThreadPool pool(arguments.threads > 0 ? arguments.threads : usable_cores());
  size_t before = 0, after = 0;
  for (const gguf::Tensor& t : in.tensors()) {
    const DType type = new_type(t, wanted->type);
    write_tensor(t, type, in.alignment(), pool, out);
    std::fprintf(stderr, "%-32s %-16s %-4s -> %s\n", printable(t.name).c_str(), t.shape().c_str(),
                 tessera::dtype_name(t.dtype), tessera::dtype_name(type));
    before += t.data.size();
    after += t.rows() * row_bytes(t, type);
  }
  out.keep();
  std::fprintf(stderr, "%s: %zu bytes of tensors, %zu before\n", arguments.out.c_str(), after,
               before);
}

}  // namespace llm

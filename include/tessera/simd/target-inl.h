// SPDX-License-Identifier: MIT
// What is compiled: the namespace and attributes of the instruction set, and what it can do. No
// other file asks which target this is. A file that is compiled once for each instruction set is
// read again whenever Highway's toggle changes, or ours for a sub-target (all_kernels-inl.h).
#if defined(TESSERA_SIMD_TARGET_INL_H_) == \
    (defined(HWY_TARGET_TOGGLE) != defined(TESSERA_SUB_TOGGLE))
#ifdef TESSERA_SIMD_TARGET_INL_H_
#undef TESSERA_SIMD_TARGET_INL_H_
#else
#define TESSERA_SIMD_TARGET_INL_H_
#endif

#include <bit>
#include <cstddef>
#include <cstdint>

#include "tessera/simd/cpu_features.h"
#include "tessera/simd/targets.h"
// targets.h first: it says what Highway builds.
#include "hwy/highway.h"

#if HWY_MAJOR < 1 || (HWY_MAJOR == 1 && HWY_MINOR < 2)
#error "Tessera needs Highway 1.2 or newer; an older one comes first among the include folders"
#endif

// The namespace of everything that is compiled for this instruction set, what opens and closes its
// attributes, and the attribute of a lambda that uses vectors: Highway's or, for a sub-target, what
// adds to them. A lambda does not inherit the attributes of the code around it.
#undef TESSERA_SIMD_NAMESPACE
#undef TESSERA_BEFORE_NAMESPACE
#undef TESSERA_AFTER_NAMESPACE
#undef TESSERA_ATTR
#undef TESSERA_ATTRIBUTES
#if TESSERA_SUB_TARGET == TESSERA_NO_SUB_TARGET
#define TESSERA_SIMD_NAMESPACE HWY_NAMESPACE
#define TESSERA_BEFORE_NAMESPACE() HWY_BEFORE_NAMESPACE()
#define TESSERA_AFTER_NAMESPACE() HWY_AFTER_NAMESPACE()
#define TESSERA_ATTR HWY_ATTR
#else
#if TESSERA_SUB_TARGET == TESSERA_AVX2_VNNI
#define TESSERA_SIMD_NAMESPACE N_AVX2_VNNI
#define TESSERA_ATTRIBUTES HWY_TARGET_STR ",avxvnni"
#elif TESSERA_SUB_TARGET == TESSERA_NEON_DOTPROD
#define TESSERA_SIMD_NAMESPACE N_NEON_DOTPROD
#if HWY_COMPILER_GCC_ACTUAL  // its arm_neon.h wants the architecture, too
#define TESSERA_ATTRIBUTES "arch=armv8.2-a" HWY_TARGET_STR "+dotprod"
#else
#define TESSERA_ATTRIBUTES HWY_TARGET_STR "+dotprod"
#endif
#elif TESSERA_SUB_TARGET == TESSERA_NEON_I8MM
#define TESSERA_SIMD_NAMESPACE N_NEON_I8MM
#define TESSERA_ATTRIBUTES HWY_TARGET_STR "+i8mm"
#endif
#define TESSERA_BEFORE_NAMESPACE() \
  HWY_PUSH_ATTRIBUTES(TESSERA_ATTRIBUTES) static_assert(true, "for the semicolon")
#define TESSERA_AFTER_NAMESPACE() HWY_POP_ATTRIBUTES static_assert(true, "for the semicolon")
#define TESSERA_ATTR __attribute__((target(TESSERA_ATTRIBUTES)))
#endif

// Vectors have a single lane: no vector of bytes exists, and nothing is to be shuffled.
#undef TESSERA_ONE_LANE
#define TESSERA_ONE_LANE (HWY_TARGET == HWY_SCALAR)

// One instruction picks bytes from two whole vectors (AVX-512 VBMI).
#undef TESSERA_BYTE_TABLES
#define TESSERA_BYTE_TABLES (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL)

// An instruction widens f16.
#undef TESSERA_F16_CONVERSION
#define TESSERA_F16_CONVERSION ((HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2) || HWY_ARCH_ARM_A64)

// vpdpbusd, which Highway's AVX2 does not know.
#undef TESSERA_AVX_VNNI
#define TESSERA_AVX_VNNI (TESSERA_SUB_TARGET == TESSERA_AVX2_VNNI)

// An instruction adds four products of signed bytes, so codes are seen as signed ones. It takes any
// of the words of a vector of x, so that one load serves four rows.
#undef TESSERA_SIGNED_DOT
#define TESSERA_SIGNED_DOT \
  (HWY_ARCH_ARM_A64 && (HWY_TARGET == HWY_NEON_BF16 || TESSERA_SUB_TARGET == TESSERA_NEON_DOTPROD))

// Arm without such an instruction: products of signed bytes have 16 bits, and pairs of them are
// added to sums of 32.
#undef TESSERA_WIDENING_DOT
#define TESSERA_WIDENING_DOT (HWY_ARCH_ARM_A64 && HWY_TARGET_IS_NEON && !TESSERA_SIGNED_DOT)

// Multiplications take any lane of a vector of x, so that one load serves four rows, if they lie
// side by side.
#undef TESSERA_BY_LANE
#define TESSERA_BY_LANE (HWY_ARCH_ARM_A64 && HWY_TARGET_IS_NEON)

// An instruction multiplies matrices of bytes, [2, 8] with [8, 2].
#undef TESSERA_I8MM
#define TESSERA_I8MM (TESSERA_SUB_TARGET == TESSERA_NEON_I8MM)

// One instruction for two bf16 products, where it is worth having; else bf16 is widened to f32.
// Sapphire Rapids starts one every other cycle, and two f32 multiply-adds in each (89 and 178
// GFLOP/s on Emerald Rapids).
#undef TESSERA_BF16_DOT
#define TESSERA_BF16_DOT (HWY_NATIVE_DOT_BF16 && HWY_TARGET != HWY_AVX3_SPR)

// x86, where values pass through registers that inline assembly can name with "v".
#undef TESSERA_X86_REGISTERS
#define TESSERA_X86_REGISTERS \
  (HWY_ARCH_X86 && HWY_TARGET <= HWY_SSE2 && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG))

namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Highway's name for the target, or ours for the sub-target; the namespace is N_ and the name.
inline constexpr const char* kTargetName = &HWY_STR(TESSERA_SIMD_NAMESPACE)[2];

/// A better target has a lower bit, and a sub-target is better than its parent.
inline constexpr bool kIsSubTarget = TESSERA_SUB_TARGET != TESSERA_NO_SUB_TARGET;
inline constexpr int kRank =
    2 * (63 - std::countr_zero(static_cast<uint64_t>(HWY_TARGET))) + kIsSubTarget;

/// Which kernels the instruction set lists. One that differs from the next lower one by little
/// lists what it makes faster, and the rest is not compiled again.
enum class Lists : uint8_t { all, none, block_dots, bf16_dot, all_dots };

constexpr Lists lists(int64_t target) {
  const auto builds = [](int64_t targets) { return (HWY_TARGETS & targets) != 0; };
  if (kIsSubTarget) return Lists::block_dots;
  // AES serves no kernel, and what SSE4 adds makes none clearly faster.
  if (target == HWY_SSE4 && builds(HWY_SSSE3)) return Lists::none;
  if (target == HWY_NEON && builds(HWY_NEON_WITHOUT_AES)) return Lists::none;
  // VNNI; bf16; and two wide units, which matter to all but widened blocks.
  if (target == HWY_AVX3_DL && builds(HWY_AVX3)) return Lists::block_dots;
  if (target == HWY_AVX3_ZEN4 && builds(HWY_AVX3_DL)) return Lists::bf16_dot;
  if (target == HWY_AVX3_SPR && builds(HWY_AVX3 | HWY_AVX3_DL | HWY_AVX3_ZEN4)) {
    return Lists::all_dots;
  }
  return Lists::all;
}
inline constexpr Lists kLists = lists(HWY_TARGET);

/// Whether this CPU has the instruction set.
inline bool runs_here() {
  if ((hwy::SupportedTargets() & HWY_TARGET) == 0) return false;
#if TESSERA_SUB_TARGET == TESSERA_AVX2_VNNI
  return detail::cpu_has_avx_vnni();
#elif TESSERA_SUB_TARGET == TESSERA_NEON_DOTPROD
  return detail::cpu_has_dotprod();
#elif TESSERA_SUB_TARGET == TESSERA_NEON_I8MM
  return detail::cpu_has_i8mm();
#else
  return true;
#endif
}

/// Vector registers, which bound the tiles. NEON, AVX-512 and VSX have 32, older x86 16.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64 || HWY_ARCH_PPC || HWY_ARCH_S390X
inline constexpr size_t kRegisters = 32;
#else
inline constexpr size_t kRegisters = 16;
#endif

/// Whether an instruction looks up bytes in a table of 16.
inline constexpr bool kLooksUpBytes = !(HWY_ARCH_X86 && HWY_TARGET == HWY_SSE2);

/// Whether one instruction adds four products of bytes to each 32-bit sum.
inline constexpr bool kHasQuadDotInstruction = TESSERA_SIGNED_DOT || TESSERA_AVX_VNNI ||
                                               (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL) ||
                                               (HWY_ARCH_PPC && HWY_TARGET <= HWY_PPC8);

/// How four products of bytes are best added up per 32-bit lane. x86 before VNNI has no instruction
/// for it, and Highway's emulation is slower than products of 16 bits; with SSSE3, products of
/// bytes in pairs are faster still where 16 bits hold their sum.
inline constexpr bool kHasQuadDot =
    !(HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3_DL && HWY_TARGET <= HWY_SSE2) || kIsSubTarget;
inline constexpr bool kHasBytePairs = HWY_ARCH_X86 && HWY_TARGET <= HWY_SSSE3;

/// Two units do all that has 512 bits: micro-kernels of matvec have other shapes, as one row of W
/// waits for its own sum.
inline constexpr bool kTwoWideUnits = HWY_TARGET == HWY_AVX3_SPR;

/// Rows of x of integer tiles: what leaves registers for f32 sums and for the dots' own, of which
/// there are two for each vector of W with TESSERA_WIDENING_DOT.
inline constexpr size_t kInt8Rows = TESSERA_WIDENING_DOT ? 4 : kRegisters == 32 ? 6 : 3;

/// Unpacking codes of less than a byte takes the integer dot's time: with two wide units, of 160
/// instructions for a block of q4_0 in a tile of 6 rows, 96 are dots and 24 unpack; on 64-bit Arm,
/// unpacked codes need 5 to 40 % less time (bench/sweeps/arm_static.tsv). Such an instruction set
/// also has tiles that read unpacked panels.
inline constexpr bool kUnpacksCodesOnce =
    kTwoWideUnits || TESSERA_SIGNED_DOT || TESSERA_WIDENING_DOT;

/// How often packed x repeats each f32 value, for one instruction to fill a vector with it. Without
/// AVX a broadcast is a load and a shuffle, and the shuffle competes for an arithmetic port; a pair
/// of copies is a load alone (movddup) from SSE3 on, and a whole vector is on SSE2. With more
/// copies, x takes more of the caches: of the peak of SSE4, tiles reach 66 % with one copy, 89 %
/// with two and 84 % with four. (bench/sweeps/micro_kernels.tsv)
#if HWY_ARCH_X86 && HWY_TARGET == HWY_SSE2
inline constexpr size_t kXCopies = 4;
#elif HWY_ARCH_X86 && (HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE4)
inline constexpr size_t kXCopies = 2;
#else
inline constexpr size_t kXCopies = 1;
#endif

}  // namespace tessera::inline v0_1::TESSERA_SIMD_NAMESPACE

#endif  // TESSERA_SIMD_TARGET_INL_H_

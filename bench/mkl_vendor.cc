// SPDX-License-Identifier: MIT
// Answers MKL's question whether the CPU is Intel's with "yes". Up to 2025 it calls a function that
// returns the answer; newer ones call a function that returns the function to ask.
namespace {
int yes() { return 1; }
}  // namespace

extern "C" int mkl_serv_intel_cpu_true() { return yes(); }
extern "C" int (*mkl_serv_get_cpu_true())() { return yes; }

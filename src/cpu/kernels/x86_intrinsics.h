#pragma once

// The intrinsics of x86. A test that runs a kernel on a machine without its instructions puts a model of them, in
// software, in their place: LATTICE_X86_MODEL is then the header that has it.
#if defined(LATTICE_X86_MODEL)
#include LATTICE_X86_MODEL
#else
#include <immintrin.h>
#endif

namespace lattice::cpu {
namespace {

/// Without this behind it, g++ 12 stores every accumulator of an integer product to the stack in each step of the loop;
/// without it before as well, it copies some to other registers and back.
template <typename Register>
[[gnu::always_inline]] inline void pin_to_register([[maybe_unused]] Register& v) {
#if !defined(LATTICE_X86_MODEL)
  asm("" : "+v"(v));
#endif
}

}  // namespace
}  // namespace lattice::cpu

#pragma once

#include "cpu/kernels/arm_neon.h"

// NEON with the dot products of bfloat16 (ARMv8.6): both roundings of bfdot, of the sum of two products and of its
// addition, are to odd where a core lacks the extended form. bfmmla, of twice as many products, would take rows in
// pairs of their own layout.

namespace lattice::cpu {
namespace {

struct NeonBf16 : Neon {
  using Neon::keep_in_register;
  static void keep_in_register(Vector& v) { asm("" : "+w"(v)); }
  static Vector dot_bf16(Vector acc, Ints values, Ints weights) {
    return vbfdotq_f32(acc, vreinterpretq_bf16_u32(values), vreinterpretq_bf16_u32(weights));
  }
};

}  // namespace
}  // namespace lattice::cpu

#pragma once

#include <bit>

#include "cpu/kernels/x86_avx512_vnni.h"

// AVX-512 with VNNI and bfloat16: one instruction multiplies 32 pairs of bfloat16 and adds, in two steps that round to
// nearest and take subnormal numbers for zeros.

namespace lattice::cpu {
namespace {

struct Avx512Bf16 : Avx512Vnni {
  using Avx512Vnni::keep_in_register;
  static void keep_in_register(Vector& v) { pin_to_register(v); }
  static Vector dot_bf16(Vector acc, Ints values, Ints weights) {
    return _mm512_dpbf16_ps(acc, std::bit_cast<__m512bh>(values), std::bit_cast<__m512bh>(weights));
  }
};

}  // namespace
}  // namespace lattice::cpu

#pragma once

#include "cpu/kernels/x86_avx512.h"

// AVX-512 with VNNI: one instruction multiplies 32 pairs of 16 bits, or 64 of 8, and adds.

namespace lattice::cpu {
namespace {

struct Avx512Vnni : Avx512 {
  static Ints dot_pairs(Ints acc, Ints values, Ints codes) { return _mm512_dpwssd_epi32(acc, values, codes); }
  static Ints dot_quads(Ints acc, Ints values, Ints codes) { return _mm512_dpbusd_epi32(acc, codes, values); }
};

}  // namespace
}  // namespace lattice::cpu

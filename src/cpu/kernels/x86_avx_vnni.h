#pragma once

#include "cpu/kernels/x86_avx2.h"

// AVX-VNNI: the products of VNNI on 256 bits, for cores without AVX-512.

namespace lattice::cpu {
namespace {

struct AvxVnni : Avx2 {
  static Ints dot_pairs(Ints acc, Ints values, Ints codes) { return _mm256_dpwssd_avx_epi32(acc, values, codes); }
  static Ints dot_quads(Ints acc, Ints values, Ints codes) { return _mm256_dpbusd_avx_epi32(acc, codes, values); }
};

}  // namespace
}  // namespace lattice::cpu

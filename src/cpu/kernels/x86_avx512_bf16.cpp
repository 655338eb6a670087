#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)

#include "cpu/kernels/x86_avx512_bf16.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kAvx512Bf16, kAvx512Vnni;
constinit const Kernels kAvx512Bf16 = {.isa = "avx512_bf16", .base = &kAvx512Vnni, .bf16 = bf16_route<Avx512Bf16>()};

}  // namespace lattice::cpu

#endif

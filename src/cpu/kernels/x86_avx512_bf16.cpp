#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)

#include "cpu/kernels/x86_avx512_bf16.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kAvx512Bf16;
const Kernels kAvx512Bf16 =
    kernels_of<Avx512Bf16>("avx512_bf16", pair_route<Avx512Bf16>(), quad_route<Avx512Bf16>(), bf16_route<Avx512Bf16>());

}  // namespace lattice::cpu

#endif

#if defined(__AVX512VNNI__)

#include "cpu/kernels/x86_avx512_vnni.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kAvx512Vnni, kAvx512;
constinit const Kernels kAvx512Vnni = {
    .isa = "avx512_vnni", .base = &kAvx512, .wide = pair_route<Avx512Vnni>(), .narrow = quad_route<Avx512Vnni>()};

}  // namespace lattice::cpu

#endif

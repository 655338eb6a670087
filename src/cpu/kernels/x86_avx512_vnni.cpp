#if defined(__AVX512VNNI__)

#include "cpu/kernels/x86_avx512_vnni.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kAvx512Vnni;
const Kernels kAvx512Vnni = kernels_of<Avx512Vnni>("avx512_vnni", pair_route<Avx512Vnni>(), quad_route<Avx512Vnni>());

}  // namespace lattice::cpu

#endif

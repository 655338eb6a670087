#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include "cpu/kernels/x86_avx512.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kAvx512;
constinit const Kernels kAvx512 = kernels_of<Avx512>("avx512", pair_route<Avx512>(), pair_route<Avx512>());

}  // namespace lattice::cpu

#endif

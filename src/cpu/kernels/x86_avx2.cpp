#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include "cpu/kernels/x86_avx2.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

// Bytes would be multiplied by vpmaddubsw, whose sums of pairs saturate at 8-bit codes: the narrow route takes 16 bits.
extern const Kernels kAvx2;
constinit const Kernels kAvx2 = kernels_of<Avx2>("avx2", pair_route<Avx2>(), pair_route<Avx2>());

}  // namespace lattice::cpu

#endif

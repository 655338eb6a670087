#if defined(__AMX_INT8__) && defined(__AMX_BF16__)

#include "cpu/kernels/x86_amx.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

// Float32 is AVX-512's.
extern const Kernels kAmx;
const Kernels kAmx = kernels_of<Avx512>("amx", tile_route<2>(), tile_route<1>(), bf16_tile_route());

}  // namespace lattice::cpu

#endif

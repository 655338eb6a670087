#if defined(__AMX_BF16__)

#include "cpu/kernels/x86_amx.h"

#include "cpu/kernels/kernel_set.h"
#include "cpu/kernels/x86_amx_split.h"

namespace lattice::cpu {

// Float32 is AVX-512's, and packed weights take the split route.
extern const Kernels kAmx;
const Kernels kAmx = kernels_of<Avx512>("amx", {}, {}, bf16_tile_route(), split_tile_route());

}  // namespace lattice::cpu

#endif

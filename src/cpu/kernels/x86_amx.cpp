#if defined(__AMX_INT8__) && defined(__AMX_BF16__)

#include "cpu/kernels/x86_amx.h"

#include "cpu/kernels/kernel_set.h"
#include "cpu/kernels/x86_amx_bytes.h"
#include "cpu/kernels/x86_amx_split.h"

namespace lattice::cpu {

// Float32 is AVX-512's; the split route takes activations of 16 bits.
extern const Kernels kAmx;
const Kernels kAmx = kernels_of<Avx512>("amx", {}, byte_tile_route(), bf16_tile_route(), split_tile_route());

}  // namespace lattice::cpu

#endif

#if defined(__AMX_INT8__)

#include "cpu/kernels/x86_amx_int8.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

// Floats are AVX-512's.
extern const Kernels kAmxInt8;
const Kernels kAmxInt8 = kernels_of<Avx512>("amx_int8", tile_route<2>(), tile_route<1>());

}  // namespace lattice::cpu

#endif

#if defined(__AVXVNNI__)

#include "cpu/kernels/x86_avx_vnni.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kAvxVnni;
const Kernels kAvxVnni = kernels_of<AvxVnni>("avx_vnni", pair_route<AvxVnni>(), quad_route<AvxVnni>());

}  // namespace lattice::cpu

#endif

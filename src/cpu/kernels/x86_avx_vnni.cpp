#if defined(__AVXVNNI__)

#include "cpu/kernels/x86_avx_vnni.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kAvxVnni, kAvx2;
constinit const Kernels kAvxVnni = {
    .isa = "avx_vnni", .base = &kAvx2, .wide = pair_route<AvxVnni>(), .narrow = quad_route<AvxVnni>()};

}  // namespace lattice::cpu

#endif

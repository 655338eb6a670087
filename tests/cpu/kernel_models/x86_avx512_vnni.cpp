#include "cpu/kernels/x86_avx512_vnni.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kModelOfAvx512Vnni, kModelOfAvx512;
constinit const Kernels kModelOfAvx512Vnni = {.isa = "model_of_avx512_vnni",
                                              .base = &kModelOfAvx512,
                                              .wide = pair_route<Avx512Vnni>(),
                                              .narrow = quad_route<Avx512Vnni>()};

}  // namespace lattice::cpu

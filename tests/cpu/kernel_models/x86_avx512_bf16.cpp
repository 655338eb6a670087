#include "cpu/kernels/x86_avx512_bf16.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kModelOfAvx512Bf16, kModelOfAvx512Vnni;
constinit const Kernels kModelOfAvx512Bf16 = {
    .isa = "model_of_avx512_bf16", .base = &kModelOfAvx512Vnni, .bf16 = bf16_route<Avx512Bf16>()};

}  // namespace lattice::cpu

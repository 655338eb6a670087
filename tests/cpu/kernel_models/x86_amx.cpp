#include "cpu/kernels/x86_amx.h"

#include "cpu/kernels/x86_amx_bytes.h"
#include "cpu/kernels/x86_amx_split.h"

namespace lattice::cpu {

extern const Kernels kModelOfAmx, kModelOfAvx512;
constinit const Kernels kModelOfAmx = {.isa = "model_of_amx",
                                       .base = &kModelOfAvx512,
                                       .narrow = byte_tile_route(),
                                       .bf16 = bf16_tile_route(),
                                       .split = split_tile_route()};

}  // namespace lattice::cpu

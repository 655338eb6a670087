#if defined(__AMX_INT8__) && defined(__AMX_BF16__)

#include "cpu/kernels/x86_amx.h"

#include "cpu/kernels/x86_amx_bytes.h"
#include "cpu/kernels/x86_amx_split.h"

namespace lattice::cpu {

extern const Kernels kAmx, kAvx512;
constinit const Kernels kAmx = {.isa = "amx",
                                .base = &kAvx512,
                                .narrow = byte_tile_route(),
                                .bf16 = bf16_tile_route(),
                                .split = split_tile_route()};

}  // namespace lattice::cpu

#endif

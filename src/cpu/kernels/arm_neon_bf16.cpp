#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC) && defined(__ARM_FEATURE_DOTPROD)

#include "cpu/kernels/arm_neon_bf16.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kNeonBf16, kNeonDotprod;
constinit const Kernels kNeonBf16 = {.isa = "neon_bf16", .base = &kNeonDotprod, .bf16 = bf16_route<NeonBf16>()};

}  // namespace lattice::cpu

#endif

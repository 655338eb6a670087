#if defined(__ARM_FEATURE_DOTPROD)

#include "cpu/kernels/arm_neon_dotprod.h"

namespace lattice::cpu {

extern const Kernels kNeonDotprod, kNeon;
constinit const Kernels kNeonDotprod = {
    .isa = "neon_dotprod", .base = &kNeon, .wide = plane_route<2>(), .narrow = plane_route<1>()};

}  // namespace lattice::cpu

#endif

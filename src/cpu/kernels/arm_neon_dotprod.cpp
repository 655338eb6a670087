#if defined(__ARM_FEATURE_DOTPROD)

#include "cpu/kernels/arm_neon_dotprod.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kNeonDotprod;
const Kernels kNeonDotprod = kernels_of<Neon>("neon_dotprod", plane_route<2>(), plane_route<1>());

}  // namespace lattice::cpu

#endif

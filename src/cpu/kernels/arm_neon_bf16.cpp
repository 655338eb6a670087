#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC) && defined(__ARM_FEATURE_DOTPROD)

#include "cpu/kernels/arm_neon_bf16.h"

#include "cpu/kernels/arm_neon_dotprod.h"
#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kNeonBf16;
const Kernels kNeonBf16 = kernels_of<NeonBf16>("neon_bf16", plane_route<2>(), plane_route<1>(), bf16_route<NeonBf16>());

}  // namespace lattice::cpu

#endif

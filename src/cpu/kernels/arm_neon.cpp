#if defined(__aarch64__)

#include "cpu/kernels/arm_neon.h"

#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kNeon;
constinit const Kernels kNeon = kernels_of<Neon>("neon", pair_route<Neon>(), pair_route<Neon>());

}  // namespace lattice::cpu

#endif

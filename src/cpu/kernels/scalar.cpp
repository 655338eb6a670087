#include "cpu/kernels/kernel_set.h"
#include "cpu/kernels/plain_vector.h"

// Four floats side by side, for every machine. No fused multiply-add is asked for.

namespace lattice::cpu {
namespace {

using Plain = PlainVector<4, 2, 4>;

}  // namespace

extern const Kernels kScalar;
constinit const Kernels kScalar =
    kernels_of<Plain>("scalar", pair_route<Plain>(), quad_route<Plain>(), bf16_route<Plain>());

}  // namespace lattice::cpu

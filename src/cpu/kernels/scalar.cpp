#include "cpu/kernels/plain_vector.h"
#include "cpu/kernels/tile_gemm.h"

// Four floats side by side, for every machine. No fused multiply-add is asked for.

namespace lattice::cpu {

extern const Kernels kScalar;
const Kernels kScalar = kernels_of<PlainVector<4, 2, 4>>("scalar");

}  // namespace lattice::cpu

#include "cpu/kernels/x86_avx512.h"

#include "cpu/kernel_models/few_rows.h"
#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kModelOfAvx512;
constinit const Kernels kModelOfAvx512 =
    kernels_of<Avx512>("model_of_avx512", pair_route<FewRows<Avx512>>(), pair_route<FewRows<Avx512>>());

}  // namespace lattice::cpu

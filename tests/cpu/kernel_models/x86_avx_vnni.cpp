#include "cpu/kernels/x86_avx_vnni.h"

#include "cpu/kernel_models/few_rows.h"
#include "cpu/kernels/kernel_set.h"

namespace lattice::cpu {

extern const Kernels kModelOfAvxVnni;
constinit const Kernels kModelOfAvxVnni =
    kernels_of<FewRows<AvxVnni>>("model_of_avx_vnni", pair_route<FewRows<AvxVnni>>(), quad_route<FewRows<AvxVnni>>());

}  // namespace lattice::cpu

#include "cpu/kernel_models/kernel_models.h"

#include "cpu/kernels/kernel_set.h"
#include "cpu/kernels/x86_amx.h"
#include "cpu/kernels/x86_amx_bytes.h"
#include "cpu/kernels/x86_amx_split.h"
#include "cpu/kernels/x86_avx512.h"
#include "cpu/kernels/x86_avx512_bf16.h"
#include "cpu/kernels/x86_avx512_vnni.h"
#include "cpu/kernels/x86_avx_vnni.h"

namespace lattice::cpu {
namespace {

/// A set in blocks of at most two rows, which compiles sooner: for those that have the blocks of another set that is
/// tested in full.
template <typename Set>
struct FewRows : Set {
  static constexpr int rows(int) { return 2; }
};

}  // namespace

std::vector<const Kernels*> kernel_models() {
  using Avx512Few = FewRows<Avx512>;
  using Bf16Few = FewRows<Avx512Bf16>;
  using AvxVnniFew = FewRows<AvxVnni>;
  static const Kernels avx512_vnni =
      kernels_of<Avx512Vnni>("model_of_avx512_vnni", pair_route<Avx512Vnni>(), quad_route<Avx512Vnni>());
  static const Kernels avx512 =
      kernels_of<Avx512Few>("model_of_avx512", pair_route<Avx512Few>(), pair_route<Avx512Few>());
  static const Kernels amx =
      kernels_of<Avx512Few>("model_of_amx", {}, byte_tile_route(), bf16_tile_route(), split_tile_route());
  static const Kernels avx512_bf16 = kernels_of<Bf16Few>("model_of_avx512_bf16", pair_route<Bf16Few>(),
                                                         quad_route<Bf16Few>(), bf16_route<Avx512Bf16>());
  static const Kernels avx_vnni =
      kernels_of<AvxVnniFew>("model_of_avx_vnni", pair_route<AvxVnniFew>(), quad_route<AvxVnniFew>());
  return {&amx, &avx512_bf16, &avx512_vnni, &avx512, &avx_vnni};
}

}  // namespace lattice::cpu

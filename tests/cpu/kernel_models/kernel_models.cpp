#include "cpu/kernel_models/kernel_models.h"

#include "cpu/kernels/select.h"

namespace lattice::cpu {

extern const Kernels kModelOfAmx, kModelOfAvx512Bf16, kModelOfAvx512Vnni, kModelOfAvx512, kModelOfAvxVnni;

std::vector<const Kernels*> kernel_models() {
  static const Kernels models[] = {completed(kModelOfAmx), completed(kModelOfAvx512Bf16), completed(kModelOfAvx512Vnni),
                                   completed(kModelOfAvx512), completed(kModelOfAvxVnni)};
  std::vector<const Kernels*> all;
  for (const Kernels& model : models) all.push_back(&model);
  return all;
}

}  // namespace lattice::cpu

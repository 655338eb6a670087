#include "cpu/cpu_backend.h"

namespace lattice {

std::unique_ptr<Backend> make_cpu_backend(int threads, Numerics numerics) {
  return std::make_unique<cpu::CpuBackend>(threads, numerics);
}

namespace cpu {

CpuBackend::CpuBackend(int threads, Numerics numerics, const SelectedKernels& selected)
    : kernels_(selected.kernels), numerics_(numerics), integers_pay_(selected.integers_pay), workers_(threads) {}

Numerics CpuBackend::numerics(DType activations) const noexcept {
  const bool takes_bf16 = activations == DType::bf16 && kernels_.bf16.exists();
  switch (numerics_) {
    case Numerics::automatic:
      return takes_bf16 ? Numerics::bfloat16 : integers_pay_ ? Numerics::int16 : Numerics::float32;
    case Numerics::bfloat16:
      return takes_bf16 ? Numerics::bfloat16 : Numerics::float32;
    default:
      return numerics_;
  }
}

}  // namespace cpu
}  // namespace lattice

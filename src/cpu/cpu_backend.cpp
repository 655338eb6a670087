#include "cpu/cpu_backend.h"

#include "cpu/kernels/select.h"

namespace lattice {

std::unique_ptr<Backend> make_cpu_backend(int threads) {
  return std::make_unique<cpu::CpuBackend>(threads);
}

namespace cpu {

CpuBackend::CpuBackend(int threads) : kernels_(select_kernels()), workers_(threads) {}

}  // namespace cpu
}  // namespace lattice

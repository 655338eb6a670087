#include "cpu/cpu_backend.h"

namespace lattice {

std::unique_ptr<Backend> make_cpu_backend(int threads, Numerics numerics) {
  return std::make_unique<cpu::CpuBackend>(threads, numerics);
}

namespace cpu {

namespace {

Numerics resolved(Numerics numerics, bool integers_pay) {
  if (numerics != Numerics::automatic) return numerics;
  return integers_pay ? Numerics::int16 : Numerics::float32;
}

const IntegerRoute* route_of(const Kernels& kernels, Numerics numerics) {
  if (numerics == Numerics::float32) return nullptr;
  return numerics == Numerics::int8 ? &kernels.narrow : &kernels.wide;
}

}  // namespace

CpuBackend::CpuBackend(int threads, Numerics numerics, const SelectedKernels& selected)
    : kernels_(selected.kernels),
      numerics_(resolved(numerics, selected.integers_pay)),
      route_(route_of(kernels_, numerics_)),
      workers_(threads) {}

}  // namespace cpu
}  // namespace lattice

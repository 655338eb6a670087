#pragma once

#include <string_view>
#include <vector>

#include "cpu/kernels/kernels.h"

namespace lattice::cpu {

struct SelectedKernels {
  const Kernels& kernels;
  bool integers_pay;  ///< whether the wide integer route is faster here than float32
};

/// The best kernels that this machine can run; or those of the instruction set that LATTICE_ISA names: unsupported
/// where the name is unknown or the machine lacks the set, never a silent fallback.
SelectedKernels select_kernels();

/// A set with all of its kernels: those that it has none of its own of are its base's.
Kernels completed(const Kernels& set);

/// The instruction sets that this machine can run and this build has, best first; the last is "scalar".
std::vector<std::string_view> available_isas();

}  // namespace lattice::cpu

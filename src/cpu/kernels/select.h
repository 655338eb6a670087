#pragma once

#include <string_view>

#include "cpu/kernels/kernels.h"

namespace lattice::cpu {

/// The best kernels that this machine can run; or those of the instruction set that LATTICE_ISA names: unsupported
/// where the name is unknown or the machine lacks the set, never a silent fallback.
const Kernels& select_kernels();

}  // namespace lattice::cpu

#pragma once

#include <vector>

#include "cpu/kernels/kernels.h"

namespace lattice::cpu {

/// Kernels compiled from the sources of an instruction set that this machine may lack, over a model of its
/// instructions in software; "model_of_" and the set's name.
std::vector<const Kernels*> kernel_models();

}  // namespace lattice::cpu

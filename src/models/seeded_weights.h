#pragma once

#include "lattice/random.h"
#include "lattice/tensor.h"

namespace lattice {

/// f32 values of a normal distribution around 0, in the order of the elements.
Tensor normal_tensor(Random& random, Shape shape, double deviation);

/// To 10 bits of its fraction, so that what is computed from an instruction set's sums does not keep their last bits.
double to_ten_bits(double value);

}  // namespace lattice

#pragma once

#include "lattice/numerics.h"

namespace lattice {

/// What rounding an activation to an integer changes at most, as a part of its group's largest, where packed weights
/// are multiplied under `numerics` (one that runs, not automatic): half a step of 32767 or of 127, and 2^-7 of that
/// more for rounding the reciprocal of the scale and its product with the activation, 2^-24 of the activation each. 0
/// where activations stay as they are.
inline double quantization_step(Numerics numerics) {
  constexpr double kRoundings = 1 + 0x1p-7;
  if (numerics == Numerics::int16) return 0x1p-16 * kRoundings;
  if (numerics == Numerics::int8) return 0.5 / 127 * kRoundings;
  return 0;
}

}  // namespace lattice

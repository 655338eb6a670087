#pragma once

#include <cstdlib>

#include "lattice/coords.h"

namespace lattice {

/// What a tap of the kernel 2*stride - 1 weighs in a trilinear interpolation: the product over the axes of
/// 1 - |position - (stride - 1)| / stride.
inline double trilinear_weight(const Triple& stride, int64_t tap) {
  const auto weight = [](int64_t position, int64_t step) {
    return 1 - static_cast<double>(std::abs(position - (step - 1))) / static_cast<double>(step);
  };
  const int64_t y_size = 2 * stride.y - 1, z_size = 2 * stride.z - 1;
  return weight(tap / z_size / y_size, stride.x) * weight(tap / z_size % y_size, stride.y) *
         weight(tap % z_size, stride.z);
}

/// The least sum of weights that is divided by.
inline constexpr double kLeastWeight = 1e-12;

}  // namespace lattice

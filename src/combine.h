#pragma once

#include <cmath>

#include "lattice/algebra.h"

namespace lattice {

/// a op b in Real (float or double). Sums with a NaN are NaN, which is what maximum and minimum give for one.
template <typename Real>
Real combine(BinaryOp op, Real a, Real b) {
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::sub:
      return a - b;
    case BinaryOp::mul:
      return a * b;
    case BinaryOp::maximum:
      return std::isnan(a) || std::isnan(b) ? a + b : (a < b ? b : a);
    case BinaryOp::minimum:
      return std::isnan(a) || std::isnan(b) ? a + b : (b < a ? b : a);
  }
  return a;
}

}  // namespace lattice

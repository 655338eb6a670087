#pragma once

#include <cmath>
#include <numbers>

#include "lattice/epilogue.h"

namespace lattice {

/// 1 / (1 + e^-x), which tends to 0 and 1 without leaving its type.
template <typename Real>
Real logistic(Real x) {
  return Real(1) / (Real(1) + std::exp(-x));
}

/// The formulas of ActivationKind, evaluated in Real (float or double). A NaN stays a NaN: comparisons are written so
/// that it falls through to x or into the arithmetic.
template <typename Real>
Real apply(const Activation& activation, Real x) {
  constexpr Real half = Real(0.5);
  switch (activation.kind) {
    case ActivationKind::none:
      return x;
    case ActivationKind::relu:
      return x < Real(0) ? Real(0) : x;
    case ActivationKind::sigmoid:
      return logistic(x);
    case ActivationKind::tanh:
      return std::tanh(x);
    case ActivationKind::silu:
      return x * logistic(x);
    case ActivationKind::leaky_relu:
      return x >= Real(0) ? x : Real(activation.alpha) * x;
    case ActivationKind::softplus: {
      const Real scaled = Real(activation.beta) * x;
      return scaled > Real(activation.threshold) ? x : std::log1p(std::exp(scaled)) / Real(activation.beta);
    }
    case ActivationKind::gelu:
      return half * x * (Real(1) + std::erf(x / std::numbers::sqrt2_v<Real>));
    case ActivationKind::gelu_tanh: {
      // sqrt(2 / pi) = sqrt(2) / sqrt(pi)
      constexpr Real slope = std::numbers::sqrt2_v<Real> * std::numbers::inv_sqrtpi_v<Real>;
      return half * x * (Real(1) + std::tanh(slope * (x + Real(0.044715) * x * x * x)));
    }
    case ActivationKind::gelu_fast:
      return x * logistic(Real(1.702) * x);
  }
  return x;
}

}  // namespace lattice

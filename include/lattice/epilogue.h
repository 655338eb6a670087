#pragma once

#include <string_view>

#include "lattice/tensor.h"

namespace lattice {

/// Activations; the formulas, in the type of the accumulator:
///   relu max(x, 0); sigmoid 1 / (1 + e^-x); tanh; silu x * sigmoid(x);
///   leaky_relu x >= 0 ? x : alpha * x;  softplus beta*x > threshold ? x : ln(1 + e^(beta*x)) / beta;
///   gelu 0.5 x (1 + erf(x / sqrt 2));  gelu_tanh 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)));
///   gelu_fast x * sigmoid(1.702 x)
enum class ActivationKind : uint8_t {
  none,
  relu,
  sigmoid,
  tanh,
  silu,
  leaky_relu,
  softplus,
  gelu,
  gelu_tanh,
  gelu_fast
};

std::string_view name(ActivationKind kind) noexcept;

struct Activation {
  ActivationKind kind = ActivationKind::none;
  float alpha = 0.01F;      ///< leaky_relu's slope below zero
  float beta = 1.0F;        ///< softplus
  float threshold = 20.0F;  ///< softplus
};

/// Columns of a wider tensor, so that layers write a concatenation in place: outputs go to the columns from `first` on
/// of `tensor`, (N_out, total) of their type. Where it is undefined, the layer makes it; other columns stay what they
/// are.
struct Columns {
  Tensor* tensor = nullptr;  ///< null: outputs are a tensor of their own
  int64_t first = 0, total = 0;
};

/// What happens to a sum before it is stored, on the accumulators, without a pass of its own:
///   y = activation((sum + bias) * scale + shift + residual)
/// Each tensor may be undefined. `bias`, `scale`, `shift` are (C_out) of f32, f16 or bf16, used in float32; `residual`
/// is (N_out, C_out) of the activations' type. `scale` and `shift` hold a folded batch norm; see fold_batch_norm. With
/// `columns` the result of the layer is their whole tensor.
struct Epilogue {
  Tensor bias = {}, scale = {}, shift = {}, residual = {};
  Activation activation = {};
  Columns columns = {};
};

}  // namespace lattice

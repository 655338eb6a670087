#pragma once

#include "lattice/conv_weight.h"
#include "lattice/epilogue.h"

namespace lattice {

class Session;

// Operations on dense features (N, C) of f32, f16 or bf16, row by row; results have x's type. Arithmetic is float32
// (float64 on the reference backend), rounded once. Shapes that do not fit are invalid_argument.

/// x @ W^T with the epilogue; W is a pointwise weight (C_out, C_in), floating or packed.
Tensor linear(Session& session, const Tensor& x, const ConvWeight& weight, const Epilogue& epilogue = {});

Tensor activate(Session& session, const Tensor& x, const Activation& activation);

/// (x - mean) / sqrt(variance + eps) * scale + shift, frozen statistics; four vectors (C).
Tensor batch_norm(Session& session, const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& mean,
                  const Tensor& variance, float eps = 1e-5F);

/// Per row: (x - mean) / sqrt(variance + eps) * scale + shift with the row's own mean and population variance over C;
/// two vectors (C).
Tensor layer_norm(Session& session, const Tensor& x, const Tensor& scale, const Tensor& shift, float eps = 1e-5F);

/// Per row: x / sqrt(mean(x^2) + eps) * scale; a vector (C).
Tensor rms_norm(Session& session, const Tensor& x, const Tensor& scale, float eps = 1e-5F);

/// Per row: exp(x - max) / sum of these.
Tensor softmax(Session& session, const Tensor& x);

enum class ElementwiseKind : uint8_t {
  exp,
  round,  ///< half to even
};
std::string_view name(ElementwiseKind kind) noexcept;
Tensor elementwise(Session& session, const Tensor& x, ElementwiseKind kind);

/// A batch norm as one scale and shift for an Epilogue: scale / sqrt(variance + eps), shift - mean * that; f32 (C).
struct ScaleShift {
  Tensor scale, shift;
};
ScaleShift fold_batch_norm(const Tensor& scale, const Tensor& shift, const Tensor& mean, const Tensor& variance,
                           float eps = 1e-5F);

}  // namespace lattice

#include "ops/checks.h"

#include <cmath>

#include "fail.h"

namespace lattice {
namespace {

void check_residual(std::string_view operation, const Tensor& residual, DType dtype, int64_t out_channels,
                    int64_t rows) {
  if (residual.dtype() != dtype) {
    fail(ErrorCode::invalid_argument,
         "{}: the residual is {}, but must be of the activations' type {}; convert it with to()", operation,
         name(residual.dtype()), name(dtype));
  }
  if (residual.rank() != 2 || residual.size(1) != out_channels) {
    fail(ErrorCode::invalid_argument, "{}: the residual has shape {}, but must be (N, C) with C = {} output channels",
         operation, to_string(residual.shape()), out_channels);
  }
  if (rows >= 0 && residual.size(0) != rows) {
    fail(ErrorCode::invalid_argument,
         "{}: the residual has {} rows, but the output {}; take it from a tensor on the output's support", operation,
         residual.size(0), rows);
  }
}

void check_columns(std::string_view operation, const Columns& columns, DType dtype, int64_t out_channels,
                   int64_t rows) {
  if (columns.first < 0 || columns.total < out_channels || columns.first > columns.total - out_channels) {
    fail(ErrorCode::invalid_argument, "{}: {} columns from {} on do not fit the {} that the epilogue's columns have",
         operation, out_channels, columns.first, columns.total);
  }
  const Tensor& tensor = *columns.tensor;
  if (!tensor.defined() || rows < 0 || (tensor.dtype() == dtype && tensor.shape() == Shape{rows, columns.total}))
    return;
  fail(ErrorCode::invalid_argument, "{}: the epilogue's columns are of a tensor {} of {}, but must be ({}, {}) of {}",
       operation, to_string(tensor.shape()), name(tensor.dtype()), rows, columns.total, name(dtype));
}

}  // namespace

void check_features(std::string_view operation, const Tensor& features) {
  if (!is_feature_type(features.dtype())) {
    fail(ErrorCode::invalid_argument, "{}: features are {}, but must be f32, f16 or bf16; convert them with to()",
         operation, name(features.dtype()));
  }
  if (features.rank() != 2 || features.size(1) < 1) {
    fail(ErrorCode::invalid_argument, "{}: features have shape {}, but must be (N, C) with C >= 1; use reshaped()",
         operation, to_string(features.shape()));
  }
}

void check_vector(std::string_view operation, std::string_view parameter, const Tensor& vector, int64_t channels) {
  if (!is_feature_type(vector.dtype())) {
    fail(ErrorCode::invalid_argument, "{}: {} is {}, but must be f32, f16 or bf16; convert it with to()", operation,
         parameter, name(vector.dtype()));
  }
  if (vector.rank() != 1 || vector.size(0) != channels) {
    fail(ErrorCode::invalid_argument, "{}: {} has shape {}, but must be ({}), one value a channel", operation,
         parameter, to_string(vector.shape()), channels);
  }
}

void check_eps(std::string_view operation, float eps) {
  if (!std::isfinite(eps) || eps < 0) {
    fail(ErrorCode::invalid_argument, "{}: eps {} must be finite and at least 0; 1e-5 is usual", operation, eps);
  }
}

void check_activation(std::string_view operation, const Activation& activation) {
  if (activation.kind > ActivationKind::gelu_fast) {
    fail(ErrorCode::invalid_argument, "{}: there is no activation of kind {}", operation,
         static_cast<int>(activation.kind));
  }
  if (activation.kind == ActivationKind::softplus && (!std::isfinite(activation.beta) || activation.beta == 0)) {
    fail(ErrorCode::invalid_argument,
         "{}: softplus divides by its beta, so that {} must be finite and not 0; 1 is usual", operation,
         activation.beta);
  }
}

void check_epilogue(std::string_view operation, const Epilogue& epilogue, DType dtype, int64_t out_channels,
                    int64_t rows) {
  if (epilogue.bias.defined()) check_vector(operation, "the epilogue's bias", epilogue.bias, out_channels);
  if (epilogue.scale.defined()) check_vector(operation, "the epilogue's scale", epilogue.scale, out_channels);
  if (epilogue.shift.defined()) check_vector(operation, "the epilogue's shift", epilogue.shift, out_channels);
  if (epilogue.residual.defined()) check_residual(operation, epilogue.residual, dtype, out_channels, rows);
  check_activation(operation, epilogue.activation);
  if (epilogue.columns.tensor != nullptr) check_columns(operation, epilogue.columns, dtype, out_channels, rows);
}

}  // namespace lattice

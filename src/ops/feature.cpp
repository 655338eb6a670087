#include "lattice/feature.h"

#include <cmath>

#include "backend.h"
#include "fail.h"
#include "lattice/session.h"
#include "ops/checks.h"

namespace lattice {

Tensor linear(Session& session, const Tensor& x, const ConvWeight& weight, const Epilogue& epilogue) {
  check_features("linear", x);
  if (weight.kernel_size() != Triple(1)) {
    fail(ErrorCode::invalid_argument,
         "linear: the weight's kernel_size {} must be 1 on every axis; use conv3d for kernels",
         to_string(weight.kernel_size()));
  }
  if (x.size(0) > CoordSet::kMostRows) {
    fail(ErrorCode::out_of_range, "linear: the input has {} rows; at most 2^31 - 1, so pass it in parts", x.size(0));
  }
  if (weight.in_channels() != x.size(1)) {
    fail(ErrorCode::invalid_argument, "linear: the input has {} channels, but the weight takes {}; they must be equal",
         x.size(1), weight.in_channels());
  }
  check_epilogue("linear", epilogue, x.dtype(), weight.out_channels(), x.size(0));
  return session.backend().linear(x, weight, epilogue);
}

Tensor activate(Session& session, const Tensor& x, const Activation& activation) {
  check_features("activate", x);
  check_activation("activate", activation);
  return session.backend().activate(x, activation);
}

Tensor batch_norm(Session& session, const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& mean,
                  const Tensor& variance, float eps) {
  check_features("batch_norm", x);
  const int64_t channels = x.size(1);
  check_vector("batch_norm", "scale", scale, channels);
  check_vector("batch_norm", "shift", shift, channels);
  check_vector("batch_norm", "mean", mean, channels);
  check_vector("batch_norm", "variance", variance, channels);
  check_eps("batch_norm", eps);
  return session.backend().batch_norm(x, scale, shift, mean, variance, eps);
}

Tensor layer_norm(Session& session, const Tensor& x, const Tensor& scale, const Tensor& shift, float eps) {
  check_features("layer_norm", x);
  check_vector("layer_norm", "scale", scale, x.size(1));
  check_vector("layer_norm", "shift", shift, x.size(1));
  check_eps("layer_norm", eps);
  return session.backend().layer_norm(x, scale, shift, eps);
}

Tensor rms_norm(Session& session, const Tensor& x, const Tensor& scale, float eps) {
  check_features("rms_norm", x);
  check_vector("rms_norm", "scale", scale, x.size(1));
  check_eps("rms_norm", eps);
  return session.backend().rms_norm(x, scale, eps);
}

Tensor softmax(Session& session, const Tensor& x) {
  check_features("softmax", x);
  return session.backend().softmax(x);
}

std::string_view name(ElementwiseKind kind) noexcept {
  return kind == ElementwiseKind::exp ? "exp" : "round";
}

Tensor elementwise(Session& session, const Tensor& x, ElementwiseKind kind) {
  check_features("elementwise", x);
  return session.backend().elementwise(x, kind);
}

ScaleShift fold_batch_norm(const Tensor& scale, const Tensor& shift, const Tensor& mean, const Tensor& variance,
                           float eps) {
  const int64_t channels = scale.elements();
  check_vector("fold_batch_norm", "scale", scale, channels);
  check_vector("fold_batch_norm", "shift", shift, channels);
  check_vector("fold_batch_norm", "mean", mean, channels);
  check_vector("fold_batch_norm", "variance", variance, channels);
  check_eps("fold_batch_norm", eps);

  // In double, so that each folded value is rounded once.
  const Tensor scales = scale.to(DType::f64), shifts = shift.to(DType::f64);
  const Tensor means = mean.to(DType::f64), variances = variance.to(DType::f64);
  ScaleShift folded = {Tensor::empty(DType::f32, {channels}), Tensor::empty(DType::f32, {channels})};
  for (int64_t channel = 0; channel < channels; ++channel) {
    const double factor = scales.data<double>()[channel] / std::sqrt(variances.data<double>()[channel] + double{eps});
    folded.scale.mutable_data<float>()[channel] = static_cast<float>(factor);
    folded.shift.mutable_data<float>()[channel] =
        static_cast<float>(shifts.data<double>()[channel] - means.data<double>()[channel] * factor);
  }
  return folded;
}

}  // namespace lattice

#include "cpu/finisher.h"

#include <algorithm>

#include "activation.h"
#include "cpu/cpu_backend.h"

namespace lattice::cpu {
namespace {

/// A vector of the epilogue in float32; where it is absent, one that changes nothing.
Tensor filled(const Tensor& vector, int64_t channels, float neutral) {
  if (vector.defined()) return vector.to(DType::f32);
  Tensor constant = Tensor::empty(DType::f32, {channels});
  std::fill_n(constant.mutable_data<float>(), channels, neutral);
  return constant;
}

Negative negative_of(const Activation& activation) {
  switch (activation.kind) {
    case ActivationKind::relu:
      return Negative::zeroed;
    case ActivationKind::leaky_relu:
      return Negative::sloped;
    default:
      return Negative::kept;
  }
}

bool is_piecewise_linear(ActivationKind kind) {
  return kind == ActivationKind::none || kind == ActivationKind::relu || kind == ActivationKind::leaky_relu;
}

}  // namespace

Finisher::Finisher(const Epilogue& epilogue, const Kernels& kernels, int64_t channels, Tensor& y)
    : kernels_(kernels),
      y_(y),
      channels_(channels),
      first_column_(epilogue.columns.first),
      residual_(epilogue.residual),
      activation_(epilogue.activation) {
  if (epilogue.bias.defined() || epilogue.scale.defined() || epilogue.shift.defined()) {
    bias_ = filled(epilogue.bias, channels, 0.0F);
    scale_ = filled(epilogue.scale, channels, 1.0F);
    shift_ = filled(epilogue.shift, channels, 0.0F);
  }
}

RowFinish Finisher::task(int64_t first, int64_t count) const {
  const auto vector = [&](const Tensor& tensor) { return tensor.defined() ? tensor.data<float>() + first : nullptr; };
  return {.channels = count,
          .bias = vector(bias_),
          .scale = vector(scale_),
          .shift = vector(shift_),
          .residual_stride = channels_,
          .negative = negative_of(activation_),
          .slope = activation_.alpha,
          .stride = y_.size(1)};
}

void Finisher::finish(const float* sums, int64_t sums_stride, std::span<const int32_t> order, int64_t first,
                      int64_t count, Scratch& scratch) const {
  RowFinish task = this->task(first, count);
  task.sums = sums;
  task.sums_stride = sums_stride;
  task.order = order.data();
  task.rows = static_cast<int64_t>(order.size());
  if (y_.dtype() == DType::f16) return finish_narrow<Float16>(task, order, first, scratch);
  if (y_.dtype() == DType::bf16) return finish_narrow<BFloat16>(task, order, first, scratch);
  if (residual_.defined()) task.residual = residual_.data<float>() + first;
  task.y = y_.mutable_data<float>() + first_column_ + first;
  task.streams = streams(task);
  kernels_.finish(task);
  if (!is_piecewise_linear(activation_.kind)) {
    for (const int32_t row : order) activate(task.y + row * task.stride, count);
  }
}

bool Finisher::streams(const RowFinish& task) const {
  constexpr int64_t kLine = 64, kFloats = kLine / static_cast<int64_t>(sizeof(float));
  // Fewer bytes a third-level cache may keep for who reads them next. To store rows of a single line past it, each
  // somewhere else, pays later.
  const size_t most_kept = task.channels > kFloats ? size_t{4} << 20 : size_t{16} << 20;
  const auto are_lines = [](int64_t floats) { return floats % kFloats == 0; };
  return y_.nbytes() > most_kept && are_lines(task.channels) && are_lines(task.stride) &&
         reinterpret_cast<uintptr_t>(task.y) % kLine == 0 && is_piecewise_linear(activation_.kind);
}

RowFinish Finisher::rows(int64_t first_row, int64_t rows, int64_t first, int64_t channels) const {
  RowFinish task = this->task(first, channels);
  if (task.negative == Negative::sloped) task.negative = Negative::kept;
  task.rows = rows;
  if (residual_.defined()) task.residual = residual_.data<float>() + first_row * channels_ + first;
  task.y = y_.mutable_data<float>() + first_row * task.stride + first_column_ + first;
  task.streams = streams(task) && activation_.kind != ActivationKind::leaky_relu;  // which follows behind the rows
  return task;
}

void Finisher::make_rows(const DenseRows& task) const {
  kernels_.dense_rows(task);
  activate_rows(task.finish, [&](int64_t row) -> int64_t {
    return task.input == nullptr ? row : task.finish.order[task.slot[row]];
  });
}

void Finisher::make_rows(const CodeKernels& kernels, const DenseCodes& task) const {
  kernels.dense_rows(task);
  activate_rows(task.finish, [](int64_t row) { return row; });
}

/// What kernels that make whole rows leave to do.
template <typename Output>
void Finisher::activate_rows(const RowFinish& finish, const Output& output) const {
  if (activation_.kind == ActivationKind::none || activation_.kind == ActivationKind::relu) return;
  for (int64_t row = 0; row < finish.rows; ++row) activate(finish.y + output(row) * finish.stride, finish.channels);
}

/// Outputs of 16 bits: row by row through a row of float32.
template <typename T>
void Finisher::finish_narrow(RowFinish task, std::span<const int32_t> order, int64_t first, Scratch& scratch) const {
  constexpr int32_t kOnlyRow = 0;
  auto* wide = scratch.take<float>(2 * task.channels);
  float* residual = wide + task.channels;
  const auto widen = y_.dtype() == DType::f16 ? kernels_.widen_f16 : kernels_.widen_bf16;
  T* y = y_.mutable_data<T>() + first_column_ + first;
  const T* residuals = residual_.defined() ? residual_.data<T>() + first : nullptr;
  task.order = &kOnlyRow;
  task.rows = 1;
  task.y = wide;
  task.residual = residuals == nullptr ? nullptr : residual;
  for (const int32_t row : order) {
    if (residuals != nullptr) {
      const T* const from = residuals + row * task.residual_stride;
      widen({.from = reinterpret_cast<const uint16_t*>(from), .to = residual, .count = task.channels});
    }
    kernels_.finish(task);
    if (!is_piecewise_linear(activation_.kind)) activate(wide, task.channels);
    T* const to = y + row * task.stride;
    for (int64_t c = 0; c < task.channels; ++c) to[c] = static_cast<T>(wide[c]);
    task.sums += task.sums_stride;
  }
}

void Finisher::activate(float* y, int64_t count) const {
  if (activation_.kind == ActivationKind::leaky_relu) {  // a loop of vectors
    for (int64_t c = 0; c < count; ++c) y[c] = y[c] < 0 ? y[c] * activation_.alpha : y[c];
    return;
  }
  for (int64_t c = 0; c < count; ++c) y[c] = apply(activation_, y[c]);
}

}  // namespace lattice::cpu

#include <algorithm>
#include <cmath>
#include <cstring>

#include "activation.h"
#include "combine.h"
#include "reference/reference.h"

namespace lattice {
namespace {

/// Row i of a join meets these rows of its sides; -1 is a row of zeros.
struct Meeting {
  int64_t lhs_row, rhs_row;
};

int64_t joined_rows(const Tensor& lhs, const JoinedRows* rows) {
  return rows == nullptr ? lhs.size(0) : static_cast<int64_t>(rows->coords.size());
}

Meeting meeting(const JoinedRows* rows, int64_t row) {
  if (rows == nullptr) return {row, row};
  return {rows->lhs_row[at(row)], rows->rhs_row[at(row)]};
}

double element(const std::vector<double>& values, int64_t channels, int64_t row, int64_t channel, double fill = 0) {
  return row < 0 ? fill : values[at(row * channels + channel)];
}

}  // namespace

Tensor ReferenceBackend::binary(const Tensor& lhs, const Tensor& rhs, const JoinedRows* rows,
                                const BinaryOptions& options) {
  const int64_t count = joined_rows(lhs, rows), channels = lhs.size(1);
  const std::vector<double> left = widened(lhs), right = widened(rhs);
  std::vector<double> values;
  for (int64_t row = 0; row < count; ++row) {
    const auto [lhs_row, rhs_row] = meeting(rows, row);
    for (int64_t channel = 0; channel < channels; ++channel) {
      values.push_back(combine(options.op, element(left, channels, lhs_row, channel, double{options.lhs_fill}),
                               element(right, channels, rhs_row, channel, double{options.rhs_fill})));
    }
  }
  return rounded(values, lhs.dtype(), {count, channels});
}

Tensor ReferenceBackend::cat(const Tensor& lhs, const Tensor& rhs, const JoinedRows* rows) {
  const int64_t count = joined_rows(lhs, rows), left_channels = lhs.size(1), right_channels = rhs.size(1);
  const std::vector<double> left = widened(lhs), right = widened(rhs);
  std::vector<double> values;
  for (int64_t row = 0; row < count; ++row) {
    const auto [lhs_row, rhs_row] = meeting(rows, row);
    for (int64_t c = 0; c < left_channels; ++c) values.push_back(element(left, left_channels, lhs_row, c));
    for (int64_t c = 0; c < right_channels; ++c) values.push_back(element(right, right_channels, rhs_row, c));
  }
  return rounded(values, lhs.dtype(), {count, left_channels + right_channels});
}

void ReferenceBackend::put(const Tensor& x, const Columns& columns) {
  const size_t element = size_of(x.dtype()), width = at(x.size(1)) * element;
  const auto* from = static_cast<const std::byte*>(x.raw());
  auto* const to = static_cast<std::byte*>(columns.tensor->mutable_raw());
  for (int64_t row = 0; row < x.size(0); ++row, from += width) {
    std::memcpy(to + at(row * columns.total + columns.first) * element, from, width);
  }
}

Tensor ReferenceBackend::activate(const Tensor& x, const Activation& activation) {
  std::vector<double> values = widened(x);
  for (double& value : values) value = apply(activation, value);
  return rounded(values, x.dtype(), x.shape());
}

Tensor ReferenceBackend::batch_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& mean,
                                    const Tensor& variance, float eps) {
  const std::vector<double> gain = widened(scale), offset = widened(shift), center = widened(mean),
                            spread = widened(variance);
  std::vector<double> values = widened(x);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t c = i % at(x.size(1));
    values[i] = (values[i] - center[c]) / std::sqrt(spread[c] + double{eps}) * gain[c] + offset[c];
  }
  return rounded(values, x.dtype(), x.shape());
}

Tensor ReferenceBackend::layer_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, float eps) {
  const size_t rows = at(x.size(0)), channels = at(x.size(1));
  const std::vector<double> gain = widened(scale), offset = widened(shift);
  std::vector<double> values = widened(x);
  for (size_t row = 0; row < rows; ++row) {
    const std::span<double> features(values.data() + row * channels, channels);
    double mean = 0, variance = 0;
    for (const double value : features) mean += value;
    mean /= static_cast<double>(channels);
    for (const double value : features) variance += (value - mean) * (value - mean);
    variance /= static_cast<double>(channels);
    for (size_t c = 0; c < channels; ++c) {
      features[c] = (features[c] - mean) / std::sqrt(variance + double{eps}) * gain[c] + offset[c];
    }
  }
  return rounded(values, x.dtype(), x.shape());
}

Tensor ReferenceBackend::rms_norm(const Tensor& x, const Tensor& scale, float eps) {
  const size_t rows = at(x.size(0)), channels = at(x.size(1));
  const std::vector<double> gain = widened(scale);
  std::vector<double> values = widened(x);
  for (size_t row = 0; row < rows; ++row) {
    const std::span<double> features(values.data() + row * channels, channels);
    double squares = 0;
    for (const double value : features) squares += value * value;
    const double root = std::sqrt(squares / static_cast<double>(channels) + double{eps});
    for (size_t c = 0; c < channels; ++c) features[c] = features[c] / root * gain[c];
  }
  return rounded(values, x.dtype(), x.shape());
}

Tensor ReferenceBackend::softmax(const Tensor& x) {
  const size_t rows = at(x.size(0)), channels = at(x.size(1));
  std::vector<double> values = widened(x);
  for (size_t row = 0; row < rows; ++row) {
    const std::span<double> features(values.data() + row * channels, channels);
    const double largest = *std::max_element(features.begin(), features.end());
    double sum = 0;
    for (double& value : features) sum += value = std::exp(value - largest);
    for (double& value : features) value /= sum;
  }
  return rounded(values, x.dtype(), x.shape());
}

Tensor ReferenceBackend::elementwise(const Tensor& x, ElementwiseKind kind) {
  std::vector<double> values = widened(x);
  for (double& value : values) value = kind == ElementwiseKind::exp ? std::exp(value) : std::nearbyint(value);
  return rounded(values, x.dtype(), x.shape());
}

}  // namespace lattice

#include <algorithm>
#include <cmath>
#include <limits>

#include "activation.h"
#include "fail.h"
#include "reference/reference.h"
#include "trilinear.h"

namespace lattice {
namespace {

/// Weights as doubles, (K, C_in, C_out).
struct ExpandedWeight final : PreparedWeight {
  int64_t in_channels = 0, out_channels = 0;
  std::vector<double> values;

  const double* row(int64_t tap, int64_t in_channel) const {
    return values.data() + (tap * in_channels + in_channel) * out_channels;
  }
};

/// From (C_out, Kx, Ky, Kz, C_in).
void expand_dense(const Tensor& weight, int64_t taps, ExpandedWeight& expanded) {
  const std::vector<double> stored = widened(weight);
  for (int64_t tap = 0; tap < taps; ++tap) {
    for (int64_t in = 0; in < expanded.in_channels; ++in) {
      for (int64_t out = 0; out < expanded.out_channels; ++out) {
        expanded.values.push_back(stored[at((out * taps + tap) * expanded.in_channels + in)]);
      }
    }
  }
}

/// w = scale * code + bias.
void expand_packed(const QuantizedWeight& weight, ExpandedWeight& expanded) {
  for (int64_t tap = 0; tap < weight.taps(); ++tap) {
    for (int64_t in = 0; in < weight.in_channels(); ++in) {
      const int64_t group = in / weight.group_size();
      for (int64_t out = 0; out < weight.out_channels(); ++out) {
        expanded.values.push_back(double{weight.scale(tap, group, out)} * weight.code(tap, in, out) +
                                  double{weight.bias(tap, group, out)});
      }
    }
  }
}

/// sums += x @ W[tap] for one row.
void add_product(const double* x, const ExpandedWeight& weight, int64_t tap, double* sums) {
  for (int64_t in = 0; in < weight.in_channels; ++in) {
    const double* w = weight.row(tap, in);
    for (int64_t out = 0; out < weight.out_channels; ++out) sums[out] += x[in] * w[out];
  }
}

std::vector<double> widened_or(const Tensor& vector, int64_t channels, double fallback) {
  return vector.defined() ? widened(vector) : std::vector<double>(at(channels), fallback);
}

/// y = activation((sum + bias) * scale + shift + residual)
void finish(std::vector<double>& sums, int64_t channels, const Epilogue& epilogue) {
  const std::vector<double> bias = widened_or(epilogue.bias, channels, 0);
  const std::vector<double> scale = widened_or(epilogue.scale, channels, 1);
  const std::vector<double> shift = widened_or(epilogue.shift, channels, 0);
  const std::vector<double> residual =
      epilogue.residual.defined() ? widened(epilogue.residual) : std::vector<double>(sums.size(), 0);
  for (size_t i = 0; i < sums.size(); ++i) {
    const size_t channel = i % at(channels);
    const double y = (sums[i] + bias[channel]) * scale[channel] + shift[channel] + residual[i];
    sums[i] = apply(epilogue.activation, y);
  }
}

/// Folds the values of one channel into one: a sum, an average over their number, or a maximum.
class Fold {
 public:
  void add(double value) {
    ++count_;
    sum_ += value;
    if (std::isnan(value) || value > largest_) largest_ = value;  // nothing exceeds a NaN, so it stays
  }
  double result(PoolMode mode) const {
    if (mode == PoolMode::max) return largest_;
    if (mode == PoolMode::average && count_ > 0) return sum_ / static_cast<double>(count_);
    return sum_;
  }

 private:
  int64_t count_ = 0;
  double sum_ = 0;
  double largest_ = -std::numeric_limits<double>::infinity();
};

/// (rows, C) of folds as a tensor.
Tensor folded(const std::vector<Fold>& folds, PoolMode mode, DType dtype, Shape shape) {
  std::vector<double> values;
  values.reserve(folds.size());
  for (const Fold& fold : folds) values.push_back(fold.result(mode));
  return rounded(values, dtype, std::move(shape));
}

/// Outputs where the epilogue wants them.
Tensor stored(ReferenceBackend& backend, const Epilogue& epilogue, Tensor y) {
  if (epilogue.columns.tensor == nullptr) return y;
  Tensor wide = output_tensor(epilogue.columns, y.dtype(), y.size(0), y.size(1));
  backend.put(y, epilogue.columns);
  return wide;
}

}  // namespace

std::unique_ptr<const PreparedWeight> ReferenceBackend::prepare(const ConvWeight& weight) const {
  auto expanded = std::make_unique<ExpandedWeight>();
  expanded->in_channels = weight.in_channels();
  expanded->out_channels = weight.out_channels();
  expanded->values.reserve(at(weight.taps() * weight.in_channels() * weight.out_channels()));
  if (weight.is_packed()) {
    expand_packed(weight.packed(), *expanded);
  } else {
    expand_dense(weight.dense(), weight.taps(), *expanded);
  }
  return expanded;
}

Tensor ReferenceBackend::convolve(const Tensor& x, const Relation& relation, const ConvWeight& weight,
                                  const Epilogue& epilogue) {
  const auto& expanded = dynamic_cast<const ExpandedWeight&>(weight.prepared(*this));
  const int64_t in = expanded.in_channels, out = expanded.out_channels;
  const std::vector<double> inputs = widened(x);
  std::vector<double> sums(at(relation.output_rows() * out), 0.0);
  for (const Edge& edge : dynamic_cast<const ReferenceRelation&>(relation).sorted_edges()) {
    add_product(inputs.data() + edge.input * in, expanded, edge.tap, sums.data() + edge.output * out);
  }
  finish(sums, out, epilogue);
  return stored(*this, epilogue, rounded(sums, x.dtype(), {relation.output_rows(), out}));
}

Tensor ReferenceBackend::linear(const Tensor& x, const ConvWeight& weight, const Epilogue& epilogue) {
  const auto& expanded = dynamic_cast<const ExpandedWeight&>(weight.prepared(*this));
  const int64_t rows = x.size(0), in = expanded.in_channels, out = expanded.out_channels;
  const std::vector<double> inputs = widened(x);
  std::vector<double> sums(at(rows * out), 0.0);
  for (int64_t row = 0; row < rows; ++row) {
    add_product(inputs.data() + row * in, expanded, 0, sums.data() + row * out);
  }
  finish(sums, out, epilogue);
  return stored(*this, epilogue, rounded(sums, x.dtype(), {rows, out}));
}

Tensor ReferenceBackend::pool(const Tensor& x, const Relation& relation, PoolMode mode) {
  const int64_t channels = x.size(1);
  const std::vector<double> inputs = widened(x);
  std::vector<Fold> folds(at(relation.output_rows() * channels));
  for (const Edge& edge : dynamic_cast<const ReferenceRelation&>(relation).sorted_edges()) {
    for (int64_t channel = 0; channel < channels; ++channel) {
      folds[at(edge.output * channels + channel)].add(inputs[at(edge.input * channels + channel)]);
    }
  }
  return folded(folds, mode, x.dtype(), {relation.output_rows(), channels});
}

Tensor ReferenceBackend::upsample(const Tensor& x, const Relation& relation, const Triple& stride) {
  const int64_t channels = x.size(1);
  const std::vector<double> inputs = widened(x);
  std::vector<double> sums(at(relation.output_rows() * channels), 0.0), weights(at(relation.output_rows()), 0.0);
  for (const Edge& edge : dynamic_cast<const ReferenceRelation&>(relation).sorted_edges()) {
    const double weight = trilinear_weight(stride, edge.tap);
    weights[at(edge.output)] += weight;
    for (int64_t channel = 0; channel < channels; ++channel) {
      sums[at(edge.output * channels + channel)] += weight * inputs[at(edge.input * channels + channel)];
    }
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    if (const double weight = weights[i / at(channels)]; weight > 0) sums[i] /= std::max(weight, kLeastWeight);
  }
  return rounded(sums, x.dtype(), {relation.output_rows(), channels});
}

Tensor ReferenceBackend::global_pool(const Tensor& x, const CoordSet& coords, PoolMode mode, int64_t batches) {
  const int64_t channels = x.size(1);
  const std::vector<double> inputs = widened(x);
  std::vector<Fold> folds(at(batches * channels));
  std::vector<char> occupied(at(batches), 0);
  for (int64_t row = 0; row < coords.rows(); ++row) {
    const int64_t batch = coords.coords()[at(row)].batch;
    if (batch >= batches) continue;
    occupied[at(batch)] = 1;
    for (int64_t channel = 0; channel < channels; ++channel) {
      folds[at(batch * channels + channel)].add(inputs[at(row * channels + channel)]);
    }
  }
  for (int64_t batch = 0; mode == PoolMode::max && batch < batches; ++batch) {
    if (occupied[at(batch)] == 0) {
      fail(ErrorCode::invalid_argument,
           "global_pool: batch {} has no rows, and nothing has no maximum; pool by sum or average", batch);
    }
  }
  return folded(folds, mode, x.dtype(), {batches, channels});
}

}  // namespace lattice

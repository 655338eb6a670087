#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lattice/numerics.h"
#include "lattice/quantized_weight.h"
#include "lattice/relation.h"
#include "quantization_step.h"

namespace lattice {

/// A weight in double precision, (K, C_in, C_out). A packed one is scale * code + bias without any rounding.
struct OracleWeight {
  int64_t taps = 0, ins = 0, outs = 0;
  int64_t group_size = 0;  // 0 of a floating weight, which has no groups
  std::vector<double> value;
  /// |scale * code| and |bias|: a packed weight of float32 parts is rounded relative to its product, which may exceed
  /// the sum. Zeros for a floating weight, which is exact.
  std::vector<double> product, bias;

  bool is_packed() const { return group_size > 0; }
  size_t at(int64_t tap, int64_t in, int64_t out) const { return static_cast<size_t>((tap * ins + in) * outs + out); }
};

inline OracleWeight make_oracle_weight(int64_t taps, int64_t ins, int64_t outs, int64_t group_size) {
  const std::vector<double> zeros(static_cast<size_t>(taps * ins * outs));
  return {taps, ins, outs, group_size, zeros, zeros, zeros};
}

/// From the logical layout (C_out, Kx, Ky, Kz, C_in).
inline OracleWeight oracle_weight(const Tensor& dense) {
  const int64_t outs = dense.size(0), ins = dense.size(dense.rank() - 1), taps = dense.elements() / outs / ins;
  OracleWeight weight = make_oracle_weight(taps, ins, outs, 0);
  const Tensor values = dense.to(DType::f64);
  const double* source = values.data<double>();
  for (int64_t out = 0; out < outs; ++out) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t in = 0; in < ins; ++in)
        weight.value[weight.at(tap, in, out)] = source[(out * taps + tap) * ins + in];
    }
  }
  return weight;
}

inline OracleWeight oracle_weight(const QuantizedWeight& packed) {
  OracleWeight weight =
      make_oracle_weight(packed.taps(), packed.in_channels(), packed.out_channels(), packed.group_size());
  for (int64_t tap = 0; tap < weight.taps; ++tap) {
    for (int64_t in = 0; in < weight.ins; ++in) {
      const int64_t group = in / packed.group_size();
      for (int64_t out = 0; out < weight.outs; ++out) {
        // Exact: 24 and 8 bits make 32 of the 53 that a double has; only the sum may round, 2^-29 below float32.
        const double product = double{packed.scale(tap, group, out)} * packed.code(tap, in, out);
        const double bias = packed.bias(tap, group, out);
        weight.value[weight.at(tap, in, out)] = product + bias;
        weight.product[weight.at(tap, in, out)] = std::fabs(product);
        weight.bias[weight.at(tap, in, out)] = std::fabs(bias);
      }
    }
  }
  return weight;
}

/// What a convolution must give, and how far from it each output may be.
struct Oracle {
  Shape shape;
  std::vector<double> value, bound;
};

/// Half a unit in the last place of a 16-bit type at a magnitude; 0 for f32, whose rounding the sum's bound holds.
inline double half_unit(DType dtype, double magnitude) {
  if (dtype != DType::f16 && dtype != DType::bf16) return 0;
  const int significand = dtype == DType::f16 ? 11 : 8;
  const int least = dtype == DType::f16 ? -14 : -126;  // exponent of the smallest normal number
  const int exponent = magnitude > 0 ? std::max(std::ilogb(magnitude), least) : least;
  return std::ldexp(1.0, exponent - significand);
}

/// How far each activation may be from what is multiplied in its place: zeros unless it is rounded to an integer, for
/// packed weights under integer numerics.
inline std::vector<double> activation_errors(const Tensor& features, const OracleWeight& weight, Numerics numerics) {
  std::vector<double> errors(static_cast<size_t>(features.elements()));
  if (!weight.is_packed() || quantization_step(numerics) == 0) return errors;
  const double* x = features.data<double>();
  for (int64_t row = 0; row < features.size(0); ++row) {
    for (int64_t first = 0; first < weight.ins; first += weight.group_size) {
      const int64_t begin = row * weight.ins + first;
      const int64_t end = begin + std::min(weight.group_size, weight.ins - first);
      double largest = 0;
      for (int64_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(x[i]));
      std::fill(errors.begin() + begin, errors.begin() + end, quantization_step(numerics) * largest);
    }
  }
  return errors;
}

/// y[o] = bias + sum over edges of x[i] @ W[k] in double precision, for activations of x's type.
///
/// The bound is that of a float32 sum of n products in any order: each term passes at most n + 4 roundings (its
/// product, n - 1 sums, the bias, the weight's own sum, the result), so that |error| <= (n + 4) * u * (sum |x||w| +
/// |bias|) with u = 2^-24. For packed weights it depends on the numerics that run, Session::numerics:
/// - float32 decodes them, so that a product scale * code was rounded before: u * sum |x||scale * code|, counted twice
///   to cover the products of roundings;
/// - the others sum products with codes and with the weight's bias apart, so that |w| reads |scale * code| + |bias|;
///   integers are off by how far each activation is, times |w|, as well.
/// A 16-bit result adds half a unit in its last place. docs/numerics.md has the whole bound; its line of bfloat16
/// activations with bfloat16 weights is not in here.
inline Oracle convolve_oracle(const Tensor& x, const EdgeList& edges, int64_t rows, const OracleWeight& weight,
                              const Tensor& bias, Numerics numerics) {
  constexpr double kUnit = 0x1p-24;
  const bool sums_apart = weight.is_packed() && numerics != Numerics::float32;
  Oracle oracle = {{rows, weight.outs}, {}, {}};
  const Tensor features = x.to(DType::f64);
  const std::vector<double> errors = activation_errors(features, weight, numerics);
  const Tensor biases = bias.defined() ? bias.to(DType::f64) : Tensor::zeros(DType::f64, {weight.outs});
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t begin = edges.output_begin[static_cast<size_t>(row)];
    const int64_t end = edges.output_begin[static_cast<size_t>(row) + 1];
    std::vector<double> sum(biases.values<double>().begin(), biases.values<double>().end());
    std::vector<double> magnitude(sum.size()), decoded(sum.size()), quantized(sum.size());
    for (size_t out = 0; out < sum.size(); ++out) magnitude[out] = std::fabs(sum[out]);
    for (int64_t edge = begin; edge < end; ++edge) {
      const int64_t source = edges.input_row[static_cast<size_t>(edge)] * weight.ins;
      for (int64_t in = 0; in < weight.ins; ++in) {
        const double value = features.data<double>()[source + in], error = errors[static_cast<size_t>(source + in)];
        const size_t first = weight.at(edges.tap[static_cast<size_t>(edge)], in, 0);
        for (size_t out = 0; out < sum.size(); ++out) {
          const size_t w = first + out;
          const double size = std::fabs(weight.value[w]);
          sum[out] += value * weight.value[w];
          magnitude[out] += std::fabs(value) * (sums_apart ? weight.product[w] + weight.bias[w] : size);
          decoded[out] += sums_apart ? 0 : std::fabs(value) * weight.product[w];
          quantized[out] += error * size;
        }
      }
    }
    const auto terms = static_cast<double>((end - begin) * weight.ins);
    for (size_t out = 0; out < sum.size(); ++out) {
      const double bound = kUnit * ((terms + 4) * magnitude[out] + 2 * decoded[out]) + quantized[out];
      oracle.value.push_back(sum[out]);
      oracle.bound.push_back(bound + half_unit(x.dtype(), std::fabs(sum[out]) + bound));
    }
  }
  return oracle;
}

/// The edges of a matrix product: row i to row i through tap 0.
inline EdgeList pointwise_edges(int64_t rows) {
  EdgeList edges;
  for (int64_t row = 0; row < rows; ++row) {
    edges.input_row.push_back(static_cast<int32_t>(row));
    edges.output_row.push_back(static_cast<int32_t>(row));
    edges.tap.push_back(0);
    edges.output_begin.push_back(row);
  }
  edges.output_begin.push_back(rows);
  return edges;
}

/// For the distance of two results, each within its bound of the same values: the bounds' sum.
inline Oracle widened(Oracle oracle, const Oracle& by) {
  for (size_t i = 0; i < oracle.bound.size(); ++i) oracle.bound[i] += by.bound[i];
  return oracle;
}

/// Whether every element of `found` is within `oracle.bound` (plus `slack`) of `expected`, which is the oracle's own
/// value where it is undefined.
inline ::testing::AssertionResult within(const Tensor& found, const Oracle& oracle, const Tensor& expected = {},
                                         double slack = 0) {
  if (found.shape() != oracle.shape) {
    return ::testing::AssertionFailure() << "shape " << to_string(found.shape()) << ", not " << to_string(oracle.shape);
  }
  if (expected.defined() && expected.shape() != oracle.shape) {
    return ::testing::AssertionFailure() << "the vector has shape " << to_string(expected.shape());
  }
  const Tensor ours = found.to(DType::f64);
  const Tensor theirs = expected.defined() ? expected.to(DType::f64) : Tensor::from(oracle.value, oracle.shape);
  for (int64_t i = 0; i < ours.elements(); ++i) {
    const double error = std::fabs(ours.data<double>()[i] - theirs.data<double>()[i]);
    const double bound = oracle.bound[static_cast<size_t>(i)] + slack;
    if (!(error <= bound)) {  // so that a NaN fails
      return ::testing::AssertionFailure() << "element " << i << " is " << ours.data<double>()[i] << ", not "
                                           << theirs.data<double>()[i] << ": off by " << error << ", bound " << bound;
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace lattice

#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "lattice/quantized_weight.h"
#include "lattice/relation.h"

namespace lattice {

/// A weight in double precision, (K, C_in, C_out). A packed one is scale * code + bias without any rounding.
struct OracleWeight {
  int64_t taps = 0, ins = 0, outs = 0;
  std::vector<double> value;
  /// |scale * code|: a packed weight of float32 parts is rounded relative to its product, which may exceed the sum.
  /// Zeros for a floating weight, which is exact.
  std::vector<double> product;

  size_t at(int64_t tap, int64_t in, int64_t out) const { return static_cast<size_t>((tap * ins + in) * outs + out); }
};

inline OracleWeight make_oracle_weight(int64_t taps, int64_t ins, int64_t outs) {
  const auto count = static_cast<size_t>(taps * ins * outs);
  return {taps, ins, outs, std::vector<double>(count), std::vector<double>(count)};
}

/// From the logical layout (C_out, Kx, Ky, Kz, C_in).
inline OracleWeight oracle_weight(const Tensor& dense) {
  const int64_t outs = dense.size(0), ins = dense.size(dense.rank() - 1), taps = dense.elements() / outs / ins;
  OracleWeight weight = make_oracle_weight(taps, ins, outs);
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
  OracleWeight weight = make_oracle_weight(packed.taps(), packed.in_channels(), packed.out_channels());
  for (int64_t tap = 0; tap < weight.taps; ++tap) {
    for (int64_t in = 0; in < weight.ins; ++in) {
      const int64_t group = in / packed.group_size();
      for (int64_t out = 0; out < weight.outs; ++out) {
        // Exact: 24 and 8 bits make 32 of the 53 that a double has; only the sum may round, 2^-29 below float32.
        const double product = double{packed.scale(tap, group, out)} * packed.code(tap, in, out);
        weight.value[weight.at(tap, in, out)] = product + double{packed.bias(tap, group, out)};
        weight.product[weight.at(tap, in, out)] = std::fabs(product);
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

/// y[o] = bias + sum over edges of x[i] @ W[k] in double precision, for activations of x's type.
///
/// The bound is that of a float32 sum of n products in any order: each term passes at most n + 4 roundings (its
/// product, n - 1 sums, the bias, the weight's own sum, the result), so that |error| <= (n + 4) * u * (sum |x||w| +
/// |bias|) with u = 2^-24; a packed weight's product scale * code was rounded before, u * sum |x||scale * code|,
/// counted twice to cover the products of roundings. A 16-bit result adds half a unit in its last place.
inline Oracle convolve_oracle(const Tensor& x, const EdgeList& edges, int64_t rows, const OracleWeight& weight,
                              const Tensor& bias) {
  constexpr double kUnit = 0x1p-24;
  Oracle oracle = {{rows, weight.outs}, {}, {}};
  const Tensor features = x.to(DType::f64);
  const Tensor biases = bias.defined() ? bias.to(DType::f64) : Tensor::zeros(DType::f64, {weight.outs});
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t begin = edges.output_begin[static_cast<size_t>(row)];
    const int64_t end = edges.output_begin[static_cast<size_t>(row) + 1];
    std::vector<double> sum(biases.values<double>().begin(), biases.values<double>().end());
    std::vector<double> magnitude(sum.size()), product(sum.size());
    for (size_t out = 0; out < sum.size(); ++out) magnitude[out] = std::fabs(sum[out]);
    for (int64_t edge = begin; edge < end; ++edge) {
      const double* source = features.data<double>() + edges.input_row[static_cast<size_t>(edge)] * weight.ins;
      for (int64_t in = 0; in < weight.ins; ++in) {
        const size_t first = weight.at(edges.tap[static_cast<size_t>(edge)], in, 0);
        for (size_t out = 0; out < sum.size(); ++out) {
          sum[out] += source[in] * weight.value[first + out];
          magnitude[out] += std::fabs(source[in] * weight.value[first + out]);
          product[out] += std::fabs(source[in]) * weight.product[first + out];
        }
      }
    }
    const auto terms = static_cast<double>((end - begin) * weight.ins);
    for (size_t out = 0; out < sum.size(); ++out) {
      const double rounding = kUnit * ((terms + 4) * magnitude[out] + 2 * product[out]);
      oracle.value.push_back(sum[out]);
      oracle.bound.push_back(rounding + half_unit(x.dtype(), std::fabs(sum[out]) + rounding));
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

/// Whether every element of `found` is within `oracle.bound` (times `share`, plus `slack`) of `expected`, which is the
/// oracle's own value where it is undefined.
inline ::testing::AssertionResult within(const Tensor& found, const Oracle& oracle, const Tensor& expected = {},
                                         double slack = 0, double share = 1) {
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
    const double bound = share * oracle.bound[static_cast<size_t>(i)] + slack;
    if (!(error <= bound)) {  // so that a NaN fails
      return ::testing::AssertionFailure() << "element " << i << " is " << ours.data<double>()[i] << ", not "
                                           << theirs.data<double>()[i] << ": off by " << error << ", bound " << bound;
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace lattice

#include <gtest/gtest.h>

#include <cstring>

#include "exact_error.h"
#include "lattice/nn2d.h"
#include "lattice/random.h"

namespace lattice {
namespace {

Tensor normal(Shape shape) {
  Random random(5);
  Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    tensor.mutable_data<float>()[i] = static_cast<float>(random.normal());
  }
  return tensor;
}

SparseTensor flat_tensor(int64_t channels) {
  std::vector<Coord> coords;
  for (int32_t x = 0; x < 9; ++x) {
    for (int32_t y = 0; y < 7; ++y) {
      if ((3 * x + 5 * y) % 4 == 0) coords.push_back({x % 2, x, y, 0});
    }
  }
  const auto rows = static_cast<int64_t>(coords.size());
  return {CoordSet::make(std::move(coords), 1, Triple(9, 7, 1)), normal({rows, channels})};
}

/// y[o] = bias + sum over the taps of x[o * stride + tap - padding] in double, dense over the grid.
double dense_output(const SparseTensor& x, const Tensor& weight, const Tensor& bias, Coord o, int64_t out, Pair stride,
                    Pair padding) {
  double sum = bias.data<float>()[out];
  const auto coords = x.support()->coords();
  for (size_t row = 0; row < coords.size(); ++row) {
    const int64_t i = coords[row].x - o.x * stride.x + padding.x, j = coords[row].y - o.y * stride.y + padding.y;
    if (coords[row].batch != o.batch || i < 0 || i >= weight.size(1) || j < 0 || j >= weight.size(2)) continue;
    for (int64_t in = 0; in < x.channels(); ++in) {
      const int64_t at = ((out * weight.size(1) + i) * weight.size(2) + j) * x.channels() + in;
      sum += static_cast<double>(x.features().data<float>()[static_cast<int64_t>(row) * x.channels() + in]) *
             static_cast<double>(weight.data<float>()[at]);
    }
  }
  return sum;
}

void expect_dense(const SparseTensor& y, const SparseTensor& x, const Tensor& weight, const Tensor& bias, Pair stride,
                  Pair padding) {
  ASSERT_GT(y.rows(), 0);
  for (int64_t row = 0; row < y.rows(); ++row) {
    for (int64_t out = 0; out < y.channels(); ++out) {
      const Coord o = y.support()->coords()[static_cast<size_t>(row)];
      ASSERT_EQ(o.z, 0);
      ASSERT_NEAR(y.features().data<float>()[row * y.channels() + out],
                  dense_output(x, weight, bias, o, out, stride, padding), 1e-5);
    }
  }
}

TEST(Conv2d, IsTheDenseConvolutionWhereItHasRows) {
  Session session;
  const SparseTensor x = flat_tensor(5);
  const Tensor weight = normal({4, 3, 2, 5}), bias = normal({4});
  const Conv3d layer = conv2d({.kernel_size = {3, 2}, .stride = {2, 1}, .padding = {1, 0}}, weight, bias);
  const SparseTensor y = layer(session, x);
  EXPECT_EQ(y.extent(), Triple(5, 6, 1));
  EXPECT_EQ(y.stride(), Triple(2, 1, 1));
  expect_dense(y, x, weight, bias, {2, 1}, {1, 0});
}

TEST(Conv2d, SubmanifoldKeepsTheRows) {
  Session session;
  const SparseTensor x = flat_tensor(5);
  const Tensor weight = normal({4, 3, 5, 5}), bias = normal({4});
  const SparseTensor y = subm_conv2d({.kernel_size = {3, 5}}, weight, bias)(session, x);
  EXPECT_EQ(y.support(), x.support());
  expect_dense(y, x, weight, bias, 1, {1, 2});
}

TEST(Conv2d, DrawsItsWeightsAndRefusesOthers) {
  EXPECT_EQ(conv2d({.in_channels = 3, .out_channels = 4}).weight().kernel_size(), Triple(3, 3, 1));
  EXPECT_EQ(subm_conv2d({.in_channels = 3, .out_channels = 4, .kernel_size = 5}).weight().kernel_size(),
            Triple(5, 5, 1));
  expect_error(
      [] {
        conv2d({}, Tensor::zeros(DType::f32, {4, 3, 3, 1, 5}));
      },
      "conv2d: weight has shape (4, 3, 3, 1, 5), but must be (C_out, Kx, Ky, C_in)");
}

}  // namespace
}  // namespace lattice

#pragma once

#include "lattice/nn.h"

namespace lattice {

// Two-dimensional sparse layers, for tensors that are flat along z (extent 1, or z = 0 everywhere): the modules of nn.h
// with kernel 1, stride 1, padding 0 and dilation 1 on that axis, and no code of their own.

/// Two numbers, for x and y; made from one number where both are equal.
struct Pair {
  int64_t x = 0, y = 0;

  constexpr Pair() = default;
  constexpr Pair(int64_t both) : x(both), y(both) {}  // NOLINT: implicit, as Triple's
  constexpr Pair(int64_t x_size, int64_t y_size) : x(x_size), y(y_size) {}
};

struct Conv2dOptions {
  int64_t in_channels = 0, out_channels = 0;
  Pair kernel_size = 3, stride = 1, padding = 0, dilation = 1;
  bool bias = true;
  SupportRule support = SupportRule::regular;  ///< unlike Conv3d's: these layers come from spconv
  DType dtype = DType::f32;
  uint64_t seed = 0;
};

struct SubmConv2dOptions {
  int64_t in_channels = 0, out_channels = 0;
  Pair kernel_size = 3, dilation = 1;
  bool bias = true;
  DType dtype = DType::f32;
  uint64_t seed = 0;
};

/// With an initial weight, or with a given one (C_out, Kx, Ky, C_in) and bias (C_out; undefined for none), of which the
/// options' channels, bias, dtype and seed are not looked at. Throws invalid_argument as Conv3d and SubmConv3d do.
Conv3d conv2d(const Conv2dOptions& options);
Conv3d conv2d(const Conv2dOptions& options, const Tensor& weight, Tensor bias = {});
SubmConv3d subm_conv2d(const SubmConv2dOptions& options);
SubmConv3d subm_conv2d(const SubmConv2dOptions& options, const Tensor& weight, Tensor bias = {});

}  // namespace lattice

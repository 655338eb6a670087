#include "fail.h"
#include "lattice/nn2d.h"

namespace lattice {
namespace {

Conv3dOptions volumetric(const Conv2dOptions& options) {
  return {.in_channels = options.in_channels,
          .out_channels = options.out_channels,
          .kernel_size = {options.kernel_size.x, options.kernel_size.y, 1},
          .stride = {options.stride.x, options.stride.y, 1},
          .padding = {options.padding.x, options.padding.y, 0},
          .dilation = {options.dilation.x, options.dilation.y, 1},
          .bias = options.bias,
          .support = options.support,
          .dtype = options.dtype,
          .seed = options.seed};
}

SubmConv3dOptions volumetric(const SubmConv2dOptions& options) {
  return {.in_channels = options.in_channels,
          .out_channels = options.out_channels,
          .kernel_size = {options.kernel_size.x, options.kernel_size.y, 1},
          .dilation = {options.dilation.x, options.dilation.y, 1},
          .bias = options.bias,
          .dtype = options.dtype,
          .seed = options.seed};
}

/// (C_out, Kx, Ky, C_in) with a z axis of 1.
Tensor volumetric(std::string_view operation, const Tensor& weight) {
  if (weight.rank() != 4) {
    fail(ErrorCode::invalid_argument, "{}: weight has shape {}, but must be (C_out, Kx, Ky, C_in)", operation,
         to_string(weight.shape()));
  }
  return weight.reshaped({weight.size(0), weight.size(1), weight.size(2), 1, weight.size(3)});
}

}  // namespace

Conv3d conv2d(const Conv2dOptions& options) {
  return Conv3d(volumetric(options));
}
Conv3d conv2d(const Conv2dOptions& options, const Tensor& weight, Tensor bias) {
  return Conv3d(volumetric(options), volumetric("conv2d", weight), std::move(bias));
}
SubmConv3d subm_conv2d(const SubmConv2dOptions& options) {
  return SubmConv3d(volumetric(options));
}
SubmConv3d subm_conv2d(const SubmConv2dOptions& options, const Tensor& weight, Tensor bias) {
  return SubmConv3d(volumetric(options), volumetric("subm_conv2d", weight), std::move(bias));
}

}  // namespace lattice

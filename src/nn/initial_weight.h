#pragma once

#include <string_view>

#include "lattice/conv_weight.h"
#include "lattice/tensor.h"

namespace lattice {

/// What a new layer is made from.
struct LayerShape {
  int64_t in_channels = 0, out_channels = 0;
  DType dtype = DType::f32;
};

/// From 1 to 2^31 - 1; `parameter` is what the message calls it. Throws invalid_argument, naming `operation`.
void check_channel_count(std::string_view operation, std::string_view parameter, int64_t channels);

/// Both channel counts, and a type for weights. Throws invalid_argument, naming `operation`.
void check_layer(std::string_view operation, const LayerShape& layer);

/// A weight of `shape` drawn uniformly from +-sqrt(1 / fan_in), in memory order, the same on every machine.
Tensor initial_weight(const Shape& shape, int64_t fan_in, DType dtype, uint64_t seed);

/// Zeros for each output channel, or nothing where a module's options want no bias. Checks the layer itself, since it
/// may be made before the weight is.
template <typename Options>
Tensor initial_bias(std::string_view operation, const Options& options) {
  check_layer(operation, {options.in_channels, options.out_channels, options.dtype});
  return options.bias ? Tensor::zeros(options.dtype, {options.out_channels}) : Tensor();
}

/// A weight that the caller brings, checked in the layer's name.
ConvWeight given_weight(std::string_view operation, Tensor weight);

}  // namespace lattice

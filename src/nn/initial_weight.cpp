#include "nn/initial_weight.h"

#include <cmath>
#include <limits>
#include <utility>

#include "fail.h"
#include "lattice/random.h"
#include "weight_rules.h"

namespace lattice {

void check_channel_count(std::string_view operation, std::string_view parameter, int64_t channels) {
  if (channels < 1 || channels > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::invalid_argument, "{}: {} {} must be from 1 to 2^31 - 1; give the layer's channels", operation,
         parameter, channels);
  }
}

void check_layer(std::string_view operation, const LayerShape& layer) {
  check_channel_count(operation, "in_channels", layer.in_channels);
  check_channel_count(operation, "out_channels", layer.out_channels);
  if (!is_feature_type(layer.dtype)) {
    fail(ErrorCode::invalid_argument, "{}: dtype {} must be f32, f16 or bf16; packing makes codes out of these",
         operation, name(layer.dtype));
  }
}

Tensor initial_weight(const Shape& shape, int64_t fan_in, DType dtype, uint64_t seed) {
  Tensor weight = Tensor::empty(DType::f32, shape);
  const double bound = std::sqrt(1.0 / static_cast<double>(fan_in));
  Random random(seed);
  float* values = weight.mutable_data<float>();
  for (int64_t i = 0; i < weight.elements(); ++i) values[i] = static_cast<float>(random.uniform(-bound, bound));
  return weight.to(dtype);
}

ConvWeight given_weight(std::string_view operation, Tensor weight) {
  check_weight(weight, operation);
  return ConvWeight(std::move(weight));
}

}  // namespace lattice

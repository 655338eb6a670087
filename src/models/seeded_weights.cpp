#include "models/seeded_weights.h"

#include <cmath>
#include <utility>

namespace lattice {

Tensor normal_tensor(Random& random, Shape shape, double deviation) {
  Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
  float* values = tensor.mutable_data<float>();
  for (int64_t i = 0; i < tensor.elements(); ++i) values[i] = static_cast<float>(random.normal() * deviation);
  return tensor;
}

double to_ten_bits(double value) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);
  return std::ldexp(std::round(std::ldexp(fraction, 10)), exponent - 10);
}

}  // namespace lattice

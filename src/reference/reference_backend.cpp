#include <bit>
#include <cmath>

#include "fail.h"
#include "reference/reference.h"

namespace lattice {
namespace {

/// To float, rounded to odd: an inexact result is cut towards zero and its last bit set. Rounding that to 16 bits gives
/// what rounding the double itself would (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved
/// algorithms using rounding to odd", 2008), where double to float to 16 bits would round twice.
float rounded_to_odd(double value) {
  const float nearest = static_cast<float>(value);
  if (std::isnan(value) || static_cast<double>(nearest) == value) return nearest;
  auto bits = std::bit_cast<uint32_t>(nearest);
  if (std::abs(static_cast<double>(nearest)) > std::abs(value)) --bits;  // sign and magnitude: one step towards zero
  return std::bit_cast<float>(bits | 1u);
}

template <typename T>
void widen(const Tensor& tensor, std::vector<double>& values) {
  for (const T value : tensor.values<T>()) values.push_back(static_cast<double>(static_cast<float>(value)));
}

}  // namespace

std::vector<double> widened(const Tensor& tensor) {
  std::vector<double> values;
  values.reserve(at(tensor.elements()));
  switch (tensor.dtype()) {
    case DType::f32:
      widen<float>(tensor, values);
      break;
    case DType::f16:
      widen<Float16>(tensor, values);
      break;
    case DType::bf16:
      widen<BFloat16>(tensor, values);
      break;
    default:
      fail(ErrorCode::unsupported, "reference: {} is not a feature type", name(tensor.dtype()));
  }
  return values;
}

Tensor rounded(const std::vector<double>& values, DType dtype, Shape shape) {
  Tensor result = Tensor::empty(dtype, std::move(shape));
  for (size_t i = 0; i < values.size(); ++i) {
    switch (dtype) {
      case DType::f32:
        result.mutable_data<float>()[i] = static_cast<float>(values[i]);
        break;
      case DType::f16:
        result.mutable_data<Float16>()[i] = Float16(rounded_to_odd(values[i]));
        break;
      case DType::bf16:
        result.mutable_data<BFloat16>()[i] = BFloat16(rounded_to_odd(values[i]));
        break;
      default:
        fail(ErrorCode::unsupported, "reference: {} is not a feature type", name(dtype));
    }
  }
  return result;
}

std::unique_ptr<Backend> make_reference_backend() {
  return std::make_unique<ReferenceBackend>();
}

}  // namespace lattice

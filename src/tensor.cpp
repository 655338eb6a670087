#include "lattice/tensor.h"

#include <fmt/ranges.h>

#include <cstring>

#include "fail.h"

namespace lattice {
namespace {

/// Gives a tensor's elements back to the pool.
struct GiveElements {
  size_t bytes;
  void operator()(void* elements) const noexcept { give_memory(elements, bytes); }
};

template <typename To, typename From>
void convert(const From* from, To* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<To, double>) {
      to[i] = static_cast<double>(static_cast<float>(from[i]));
    } else {
      to[i] = static_cast<To>(static_cast<float>(from[i]));
    }
  }
}

template <typename From>
void convert_from(const From* from, Tensor& result) {
  switch (result.dtype()) {
    case DType::f32:
      return convert(from, result.mutable_data<float>(), result.elements());
    case DType::f16:
      return convert(from, result.mutable_data<Float16>(), result.elements());
    case DType::bf16:
      return convert(from, result.mutable_data<BFloat16>(), result.elements());
    default:
      return convert(from, result.mutable_data<double>(), result.elements());
  }
}

}  // namespace

std::string to_string(const Shape& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  bool overflow = false;
  for (const int64_t size : shape) {
    if (size < 0) fail(ErrorCode::out_of_range, "tensor: shape {} has a negative size", to_string(shape));
    overflow |= __builtin_mul_overflow(count, size, &count);
  }
  // A zero among sizes whose product overflows before it still means that there is no element.
  for (const int64_t size : shape) {
    if (size == 0) return 0;
  }
  if (overflow)
    fail(ErrorCode::out_of_range, "tensor: the elements of shape {} cannot be counted in 64 bits", to_string(shape));
  return count;
}

Tensor Tensor::empty(DType dtype, Shape shape) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.elements_ = element_count(shape);
  int64_t bytes = 0;
  if (__builtin_mul_overflow(tensor.elements_, static_cast<int64_t>(size_of(dtype)), &bytes)) {
    fail(ErrorCode::out_of_range, "tensor: shape {} of {} needs more bytes than 64 bits count", to_string(shape),
         name(dtype));
  }
  tensor.shape_ = std::move(shape);
  // Even no elements are a block, so that an empty tensor is still a defined one.
  void* const data = take_memory(static_cast<size_t>(bytes));
  if (data == nullptr) {
    fail(ErrorCode::out_of_range, "tensor: no memory for shape {} of {} ({} bytes)", to_string(tensor.shape_),
         name(dtype), bytes);
  }
  tensor.data_ = std::shared_ptr<void>(data, GiveElements{static_cast<size_t>(bytes)}, PoolAllocator<std::byte>());
  tensor.writable_ = true;
  return tensor;
}

Tensor Tensor::zeros(DType dtype, Shape shape) {
  Tensor tensor = empty(dtype, std::move(shape));
  std::memset(tensor.mutable_raw(), 0, tensor.nbytes());
  return tensor;
}

Tensor Tensor::view(DType dtype, Shape shape, std::shared_ptr<const void> owner, const void* data) {
  if (reinterpret_cast<uintptr_t>(data) % size_of(dtype) != 0) {
    fail(ErrorCode::invalid_argument, "tensor: a view of {} must be aligned to {} bytes", name(dtype), size_of(dtype));
  }
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.elements_ = element_count(shape);
  tensor.shape_ = std::move(shape);
  tensor.data_ = std::shared_ptr<const void>(std::move(owner), data);
  return tensor;
}

int64_t Tensor::size(int64_t axis) const {
  if (axis < 0 || axis >= rank()) {
    fail(ErrorCode::out_of_range, "tensor: axis {} of a tensor of shape {}; axes count from 0", axis,
         to_string(shape_));
  }
  return shape_[static_cast<size_t>(axis)];
}

void* Tensor::mutable_raw() {
  if (!writable_)
    fail(ErrorCode::invalid_argument, "tensor: shape {} is a read-only view; copy it first", to_string(shape_));
  return const_cast<void*>(data_.get());
}

Tensor Tensor::reshaped(Shape shape) const {
  if (element_count(shape) != elements_) {
    fail(ErrorCode::invalid_argument, "tensor: shape {} cannot become {}: the number of elements differs",
         to_string(shape_), to_string(shape));
  }
  Tensor result = *this;
  result.shape_ = std::move(shape);
  return result;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  const auto floating = [](DType type) { return is_feature_type(type) || type == DType::f64; };
  if (!floating(dtype) || !floating(dtype_)) {
    fail(ErrorCode::unsupported, "tensor: {} cannot become {}; only f32, f16, bf16 and f64 convert", name(dtype_),
         name(dtype));
  }
  Tensor result = empty(dtype, shape_);
  switch (dtype_) {
    case DType::f32:
      convert_from(data<float>(), result);
      break;
    case DType::f16:
      convert_from(data<Float16>(), result);
      break;
    case DType::bf16:
      convert_from(data<BFloat16>(), result);
      break;
    default:
      convert_from(data<double>(), result);
      break;
  }
  return result;
}

void Tensor::check_type(DType asked) const {
  if (asked != dtype_) {
    fail(ErrorCode::invalid_argument, "tensor: elements are {}, but were asked for as {}; convert with to()",
         name(dtype_), name(asked));
  }
}

void Tensor::copy_from(const void* values, int64_t count) {
  if (count != elements_) {
    fail(ErrorCode::invalid_argument, "tensor: {} values do not fill shape {}", count, to_string(shape_));
  }
  if (count > 0) std::memcpy(mutable_raw(), values, nbytes());
}

}  // namespace lattice

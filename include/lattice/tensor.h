#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lattice/dtype.h"
#include "lattice/memory_pool.h"

namespace lattice {

using Shape = PooledVector<int64_t>;

/// "(3, 4)", for messages.
std::string to_string(const Shape& shape);

/// The product of the sizes. Throws out_of_range where a size is negative or the product leaves int64.
int64_t element_count(const Shape& shape);

/// A dense row-major array on 64-byte boundaries, in memory of the pool.
///
/// A Tensor is a handle: copies share the elements, and the last one frees them. Whoever fills a tensor does so before
/// handing it on; from then on it is read only, and may be read from any number of threads. A tensor that was moved
/// from is not defined.
class Tensor {
 public:
  /// No elements: shape (0), f32. `defined()` is false.
  Tensor() = default;

  /// Uninitialized elements. Throws out_of_range where the bytes cannot be counted or held.
  static Tensor empty(DType dtype, Shape shape);
  /// All bytes zero.
  static Tensor zeros(DType dtype, Shape shape);
  /// A copy of `values`, whose number must be the shape's. Throws invalid_argument.
  template <typename T>
  static Tensor from(std::span<const T> values, Shape shape) {
    Tensor tensor = empty(dtype_of<T>, std::move(shape));
    tensor.copy_from(values.data(), static_cast<int64_t>(values.size()));
    return tensor;
  }
  template <typename T, typename Allocator>
  static Tensor from(const std::vector<T, Allocator>& values, Shape shape) {
    return from(std::span<const T>(values), std::move(shape));
  }
  /// Elements that live elsewhere (a memory-mapped file), kept alive by `owner`; read only. `data` must be aligned to
  /// the element's size.
  static Tensor view(DType dtype, Shape shape, std::shared_ptr<const void> owner, const void* data);

  bool defined() const noexcept { return data_ != nullptr; }
  DType dtype() const noexcept { return dtype_; }
  const Shape& shape() const noexcept { return shape_; }
  int64_t rank() const noexcept { return static_cast<int64_t>(shape_.size()); }
  /// Size of one axis; throws out_of_range where there is no such axis.
  int64_t size(int64_t axis) const;
  int64_t elements() const noexcept { return elements_; }
  size_t nbytes() const noexcept { return static_cast<size_t>(elements_) * size_of(dtype_); }

  const void* raw() const noexcept { return data_.get(); }
  /// Throws invalid_argument on a tensor made by `view`.
  void* mutable_raw();

  /// The elements as T; throws invalid_argument where the dtype is another.
  template <typename T>
  const T* data() const {
    check_type(dtype_of<T>);
    return static_cast<const T*>(data_.get());
  }
  template <typename T>
  T* mutable_data() {
    check_type(dtype_of<T>);
    return static_cast<T*>(mutable_raw());
  }
  template <typename T>
  std::span<const T> values() const {
    return {data<T>(), static_cast<size_t>(elements_)};
  }

  /// The same elements in another shape of as many elements, shared. Throws invalid_argument.
  Tensor reshaped(Shape shape) const;
  /// Converted to another of f32, f16, bf16, f64 by way of f32 (round to nearest even); the same handle where nothing
  /// changes. Throws unsupported for other types.
  Tensor to(DType dtype) const;

 private:
  void check_type(DType asked) const;
  void copy_from(const void* values, int64_t count);

  DType dtype_ = DType::f32;
  Shape shape_ = {0};
  int64_t elements_ = 0;
  std::shared_ptr<const void> data_;  // the first element; owns what holds it
  bool writable_ = false;
};

}  // namespace lattice

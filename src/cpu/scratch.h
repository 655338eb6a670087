#pragma once

#include "lattice/tensor.h"

namespace lattice::cpu {

/// Memory that grows to the largest request and stays: 64-byte aligned, contents undefined.
class Scratch {
 public:
  template <typename T>
  T* take(int64_t count) {
    const auto bytes = count * static_cast<int64_t>(sizeof(T));
    if (!bytes_.defined() || bytes_.elements() * 4 < bytes) bytes_ = Tensor::empty(DType::u32, {(bytes + 3) / 4});
    return static_cast<T*>(bytes_.mutable_raw());
  }

 private:
  Tensor bytes_;
};

}  // namespace lattice::cpu

#pragma once

#include "lattice/coords.h"
#include "lattice/tensor.h"

namespace lattice {

/// Features on a coordinate set: row i of `features` (N, C) belongs to row i of `support`.
///
/// A value: copies share coordinates and features. Immutable, so any number of threads may read one.
class SparseTensor {
 public:
  /// `features` is (N, C) of f32, f16 or bf16 with N the support's rows. Throws invalid_argument.
  SparseTensor(Support support, Tensor features);
  /// Coordinates from an (N, 4) tensor of int32 or int64 (see CoordSet::make); makes a new coordinate set.
  SparseTensor(const Tensor& coords, Tensor features, Triple stride = 1, std::optional<Triple> extent = std::nullopt);

  int64_t rows() const noexcept { return support_->rows(); }
  int64_t channels() const noexcept { return features_.shape()[1]; }
  DType dtype() const noexcept { return features_.dtype(); }
  const Support& support() const noexcept { return support_; }
  const Tensor& features() const noexcept { return features_; }
  const Triple& stride() const noexcept { return support_->stride(); }
  const std::optional<Triple>& extent() const noexcept { return support_->extent(); }

  /// Other features on the same coordinates, which keep their identity. Throws invalid_argument.
  SparseTensor with_features(Tensor features) const { return SparseTensor(support_, std::move(features)); }

 private:
  Support support_;
  Tensor features_;
};

}  // namespace lattice

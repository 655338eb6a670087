#include "lattice/sparse_tensor.h"

#include "fail.h"

namespace lattice {

SparseTensor::SparseTensor(Support support, Tensor features)
    : support_(std::move(support)), features_(std::move(features)) {
  if (support_ == nullptr) fail(ErrorCode::invalid_argument, "sparse_tensor: a support is required, found none");
  if (!is_feature_type(features_.dtype())) {
    fail(ErrorCode::invalid_argument,
         "sparse_tensor: features are {}, but must be f32, f16 or bf16; convert them with to()",
         name(features_.dtype()));
  }
  if (features_.rank() != 2 || features_.size(0) != support_->rows() || features_.size(1) < 1) {
    fail(ErrorCode::invalid_argument,
         "sparse_tensor: features have shape {}, but must be (N, C) with N = {} coordinates and C >= 1",
         to_string(features_.shape()), support_->rows());
  }
}

SparseTensor::SparseTensor(const Tensor& coords, Tensor features, Triple stride, std::optional<Triple> extent)
    : SparseTensor(CoordSet::make(coords, stride, extent), std::move(features)) {}

}  // namespace lattice

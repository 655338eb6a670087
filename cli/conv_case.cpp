#include "conv_case.h"

#include <cmath>
#include <utility>

#include "lattice/conv.h"
#include "scan_input.h"

namespace lattice::cli {

const std::map<std::string, ConvKind>& conv_kinds() {
  static const std::map<std::string, ConvKind> kinds = {{"subm", ConvKind::subm},
                                                        {"forward", ConvKind::forward},
                                                        {"regular", ConvKind::regular},
                                                        {"transposed", ConvKind::transposed},
                                                        {"generative", ConvKind::generative},
                                                        {"inverse", ConvKind::inverse}};
  return kinds;
}

ConvCase::ConvCase(Session& session, ConvKind kind, const ConvGeometry& geometry, const Support& voxels)
    : kind_(kind), geometry_(geometry), source_(voxels) {
  if (kind == ConvKind::transposed || kind == ConvKind::generative) {
    const auto coords = voxels->coords();
    source_ = CoordSet::make(std::vector<Coord>(coords.begin(), coords.end()), geometry.stride());
  } else if (kind == ConvKind::inverse) {
    target_ = voxels;
    source_ = session.relate(RelationKind::forward, voxels, geometry, nullptr, "bench").output;
  }
}

ConvCase ConvCase::renewed() const {
  ConvCase copy = *this;
  copy.source_ = cli::renewed(source_);
  if (target_) copy.target_ = cli::renewed(target_);
  return copy;
}

RelatedSupport ConvCase::relate(Session& session) const {
  return session.relate(relation_kind(), source_, geometry_, target_, "bench");
}

SparseTensor ConvCase::run(Session& session, const SparseTensor& x, const ConvWeight& weight) const {
  switch (kind_) {
    case ConvKind::subm:
      return subm_conv3d(session, x, weight, geometry_);
    case ConvKind::generative:
      return generative_conv_transpose3d(session, x, weight, geometry_);
    case ConvKind::transposed:
    case ConvKind::inverse:
      return conv_transpose3d(session, x, weight, geometry_, target_);
    case ConvKind::regular:
      return conv3d(session, x, weight, geometry_, nullptr, {}, SupportRule::regular);
    case ConvKind::forward:
      break;
  }
  return conv3d(session, x, weight, geometry_);
}

RelationKind ConvCase::relation_kind() const {
  switch (kind_) {
    case ConvKind::subm:
      return RelationKind::submanifold;
    case ConvKind::transposed:
      return RelationKind::transposed;
    case ConvKind::generative:
      return RelationKind::generative;
    case ConvKind::inverse:
      return RelationKind::target_transposed;
    case ConvKind::regular:
      return geometry_.is_pointwise() ? RelationKind::pointwise : RelationKind::regular;
    case ConvKind::forward:
      break;
  }
  return geometry_.is_pointwise() ? RelationKind::pointwise : RelationKind::forward;
}

Tensor normal_tensor(Random& random, Shape shape, double deviation) {
  Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
  float* values = tensor.mutable_data<float>();
  for (int64_t i = 0; i < tensor.elements(); ++i) values[i] = static_cast<float>(random.normal() * deviation);
  return tensor;
}

ConvWeight random_weight(Random& random, const ConvGeometry& geometry, int64_t in_channels, int64_t out_channels,
                         int64_t bits, std::optional<int64_t> group_size) {
  const Triple& kernel = geometry.kernel_size();
  const double deviation = 1 / std::sqrt(static_cast<double>(in_channels) * static_cast<double>(geometry.taps()));
  Tensor weight = normal_tensor(random, {out_channels, kernel.x, kernel.y, kernel.z, in_channels}, deviation);
  if (bits == 32) return ConvWeight(std::move(weight));
  return ConvWeight(QuantizedWeight::pack(weight, {.bits = bits, .group_size = group_size}));
}

double conv_flop(int64_t edges, const ConvWeight& weight) {
  return 2.0 * static_cast<double>(edges) * static_cast<double>(weight.in_channels() * weight.out_channels());
}

}  // namespace lattice::cli

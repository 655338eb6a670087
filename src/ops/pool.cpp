#include "lattice/pool.h"

#include <limits>

#include "backend.h"
#include "fail.h"
#include "lattice/session.h"

namespace lattice {

std::string_view name(PoolMode mode) noexcept {
  switch (mode) {
    case PoolMode::sum:
      return "sum";
    case PoolMode::max:
      return "max";
    case PoolMode::average:
      return "average";
  }
  return "unknown";
}

SparseTensor pool3d(Session& session, const SparseTensor& x, PoolMode mode, const ConvGeometry& geometry,
                    SupportRule support) {
  const RelationKind kind = support == SupportRule::regular ? RelationKind::regular : RelationKind::forward;
  const RelatedSupport related = session.relate(kind, x.support(), geometry, nullptr, "pool3d");
  return {related.output, session.backend().pool(x.features(), *related.relation, mode)};
}

SparseTensor pool_transpose3d(Session& session, const SparseTensor& x, const ConvGeometry& geometry,
                              const Support& target) {
  const RelationKind kind = target != nullptr ? RelationKind::target_transposed : RelationKind::transposed;
  const RelatedSupport related = session.relate(kind, x.support(), geometry, target, "pool_transpose3d");
  return {related.output, session.backend().pool(x.features(), *related.relation, PoolMode::average)};
}

SparseTensor trilinear_upsample3d(Session& session, const SparseTensor& x, const Triple& stride,
                                  const Support& target) {
  constexpr std::string_view kOperation = "trilinear_upsample3d";
  const ConvGeometry geometry = trilinear_geometry(stride);
  const RelationKind kind = target != nullptr ? RelationKind::target_transposed : RelationKind::transposed;
  const RelatedSupport related = session.relate(kind, x.support(), geometry, target, kOperation);
  return {related.output, session.backend().upsample(x.features(), *related.relation, stride)};
}

ConvGeometry trilinear_geometry(const Triple& stride) {
  constexpr std::string_view kOperation = "trilinear_upsample3d";
  // Checked here, as 2*stride - 1 must not overflow; a geometry of stride alone knows every rule.
  const Triple r = ConvGeometry({.kernel_size = 1, .stride = stride}, kOperation).stride();
  return ConvGeometry({.kernel_size = {2 * r.x - 1, 2 * r.y - 1, 2 * r.z - 1},
                       .stride = stride,
                       .padding = {r.x - 1, r.y - 1, r.z - 1}},
                      kOperation);
}

Tensor global_pool(Session& session, const SparseTensor& x, PoolMode mode, std::optional<int64_t> batches) {
  if (batches && *batches < 0) {
    fail(ErrorCode::invalid_argument,
         "global_pool: batches {} must be at least 0; leave it out to take the largest batch + 1", *batches);
  }
  if (batches && *batches > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::out_of_range, "global_pool: batches {} must be at most 2^31 - 1; batch numbers are int32",
         *batches);
  }
  return session.backend().global_pool(x.features(), *x.support(), mode, batches.value_or(x.support()->batches()));
}

}  // namespace lattice

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

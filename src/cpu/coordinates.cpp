#include "coord_index.h"
#include "cpu/cpu_backend.h"
#include "cpu/output_coords.h"
#include "cpu/relation.h"
#include "fail.h"

namespace lattice::cpu {

NumberedCoords CpuBackend::output_coords(RelationKind kind, const CoordSet& source, const ConvGeometry& geometry,
                                         const std::optional<Triple>& extent, std::string_view operation) {
  switch (kind) {
    case RelationKind::forward:
      return forward_coords(source, geometry);
    case RelationKind::regular:
      return regular_coords(source, geometry, extent, operation);
    case RelationKind::transposed:
      return transposed_coords(source, geometry, !geometry.taps_never_meet(), operation);
    case RelationKind::generative:
      return transposed_coords(source, geometry, false, operation);
    default:
      break;
  }
  fail(ErrorCode::invalid_argument, "{}: a {} relation derives no coordinates of its own", operation, name(kind));
}

std::shared_ptr<const Relation> CpuBackend::relate(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                                   const ConvGeometry& geometry, const Relation* inverse) {
  return build_relation(kind, source, target, geometry, dynamic_cast<const TiledRelation*>(inverse), kernels_,
                        workers_);
}

JoinedRows CpuBackend::join(const CoordSet& lhs, const CoordSet& rhs, Join join) {
  JoinedRows rows;
  const auto find = [](const CoordSet& set, const Coord& c) { return set.index().find(c.batch, c.x, c.y, c.z); };
  const auto push = [&rows](const Coord& coord, int32_t lhs_row, int32_t rhs_row) {
    rows.coords.push_back(coord);
    rows.lhs_row.push_back(lhs_row);
    rows.rhs_row.push_back(rhs_row);
  };
  if (join != Join::right) {
    for (int32_t row = 0; row < lhs.rows(); ++row) {
      const Coord& c = lhs.coords()[static_cast<size_t>(row)];
      const int32_t other = find(rhs, c);
      if (other >= 0 || join != Join::inner) push(c, row, other);
    }
  }
  if (join == Join::right || join == Join::outer) {
    for (int32_t row = 0; row < rhs.rows(); ++row) {
      const Coord& c = rhs.coords()[static_cast<size_t>(row)];
      const int32_t other = find(lhs, c);
      if (other < 0 || join == Join::right) push(c, other, row);
    }
  }
  if (rows.coords.size() > static_cast<size_t>(CoordSet::kMostRows)) {
    fail(ErrorCode::out_of_range, "join: {} rows; a set holds at most 2^31 - 1", rows.coords.size());
  }
  return rows;
}

}  // namespace lattice::cpu

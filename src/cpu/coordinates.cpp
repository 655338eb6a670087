#include <limits>

#include "coord_index.h"
#include "cpu/cpu_backend.h"
#include "cpu/relation.h"
#include "fail.h"

namespace lattice::cpu {
namespace {

int32_t narrow(int64_t value, int64_t row, const Coord& from, std::string_view operation) {
  if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::out_of_range,
         "{}: input row {} at {} leads to the output coordinate {}, which does not fit int32; subtract an origin first",
         operation, row, to_string(from), value);
  }
  return static_cast<int32_t>(value);
}

std::vector<Coord> forward_coords(const CoordSet& source, const ConvGeometry& geometry) {
  const std::span<const Coord> coords = source.coords();
  if (geometry.has_unit_stride() && geometry.padding() == Triple(0)) return {coords.begin(), coords.end()};
  const Triple& stride = geometry.stride();
  DistinctCoords coarse(source.rows());
  for (const Coord& c : coords) {
    coarse.add({c.batch, static_cast<int32_t>(floor_divide(c.x, stride.x)),
                static_cast<int32_t>(floor_divide(c.y, stride.y)), static_cast<int32_t>(floor_divide(c.z, stride.z))});
  }
  return coarse.take();
}

std::vector<Coord> regular_coords(const CoordSet& source, const ConvGeometry& geometry,
                                  const std::optional<Triple>& extent, std::string_view operation) {
  const Triple& stride = geometry.stride();
  const Triple& padding = geometry.padding();
  DistinctCoords outputs(source.rows());
  int64_t row = -1;
  for (const Coord& c : source.coords()) {
    ++row;
    for (int64_t tap = 0; tap < geometry.taps(); ++tap) {
      const Triple offset = geometry.indexed_offset(tap);
      const Triple reached = {c.x + padding.x - offset.x, c.y + padding.y - offset.y, c.z + padding.z - offset.z};
      if (reached.x % stride.x != 0 || reached.y % stride.y != 0 || reached.z % stride.z != 0) continue;
      const Triple o = {reached.x / stride.x, reached.y / stride.y, reached.z / stride.z};
      if (extent && (o.x < 0 || o.x >= extent->x || o.y < 0 || o.y >= extent->y || o.z < 0 || o.z >= extent->z))
        continue;
      outputs.add(
          {c.batch, narrow(o.x, row, c, operation), narrow(o.y, row, c, operation), narrow(o.z, row, c, operation)});
    }
  }
  return outputs.take();
}

std::vector<Coord> transposed_coords(const CoordSet& source, const ConvGeometry& geometry, bool merge,
                                     std::string_view operation) {
  const Triple& stride = geometry.stride();
  const Triple& padding = geometry.padding();
  std::vector<Coord> rows;
  if (!merge) rows.reserve(static_cast<size_t>(source.rows() * geometry.taps()));
  DistinctCoords merged(merge ? source.rows() * geometry.taps() : 0);
  int64_t row = -1;
  for (const Coord& c : source.coords()) {
    ++row;
    for (int64_t tap = 0; tap < geometry.taps(); ++tap) {
      const Triple offset = geometry.indexed_offset(tap);
      const Coord o = {c.batch, narrow(c.x * stride.x + offset.x - padding.x, row, c, operation),
                       narrow(c.y * stride.y + offset.y - padding.y, row, c, operation),
                       narrow(c.z * stride.z + offset.z - padding.z, row, c, operation)};
      if (merge) {
        merged.add(o);
      } else {
        rows.push_back(o);
      }
    }
  }
  return merge ? merged.take() : std::move(rows);
}

}  // namespace

std::vector<Coord> CpuBackend::output_coords(RelationKind kind, const CoordSet& source, const ConvGeometry& geometry,
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

std::unique_ptr<const Relation> CpuBackend::relate(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                                   const ConvGeometry& geometry) {
  return build_relation(kind, source, target, geometry, workers_);
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
  if (rows.coords.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    fail(ErrorCode::out_of_range, "join: {} rows; a set holds at most 2^31 - 1", rows.coords.size());
  }
  return rows;
}

}  // namespace lattice::cpu

#include <limits>

#include "coord_index.h"
#include "cpu/cpu_backend.h"
#include "cpu/divider.h"
#include "cpu/relation.h"
#include "distinct_coords.h"
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
  const Divider by_x(geometry.stride().x), by_y(geometry.stride().y), by_z(geometry.stride().z);
  DistinctBlocks coarse(source.rows());
  for (const Coord& c : coords) {
    coarse.add({c.batch, static_cast<int32_t>(by_x.floor(c.x)), static_cast<int32_t>(by_y.floor(c.y)),
                static_cast<int32_t>(by_z.floor(c.z))});
  }
  return coarse.take();
}

/// Which outputs an input reaches along one axis, by tap: o = (i + padding - offset) / stride where that divides.
class ReachedOutputs {
 public:
  ReachedOutputs(int64_t size, int64_t stride, int64_t padding, int64_t dilation, std::optional<int64_t> extent)
      : size_(size), padding_(padding), dilation_(dilation), extent_(extent), divide_(stride) {}

  std::span<const int64_t> from(int64_t input) {
    if (input == last_input_ && !first_) return outputs_;  // neighbours often share an axis
    first_ = false;
    last_input_ = input;
    outputs_.clear();
    for (int64_t i = 0; i < size_; ++i) {
      int64_t output = 0;
      if (!divide_.divides(input + padding_ - i * dilation_, output)) continue;
      if (!extent_ || (output >= 0 && output < *extent_)) outputs_.push_back(output);
    }
    return outputs_;
  }

 private:
  int64_t size_, padding_, dilation_;
  std::optional<int64_t> extent_;
  Divider divide_;
  std::vector<int64_t> outputs_;
  int64_t last_input_ = 0;
  bool first_ = true;
};

std::vector<Coord> regular_coords(const CoordSet& source, const ConvGeometry& geometry,
                                  const std::optional<Triple>& extent, std::string_view operation) {
  const auto& [size, stride, padding, dilation] = geometry.options();
  const auto along = [&](int64_t Triple::*axis) {
    return ReachedOutputs(size.*axis, stride.*axis, padding.*axis, dilation.*axis,
                          extent ? std::optional((*extent).*axis) : std::nullopt);
  };
  ReachedOutputs along_x = along(&Triple::x), along_y = along(&Triple::y), along_z = along(&Triple::z);
  DistinctBlocks outputs(source.rows());
  int64_t row = -1;
  for (const Coord& c : source.coords()) {
    ++row;
    const std::span<const int64_t> xs = along_x.from(c.x), ys = along_y.from(c.y), zs = along_z.from(c.z);
    for (const int64_t x : xs) {
      for (const int64_t y : ys) {
        for (const int64_t z : zs) {
          outputs.add({c.batch, narrow(x, row, c, operation), narrow(y, row, c, operation),
                       narrow(z, row, c, operation)});
        }
      }
    }
  }
  return outputs.take();
}

std::vector<Coord> transposed_coords(const CoordSet& source, const ConvGeometry& geometry, bool merge,
                                     std::string_view operation) {
  const auto& [size, stride, padding, dilation] = geometry.options();
  std::vector<Coord> rows;
  if (!merge) rows.reserve(static_cast<size_t>(source.rows() * geometry.taps()));
  DistinctBlocks merged(merge ? source.rows() * geometry.taps() : 0);
  int64_t row = -1;
  for (const Coord& c : source.coords()) {
    ++row;
    for (int64_t ix = 0; ix < size.x; ++ix) {
      for (int64_t iy = 0; iy < size.y; ++iy) {
        for (int64_t iz = 0; iz < size.z; ++iz) {
          const Coord o = {c.batch, narrow(c.x * stride.x + ix * dilation.x - padding.x, row, c, operation),
                           narrow(c.y * stride.y + iy * dilation.y - padding.y, row, c, operation),
                           narrow(c.z * stride.z + iz * dilation.z - padding.z, row, c, operation)};
          if (merge) {
            merged.add(o);
          } else {
            rows.push_back(o);
          }
        }
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

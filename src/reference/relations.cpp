#include <algorithm>
#include <limits>

#include "fail.h"
#include "reference/reference.h"

namespace lattice {
namespace {

Triple place(const Coord& coord) {
  return {coord.x, coord.y, coord.z};
}
Triple plus(const Triple& a, const Triple& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
Triple minus(const Triple& a, const Triple& b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
Triple times(const Triple& a, const Triple& b) {
  return {a.x * b.x, a.y * b.y, a.z * b.z};
}

/// a / b, where that divides exactly on every axis.
std::optional<Triple> exact_quotient(const Triple& a, const Triple& b) {
  if (a.x % b.x != 0 || a.y % b.y != 0 || a.z % b.z != 0) return std::nullopt;
  return Triple(a.x / b.x, a.y / b.y, a.z / b.z);
}

bool inside(const Triple& at_place, const Triple& extent) {
  return at_place.x >= 0 && at_place.x < extent.x && at_place.y >= 0 && at_place.y < extent.y && at_place.z >= 0 &&
         at_place.z < extent.z;
}

void check_row_count(int64_t rows, std::string_view operation) {
  if (rows > CoordSet::kMostRows) {
    fail(ErrorCode::out_of_range,
         "{}: the output has {} rows, but at most 2^31 - 1 can be numbered; use a smaller input", operation, rows);
  }
}

/// Output coordinates as they are found, in order.
class OutputRows {
 public:
  explicit OutputRows(std::string_view operation) : operation_(operation) {}

  /// A row of its own, whether or not its coordinate was seen before.
  void append(int32_t batch, const Triple& output) { coords_.push_back(checked(batch, output)); }

  /// A row where the coordinate is new.
  void merge(int32_t batch, const Triple& output) {
    const Coord coord = checked(batch, output);
    if (!seen_.insert(coord, row())) return;
    check_row_count(row() + 1, operation_);
    coords_.push_back(coord);
  }

  PooledVector<Coord> take() { return std::move(coords_); }

 private:
  int64_t row() const { return static_cast<int64_t>(coords_.size()); }

  Coord checked(int32_t batch, const Triple& output) const {
    const std::optional<Coord> coord = narrowed(batch, output);
    if (!coord) {
      fail(ErrorCode::out_of_range,
           "{}: output row {} would lie at {} in batch {}, but coordinates are int32; move the input towards zero",
           operation_, row(), to_string(output), batch);
    }
    return *coord;
  }

  std::string_view operation_;
  PooledVector<Coord> coords_;
  FirstRows seen_;
};

PooledVector<Coord> forward_coords(const CoordSet& source, const ConvGeometry& geometry, std::string_view operation) {
  if (geometry.has_unit_stride() && geometry.padding() == Triple(0)) {
    return {source.coords().begin(), source.coords().end()};
  }
  const Triple& stride = geometry.stride();
  OutputRows outputs(operation);
  for (const Coord& c : source.coords()) {
    outputs.merge(c.batch, {floor_divide(c.x, stride.x), floor_divide(c.y, stride.y), floor_divide(c.z, stride.z)});
  }
  return outputs.take();
}

PooledVector<Coord> regular_coords(const CoordSet& source, const ConvGeometry& geometry,
                                   const std::optional<Triple>& extent, std::string_view operation) {
  OutputRows outputs(operation);
  for (const Coord& input : source.coords()) {
    for (int64_t tap = 0; tap < geometry.taps(); ++tap) {
      const Triple reached = minus(plus(place(input), geometry.padding()), geometry.indexed_offset(tap));
      const std::optional<Triple> output = exact_quotient(reached, geometry.stride());
      if (!output || (extent && !inside(*output, *extent))) continue;
      outputs.merge(input.batch, *output);
    }
  }
  return outputs.take();
}

/// input*stride + offset - padding. A generative convolution has no padding.
Triple transposed_place(const Coord& input, int64_t tap, const ConvGeometry& geometry) {
  const Triple corner = minus(times(place(input), geometry.stride()), geometry.padding());
  return plus(corner, geometry.indexed_offset(tap));
}

/// Whether output row = input row * taps + tap.
bool keeps_every_row(RelationKind kind, const ConvGeometry& geometry) {
  return kind == RelationKind::generative || geometry.taps_never_meet();
}

PooledVector<Coord> transposed_coords(RelationKind kind, const CoordSet& source, const ConvGeometry& geometry,
                                      std::string_view operation) {
  const bool keep = keeps_every_row(kind, geometry);
  if (keep) check_row_count(source.rows() * geometry.taps(), operation);
  OutputRows outputs(operation);
  for (const Coord& input : source.coords()) {
    for (int64_t tap = 0; tap < geometry.taps(); ++tap) {
      const Triple output = transposed_place(input, tap, geometry);
      if (keep) {
        outputs.append(input.batch, output);
      } else {
        outputs.merge(input.batch, output);
      }
    }
  }
  return outputs.take();
}

Edge edge(int64_t output, int64_t tap, int64_t input) {
  return {static_cast<int32_t>(output), static_cast<int32_t>(tap), static_cast<int32_t>(input)};
}

/// Each output reads the input at output*stride + offset - padding.
std::vector<Edge> gathered_edges(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                 const ConvGeometry& geometry) {
  const FirstRows inputs(source.coords());
  std::vector<Edge> edges;
  for (int64_t row = 0; row < target.rows(); ++row) {
    const Coord& output = target.coords()[at(row)];
    const Triple corner = minus(times(place(output), geometry.stride()), geometry.padding());
    for (int64_t tap = 0; tap < geometry.taps(); ++tap) {
      const Triple offset =
          kind == RelationKind::regular ? geometry.indexed_offset(tap) : geometry.centered_offset(tap);
      const std::optional<int32_t> input = inputs.find(narrowed(output.batch, plus(corner, offset)));
      if (input) edges.push_back(edge(row, tap, *input));
    }
  }
  return edges;
}

/// Each input writes to the output at input*stride + offset - padding; every duplicate does.
std::vector<Edge> scattered_edges(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                  const ConvGeometry& geometry) {
  const bool keep = keeps_every_row(kind, geometry);
  const FirstRows outputs = keep ? FirstRows() : FirstRows(target.coords());
  std::vector<Edge> edges;
  for (int64_t row = 0; row < source.rows(); ++row) {
    const Coord& input = source.coords()[at(row)];
    for (int64_t tap = 0; tap < geometry.taps(); ++tap) {
      if (keep) {
        edges.push_back(edge(row * geometry.taps() + tap, tap, row));
        continue;
      }
      const std::optional<int32_t> output = outputs.find(narrowed(input.batch, transposed_place(input, tap, geometry)));
      if (output) edges.push_back(edge(*output, tap, row));
    }
  }
  return edges;
}

/// Each output reads the input at (output + padding - offset) / stride, where that divides exactly.
std::vector<Edge> divided_edges(const CoordSet& source, const CoordSet& target, const ConvGeometry& geometry) {
  const FirstRows inputs(source.coords());
  std::vector<Edge> edges;
  for (int64_t row = 0; row < target.rows(); ++row) {
    const Coord& output = target.coords()[at(row)];
    for (int64_t tap = 0; tap < geometry.taps(); ++tap) {
      const Triple reached = minus(plus(place(output), geometry.padding()), geometry.indexed_offset(tap));
      const std::optional<Triple> from = exact_quotient(reached, geometry.stride());
      if (!from) continue;
      const std::optional<int32_t> input = inputs.find(narrowed(output.batch, *from));
      if (input) edges.push_back(edge(row, tap, *input));
    }
  }
  return edges;
}

std::vector<Edge> pointwise_edges(const CoordSet& source) {
  std::vector<Edge> edges;
  for (int64_t row = 0; row < source.rows(); ++row) edges.push_back(edge(row, 0, row));
  return edges;
}

std::vector<Edge> edges_of(RelationKind kind, const CoordSet& source, const CoordSet& target,
                           const ConvGeometry& geometry) {
  switch (kind) {
    case RelationKind::submanifold:
    case RelationKind::forward:
    case RelationKind::target:
    case RelationKind::regular:
      return gathered_edges(kind, source, target, geometry);
    case RelationKind::transposed:
    case RelationKind::generative:
      return scattered_edges(kind, source, target, geometry);
    case RelationKind::target_transposed:
      return divided_edges(source, target, geometry);
    case RelationKind::pointwise:
      return pointwise_edges(source);
  }
  return {};
}

}  // namespace

size_t CoordHash::operator()(const Coord& coord) const noexcept {
  uint64_t hash = 0;
  for (const int32_t value : {coord.batch, coord.x, coord.y, coord.z}) {
    hash = (hash ^ static_cast<uint32_t>(value)) * 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio
    hash ^= hash >> 32;
  }
  return static_cast<size_t>(hash);
}

FirstRows::FirstRows(std::span<const Coord> coords) {
  rows_.reserve(coords.size());
  for (size_t row = 0; row < coords.size(); ++row) insert(coords[row], static_cast<int64_t>(row));
}

bool FirstRows::insert(const Coord& coord, int64_t row) {
  return rows_.try_emplace(coord, static_cast<int32_t>(row)).second;
}

std::optional<int32_t> FirstRows::find(const Coord& coord) const {
  const auto found = rows_.find(coord);
  if (found == rows_.end()) return std::nullopt;
  return found->second;
}

std::optional<int32_t> FirstRows::find(const std::optional<Coord>& coord) const {
  return coord ? find(*coord) : std::nullopt;
}

std::optional<Coord> narrowed(int32_t batch, const Triple& place) {
  for (const int64_t value : {place.x, place.y, place.z}) {
    if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) return std::nullopt;
  }
  return Coord{batch, static_cast<int32_t>(place.x), static_cast<int32_t>(place.y), static_cast<int32_t>(place.z)};
}

ReferenceRelation::ReferenceRelation(RelationKind kind, int64_t input_rows, int64_t output_rows, int64_t taps,
                                     std::vector<Edge> edges)
    : Relation(kind, input_rows, output_rows, taps), edges_(std::move(edges)) {
  std::sort(edges_.begin(), edges_.end());
}

EdgeList ReferenceRelation::edge_list() const {
  EdgeList list;
  list.output_begin.assign(at(output_rows()) + 1, 0);
  for (const Edge& each : edges_) {
    list.input_row.push_back(each.input);
    list.output_row.push_back(each.output);
    list.tap.push_back(each.tap);
    ++list.output_begin[at(each.output) + 1];
  }
  for (size_t row = 0; row < at(output_rows()); ++row) list.output_begin[row + 1] += list.output_begin[row];
  return list;
}

NumberedCoords ReferenceBackend::output_coords(RelationKind kind, const CoordSet& source, const ConvGeometry& geometry,
                                               const std::optional<Triple>& extent, std::string_view operation) {
  switch (kind) {
    case RelationKind::forward:
      return {forward_coords(source, geometry, operation)};
    case RelationKind::regular:
      return {regular_coords(source, geometry, extent, operation)};
    case RelationKind::transposed:
    case RelationKind::generative:
      return {transposed_coords(kind, source, geometry, operation)};
    default:
      fail(ErrorCode::invalid_argument, "{}: a {} relation derives no coordinates", operation, name(kind));
  }
}

std::shared_ptr<const Relation> ReferenceBackend::relate(RelationKind kind, const CoordSet& source,
                                                         const CoordSet& target, const ConvGeometry& geometry,
                                                         const Relation* /*inverse*/) {
  return std::make_shared<ReferenceRelation>(kind, source.rows(), target.rows(), geometry.taps(),
                                             edges_of(kind, source, target, geometry));
}

JoinedRows ReferenceBackend::join(const CoordSet& lhs, const CoordSet& rhs, Join join) {
  const FirstRows lhs_rows(lhs.coords()), rhs_rows(rhs.coords());
  JoinedRows joined;
  const auto append = [&](const Coord& coord) {
    joined.coords.push_back(coord);
    joined.lhs_row.push_back(lhs_rows.find(coord).value_or(-1));
    joined.rhs_row.push_back(rhs_rows.find(coord).value_or(-1));
  };
  if (join != Join::right) {
    for (int64_t row = 0; row < lhs.rows(); ++row) {
      const Coord& coord = lhs.coords()[at(row)];
      if (join == Join::inner && !rhs_rows.find(coord)) continue;
      append(coord);
      joined.lhs_row.back() = static_cast<int32_t>(row);  // a duplicate brings its own features
    }
  }
  if (join == Join::right || join == Join::outer) {
    int64_t missing = 0;
    for (const Coord& coord : rhs.coords()) missing += lhs_rows.find(coord) ? 0 : 1;
    if (join == Join::outer) check_row_count(lhs.rows() + missing, "join");
    for (int64_t row = 0; row < rhs.rows(); ++row) {
      const Coord& coord = rhs.coords()[at(row)];
      if (join == Join::outer && lhs_rows.find(coord)) continue;
      append(coord);
      joined.rhs_row.back() = static_cast<int32_t>(row);
    }
  }
  return joined;
}

}  // namespace lattice

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

#include "coord_index.h"
#include "cpu/cpu_backend.h"
#include "cpu/divider.h"
#include "cpu/relation.h"
#include "distinct_coords.h"
#include "fail.h"

namespace lattice::cpu {
namespace {

bool fits_int32(int64_t value) {
  return value >= std::numeric_limits<int32_t>::min() && value <= std::numeric_limits<int32_t>::max();
}

int32_t narrow(int64_t value, int64_t row, const Coord& from, std::string_view operation) {
  if (!fits_int32(value)) {
    fail(ErrorCode::out_of_range,
         "{}: input row {} at {} leads to the output coordinate {}, which does not fit int32; subtract an origin first",
         operation, row, to_string(from), value);
  }
  return static_cast<int32_t>(value);
}

PooledVector<Coord> forward_coords(const CoordSet& source, const ConvGeometry& geometry) {
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

/// Outputs that an input reaches along one axis, in the order of taps: first, first + step, and so on.
struct Reached {
  int64_t first;
  int64_t count;
};

/// One axis of a transposed geometry: input*stride + i*dilation - padding.
class TransposedAxis {
 public:
  TransposedAxis(int64_t size, int64_t stride, int64_t padding, int64_t dilation)
      : size_(size), stride_(stride), padding_(padding), dilation_(dilation) {}

  int64_t step() const noexcept { return dilation_; }
  /// Inputs that are so far apart reach the same cells, of blocks that are stride() apart.
  static int64_t period() noexcept { return Block::kSide; }
  int64_t block_step() const noexcept { return stride_; }
  /// Outputs keep to these.
  static std::pair<int64_t, int64_t> range() noexcept {
    return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
  }
  /// Regardless of the range.
  Reached unclipped(int64_t input) const noexcept { return from(input); }
  Reached from(int64_t input) const noexcept { return {input * stride_ - padding_, size_}; }

 private:
  int64_t size_, stride_, padding_, dilation_;
};

/// One axis of a regular geometry: (input + padding - i*dilation) / stride where that divides. The taps for which it
/// does are every (stride / g)th, g = gcd(stride, dilation), and their outputs fall by dilation / g.
class RegularAxis {
 public:
  RegularAxis(int64_t size, int64_t stride, int64_t padding, int64_t dilation, std::optional<int64_t> extent)
      : size_(size), stride_(stride), padding_(padding), dilation_(dilation), extent_(extent), divide_(stride) {
    const int64_t common = std::gcd(stride, dilation);
    tap_step_ = stride / common;
    step_ = dilation / common;
    constexpr int64_t kMostRemainders = 64;
    for (int64_t r = 0; r < std::min(stride, kMostRemainders); ++r) by_remainder_.push_back(first_tap(r));
  }

  int64_t step() const noexcept { return -step_; }
  int64_t period() const noexcept { return stride_ * Block::kSide; }
  static int64_t block_step() noexcept { return 1; }
  std::pair<int64_t, int64_t> range() const noexcept {
    if (extent_) return {0, *extent_ - 1};
    return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
  }
  Reached unclipped(int64_t input) const noexcept {
    const int64_t quotient = divide_.floor(input + padding_);
    const int64_t remainder = input + padding_ - quotient * stride_;
    const auto known = static_cast<size_t>(remainder);
    Reached reached = known < by_remainder_.size() ? by_remainder_[known] : first_tap(remainder);
    reached.first += quotient;
    return reached;
  }
  Reached from(int64_t input) const noexcept {
    Reached reached = unclipped(input);
    if (extent_) {
      while (reached.count > 0 && reached.first >= *extent_) {
        reached.first -= step_;
        --reached.count;
      }
      while (reached.count > 0 && reached.first - (reached.count - 1) * step_ < 0) --reached.count;
    }
    return reached;
  }

 private:
  /// What the input + padding = `remainder` reaches.
  Reached first_tap(int64_t remainder) const noexcept {
    for (int64_t i = 0; i < std::min(size_, tap_step_); ++i) {
      int64_t output = 0;
      if (divide_.divides(remainder - i * dilation_, output)) return {output, (size_ - 1 - i) / tap_step_ + 1};
    }
    return {0, 0};
  }

  int64_t size_, stride_, padding_, dilation_;
  std::optional<int64_t> extent_;
  Divider divide_;
  int64_t tap_step_ = 1, step_ = 1;
  PooledVector<Reached> by_remainder_;
};

template <typename Axis>
using Axes = std::array<Axis, 3>;  // x, y, z

/// The cells of a block with a given place on an axis.
uint64_t plane(size_t axis, int64_t output) {
  constexpr std::array<uint64_t, 3> kPlanesAtZero = {0xFFFF, 0x000F000F000F000F, 0x1111111111111111};
  return kPlanesAtZero[axis] << ((output & (Block::kSide - 1)) << (4 - 2 * axis));
}

/// The blocks that hold what an input reaches along one axis, and which of their cells those are as far as this axis
/// goes.
class ReachedBlocks {
 public:
  struct Part {
    int64_t block;
    uint64_t cells;
  };

  /// How many outputs there may be.
  static constexpr int64_t kMost = 16;

  explicit ReachedBlocks(size_t axis) : axis_(axis) {}

  void set(const Reached& reached, int64_t step) {
    count_ = 0;
    for (int64_t i = 0, output = reached.first; i < reached.count; ++i, output += step) {
      if (count_ == 0 || parts_[count_ - 1].block != Block::of(output)) parts_[count_++] = {Block::of(output), 0};
      parts_[count_ - 1].cells |= plane(axis_, output);
      part_of_[static_cast<size_t>(i)] = static_cast<uint8_t>(count_ - 1);
    }
  }
  std::span<const Part> parts() const noexcept { return {parts_.data(), count_}; }
  /// The part that holds output i.
  size_t part_of(int64_t i) const noexcept { return part_of_[static_cast<size_t>(i)]; }

 private:
  size_t axis_;
  size_t count_ = 0;
  std::array<Part, kMost> parts_;
  std::array<uint8_t, kMost> part_of_;
};

/// The same from a table, for inputs that keep to one block and to the range.
class OneBlock {
 public:
  template <typename Axis>
  OneBlock(const Axis& along, size_t axis) : divide_(along.period()), block_step_(along.block_step()) {
    std::tie(lowest_, highest_) = along.range();
    const int64_t period = along.period();
    if (period > kMostEntries) return;
    for (int64_t input = 0; input < period; ++input) {
      const Reached reached = along.unclipped(input);
      const int64_t last = reached.first + (reached.count - 1) * along.step();
      Entry& entry = entries_.emplace_back();
      entry.low = std::min(reached.first, last);
      entry.high = std::max(reached.first, last);
      entry.usable = reached.count > 0 && Block::of(entry.low) == Block::of(entry.high);
      for (int64_t i = 0; i < reached.count; ++i) entry.cells |= plane(axis, reached.first + i * along.step());
    }
  }

  /// Whether the table knows what the input reaches; then its block, and the cells there.
  bool find(int64_t input, int64_t& block, uint64_t& cells) const noexcept {
    if (entries_.empty()) return false;
    const int64_t period = divide_.floor(input);
    const Entry& entry = entries_[static_cast<size_t>(input - period * static_cast<int64_t>(entries_.size()))];
    const int64_t shift = period * block_step_ * Block::kSide;
    block = Block::of(entry.low + shift);
    cells &= entry.cells;
    return entry.usable && entry.low + shift >= lowest_ && entry.high + shift <= highest_;
  }

 private:
  static constexpr int64_t kMostEntries = 256;

  struct Entry {
    int64_t low = 0, high = 0;  // outputs of the input in the period that starts at 0
    uint64_t cells = 0;
    bool usable = false;
  };

  Divider divide_;
  int64_t block_step_;
  int64_t lowest_ = 0, highest_ = 0;
  PooledVector<Entry> entries_;
};

/// The outputs that the inputs reach, each once, by input and then by tap. Most of what a scan's inputs reach is there
/// already, which is seen for all the outputs in a block at once.
template <typename Axis>
PooledVector<Coord> merged_coords(const CoordSet& source, int64_t expected, const Axes<Axis>& axes,
                                  std::string_view operation) {
  DistinctBlocks merged(expected);
  ReachedBlocks blocks_x(0), blocks_y(1), blocks_z(2);
  const OneBlock block_x(axes[0], 0), block_y(axes[1], 1), block_z(axes[2], 2);
  PooledVector<DistinctBlocks::Slot> slots;
  int64_t row = -1;
  for (const Coord& c : source.coords()) {
    ++row;
    const auto for_outputs = [&](const Reached& xs, const Reached& ys, const Reached& zs, const auto& visit) {
      for (int64_t ix = 0, x = xs.first; ix < xs.count; ++ix, x += axes[0].step()) {
        for (int64_t iy = 0, y = ys.first; iy < ys.count; ++iy, y += axes[1].step()) {
          for (int64_t iz = 0, z = zs.first; iz < zs.count; ++iz, z += axes[2].step()) visit(x, y, z, ix, iy, iz);
        }
      }
    };
    // Mostly one block holds all that an input reaches, and has much of it already.
    int64_t x_block = 0, y_block = 0, z_block = 0;
    uint64_t cells = ~uint64_t{0};
    if (block_x.find(c.x, x_block, cells) && block_y.find(c.y, y_block, cells) && block_z.find(c.z, z_block, cells)) {
      merged.reserve(1);
      const DistinctBlocks::Slot slot = merged.find(
          {c.batch, static_cast<int32_t>(x_block), static_cast<int32_t>(y_block), static_cast<int32_t>(z_block)});
      merged.add(slot, merged.missing(slot, cells), axes[0].step() < 0);
      continue;
    }
    const Reached xs = axes[0].from(c.x), ys = axes[1].from(c.y), zs = axes[2].from(c.z);
    const auto output = [&](int64_t x, int64_t y, int64_t z) {
      return Coord{c.batch, narrow(x, row, c, operation), narrow(y, row, c, operation), narrow(z, row, c, operation)};
    };
    if (std::max({xs.count, ys.count, zs.count}) > ReachedBlocks::kMost) {
      for_outputs(xs, ys, zs,
                  [&](int64_t x, int64_t y, int64_t z, int64_t, int64_t, int64_t) { merged.add(output(x, y, z)); });
      continue;
    }
    const auto inside = [](const Reached& reached, int64_t step) {
      return fits_int32(reached.first) && fits_int32(reached.first + (reached.count - 1) * step);
    };
    const bool all_inside = inside(xs, axes[0].step()) && inside(ys, axes[1].step()) && inside(zs, axes[2].step());
    blocks_x.set(xs, axes[0].step());
    blocks_y.set(ys, axes[1].step());
    blocks_z.set(zs, axes[2].step());
    slots.clear();
    merged.reserve(blocks_x.parts().size() * blocks_y.parts().size() * blocks_z.parts().size());
    uint64_t missing = 0;
    for (const auto& x : blocks_x.parts()) {
      for (const auto& y : blocks_y.parts()) {
        for (const auto& z : blocks_z.parts()) {
          // What lies outside int32 is found out below.
          slots.push_back(merged.find(
              {c.batch, static_cast<int32_t>(x.block), static_cast<int32_t>(y.block), static_cast<int32_t>(z.block)}));
          missing |= merged.missing(slots.back(), x.cells & y.cells & z.cells);
        }
      }
    }
    if (missing == 0 && all_inside) continue;
    for_outputs(xs, ys, zs, [&](int64_t x, int64_t y, int64_t z, int64_t ix, int64_t iy, int64_t iz) {
      const size_t column = blocks_x.part_of(ix) * blocks_y.parts().size() + blocks_y.part_of(iy);
      merged.add(slots[column * blocks_z.parts().size() + blocks_z.part_of(iz)], Block::cell(x, y, z), output(x, y, z));
    });
  }
  return merged.take();
}

PooledVector<Coord> regular_coords(const CoordSet& source, const ConvGeometry& geometry,
                                   const std::optional<Triple>& extent, std::string_view operation) {
  const auto along = [&](int64_t Triple::*axis) {
    const auto& [size, stride, padding, dilation] = geometry.options();
    return RegularAxis(size.*axis, stride.*axis, padding.*axis, dilation.*axis,
                       extent ? std::optional((*extent).*axis) : std::nullopt);
  };
  return merged_coords(source, source.rows(),
                       Axes<RegularAxis>{along(&Triple::x), along(&Triple::y), along(&Triple::z)}, operation);
}

PooledVector<Coord> transposed_coords(const CoordSet& source, const ConvGeometry& geometry, bool merge,
                                      std::string_view operation) {
  const auto along = [&](int64_t Triple::*axis) {
    const auto& [size, stride, padding, dilation] = geometry.options();
    return TransposedAxis(size.*axis, stride.*axis, padding.*axis, dilation.*axis);
  };
  const Axes<TransposedAxis> axes = {along(&Triple::x), along(&Triple::y), along(&Triple::z)};
  if (merge) return merged_coords(source, source.rows() * geometry.taps() / 2, axes, operation);
  PooledVector<Coord> rows;
  rows.reserve(static_cast<size_t>(source.rows() * geometry.taps()));
  int64_t row = -1;
  for (const Coord& c : source.coords()) {
    ++row;
    const Reached xs = axes[0].from(c.x), ys = axes[1].from(c.y), zs = axes[2].from(c.z);
    for (int64_t ix = 0, x = xs.first; ix < xs.count; ++ix, x += axes[0].step()) {
      for (int64_t iy = 0, y = ys.first; iy < ys.count; ++iy, y += axes[1].step()) {
        for (int64_t iz = 0, z = zs.first; iz < zs.count; ++iz, z += axes[2].step()) {
          rows.push_back(
              {c.batch, narrow(x, row, c, operation), narrow(y, row, c, operation), narrow(z, row, c, operation)});
        }
      }
    }
  }
  return rows;
}

}  // namespace

PooledVector<Coord> CpuBackend::output_coords(RelationKind kind, const CoordSet& source, const ConvGeometry& geometry,
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
  return build_relation(kind, source, target, geometry, dynamic_cast<const TiledRelation*>(inverse), workers_);
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

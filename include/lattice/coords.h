#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lattice/memory_pool.h"
#include "lattice/tensor.h"

namespace lattice {

/// Three numbers, one an axis; made from one number where all three are equal: `Triple(3)`, `Triple(1, 3, 5)`.
struct Triple {
  int64_t x = 0, y = 0, z = 0;

  constexpr Triple() = default;
  constexpr Triple(int64_t all) : x(all), y(all), z(all) {}  // NOLINT: implicit, so that `.kernel_size = 3` reads well
  constexpr Triple(int64_t x_size, int64_t y_size, int64_t z_size) : x(x_size), y(y_size), z(z_size) {}

  constexpr bool operator==(const Triple&) const = default;
};

/// "(1, 3, 5)", for messages.
std::string to_string(const Triple& triple);

/// A voxel: its batch (>= 0) and its place on the lattice, in steps of the coordinate set's stride.
struct Coord {
  int32_t batch = 0, x = 0, y = 0, z = 0;

  constexpr bool operator==(const Coord&) const = default;
  constexpr auto operator<=>(const Coord&) const = default;  // lexicographic: batch, x, y, z
};
static_assert(sizeof(Coord) == 16);

std::string to_string(const Coord& coord);

/// Whether 0 <= c < extent on every axis.
constexpr bool lies_inside(const Coord& c, const Triple& extent) noexcept {
  return c.x >= 0 && c.x < extent.x && c.y >= 0 && c.y < extent.y && c.z >= 0 && c.z < extent.z;
}

class CoordIndex;
class CoordSet;
struct BlockNumbers;
struct CoordBounds;
struct NumberedCoords;

/// Coordinate sets are immutable and shared; two tensors live on the same support where their pointers are equal.
using Support = std::shared_ptr<const CoordSet>;

/// The rows of a sparse tensor, in order: row i sits at `coords()[i]`.
///
/// With stride (sx, sy, sz) the voxel (x, y, z) covers the cells x*sx .. x*sx + sx-1 (and so on) of the input lattice.
/// Duplicates are legal: a look-up finds the first row that holds a coordinate. A set may carry an `extent`, the grid's
/// three sizes in its own steps; then 0 <= x < extent on every axis. Without one the grid is unbounded.
///
/// Thread safety: a set never changes after it was made; what it finds out lazily (its index) is guarded.
class CoordSet {
  struct Key {};  // which only make() has

 public:
  /// The most that a set holds, as rows are numbered in int32.
  static constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();

  /// Throws invalid_argument (a negative batch; a coordinate outside the extent: names the first such row; stride or
  /// extent not positive) and out_of_range (more than kMostRows; a product of strides beyond 2^31 - 1).
  static Support make(PooledVector<Coord> coords, Triple stride = 1, std::optional<Triple> extent = std::nullopt);
  /// From a copy of another vector.
  template <typename Allocator>
  static Support make(const std::vector<Coord, Allocator>& coords, Triple stride = 1,
                      std::optional<Triple> extent = std::nullopt) {
    return make(PooledVector<Coord>(coords.begin(), coords.end()), stride, extent);
  }
  /// From an (N, 4) tensor of int32 or int64, columns batch, x, y, z. An int64 value outside int32 is out_of_range.
  static Support make(const Tensor& coords, Triple stride = 1, std::optional<Triple> extent = std::nullopt);

  /// From coordinates of which more is known already (see src/block_numbers.h): the index starts from that.
  static Support make(NumberedCoords coords, Triple stride = 1, std::optional<Triple> extent = std::nullopt);

  CoordSet(Key, PooledVector<Coord> coords, const CoordBounds& bounds, Triple stride, std::optional<Triple> extent);
  CoordSet(const CoordSet&) = delete;
  CoordSet& operator=(const CoordSet&) = delete;

  int64_t rows() const noexcept { return static_cast<int64_t>(coords_.size()); }
  std::span<const Coord> coords() const noexcept { return coords_; }
  const Triple& stride() const noexcept { return stride_; }
  const std::optional<Triple>& extent() const noexcept { return extent_; }
  /// A number that no other set of this process has, and that is never used again.
  uint64_t id() const noexcept { return id_; }
  /// Largest batch + 1; 0 for an empty set.
  int64_t batches() const noexcept { return coords_.empty() ? 0 : int64_t{high_.batch} + 1; }
  /// Whether two rows hold the same coordinate. Makes the index on first use.
  bool has_duplicates() const;
  /// The coordinates as an (N, 4) int32 tensor, in row order.
  Tensor tensor() const;
  /// What relations of the set start from, made on first use and kept (see src/coord_index.h).
  const CoordIndex& index() const;

 private:
  PooledVector<Coord> coords_;
  Triple stride_;
  std::optional<Triple> extent_;
  Coord low_, high_;  // see CoordBounds
  uint64_t id_;
  mutable std::once_flag index_once_;
  mutable std::shared_ptr<BlockNumbers> known_;  // for the index; null without, and afterwards
  mutable std::shared_ptr<const CoordIndex> index_;
};

}  // namespace lattice

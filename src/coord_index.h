#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "lattice/coords.h"

namespace lattice {

/// How the coordinates of one set become integers that sort as the coordinates do (batch, x, y, z): each axis counts
/// from the set's smallest value and takes as many bits as the set's range needs, z lowest.
template <typename Key>
struct KeyFrame {
  Coord lo, hi;  // smallest and largest value an axis; lo > hi for an empty set
  int y_shift = 0, x_shift = 0, batch_shift = 0;

  bool holds_z(int64_t z) const noexcept { return z >= lo.z && z <= hi.z; }
  /// Whether a column (batch, x, y, any z) may hold a row.
  bool holds_column(int64_t batch, int64_t x, int64_t y) const noexcept {
    return batch >= lo.batch && batch <= hi.batch && x >= lo.x && x <= hi.x && y >= lo.y && y <= hi.y;
  }
  /// The key of a column's z; everything must be held by the frame.
  Key key(int64_t batch, int64_t x, int64_t y, int64_t z) const noexcept {
    return static_cast<Key>(batch - lo.batch) << batch_shift | static_cast<Key>(x - lo.x) << x_shift |
           static_cast<Key>(y - lo.y) << y_shift | static_cast<Key>(z - lo.z);
  }
};

/// The sorted keys of a set, with one more that is larger than any at the end, so that a merge needs no bound.
template <typename Key>
struct SortedKeys {
  KeyFrame<Key> frame;
  std::vector<Key> keys;
};

using Key64 = uint64_t;
using Key128 = unsigned __int128;  // coordinates that span nearly all of int32 on every axis need up to 127 bits

/// The sorted order of a coordinate set: what every relation of the set starts from. Made once by a radix sort over the
/// bits that the set's ranges need; rows of equal coordinates stay in row order, so that the first copy comes first.
class CoordIndex {
 public:
  explicit CoordIndex(std::span<const Coord> coords);

  /// Rows in sorted order.
  std::span<const int32_t> order() const noexcept { return order_; }
  bool has_duplicates() const noexcept { return has_duplicates_; }
  const std::variant<SortedKeys<Key64>, SortedKeys<Key128>>& sorted() const noexcept { return sorted_; }

  /// The first row at a place, or -1. Coordinates may lie outside int32.
  int32_t find(int64_t batch, int64_t x, int64_t y, int64_t z) const noexcept;

 private:
  std::variant<SortedKeys<Key64>, SortedKeys<Key128>> sorted_;
  std::vector<int32_t> order_;
  bool has_duplicates_ = false;
};

/// Distinct coordinates in order of first appearance, numbered as they come: an open-addressing hash table of places.
class DistinctCoords {
 public:
  /// `expected`: about how many coordinates will be added, repeated ones too; only for speed.
  explicit DistinctCoords(int64_t expected = 0);

  /// The place of a coordinate: its number among the distinct ones. Throws out_of_range beyond 2^31 - 1 of them.
  int32_t add(const Coord& coord) {
    size_t slot = start(coord);
    for (; table_[slot] >= 0; slot = (slot + 1) & (table_.size() - 1)) {
      if (coords_[static_cast<size_t>(table_[slot])] == coord) return table_[slot];
    }
    return insert(coord, slot);
  }
  /// The distinct coordinates; nothing may be added afterwards.
  std::vector<Coord> take() { return std::move(coords_); }

 private:
  size_t start(const Coord& coord) const noexcept {
    // Odd constants near 2^64 over the golden ratio and over sqrt(2) spread both halves over the upper bits, which
    // choose the slot.
    const uint64_t upper =
        static_cast<uint64_t>(static_cast<uint32_t>(coord.batch)) << 32 | static_cast<uint32_t>(coord.x);
    const uint64_t lower = static_cast<uint64_t>(static_cast<uint32_t>(coord.y)) << 32 | static_cast<uint32_t>(coord.z);
    const uint64_t mixed = upper * 0x9E3779B97F4A7C15 + lower * 0xB504F333F9DE6485;
    return static_cast<size_t>(((mixed ^ mixed >> 29) * 0x9E3779B97F4A7C15) >> shift_);
  }
  int32_t insert(const Coord& coord, size_t slot);
  void resize(int bits);

  std::vector<Coord> coords_;
  std::vector<int32_t> table_;  // places, -1 where free; at most half full
  int shift_ = 0;               // 64 - bits of a slot
};

}  // namespace lattice

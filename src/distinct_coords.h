#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "lattice/coords.h"

namespace lattice {

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
  PooledVector<Coord> take() { return std::move(coords_); }

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

  PooledVector<Coord> coords_;
  PooledVector<int32_t> table_;  // places, -1 where free; at most half full
  int shift_ = 0;                // 64 - bits of a slot
};

/// Which coordinates of many are the same. Distinct ones are numbered in order of first appearance.
struct DistinctRows {
  PooledVector<int32_t> number_of_row;
  PooledVector<int32_t> first_row;  // of each distinct coordinate
  PooledVector<int32_t> repeated;   // the other rows, rising

  /// Of at most 2^31 - 1 coordinates.
  static DistinctRows of(std::span<const Coord> coords);

  PooledVector<Coord> distinct_coords(std::span<const Coord> coords) const;
};

/// Throws out_of_range where `count` coordinates leave no room for another, as a set holds at most 2^31 - 1.
void check_distinct_count(size_t count);

}  // namespace lattice

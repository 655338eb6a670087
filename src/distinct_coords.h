#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "coord_index.h"
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

/// The same where nobody asks for the numbers. One entry serves a whole block of cells, and the coordinates that an
/// input leads to mostly share one: several times quicker than DistinctCoords.
class DistinctBlocks {
 public:
  explicit DistinctBlocks(int64_t expected = 0);

  void add(const Coord& coord) {
    const Key key = {coord.batch, static_cast<int32_t>(Block::of(coord.x)), static_cast<int32_t>(Block::of(coord.y)),
                     static_cast<int32_t>(Block::of(coord.z))};
    if (!(table_[last_].key == key)) last_ = find(key);
    const uint64_t bit = uint64_t{1} << Block::cell(coord.x, coord.y, coord.z);
    if ((table_[last_].cells & bit) == 0) insert(coord, key, bit);
  }
  /// The distinct coordinates; nothing may be added afterwards.
  std::vector<Coord> take() { return std::move(coords_); }

 private:
  using Key = Coord;  // batch, and blocks of x, y, z
  struct Entry {
    Key key = {-1, 0, 0, 0};
    uint64_t cells = 0;  // 0 where free
  };

  /// Where a key stands, or the free entry where it would.
  size_t find(const Key& key) const noexcept {
    const uint64_t mixed = static_cast<uint64_t>(key.x) * 0x9E3779B97F4A7C15 +
                           static_cast<uint64_t>(key.y) * 0xB504F333F9DE6485 +
                           static_cast<uint64_t>(key.z) * 0xD1B54A32D192ED03 + static_cast<uint64_t>(key.batch);
    auto slot = static_cast<size_t>(((mixed ^ mixed >> 29) * 0x9E3779B97F4A7C15) >> shift_);
    while (table_[slot].cells != 0 && !(table_[slot].key == key)) slot = (slot + 1) & (table_.size() - 1);
    return slot;
  }
  void insert(const Coord& coord, const Key& key, uint64_t bit);
  void resize(int bits);

  std::vector<Coord> coords_;
  std::vector<Entry> table_;
  size_t used_ = 0, last_ = 0;
  int shift_ = 0;  // 64 - bits of a slot
};

}  // namespace lattice

#pragma once

#include <bit>
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

  /// Asks memory for what add() will look at first.
  void prefetch(const Coord& coord) const noexcept { __builtin_prefetch(&table_[start(coord)]); }
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

/// The same where nobody asks for the numbers: one entry serves a whole block of cells, so that an input finds once
/// what holds all the outputs it leads to. Several times quicker than DistinctCoords.
class DistinctBlocks {
 public:
  /// The place of an entry; holds until the next reserve().
  using Slot = size_t;

  explicit DistinctBlocks(int64_t expected = 0);

  /// Makes room for so many more blocks.
  void reserve(size_t blocks) {
    if ((used_ + blocks) * 2 > table_.size()) grow(blocks);
  }
  /// The entry of a block, given as batch and blocks of x, y, z; there must be room for it.
  Slot find(const Coord& block) {
    if (table_[last_].block == block) return last_;
    last_ = slot_of(block);
    if (table_[last_].block.batch < 0) {
      table_[last_].block = block;
      ++used_;
    }
    return last_;
  }
  /// Which of the cells are not there yet.
  uint64_t missing(Slot slot, uint64_t cells) const noexcept { return cells & ~table_[slot].cells; }
  /// Adds the coordinate at a cell of an entry's block where it is not there.
  void add(Slot slot, int cell, const Coord& coord) {
    const uint64_t bit = uint64_t{1} << cell;
    if (missing(slot, bit) == 0) return;
    table_[slot].cells |= bit;
    append(coord);
  }
  /// Adds cells of an entry's block that are not there, from the lowest on or, where they fall, from the highest.
  void add(Slot slot, uint64_t missing, bool falling) {
    Entry& entry = table_[slot];
    entry.cells |= missing;
    while (missing != 0) {
      const int cell = falling ? 63 - std::countl_zero(missing) : std::countr_zero(missing);
      missing &= ~(uint64_t{1} << cell);
      append({entry.block.batch, entry.block.x * Block::kSide + (cell >> 4),
              entry.block.y * Block::kSide + (cell >> 2 & 3), entry.block.z * Block::kSide + (cell & 3)});
    }
  }
  void add(const Coord& coord) {
    reserve(1);
    add(find({coord.batch, static_cast<int32_t>(Block::of(coord.x)), static_cast<int32_t>(Block::of(coord.y)),
              static_cast<int32_t>(Block::of(coord.z))}),
        Block::cell(coord.x, coord.y, coord.z), coord);
  }
  /// The distinct coordinates; nothing may be added afterwards.
  PooledVector<Coord> take() { return std::move(coords_); }

 private:
  struct Entry {
    Coord block = {-1, 0, 0, 0};  // a negative batch where free
    uint64_t cells = 0;
  };

  /// Where a block stands, or the free entry where it would.
  size_t slot_of(const Coord& block) const noexcept {
    const uint64_t mixed = static_cast<uint64_t>(block.x) * 0x9E3779B97F4A7C15 +
                           static_cast<uint64_t>(block.y) * 0xB504F333F9DE6485 +
                           static_cast<uint64_t>(block.z) * 0xD1B54A32D192ED03 + static_cast<uint64_t>(block.batch);
    auto slot = static_cast<size_t>(((mixed ^ mixed >> 29) * 0x9E3779B97F4A7C15) >> shift_);
    while (table_[slot].block.batch >= 0 && !(table_[slot].block == block)) slot = (slot + 1) & (table_.size() - 1);
    return slot;
  }
  void append(const Coord& coord);
  void grow(size_t blocks);
  void resize(int bits);

  PooledVector<Coord> coords_;
  PooledVector<Entry> table_;  // at most half full
  size_t used_ = 0, last_ = 0;
  int shift_ = 0;  // 64 - bits of a slot
};

}  // namespace lattice

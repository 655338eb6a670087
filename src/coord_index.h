#pragma once

#include <bit>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "block_lookup.h"
#include "block_numbers.h"
#include "lattice/coords.h"

namespace lattice {

/// A cube of 4x4x4 cells of the lattice, the unit in which coordinate sets are sorted and looked up. Block b of an axis
/// covers the cells 4*b .. 4*b + 3, below zero too; within a block a cell is numbered (x*4 + y)*4 + z.
struct Block {
  static constexpr int kSideBits = 2;
  static constexpr int kSide = 1 << kSideBits;
  static constexpr int kCellBits = 6;
  static constexpr int kCells = 1 << kCellBits;

  static int64_t of(int64_t value) noexcept { return value >> kSideBits; }
  static int cell(int64_t x, int64_t y, int64_t z) noexcept {
    return static_cast<int>((x & 3) << 4 | (y & 3) << 2 | (z & 3));
  }

  uint64_t cells;  // one bit a cell: whether the set holds it
  int32_t z;       // the block's own place in its column
  int32_t first;   // rank of its first place

  bool holds(int cell) const noexcept { return (cells >> cell & 1) != 0; }
  /// The rank of a cell that the set holds.
  int32_t rank(int cell) const noexcept { return first + std::popcount(cells & ((uint64_t{1} << cell) - 1)); }
};

/// Rows by place: by block (batch, x, y, z), then cell; rows of one place in row order, so that the first copy comes
/// first. A position is a place in this order. Nothing is compared for it: blocks are sorted, and within one its bits
/// tell.
struct SortedRows {
  PooledVector<int32_t> order;
  PooledVector<uint8_t> cells;                 // by position: the cell of its coordinate within its block
  PooledVector<int32_t> positions, first_row;  // by rank, only where a coordinate repeats; else a rank is a position

  bool have_duplicates() const noexcept { return !positions.empty(); }
  /// The row of a place's first copy, by rank.
  std::span<const int32_t> first_rows() const noexcept { return have_duplicates() ? first_row : order; }
  /// The position of a place's first copy; at the number of places the number of rows.
  int64_t position(int64_t rank) const noexcept {
    return have_duplicates() ? positions[static_cast<size_t>(rank)] : rank;
  }
};

/// What every relation of a coordinate set starts from: its places, the distinct coordinates, ranked by block and then
/// by cell. Blocks have numbers in their order; one without cells stands behind them, as does one column without
/// blocks.
class CoordIndex {
 public:
  /// Of a set's blocks, and the cells of its rows.
  explicit CoordIndex(BlockNumbers numbers);
  CoordIndex(const CoordIndex&) = delete;
  CoordIndex& operator=(const CoordIndex&) = delete;

  size_t rows() const noexcept { return block_of_row_.size(); }
  bool has_duplicates() const noexcept { return static_cast<size_t>(block_first_.back()) < rows(); }

  /// Blocks that hold something.
  size_t block_count() const noexcept { return block_heights_.size() - 1; }
  Block block(size_t number) const noexcept {
    return {block_cells_[number], block_heights_[number], block_first_[number]};
  }
  /// What blocks consist of, each by number; `first` of the block behind all others is the number of places.
  std::span<const uint64_t> block_cells() const noexcept { return block_cells_; }
  std::span<const int32_t> block_heights() const noexcept { return block_heights_; }
  std::span<const int32_t> block_first() const noexcept { return block_first_; }
  /// The block of each row, and the cell of its coordinate within it, by row.
  std::span<const uint32_t> block_of_row() const noexcept { return block_of_row_; }
  std::span<const uint8_t> cell_of_row() const noexcept { return cell_of_row_; }
  /// The columns that hold something, and the one behind them, whose first block is the one behind all blocks.
  std::span<const BlockColumn> columns() const noexcept { return columns_; }

  /// Made on first use and kept.
  const SortedRows& sorted() const;
  /// Finds blocks by place; made on first use and kept.
  const BlockLookup& lookup() const;
  /// The first row at a place, or -1. Coordinates may lie outside int32.
  int32_t find(int64_t batch, int64_t x, int64_t y, int64_t z) const;

 private:
  void sort(SortedRows& sorted) const;
  void sort_copies(SortedRows& sorted) const;

  PooledVector<uint32_t> block_of_row_;
  PooledVector<uint8_t> cell_of_row_;
  PooledVector<uint64_t> block_cells_;
  PooledVector<int32_t> block_heights_, block_first_;
  PooledVector<BlockColumn> columns_;
  mutable std::once_flag sorted_once_, lookup_once_;
  mutable SortedRows sorted_;
  mutable std::optional<BlockLookup> lookup_;
};

}  // namespace lattice

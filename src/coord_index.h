#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "block_numbers.h"
#include "lattice/coords.h"

namespace lattice {

/// A cube of 4x4x4 cells of the lattice, the unit in which coordinate sets are sorted and looked up. Block b of an axis
/// covers the cells 4*b .. 4*b + 3, below zero too; within a block a cell is numbered (x*4 + y)*4 + z.
struct Block {
  static constexpr int kSide = 4;
  static constexpr int kCellBits = 6;
  static constexpr int kCells = 1 << kCellBits;

  static int64_t of(int64_t value) noexcept { return value >> 2; }
  static int cell(int64_t x, int64_t y, int64_t z) noexcept {
    return static_cast<int>((x & 3) << 4 | (y & 3) << 2 | (z & 3));
  }

  using Rows = uint8_t __attribute__((vector_size(16)));

  uint64_t cells = 0;  // one bit a cell: whether the set holds it
  int32_t z = 0;       // the block's own place in its column
  int32_t first = 0;   // rank of its first place
  Rows rows = {};      // `cells` once more: a byte for each x and y, whose lower four bits are the cells along z

  bool holds(int cell) const noexcept { return (cells >> cell & 1) != 0; }
  /// The rank of a cell that the set holds.
  int32_t rank(int cell) const noexcept { return first + std::popcount(cells & ((uint64_t{1} << cell) - 1)); }
};

/// The blocks above one another at a (batch, x, y), from `first_block` to the next column's.
struct BlockColumn {
  int32_t batch, x, y;
  int32_t first_block;
  /// Where the set's list of heights has this column: z from `low` to `high`, that of z = 0 at `zero` (or it would be).
  struct alignas(16) Heights {
    int32_t low = 0, high = -1, zero = 0;
  } heights = {};
};

/// The sorted order of a coordinate set: what every relation of the set starts from. Places, the distinct coordinates,
/// are ranked by block (batch, x, y, z), then cell; rows stand in that order, rows of one place in row order, so that
/// the first copy comes first. Nothing is compared for it: see BlockNumbers for the blocks; within one, its bits tell.
class CoordIndex {
 public:
  explicit CoordIndex(std::span<const Coord> coords);
  /// The same from what is known already.
  CoordIndex(std::span<const Coord> coords, BlockNumbers numbers);

  /// Rows in sorted order. A position is a place in it.
  std::span<const int32_t> order() const noexcept { return order_; }
  /// The cell of each position's coordinate within its block.
  std::span<const uint8_t> cells() const noexcept { return cells_; }
  bool has_duplicates() const noexcept { return !positions_.empty(); }

  /// The blocks that hold something; one more at the end, whose `first` is the number of places.
  std::span<const Block> blocks() const noexcept { return blocks_; }
  /// The block of each row, by row.
  std::span<const uint32_t> block_of_row() const noexcept { return block_of_row_; }
  /// The cells of each block, and the rank of its first place, once more, each beside one another.
  std::span<const uint64_t> block_cells() const noexcept { return block_cells_; }
  std::span<const int32_t> block_first() const noexcept { return block_first_; }
  /// The columns that hold something; one more at the end, empty, whose `first_block` is the number of blocks.
  std::span<const BlockColumn> columns() const noexcept { return columns_; }
  /// The column at a block's place; the empty one where there is none.
  const BlockColumn& column_at(int64_t batch, int64_t x, int64_t y) const {
    const BlockColumn* found = nullptr;
    for_columns(batch, x, 1, y, 1, [&found](int, int, const BlockColumn& column) { found = &column; });
    return *found;
  }
  /// Calls visit(i, j, column) for the columns at x + i, y + j.
  template <typename Visit>
  void for_columns(int64_t batch, int64_t x, int count_x, int64_t y, int count_y, const Visit& visit) const {
    const BlockColumn *const columns = columns_.data(), &empty = columns_.back();
    if (column_grid_.empty()) {
      for (int i = 0; i < count_x; ++i) {
        for (int j = 0; j < count_y; ++j) visit(i, j, columns[hashed_column(batch, x + i, y + j)]);
      }
      return;
    }
    const auto at_batch = static_cast<uint64_t>(batch - grid_low_.batch),
               first_x = static_cast<uint64_t>(x - grid_low_.x), first_y = static_cast<uint64_t>(y - grid_low_.y);
    const uint64_t size_x = at_batch < grid_size_[0] ? grid_size_[1] : 0;
    for (int i = 0; i < count_x; ++i) {
      const uint64_t at_x = first_x + static_cast<uint64_t>(i);
      const bool in_grid = at_x < size_x;
      const int32_t* const row = &column_grid_[in_grid ? (at_batch * size_x + at_x) * grid_size_[2] : 0];
      const uint64_t size_y = in_grid ? grid_size_[2] : 0;
      for (int j = 0; j < count_y; ++j) {
        const uint64_t at_y = first_y + static_cast<uint64_t>(j);
        visit(i, j, at_y < size_y ? columns[row[at_y]] : empty);
      }
    }
  }

  /// Whether blocks_above() may be asked: not where a column has blocks so far apart that a list of heights were large
  /// beside the set.
  bool lists_heights() const noexcept { return !block_at_height_.empty(); }
  static constexpr int kMostBlocksAbove = 4;
  /// The first kCount blocks of a column at z, z + 1 and so on; where there is none, one without cells.
  template <int kCount>
  void blocks_above(const BlockColumn::Heights& column, int32_t z, const Block** found) const noexcept {
    static_assert(kCount <= kMostBlocksAbove);
    // Around each column's heights lie as many that lead to the empty block, so that all can be read in any case.
    const int32_t first = std::max(column.low - kMostBlocksAbove, std::min(column.high + 1, z));
    const int32_t* const blocks = block_at_height_.data() + column.zero + first;
    for (int i = 0; i < kCount; ++i) found[i] = blocks_.data() + blocks[i];
  }

  /// The numbers of blocks by height: those of a column at its z, z + 1 and so on from `zero` + z on (see BlockColumn),
  /// clamped as blocks_above() does.
  std::span<const int32_t> blocks_by_height() const noexcept { return block_at_height_; }

  /// The row of a place's first copy, by rank.
  std::span<const int32_t> first_rows() const noexcept { return has_duplicates() ? first_rows_ : order_; }
  /// The position of a place's first copy; at the number of places the number of rows.
  int64_t position(int64_t rank) const noexcept {
    return has_duplicates() ? positions_[static_cast<size_t>(rank)] : rank;
  }

  /// The rank of a place, or -1. Coordinates may lie outside int32.
  int32_t find_rank(int64_t batch, int64_t x, int64_t y, int64_t z) const noexcept;
  /// The first row at a place, or -1.
  int32_t find(int64_t batch, int64_t x, int64_t y, int64_t z) const noexcept {
    const int32_t rank = find_rank(batch, x, y, z);
    return rank < 0 ? -1 : first_rows()[static_cast<size_t>(rank)];
  }

 private:
  void sort(std::span<const Coord> coords, std::span<const Coord> blocks_at);
  void sort_copies(std::span<const Coord> coords);
  void list_heights();
  void place_columns();
  void hash_columns();

  size_t hashed_column(int64_t batch, int64_t x, int64_t y) const noexcept {
    for (size_t slot = hash(batch, x, y);; slot = (slot + 1) & (column_table_.size() - 1)) {
      const auto column = static_cast<size_t>(column_table_[slot]);
      const BlockColumn& at = columns_[column];
      if (column + 1 == columns_.size() || (at.x == x && at.y == y && at.batch == batch)) return column;
    }
  }
  size_t hash(int64_t batch, int64_t x, int64_t y) const noexcept {
    const uint64_t mixed = static_cast<uint64_t>(x) * 0x9E3779B97F4A7C15 +
                           static_cast<uint64_t>(y) * 0xB504F333F9DE6485 +
                           static_cast<uint64_t>(batch) * 0xD1B54A32D192ED03;
    return static_cast<size_t>(mixed >> hash_shift_);
  }

  PooledVector<int32_t> order_;
  PooledVector<uint8_t> cells_;
  PooledVector<uint32_t> block_of_row_;
  PooledVector<Block> blocks_;
  PooledVector<uint64_t> block_cells_;
  PooledVector<int32_t> block_first_;
  PooledVector<BlockColumn> columns_;
  // Where columns stand: a grid over the set's ranges of batch, x and y, or, where that were large beside the set, a
  // table with open addressing, at most half full. The empty column stands where there is none.
  PooledVector<int32_t> column_grid_, column_table_;
  Coord grid_low_ = {};
  std::array<uint64_t, 3> grid_size_ = {};  // batch, x, y
  int hash_shift_ = 0;                      // 64 - bits of a slot
  // The block at each height of each column; empty where columns reach over heights that are large beside the set.
  PooledVector<int32_t> block_at_height_;
  PooledVector<int32_t> positions_, first_rows_;  // by rank, only where a coordinate repeats
};

}  // namespace lattice

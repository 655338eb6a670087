#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "block_numbers.h"
#include "lattice/coords.h"

namespace lattice {

/// Finds the blocks of a set by their places: a column by its batch, x and y, its blocks by their heights. Columns and
/// blocks are given by number; where there is none, by the number of the one behind all others, which holds nothing.
class BlockLookup {
 public:
  /// Where the list of heights has a column: z from `low` to `high`, that of z = 0 at `zero` (or it would be).
  struct alignas(16) Heights {
    int32_t low = 0, high = -1, zero = 0;
  };

  /// Of a set's columns, which must outlive this, and of its blocks' heights, both with one more at the end.
  BlockLookup(std::span<const BlockColumn> columns, std::span<const int32_t> heights, size_t rows);

  /// The column at a block's place.
  int32_t column_at(int64_t batch, int64_t x, int64_t y) const {
    int32_t found = 0;
    for_columns(batch, x, 1, y, 1, [&found](int, int, int32_t column) { found = column; });
    return found;
  }
  /// Calls visit(i, j, column) for the columns at x + i, y + j.
  template <typename Visit>
  void for_columns(int64_t batch, int64_t x, int count_x, int64_t y, int count_y, const Visit& visit) const {
    if (column_grid_.empty()) {
      for (int i = 0; i < count_x; ++i) {
        for (int j = 0; j < count_y; ++j) visit(i, j, hashed_column(batch, x + i, y + j));
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
        visit(i, j, at_y < size_y ? row[at_y] : empty());
      }
    }
  }

  /// Whether there is a list of heights: not where a column has blocks so far apart that it were large beside the set.
  bool lists_heights() const noexcept { return !block_at_height_.empty(); }
  static constexpr int kMostBlocksAbove = 4;
  const Heights& heights(int32_t column) const noexcept { return heights_[static_cast<size_t>(column)]; }
  /// Those of the column without blocks.
  const Heights& no_heights() const noexcept { return heights_.back(); }
  /// The blocks of a column at z, z + 1 and so on, kMostBlocksAbove of them.
  const int32_t* blocks_above(const Heights& column, int32_t z) const noexcept {
    // Around each column's heights lie as many that lead to the empty block, so that all can be read in any case.
    const int32_t first = std::max(column.low - kMostBlocksAbove, std::min(column.high + 1, z));
    return block_at_height_.data() + column.zero + first;
  }
  /// The whole list: the block of a column at z stands at `zero` + z, clamped as blocks_above() does.
  std::span<const int32_t> blocks_by_height() const noexcept { return block_at_height_; }

 private:
  void list_heights(std::span<const int32_t> heights, size_t rows);
  void place_columns(size_t rows);
  void hash_columns();

  int32_t empty() const noexcept { return static_cast<int32_t>(columns_.size() - 1); }
  int32_t hashed_column(int64_t batch, int64_t x, int64_t y) const noexcept {
    for (size_t slot = hash(batch, x, y);; slot = (slot + 1) & (column_table_.size() - 1)) {
      const int32_t column = column_table_[slot];
      const BlockColumn& at = columns_[static_cast<size_t>(column)];
      if (column == empty() || (at.x == x && at.y == y && at.batch == batch)) return column;
    }
  }
  size_t hash(int64_t batch, int64_t x, int64_t y) const noexcept {
    const uint64_t mixed = static_cast<uint64_t>(x) * 0x9E3779B97F4A7C15 +
                           static_cast<uint64_t>(y) * 0xB504F333F9DE6485 +
                           static_cast<uint64_t>(batch) * 0xD1B54A32D192ED03;
    return static_cast<size_t>(mixed >> hash_shift_);
  }

  std::span<const BlockColumn> columns_;
  // Where columns stand: a grid over the set's ranges of batch, x and y, or, where that were large beside the set, a
  // table with open addressing, at most half full. The empty column stands where there is none.
  PooledVector<int32_t> column_grid_, column_table_;
  Coord grid_low_ = {};
  std::array<uint64_t, 3> grid_size_ = {};  // batch, x, y
  int hash_shift_ = 0;                      // 64 - bits of a slot
  PooledVector<Heights> heights_;           // by column
  // The block at each height of each column; empty where columns reach over heights that are large beside the set.
  PooledVector<int32_t> block_at_height_;
};

}  // namespace lattice

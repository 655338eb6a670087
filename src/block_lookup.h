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
  static constexpr int kMostColumnsBeside = 4, kMostBlocksAbove = 4;

  /// Where the list of heights has a column: its block at z, clamped to lowest .. highest, stands at `zero` + z. At
  /// both ends, and kMostBlocksAbove - 1 places on, the list leads to the empty block.
  struct alignas(16) Heights {
    int32_t lowest, highest, zero;
  };

  /// Of a set's columns, which must outlive this, and of its blocks' heights, both with one more at the end.
  BlockLookup(std::span<const BlockColumn> columns, std::span<const int32_t> heights, size_t rows);

  /// The column at a block's place.
  int32_t column_at(int64_t batch, int64_t x, int64_t y) const noexcept { return columns_beside(batch, x, y)[0]; }
  /// Those at y, y + 1 and so on.
  std::array<int32_t, kMostColumnsBeside> columns_beside(int64_t batch, int64_t x, int64_t y) const noexcept {
    std::array<int32_t, kMostColumnsBeside> found;
    if (column_grid_.empty()) {
      for (size_t i = 0; i < found.size(); ++i) found[i] = hashed_column(batch, x, y + static_cast<int64_t>(i));
    } else {
      const uint32_t* const places = &column_grid_[grid_place(batch, x, y)];
      for (size_t i = 0; i < found.size(); ++i) {
        found[i] = static_cast<int32_t>(std::min(places[i] - 1, static_cast<uint32_t>(empty())));
      }
    }
    return found;
  }

  /// Whether there is a list of heights: not where a column has blocks so far apart that it were large beside the set.
  bool lists_heights() const noexcept { return !block_at_height_.empty(); }
  const Heights& heights(int32_t column) const noexcept { return heights_[static_cast<size_t>(column)]; }
  /// Those of the column without blocks.
  const Heights& no_heights() const noexcept { return heights_.back(); }
  /// The blocks of a column at z, z + 1 and so on, kMostBlocksAbove of them.
  const int32_t* blocks_above(const Heights& column, int32_t z) const noexcept {
    return block_at_height_.data() + column.zero + std::max(column.lowest, std::min(column.highest, z));
  }
  /// The whole list.
  std::span<const int32_t> blocks_by_height() const noexcept { return block_at_height_; }
  /// Where each block stands in it, by number.
  std::span<const int32_t> places_by_block() const noexcept { return place_of_block_; }

 private:
  void list_heights(std::span<const int32_t> heights, size_t rows);
  void place_columns(size_t rows);
  void hash_columns();

  /// Of the column at y in the grid, those at y + 1 and so on following.
  size_t grid_place(int64_t batch, int64_t x, int64_t y) const noexcept {
    const auto at_batch = static_cast<uint64_t>(batch - grid_low_.batch), at_x = static_cast<uint64_t>(x - grid_low_.x);
    const bool is_inside = at_batch < grid_batches_ && at_x < grid_rows_;
    const uint64_t row = is_inside ? 1 + at_batch * grid_rows_ + at_x : 0;
    const int64_t at_y = std::max<int64_t>(-kMostColumnsBeside, std::min(y - grid_low_.y, grid_columns_));
    return row * grid_stride_ + static_cast<uint64_t>(at_y + kMostColumnsBeside);
  }
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
  // table with open addressing, at most half full. The grid has numbers from 1 on, and 0, which memory is cleared to
  // sooner than to anything else, where there is no column; its first row is empty, for what lies outside, and so are
  // kMostColumnsBeside places at both ends of each row. In the table the empty column stands where there is none.
  PooledVector<uint32_t> column_grid_;
  PooledVector<int32_t> column_table_;
  Coord grid_low_ = {};
  uint64_t grid_batches_ = 0, grid_rows_ = 0;  // ranges of batch and x
  int64_t grid_columns_ = 0;                   // and of y
  uint64_t grid_stride_ = 0;
  int hash_shift_ = 0;             // 64 - bits of a slot
  PooledVector<Heights> heights_;  // by column
  // The block at each height of each column; empty where columns reach over heights that are large beside the set.
  PooledVector<int32_t> block_at_height_, place_of_block_;
};

}  // namespace lattice

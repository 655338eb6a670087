#include "block_lookup.h"

#include <bit>

namespace lattice {
namespace {

/// How many places, of 4 bytes, a table over a set's ranges may have.
int64_t most_places(size_t rows, int64_t places_a_row) {
  return static_cast<int64_t>(rows) * places_a_row + 4096;
}
// Columns stand far apart in a whole turn of a LiDAR, 33 places a row at 0.05 m; heights do not.
constexpr int64_t kMostColumnsARow = 64, kMostHeightsARow = 16;

}  // namespace

BlockLookup::BlockLookup(std::span<const BlockColumn> columns, std::span<const int32_t> heights, size_t rows)
    : columns_(columns) {
  list_heights(heights, rows);
  place_columns(rows);
}

void BlockLookup::list_heights(std::span<const int32_t> heights, size_t rows) {
  constexpr int64_t kMostHeights = int64_t{1} << 30;  // beside which blocks' z, below 2^29, fit int32
  const int64_t most = std::min(most_places(rows, kMostHeightsARow), kMostHeights);
  int64_t listed = kMostBlocksAbove;
  heights_.reserve(columns_.size());
  for (size_t column = 0; column + 1 < columns_.size(); ++column) {
    const int32_t low = heights[static_cast<size_t>(columns_[column].first_block)];
    const int32_t high = heights[static_cast<size_t>(columns_[column + 1].first_block) - 1];
    heights_.push_back({low - kMostBlocksAbove, high + 1, static_cast<int32_t>(listed - low)});
    listed += int64_t{high} - low + 1 + kMostBlocksAbove;
    if (listed > most) return;
  }
  heights_.push_back({-kMostBlocksAbove, 0, static_cast<int32_t>(listed)});
  block_at_height_.assign(static_cast<size_t>(listed) + kMostBlocksAbove, static_cast<int32_t>(heights.size() - 1));
  // One loop over all blocks: how many a column has is not foreseen.
  size_t column = 0;
  int32_t* const blocks_at = block_at_height_.data();
  const BlockColumn* const columns = columns_.data();
  const Heights* const heights_of = heights_.data();
  const auto count = static_cast<int32_t>(heights.size() - 1);
  for (int32_t block = 0; block < count; ++block) {
    column += columns[column + 1].first_block == block ? 1 : 0;
    blocks_at[heights_of[column].zero + heights[static_cast<size_t>(block)]] = block;
  }
}

void BlockLookup::place_columns(size_t rows) {
  if (empty() == 0) return hash_columns();
  const BlockColumn &first = columns_.front(), &last = columns_[columns_.size() - 2];
  Coord high = {last.batch, first.x, first.y, 0};
  grid_low_ = {first.batch, first.x, first.y, 0};
  for (const BlockColumn& column : columns_.first(columns_.size() - 1)) {
    grid_low_.x = std::min(grid_low_.x, column.x);
    grid_low_.y = std::min(grid_low_.y, column.y);
    high.x = std::max(high.x, column.x);
    high.y = std::max(high.y, column.y);
  }
  const auto size = [](int32_t lowest, int32_t highest) { return int64_t{highest} - lowest + 1; };
  grid_batches_ = static_cast<uint64_t>(size(grid_low_.batch, high.batch));
  grid_rows_ = static_cast<uint64_t>(size(grid_low_.x, high.x));
  grid_columns_ = size(grid_low_.y, high.y);
  grid_stride_ = static_cast<uint64_t>(grid_columns_ + 2 * kMostColumnsBeside);
  const auto most = static_cast<uint64_t>(most_places(rows, kMostColumnsARow));
  // Of blocks there are at most 2^30 on an axis, so that the product of two sizes fits.
  if (grid_rows_ * grid_stride_ > most || grid_batches_ > most / (grid_rows_ * grid_stride_)) return hash_columns();
  column_grid_.assign((1 + grid_batches_ * grid_rows_) * grid_stride_, empty());
  for (int32_t column = 0; column < empty(); ++column) {
    const BlockColumn& at = columns_[static_cast<size_t>(column)];
    column_grid_[grid_place(at.batch, at.x, at.y)] = column;
  }
}

void BlockLookup::hash_columns() {
  const int bits = static_cast<int>(std::bit_width(columns_.size() - 1)) + 1;
  hash_shift_ = 64 - bits;
  column_table_.assign(size_t{1} << bits, empty());
  for (int32_t column = 0; column < empty(); ++column) {
    const BlockColumn& at = columns_[static_cast<size_t>(column)];
    size_t slot = hash(at.batch, at.x, at.y);
    while (column_table_[slot] != empty()) slot = (slot + 1) & (column_table_.size() - 1);
    column_table_[slot] = column;
  }
}

}  // namespace lattice

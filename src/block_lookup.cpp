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
  const size_t count = heights.size() - 1;
  block_at_height_.assign(static_cast<size_t>(listed) + kMostBlocksAbove, static_cast<int32_t>(count));
  place_of_block_.resize(count);
  // One loop over all blocks, since how many a column has is not foreseen; columns are counted by what was marked, so
  // that no block waits for what is loaded for the one before.
  PooledVector<uint8_t> begins_column(count + 1, 0);
  for (const BlockColumn& column : columns_.subspan(1)) begins_column[static_cast<size_t>(column.first_block)] = 1;
  size_t column = 0;
  int32_t* const blocks_at = block_at_height_.data();
  int32_t* const places = place_of_block_.data();
  const Heights* const heights_of = heights_.data();
  for (size_t block = 0; block < count; ++block) {
    column += begins_column[block];
    places[block] = heights_of[column].zero + heights[block];
    blocks_at[places[block]] = static_cast<int32_t>(block);
  }
}

void BlockLookup::place_columns(size_t rows) {
  if (empty() == 0) return hash_columns();
  const CoordBounds bounds = CoordBounds::of_columns(columns_.first(columns_.size() - 1));
  const Coord& high = bounds.high;
  grid_low_ = bounds.low;
  const auto size = [](int32_t lowest, int32_t highest) { return int64_t{highest} - lowest + 1; };
  grid_batches_ = static_cast<uint64_t>(size(grid_low_.batch, high.batch));
  grid_rows_ = static_cast<uint64_t>(size(grid_low_.x, high.x));
  grid_columns_ = size(grid_low_.y, high.y);
  grid_stride_ = static_cast<uint64_t>(grid_columns_ + 2 * kMostColumnsBeside);
  const auto most = static_cast<uint64_t>(most_places(rows, kMostColumnsARow));
  // Of blocks there are at most 2^30 on an axis, so that the product of two sizes fits.
  if (grid_rows_ * grid_stride_ > most || grid_batches_ > most / (grid_rows_ * grid_stride_)) return hash_columns();
  column_grid_.resize((1 + grid_batches_ * grid_rows_) * grid_stride_);
  uint32_t number = 0;
  for (const BlockColumn& at : columns_.first(columns_.size() - 1)) {
    column_grid_[grid_place(at.batch, at.x, at.y)] = ++number;
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

#include "coord_index.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "coord_sort.h"

namespace lattice {
namespace {

/// Fills `before` from `cells`.
void count_rows(Block& block) {
  // Sums of two bits, then of four: how many cells each row holds, a nibble a row.
  uint64_t counts = block.cells - (block.cells >> 1 & 0x5555555555555555);
  counts = (counts & 0x3333333333333333) + (counts >> 2 & 0x3333333333333333);
  const uint64_t even = counts & 0x0F0F0F0F0F0F0F0F, odd = counts >> 4 & 0x0F0F0F0F0F0F0F0F;
  // The product's byte i is the sum of the bytes 0 .. i; shifted, that of the bytes before it. At most 64, no carry.
  block.before[0] = ((even + odd) * 0x0101010101010101) << 8;
  block.before[1] = block.before[0] + even;
}

/// How many places a table over a set's ranges may have: 64 bytes a row, which a scan's ranges keep far below.
int64_t most_places(size_t rows) {
  return static_cast<int64_t>(rows) * 16 + 4096;
}

}  // namespace

CoordIndex::CoordIndex(std::span<const Coord> coords, int threads, const ForEach& for_each) {
  const ForEach in_turn = [](int64_t count, const std::function<void(int64_t)>& task) {
    for (int64_t i = 0; i < count; ++i) task(i);
  };
  const bool alone = threads == 1 || !for_each;
  with_sorted_coords(coords, alone ? 1 : threads, alone ? in_turn : for_each, [this](auto& sorted) { build(sorted); });
  list_heights();
  place_columns();
}

template <typename Sorted>
void CoordIndex::build(Sorted& sorted) {
  const size_t rows = sorted.size();
  order_.resize(rows);
  cells_.resize(rows);
  const auto block_key = [&](size_t i) { return sorted.key(i) >> Block::kCellBits; };
  const auto cell_of = [&](size_t i) { return static_cast<int>(sorted.key(i) & (Block::kCells - 1)); };
  const int column_shift = sorted.frame().y_shift - Block::kCellBits;
  size_t block_count = 0;
  for (size_t i = 0; i < rows; ++i) block_count += i == 0 || block_key(i) != block_key(i - 1) ? 1 : 0;
  blocks_.reserve(block_count + 1);

  size_t places = 0;
  auto previous = block_key(0);
  for (size_t first = 0, last = 0; first < rows; first = last) {
    const auto key = block_key(first);
    uint64_t held = 0, repeated = 0;
    for (; last < rows && block_key(last) == key; ++last) {
      const uint64_t bit = uint64_t{1} << cell_of(last);
      repeated |= held & bit;
      held |= bit;
    }
    const Coord at = sorted.frame().block_of(sorted.key(first));
    if (first == 0 || (key ^ previous) >> column_shift != 0) {
      columns_.push_back(
          {.batch = at.batch, .x = at.x, .y = at.y, .first_block = static_cast<int32_t>(blocks_.size())});
    }
    previous = key;
    Block& block = blocks_.emplace_back(Block{.cells = held, .z = at.z, .first = static_cast<int32_t>(places)});
    count_rows(block);
    if (repeated != 0) {
      sorted.sort(first, last);
      if (positions_.empty()) {  // until here positions were places
        positions_.resize(places);
        std::iota(positions_.begin(), positions_.end(), 0);
      }
      for (size_t i = first; i < last; ++i) {
        order_[i] = sorted.row(i);
        cells_[i] = static_cast<uint8_t>(cell_of(i));
        if (i != first && sorted.key(i) == sorted.key(i - 1)) continue;
        positions_.push_back(static_cast<int32_t>(i));
        ++places;
      }
    } else {
      // The cells alone say where each row stands.
      for (size_t i = first; i < last; ++i) {
        const int cell = cell_of(i);
        const size_t position = first + static_cast<size_t>(block.rank(cell) - block.first);
        order_[position] = sorted.row(i);
        cells_[position] = static_cast<uint8_t>(cell);
      }
      for (size_t i = first; i < last && has_duplicates(); ++i) positions_.push_back(static_cast<int32_t>(i));
      places += last - first;
    }
  }
  columns_.push_back({.batch = -1, .x = 0, .y = 0, .first_block = static_cast<int32_t>(blocks_.size())});
  blocks_.push_back({.cells = 0, .z = 0, .first = static_cast<int32_t>(places)});
  if (!has_duplicates()) return;
  for (const int32_t position : positions_) first_rows_.push_back(order_[static_cast<size_t>(position)]);
  positions_.push_back(static_cast<int32_t>(rows));
}

void CoordIndex::list_heights() {
  constexpr int64_t kMostHeights = int64_t{1} << 30;  // beside which blocks' z, below 2^29, fit int32
  const std::span<BlockColumn> columns(columns_.data(), columns_.size() - 1);
  int64_t heights = kMostBlocksAbove;
  for (BlockColumn& column : columns) {
    const int32_t low = blocks_[static_cast<size_t>(column.first_block)].z;
    const int32_t high = blocks_[static_cast<size_t>((&column)[1].first_block) - 1].z;
    column.heights = {low, high, static_cast<int32_t>(heights - low)};
    heights += int64_t{high} - low + 1 + kMostBlocksAbove;
    if (heights > std::min(most_places(order_.size()), kMostHeights)) return;
  }
  columns_.back().heights.zero = static_cast<int32_t>(heights);
  block_at_height_.assign(static_cast<size_t>(heights) + kMostBlocksAbove, static_cast<int32_t>(blocks_.size() - 1));
  for (const BlockColumn& column : columns) {
    for (int32_t block = column.first_block; block < (&column)[1].first_block; ++block) {
      block_at_height_[static_cast<size_t>(column.heights.zero + blocks_[static_cast<size_t>(block)].z)] = block;
    }
  }
}

void CoordIndex::place_columns() {
  const auto empty = static_cast<int32_t>(columns_.size() - 1);
  if (empty == 0) return hash_columns();
  const BlockColumn &first = columns_.front(), &last = columns_[static_cast<size_t>(empty) - 1];
  Coord high = {last.batch, first.x, first.y, 0};
  grid_low_ = {first.batch, first.x, first.y, 0};
  for (const BlockColumn& column : std::span(columns_).first(static_cast<size_t>(empty))) {
    grid_low_.x = std::min(grid_low_.x, column.x);
    grid_low_.y = std::min(grid_low_.y, column.y);
    high.x = std::max(high.x, column.x);
    high.y = std::max(high.y, column.y);
  }
  const auto size = [](int32_t lowest, int32_t highest) {
    return static_cast<uint64_t>(int64_t{highest} - lowest + 1);
  };
  grid_size_ = {size(grid_low_.batch, high.batch), size(grid_low_.x, high.x), size(grid_low_.y, high.y)};
  const auto most = static_cast<uint64_t>(most_places(order_.size()));
  // Of blocks there are at most 2^30 on an axis, so that the product of two sizes fits.
  if (grid_size_[1] * grid_size_[2] > most || grid_size_[0] > most / (grid_size_[1] * grid_size_[2])) {
    return hash_columns();
  }
  column_grid_.assign(grid_size_[0] * grid_size_[1] * grid_size_[2], empty);
  for (int32_t column = 0; column < empty; ++column) {
    const BlockColumn& at = columns_[static_cast<size_t>(column)];
    column_grid_[((static_cast<uint64_t>(at.batch - grid_low_.batch)) * grid_size_[1] +
                  static_cast<uint64_t>(at.x - grid_low_.x)) *
                     grid_size_[2] +
                 static_cast<uint64_t>(at.y - grid_low_.y)] = column;
  }
}

void CoordIndex::hash_columns() {
  const auto empty = static_cast<int32_t>(columns_.size() - 1);
  const int bits = static_cast<int>(std::bit_width(columns_.size() - 1)) + 1;
  hash_shift_ = 64 - bits;
  column_table_.assign(size_t{1} << bits, empty);
  for (int32_t column = 0; column < empty; ++column) {
    const BlockColumn& at = columns_[static_cast<size_t>(column)];
    size_t slot = hash(at.batch, at.x, at.y);
    while (column_table_[slot] != empty) slot = (slot + 1) & (column_table_.size() - 1);
    column_table_[slot] = column;
  }
}

int32_t CoordIndex::find_rank(int64_t batch, int64_t x, int64_t y, int64_t z) const noexcept {
  const BlockColumn& column = column_at(batch, Block::of(x), Block::of(y));
  if (&column == &columns_.back()) return -1;
  const auto first = blocks_.begin() + column.first_block, last = blocks_.begin() + (&column)[1].first_block;
  const int64_t wanted = Block::of(z);
  const auto block = std::lower_bound(first, last, wanted, [](const Block& b, int64_t at) { return b.z < at; });
  const int cell = Block::cell(x, y, z);
  return block != last && block->z == wanted && block->holds(cell) ? block->rank(cell) : -1;
}

}  // namespace lattice

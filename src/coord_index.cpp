#include "coord_index.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

namespace lattice {
namespace {

/// How many places a table over a set's ranges may have: 64 bytes a row, which a scan's ranges keep far below.
int64_t most_places(size_t rows) {
  return static_cast<int64_t>(rows) * 16 + 4096;
}

Block::Rows rows_of(uint64_t cells) {
  using Words = uint64_t __attribute__((vector_size(16)));
  constexpr uint64_t kEven = 0x0F0F0F0F0F0F0F0F;
  const Words even = {cells & kEven, 0}, odd = {cells >> 4 & kEven, 0};
  return __builtin_shufflevector(reinterpret_cast<Block::Rows>(even), reinterpret_cast<Block::Rows>(odd), 0, 16, 1, 17,
                                 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

int cell_of(const Coord& c) {
  return Block::cell(c.x, c.y, c.z);
}

}  // namespace

CoordIndex::CoordIndex(std::span<const Coord> coords) : CoordIndex(coords, BlockNumbers::of(coords)) {}

CoordIndex::CoordIndex(std::span<const Coord> coords, BlockNumbers numbers)
    : block_of_row_(std::move(numbers.of_row)), block_cells_(std::move(numbers.cells)) {
  sort(coords, numbers.blocks);
  list_heights();
  place_columns();
}

void CoordIndex::sort(std::span<const Coord> coords, std::span<const Coord> blocks_at) {
  const Coord* previous = nullptr;
  int32_t places = 0;
  blocks_.reserve(blocks_at.size() + 1);
  block_first_.reserve(blocks_at.size() + 1);
  for (size_t number = 0; number < blocks_at.size(); ++number) {
    const Coord& at = blocks_at[number];
    if (previous == nullptr || at.y != previous->y || at.x != previous->x || at.batch != previous->batch) {
      columns_.push_back({.batch = at.batch, .x = at.x, .y = at.y, .first_block = static_cast<int32_t>(number)});
    }
    const uint64_t cells = block_cells_[number];
    blocks_.push_back({.cells = cells, .z = at.z, .first = places, .rows = rows_of(cells)});
    block_first_.push_back(places);
    places += std::popcount(cells);
    previous = &at;
  }
  columns_.push_back({.batch = -1, .x = 0, .y = 0, .first_block = static_cast<int32_t>(blocks_.size())});
  blocks_.push_back({.first = places});
  block_cells_.push_back(0);
  block_first_.push_back(places);
  order_.resize(coords.size());
  cells_.resize(coords.size());
  if (static_cast<size_t>(places) < coords.size()) return sort_copies(coords);
  // By pointers of this function's own: for all that a compiler knows, a byte that is stored may change the members'.
  const Block* const blocks = blocks_.data();
  const uint32_t* const block_of_row = block_of_row_.data();
  int32_t* const order = order_.data();
  uint8_t* const cells = cells_.data();
  for (size_t row = 0; row < coords.size(); ++row) {
    const int cell = cell_of(coords[row]);
    const int32_t position = blocks[block_of_row[row]].rank(cell);
    order[position] = static_cast<int32_t>(row);
    cells[position] = static_cast<uint8_t>(cell);
  }
}

/// The rest of sort() where coordinates repeat: a counting sort of the rows by place.
void CoordIndex::sort_copies(std::span<const Coord> coords) {
  const auto places = static_cast<size_t>(blocks_.back().first);
  const auto rank_of = [&](size_t row) {
    return static_cast<size_t>(blocks_[block_of_row_[row]].rank(cell_of(coords[row])));
  };
  positions_.assign(places + 1, 0);
  for (size_t row = 0; row < coords.size(); ++row) ++positions_[rank_of(row) + 1];
  std::partial_sum(positions_.begin(), positions_.end(), positions_.begin());
  PooledVector<int32_t> next(positions_.begin(), positions_.end() - 1);
  for (size_t row = 0; row < coords.size(); ++row) {
    const auto position = static_cast<size_t>(next[rank_of(row)]++);
    order_[position] = static_cast<int32_t>(row);
    cells_[position] = static_cast<uint8_t>(cell_of(coords[row]));
  }
  first_rows_.reserve(places);
  for (size_t place = 0; place < places; ++place) {
    first_rows_.push_back(order_[static_cast<size_t>(positions_[place])]);
  }
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

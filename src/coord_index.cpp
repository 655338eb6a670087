#include "coord_index.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

namespace lattice {

CoordIndex::CoordIndex(BlockNumbers numbers)
    : block_of_row_(std::move(numbers.of_row)),
      block_cells_(std::move(numbers.cells)),
      block_heights_(std::move(numbers.heights)),
      columns_(std::move(numbers.columns)) {
  columns_.push_back({.batch = -1, .x = 0, .y = 0, .first_block = static_cast<int32_t>(block_heights_.size())});
  block_cells_.push_back(0);
  block_heights_.push_back(0);
  sort(numbers.cell_of_row);
}

void CoordIndex::sort(std::span<const uint8_t> cell_of_row) {
  block_first_.reserve(block_cells_.size());
  int32_t places = 0;
  for (const uint64_t cells : block_cells_) {
    block_first_.push_back(places);
    places += std::popcount(cells);
  }
  order_.resize(cell_of_row.size());
  cells_.resize(cell_of_row.size());
  if (static_cast<size_t>(places) < cell_of_row.size()) return sort_copies(cell_of_row);
  // By pointers of this function's own: for all that a compiler knows, a byte that is stored may change the members'.
  const uint64_t* const block_cells = block_cells_.data();
  const int32_t* const block_first = block_first_.data();
  const uint32_t* const block_of_row = block_of_row_.data();
  int32_t* const order = order_.data();
  uint8_t* const cells = cells_.data();
  for (size_t row = 0; row < cell_of_row.size(); ++row) {
    const int cell = cell_of_row[row];
    const uint32_t block = block_of_row[row];
    const int32_t position = Block{block_cells[block], 0, block_first[block]}.rank(cell);
    order[position] = static_cast<int32_t>(row);
    cells[position] = static_cast<uint8_t>(cell);
  }
}

/// The rest of sort() where coordinates repeat: a counting sort of the rows by place.
void CoordIndex::sort_copies(std::span<const uint8_t> cell_of_row) {
  const auto places = static_cast<size_t>(block_first_.back());
  const auto rank_of = [&](size_t row) {
    return static_cast<size_t>(block(block_of_row_[row]).rank(cell_of_row[row]));
  };
  positions_.assign(places + 1, 0);
  for (size_t row = 0; row < cell_of_row.size(); ++row) ++positions_[rank_of(row) + 1];
  std::partial_sum(positions_.begin(), positions_.end(), positions_.begin());
  PooledVector<int32_t> next(positions_.begin(), positions_.end() - 1);
  for (size_t row = 0; row < cell_of_row.size(); ++row) {
    const auto position = static_cast<size_t>(next[rank_of(row)]++);
    order_[position] = static_cast<int32_t>(row);
    cells_[position] = cell_of_row[row];
  }
  first_rows_.reserve(places);
  for (size_t place = 0; place < places; ++place) {
    first_rows_.push_back(order_[static_cast<size_t>(positions_[place])]);
  }
}

const BlockLookup& CoordIndex::lookup() const {
  std::call_once(lookup_once_, [this] { lookup_.emplace(columns_, block_heights_, order_.size()); });
  return *lookup_;
}

int32_t CoordIndex::find(int64_t batch, int64_t x, int64_t y, int64_t z) const {
  const auto column = static_cast<size_t>(lookup().column_at(batch, Block::of(x), Block::of(y)));
  if (column + 1 == columns_.size()) return -1;
  const auto first = block_heights_.begin() + columns_[column].first_block,
             last = block_heights_.begin() + columns_[column + 1].first_block;
  const int64_t wanted = Block::of(z);
  const auto found = std::lower_bound(first, last, wanted);
  if (found == last || *found != wanted) return -1;
  const Block at = block(static_cast<size_t>(found - block_heights_.begin()));
  const int cell = Block::cell(x, y, z);
  return at.holds(cell) ? first_rows()[static_cast<size_t>(at.rank(cell))] : -1;
}

}  // namespace lattice

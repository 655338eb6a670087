#include "coord_index.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

namespace lattice {

CoordIndex::CoordIndex(BlockNumbers numbers)
    : block_of_row_(std::move(numbers.of_row)),
      cell_of_row_(std::move(numbers.cell_of_row)),
      block_cells_(std::move(numbers.cells)),
      block_heights_(std::move(numbers.heights)),
      columns_(std::move(numbers.columns)) {
  columns_.push_back({.batch = -1, .x = 0, .y = 0, .first_block = static_cast<int32_t>(block_heights_.size())});
  block_cells_.push_back(0);
  block_heights_.push_back(0);
  block_first_.resize(block_cells_.size());
  int32_t places = 0;
  for (size_t block = 0; block < block_cells_.size(); ++block) {
    block_first_[block] = places;
    places += std::popcount(block_cells_[block]);
  }
}

const SortedRows& CoordIndex::sorted() const {
  std::call_once(sorted_once_, [this] {
    SortedRows sorted;
    sorted.order.resize(rows());
    sorted.cells.resize(rows());
    if (has_duplicates()) {
      sort_copies(sorted);
    } else {
      sort(sorted);
    }
    sorted_ = std::move(sorted);
  });
  return sorted_;
}

void CoordIndex::sort(SortedRows& sorted) const {
  // By pointers of this function's own: for all that a compiler knows, a byte that is stored may change the members'.
  const uint64_t* const block_cells = block_cells_.data();
  const int32_t* const block_first = block_first_.data();
  const uint32_t* const block_of_row = block_of_row_.data();
  const uint8_t* const cell_of_row = cell_of_row_.data();
  int32_t* const order = sorted.order.data();
  uint8_t* const cells = sorted.cells.data();
  const size_t count = rows();
  for (size_t row = 0; row < count; ++row) {
    const uint32_t block = block_of_row[row];
    const int32_t position = Block{block_cells[block], 0, block_first[block]}.rank(cell_of_row[row]);
    order[position] = static_cast<int32_t>(row);
    cells[position] = cell_of_row[row];
  }
}

/// Where coordinates repeat: a counting sort of the rows by place.
void CoordIndex::sort_copies(SortedRows& sorted) const {
  const auto places = static_cast<size_t>(block_first_.back());
  const auto rank_of = [&](size_t row) {
    return static_cast<size_t>(block(block_of_row_[row]).rank(cell_of_row_[row]));
  };
  PooledVector<int32_t>& positions = sorted.positions;
  positions.assign(places + 1, 0);
  for (size_t row = 0; row < rows(); ++row) ++positions[rank_of(row) + 1];
  std::partial_sum(positions.begin(), positions.end(), positions.begin());
  PooledVector<int32_t> next(positions.begin(), positions.end() - 1);
  for (size_t row = 0; row < rows(); ++row) {
    const auto position = static_cast<size_t>(next[rank_of(row)]++);
    sorted.order[position] = static_cast<int32_t>(row);
    sorted.cells[position] = cell_of_row_[row];
  }
  sorted.first_row.reserve(places);
  for (size_t place = 0; place < places; ++place) {
    sorted.first_row.push_back(sorted.order[static_cast<size_t>(positions[place])]);
  }
}

const BlockLookup& CoordIndex::lookup() const {
  std::call_once(lookup_once_, [this] { lookup_.emplace(columns_, block_heights_, rows()); });
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
  return at.holds(cell) ? sorted().first_rows()[static_cast<size_t>(at.rank(cell))] : -1;
}

}  // namespace lattice

#include "coord_index.h"

#include <algorithm>
#include <bit>
#include <utility>

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

}  // namespace

CoordIndex::CoordIndex(std::span<const Coord> coords, int threads, const ForEach& for_each) {
  const ForEach in_turn = [](int64_t count, const std::function<void(int64_t)>& task) {
    for (int64_t i = 0; i < count; ++i) task(i);
  };
  const bool alone = threads == 1 || !for_each;
  with_sorted_coords(coords, alone ? 1 : threads, alone ? in_turn : for_each,
                     [this](const auto& sorted) { build(sorted); });
  hash_columns();
}

template <typename Sorted>
void CoordIndex::build(const Sorted& sorted) {
  const size_t rows = sorted.size();
  order_.resize(rows);
  cells_.resize(rows);
  int32_t places = 0;
  size_t copies = 0;
  const int column_shift = sorted.frame().y_shift, block_shift = Block::kCellBits;
  auto previous = sorted.key(0);
  for (size_t i = 0; i < rows; ++i) {
    const auto key = sorted.key(i);
    const auto changed = key ^ previous;
    if (i == 0 || changed >> block_shift != 0) {
      if (i == 0 || changed >> column_shift != 0) {
        const auto [batch, x, y, z] = sorted.frame().block_of(key);
        columns_.push_back({batch, x, y, static_cast<int32_t>(blocks_.size())});
      }
      blocks_.push_back({.cells = 0, .z = sorted.frame().block_of(key).z, .first = places});
    }
    const auto cell = static_cast<int>(key & ((1U << Block::kCellBits) - 1));
    order_[i] = sorted.row(i);
    cells_[i] = static_cast<uint8_t>(cell);
    const uint64_t bit = uint64_t{1} << cell;
    uint64_t& held = blocks_.back().cells;
    const bool is_new = (held & bit) == 0;
    held |= bit;
    places += is_new ? 1 : 0;
    copies += is_new ? 0 : 1;
    previous = key;
  }
  for (Block& block : blocks_) count_rows(block);
  columns_.push_back({-1, 0, 0, static_cast<int32_t>(blocks_.size())});
  blocks_.push_back({.cells = 0, .z = 0, .first = places});
  if (copies == 0) return;
  for (size_t i = 0; i < rows; ++i) {
    if (i > 0 && sorted.key(i) == sorted.key(i - 1)) continue;
    positions_.push_back(static_cast<int32_t>(i));
    first_rows_.push_back(order_[i]);
  }
  positions_.push_back(static_cast<int32_t>(rows));
}

void CoordIndex::hash_columns() {
  const size_t columns = columns_.size() - 1;
  const int bits = static_cast<int>(std::bit_width(columns)) + 1;
  hash_shift_ = 64 - bits;
  column_table_.assign(size_t{1} << bits, -1);
  for (size_t column = 0; column < columns; ++column) {
    const BlockColumn& at = columns_[column];
    size_t slot = hash(at.batch, at.x, at.y);
    while (column_table_[slot] >= 0) slot = (slot + 1) & (column_table_.size() - 1);
    column_table_[slot] = static_cast<int32_t>(column);
  }
}

int32_t CoordIndex::find_rank(int64_t batch, int64_t x, int64_t y, int64_t z) const noexcept {
  const int32_t column = find_column(batch, Block::of(x), Block::of(y));
  if (column < 0) return -1;
  const auto first = blocks_.begin() + columns_[static_cast<size_t>(column)].first_block;
  const auto last = blocks_.begin() + columns_[static_cast<size_t>(column) + 1].first_block;
  const int64_t wanted = Block::of(z);
  const auto block = std::lower_bound(first, last, wanted, [](const Block& b, int64_t at) { return b.z < at; });
  const int cell = Block::cell(x, y, z);
  return block != last && block->z == wanted && block->holds(cell) ? block->rank(cell) : -1;
}

}  // namespace lattice

#include "distinct_coords.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <ranges>
#include <utility>

#include "coord_index.h"
#include "fail.h"

namespace lattice {
namespace {

constexpr uint64_t kLeastSlots = 64;

int bits_for_slots(uint64_t slots) {
  return static_cast<int>(std::bit_width(std::max(kLeastSlots, slots)));
}

}  // namespace

void check_distinct_count(size_t count) {
  if (count >= static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    fail(ErrorCode::out_of_range, "coord_set: more than 2^31 - 1 distinct coordinates; split the scan");
  }
}

DistinctCoords::DistinctCoords(int64_t expected) {
  // A scan repeats most of what is added: a table for a quarter of it seldom has to grow more than once.
  resize(bits_for_slots(static_cast<uint64_t>(expected) / 2));
}

int32_t DistinctCoords::insert(const Coord& coord, size_t slot) {
  check_distinct_count(coords_.size());
  const auto place = static_cast<int32_t>(coords_.size());
  coords_.push_back(coord);
  table_[slot] = place;
  if (coords_.size() * 2 > table_.size()) resize(64 - shift_ + 1);
  return place;
}

void DistinctCoords::resize(int bits) {
  shift_ = 64 - bits;
  table_.assign(size_t{1} << bits, -1);
  for (size_t place = 0; place < coords_.size(); ++place) {
    size_t slot = start(coords_[place]);
    while (table_[slot] >= 0) slot = (slot + 1) & (table_.size() - 1);
    table_[slot] = static_cast<int32_t>(place);
  }
}

DistinctRows DistinctRows::of(std::span<const Coord> coords, const CoordBounds& bounds) {
  BlockNumbers blocks = BlockNumbers::of(coords, bounds);
  PooledVector<uint32_t> rank(blocks.heights.size());  // by block: how many places stand before it
  uint32_t places = 0;
  for (size_t block = 0; block < rank.size(); ++block) {
    rank[block] = places;
    places += static_cast<uint32_t>(std::popcount(blocks.cells[block]));
  }
  DistinctRows rows = {.number_of_row = PooledVector<int32_t>(coords.size()),
                       .first_row = PooledVector<int32_t>(places + 1),
                       .repeated = PooledVector<int32_t>(coords.size() - places + 1),
                       .blocks = std::move(blocks)};
  PooledVector<int32_t> number_of_place(places, -1);
  // Pointers of their own, so that they stay in registers.
  const uint64_t* const cells = rows.blocks.cells.data();
  const uint32_t* const block_of_row = rows.blocks.of_row.data();
  const uint8_t* const cell_of_row = rows.blocks.cell_of_row.data();
  int32_t *const number_of_row = rows.number_of_row.data(), *const first_row = rows.first_row.data(),
                 *const repeated = rows.repeated.data();
  const auto count = static_cast<int32_t>(coords.size());
  int32_t distinct = 0;
  for (int32_t row = 0; row < count; ++row) {
    const uint32_t block = block_of_row[row];
    const uint64_t below = cells[block] & ((uint64_t{1} << cell_of_row[row]) - 1);
    int32_t& known = number_of_place[rank[block] + static_cast<uint32_t>(std::popcount(below))];
    // Written in any case, behind what was found so far.
    first_row[distinct] = row;
    repeated[row - distinct] = row;
    const bool is_new = known < 0;
    known = is_new ? distinct : known;
    distinct += is_new ? 1 : 0;
    number_of_row[row] = known;
  }
  rows.first_row.pop_back();
  rows.repeated.pop_back();
  return rows;
}

PooledVector<Coord> DistinctRows::distinct_coords(std::span<const Coord> coords) const {
  const auto coord_of = [&](int32_t row) -> const Coord& { return coords[static_cast<size_t>(row)]; };
  const auto distinct = first_row | std::views::transform(coord_of);
  return {distinct.begin(), distinct.end()};
}

BlockNumbers DistinctRows::take_distinct_blocks() {
  PooledVector<uint32_t> of_row(first_row.size());
  PooledVector<uint8_t> cell_of_row(first_row.size());
  // By pointers of this function's own: for all that a compiler knows, a byte that is stored may change the vectors'.
  const uint32_t* const from = blocks.of_row.data();
  const uint8_t* const cell_from = blocks.cell_of_row.data();
  uint32_t* const to = of_row.data();
  uint8_t* const cell_to = cell_of_row.data();
  for (size_t number = 0; const int32_t row : first_row) {
    to[number] = from[row];
    cell_to[number++] = cell_from[row];
  }
  blocks.of_row = std::move(of_row);
  blocks.cell_of_row = std::move(cell_of_row);
  return std::move(blocks);
}

}  // namespace lattice

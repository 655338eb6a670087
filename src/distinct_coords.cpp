#include "distinct_coords.h"

#include <algorithm>
#include <bit>
#include <limits>
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

DistinctRows DistinctRows::of(std::span<const Coord> coords) {
  BlockNumbers numbers = BlockNumbers::of(coords);
  PooledVector<size_t> first(numbers.heights.size());  // by block: how many coordinates stand before it
  size_t places = 0;
  for (size_t number = 0; number < first.size(); ++number) {
    first[number] = places;
    places += static_cast<size_t>(std::popcount(numbers.cells[number]));
  }
  if (places > 0) check_distinct_count(places - 1);

  DistinctRows rows = {
      .distinct = {.coords = PooledVector<Coord>(places + 1), .blocks = {.of_row = PooledVector<uint32_t>(places + 1)}},
      .of_row = PooledVector<int32_t>(coords.size())};
  PooledVector<int32_t> number_of(places, -1);
  int32_t found = 0;
  for (size_t row = 0; row < coords.size(); ++row) {
    const Coord& c = coords[row];
    const uint32_t number = numbers.of_row[row];
    const uint64_t below = numbers.cells[number] & ((uint64_t{1} << Block::cell(c.x, c.y, c.z)) - 1);
    int32_t& known = number_of[first[number] + static_cast<size_t>(std::popcount(below))];
    // Written in any case, behind what was found so far.
    rows.distinct.coords[static_cast<size_t>(found)] = c;
    rows.distinct.blocks.of_row[static_cast<size_t>(found)] = number;
    const bool is_new = known < 0;
    known = is_new ? found : known;
    found += is_new ? 1 : 0;
    rows.of_row[row] = known;
  }
  rows.distinct.coords.resize(places);
  rows.distinct.blocks.of_row.resize(places);
  numbers.of_row = std::move(rows.distinct.blocks.of_row);
  rows.distinct.blocks = std::move(numbers);
  return rows;
}

}  // namespace lattice

#include "distinct_coords.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "fail.h"

namespace lattice {
namespace {

constexpr uint64_t kLeastSlots = 64;

int bits_for_slots(uint64_t slots) {
  return static_cast<int>(std::bit_width(std::max(kLeastSlots, slots)));
}

void check_room(size_t count) {
  if (count >= static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    fail(ErrorCode::out_of_range, "coord_set: more than 2^31 - 1 distinct coordinates; split the scan");
  }
}

}  // namespace

DistinctCoords::DistinctCoords(int64_t expected) {
  // A scan repeats most of what is added: a table for a quarter of it seldom has to grow more than once.
  resize(bits_for_slots(static_cast<uint64_t>(expected) / 2));
}

int32_t DistinctCoords::insert(const Coord& coord, size_t slot) {
  check_room(coords_.size());
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

DistinctBlocks::DistinctBlocks(int64_t expected) {
  // A block of a scan holds two to eight coordinates.
  resize(bits_for_slots(static_cast<uint64_t>(expected) / 4));
}

void DistinctBlocks::append(const Coord& coord) {
  check_room(coords_.size());
  coords_.push_back(coord);
}

void DistinctBlocks::grow(size_t blocks) {
  resize(std::max(64 - shift_ + 1, bits_for_slots((used_ + blocks) * 2)));
}

void DistinctBlocks::resize(int bits) {
  shift_ = 64 - bits;
  const PooledVector<Entry> old = std::exchange(table_, PooledVector<Entry>(size_t{1} << bits));
  for (const Entry& entry : old) {
    if (entry.block.batch >= 0) table_[slot_of(entry.block)] = entry;
  }
  last_ = 0;
}

}  // namespace lattice

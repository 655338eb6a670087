#include "distinct_coords.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "fail.h"
#include "four_rows.h"

namespace lattice {
namespace {

constexpr uint64_t kLeastSlots = 64;

// How far ahead of its use a row's slot is fetched, and, half as far, the coordinate that the slot stands for.
constexpr int32_t kRowsAhead = 32;

/// Four slots a row or more where the table then stays in the second-level cache, else two.
int bits_for_rows(size_t rows) {
  constexpr int kBitsInCache = 18;  // 1 MiB
  const int bits = static_cast<int>(std::bit_width(rows)) + 1;
  return bits < kBitsInCache ? bits + 1 : bits;
}

/// Where the table of each row is looked into first; kRowsAhead slots more, for fetching.
PooledVector<uint32_t> slots_of(std::span<const Coord> coords, int bits) {
  using Hashes = uint32_t __attribute__((vector_size(16)));
  PooledVector<uint32_t> slots(coords.size() + kRowsAhead);
  std::fill_n(slots.end() - kRowsAhead, kRowsAhead, 0U);
  for_fours(coords, [shift = 32 - bits, to = slots.data()](size_t row, auto count, const FourRows& rows) {
    // Primes near 2^32 over the golden ratio and others.
    Hashes hashes = std::bit_cast<Hashes>(rows.x) * 0x9E3779B1U + std::bit_cast<Hashes>(rows.y) * 0x85EBCA77U +
                    std::bit_cast<Hashes>(rows.z) * 0xC2B2AE3DU + std::bit_cast<Hashes>(rows.batch) * 0x27D4EB2FU;
    hashes = (hashes ^ hashes >> 15) * 0x9E3779B1U;  // spreads all over the upper bits, which choose the slot
    hashes >>= shift;
    std::memcpy(to + row, &hashes, count * sizeof(uint32_t));
  });
  return slots;
}

/// In one comparison.
bool are_same(const Coord& a, const Coord& b) {
  using Halves = std::array<uint64_t, 2>;
  const auto in_a = std::bit_cast<Halves>(a), in_b = std::bit_cast<Halves>(b);
  return ((in_a[0] ^ in_b[0]) | (in_a[1] ^ in_b[1])) == 0;
}

int bits_for_slots(uint64_t slots) {
  return static_cast<int>(std::bit_width(std::max(kLeastSlots, slots)));
}

}  // namespace

void check_distinct_count(size_t count) {
  if (count >= static_cast<size_t>(CoordSet::kMostRows)) {
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
  DistinctRows rows = {.number_of_row = PooledVector<int32_t>(coords.size()),
                       .first_row = PooledVector<int32_t>(coords.size() + 1),
                       .repeated = PooledVector<int32_t>(coords.size() + 1)};
  // By slot, the first row of a coordinate, -1 where free. Whether a coordinate is a new one cannot be foreseen, so
  // nothing branches on it; a branch on collisions alone, which are few, is foreseen mostly.
  const int bits = bits_for_rows(coords.size());
  PooledVector<int32_t> table(size_t{1} << bits, -1);
  const PooledVector<uint32_t> slots = slots_of(coords, bits);
  // Pointers of their own, so that they stay in registers.
  int32_t* const by_slot = table.data();
  const uint32_t *const slot_of_row = slots.data(), *const slot_ahead = slot_of_row + kRowsAhead,
                        *const slot_half_ahead = slot_of_row + kRowsAhead / 2;
  const Coord* const all = coords.data();
  int32_t *const number_of_row = rows.number_of_row.data(), *const first_row = rows.first_row.data(),
                 *const repeated = rows.repeated.data();
  const uint32_t last_slot = static_cast<uint32_t>(table.size() - 1);
  const auto count = static_cast<int32_t>(coords.size());
  int32_t distinct = 0;
  for (int32_t row = 0; row < count; ++row) {
    __builtin_prefetch(by_slot + slot_ahead[row], 1);
    const int32_t to_compare = by_slot[slot_half_ahead[row]];  // or -1
    __builtin_prefetch(all + (to_compare & ~(to_compare >> 31)));
    uint32_t slot = slot_of_row[row];
    int32_t is_new = by_slot[slot] >> 31;  // or 0; true is -1
    int32_t first = (row & is_new) | (by_slot[slot] & ~is_new);
    while (!are_same(all[first], all[row])) {
      slot = (slot + 1) & last_slot;
      is_new = by_slot[slot] >> 31;
      first = (row & is_new) | (by_slot[slot] & ~is_new);
    }
    by_slot[slot] = first;
    // Written in any case, behind what was found so far.
    first_row[distinct] = row;
    repeated[row - distinct] = row;
    number_of_row[row] = (distinct & is_new) | (first & ~is_new);
    distinct -= is_new;
  }
  rows.first_row.resize(static_cast<size_t>(distinct));
  rows.repeated.resize(static_cast<size_t>(count - distinct));
  for (const int32_t row : rows.repeated) number_of_row[row] = number_of_row[number_of_row[row]];
  return rows;
}

PooledVector<Coord> DistinctRows::distinct_coords(std::span<const Coord> coords) const {
  PooledVector<Coord> distinct;
  distinct.reserve(first_row.size());
  for (const int32_t row : first_row) distinct.push_back(coords[static_cast<size_t>(row)]);
  return distinct;
}

}  // namespace lattice

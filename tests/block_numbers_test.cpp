#include "block_numbers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "coord_index.h"
#include "lattice/random.h"

namespace lattice {
namespace {

Coord block_of(const Coord& c) {
  return {c.batch, c.x >> 2, c.y >> 2, c.z >> 2};
}

/// Sets near together, whose blocks fit a bitmap; wide ones, whose columns do; and those that are far apart, or whose
/// columns are high, so that blocks are numbered by hash.
std::vector<std::vector<Coord>> sets() {
  Random random(7);
  std::vector<std::vector<Coord>> sets = {{}, {{0, -5, 3, std::numeric_limits<int32_t>::max()}}};
  const auto draw = [&](int span_bits) {
    const uint64_t span = uint64_t{1} << span_bits;
    const int64_t low = span_bits == 32 ? std::numeric_limits<int32_t>::min() : -static_cast<int64_t>(span) / 3;
    return static_cast<int32_t>(low + static_cast<int64_t>(random.next() % span));
  };
  for (const auto& [wide, high] :
       std::vector<std::pair<int, int>>{{3, 3}, {6, 6}, {10, 4}, {10, 10}, {3, 10}, {3, 20}, {20, 3}, {32, 32}}) {
    std::vector<Coord>& coords = sets.emplace_back(2000 + sets.size());
    for (Coord& c : coords) c = {static_cast<int32_t>(random.next() % 3), draw(wide), draw(wide), draw(high)};
  }
  // The product of these ranges is 0 modulo 2^64.
  std::vector<Coord> widest = sets.back();
  constexpr int32_t kLowest = std::numeric_limits<int32_t>::min(), kHighest = std::numeric_limits<int32_t>::max();
  widest.push_back({0, kLowest, kLowest, kLowest});
  widest.push_back({(1 << 19) - 1, kHighest, kHighest, kHighest});
  sets.push_back(widest);
  return sets;
}

void expect_numbers_of(const std::vector<Coord>& block_of_row, const BlockNumbers& numbers) {
  const std::set<Coord> distinct(block_of_row.begin(), block_of_row.end());
  const PooledVector<Coord> blocks = numbers.blocks();
  EXPECT_TRUE(std::equal(distinct.begin(), distinct.end(), blocks.begin(), blocks.end()));
  for (size_t column = 1; column < numbers.columns.size(); ++column) {
    const BlockColumn &at = numbers.columns[column], &before = numbers.columns[column - 1];
    EXPECT_TRUE(at.y != before.y || at.x != before.x || at.batch != before.batch);
  }
  ASSERT_EQ(numbers.of_row.size(), block_of_row.size());
  for (size_t row = 0; row < block_of_row.size(); ++row) {
    ASSERT_EQ(blocks.at(numbers.of_row[row]), block_of_row[row]) << row;
  }
}

void expect_cells_of(const std::vector<Coord>& coords, const BlockNumbers& numbers) {
  PooledVector<uint64_t> cells(numbers.heights.size());
  ASSERT_EQ(numbers.cell_of_row.size(), coords.size());
  for (size_t row = 0; row < coords.size(); ++row) {
    const int cell = Block::cell(coords[row].x, coords[row].y, coords[row].z);
    ASSERT_EQ(numbers.cell_of_row[row], cell) << row;
    cells[numbers.of_row[row]] |= uint64_t{1} << cell;
  }
  EXPECT_EQ(numbers.cells, cells);
}

TEST(BlockNumbers, AreSortedAndLeadFromEachRow) {
  for (const std::vector<Coord>& coords : sets()) {
    std::vector<Coord> blocks(coords.size());
    std::transform(coords.begin(), coords.end(), blocks.begin(), block_of);
    const BlockNumbers numbers = BlockNumbers::of(coords);
    expect_numbers_of(blocks, numbers);
    expect_cells_of(coords, numbers);
    expect_numbers_of(coords, BlockNumbers::of_blocks(coords));
  }
}

TEST(BlockNumbers, KnowTheirRowsBounds) {
  for (const std::vector<Coord>& coords : sets()) {
    if (coords.empty()) continue;
    const CoordBounds exact = CoordBounds::of(coords), known = BlockNumbers::of(coords).bounds();
    for (int32_t Coord::*axis : {&Coord::batch, &Coord::x, &Coord::y, &Coord::z}) {
      const auto [low, high] = std::minmax_element(coords.begin(), coords.end(),
                                                   [&](const Coord& a, const Coord& b) { return a.*axis < b.*axis; });
      EXPECT_EQ(exact.low.*axis, (*low).*axis);
      EXPECT_EQ(exact.high.*axis, (*high).*axis);
      EXPECT_LE(known.low.*axis, exact.low.*axis);
      EXPECT_GE(known.high.*axis, exact.high.*axis);
    }
    EXPECT_EQ(block_of(known.low), block_of(exact.low));
    EXPECT_EQ(block_of(known.high), block_of(exact.high));
    EXPECT_EQ(known.low.batch, exact.low.batch);
    EXPECT_EQ(known.high.batch, exact.high.batch);
  }
}

}  // namespace
}  // namespace lattice

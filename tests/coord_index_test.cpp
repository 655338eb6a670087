#include "coord_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <tuple>
#include <vector>

#include "lattice/random.h"

namespace lattice {
namespace {

/// Coordinates of a cube of `span` steps with `low` at its corner, many of them more than once.
std::vector<Coord> random_coords(Random& random, size_t rows, int32_t low, uint64_t span) {
  const auto draw = [&] { return static_cast<int32_t>(low + static_cast<int64_t>(random.next() % span)); };
  std::vector<Coord> coords(rows);
  for (Coord& c : coords) c = {static_cast<int32_t>(random.next() % 3), draw(), draw(), draw()};
  return coords;
}

/// What a set is sorted by: the block of 4x4x4 cells, then the cell within it.
auto block_order(const Coord& c) {
  return std::make_tuple(c.batch, c.x >> 2, c.y >> 2, c.z >> 2, c.x & 3, c.y & 3, c.z & 3);
}

struct Shape {
  size_t rows;
  int32_t low;
  uint64_t span;
};

// Few rows and many; narrow ranges, wider ones, whose columns are few beside the rows, and those whose blocks are found
// by hash.
const Shape kShapes[] = {{0, 0, 1},
                         {1, 5, 1},
                         {200, -3, 6},
                         {3000, -10, 12},
                         {3000, -500, 1000},
                         {3000, std::numeric_limits<int32_t>::min(), uint64_t{1} << 32},
                         {5000, -1000000, 2000000}};

TEST(CoordIndex, SortsRowsWithCopiesInRowOrder) {
  Random random(1);
  for (const auto& [rows, low, span] : kShapes) {
    const std::vector<Coord> coords = random_coords(random, rows, low, span);
    std::vector<int32_t> expected(rows);
    std::iota(expected.begin(), expected.end(), 0);
    std::stable_sort(expected.begin(), expected.end(), [&](int32_t a, int32_t b) {
      return block_order(coords[static_cast<size_t>(a)]) < block_order(coords[static_cast<size_t>(b)]);
    });
    const CoordIndex index(BlockNumbers::of(coords));
    EXPECT_THAT(index.sorted().order, ::testing::ElementsAreArray(expected)) << rows;
    std::vector<Coord> sorted = coords;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(index.has_duplicates(), std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) << rows;
  }
}

TEST(CoordIndex, FindsTheFirstCopyAndNothingElse) {
  Random random(2);
  for (const auto& [rows, low, span] : kShapes) {
    const std::vector<Coord> coords = random_coords(random, rows, low, span);
    std::map<Coord, int32_t> first;
    for (size_t row = 0; row < rows; ++row) first.emplace(coords[row], static_cast<int32_t>(row));
    const CoordIndex index(BlockNumbers::of(coords));
    std::vector<Coord> asked = random_coords(random, 500, low, span);
    asked.insert(asked.end(), coords.begin(), coords.end());
    for (const Coord& c : asked) {
      const auto found = first.find(c);
      ASSERT_EQ(index.find(c.batch, c.x, c.y, c.z), found == first.end() ? -1 : found->second);
    }
    EXPECT_EQ(index.find(0, int64_t{1} << 40, 0, 0), -1);
    EXPECT_EQ(index.find(-1, 0, 0, -(int64_t{1} << 40)), -1);
  }
}

}  // namespace
}  // namespace lattice

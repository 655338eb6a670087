#include "distinct_coords.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <vector>

#include "lattice/random.h"

namespace lattice {
namespace {

using ::testing::ElementsAreArray;

constexpr int32_t kLowest = std::numeric_limits<int32_t>::min(), kHighest = std::numeric_limits<int32_t>::max();

/// None, few, and many of them the same; near together, far apart, in a cube without gaps, in a plane and on a line.
std::vector<std::vector<Coord>> sets() {
  std::vector<std::vector<Coord>> sets = {{}, {{0, kLowest, kHighest, -1}}};
  Random random(7);
  for (const uint64_t span : {uint64_t{1}, uint64_t{6}, uint64_t{40}, uint64_t{1} << 20, uint64_t{1} << 32}) {
    for (const size_t rows : {3, 200, 3001}) {
      const int64_t low = span == uint64_t{1} << 32 ? int64_t{kLowest} : -static_cast<int64_t>(span) / 3;
      const auto draw = [&] { return static_cast<int32_t>(low + static_cast<int64_t>(random.next() % span)); };
      std::vector<Coord>& coords = sets.emplace_back(rows);
      for (Coord& c : coords) c = {static_cast<int32_t>(random.next() % 3), draw(), draw(), draw()};
      // Some once more, in another order.
      for (size_t i = 0; i < rows / 2; ++i) coords.push_back(coords[random.next() % rows]);
    }
  }
  std::vector<Coord> cube, plane, line;
  for (int32_t i = 0; i < 20 * 20 * 20; ++i) {
    cube.push_back({0, i / 400, i / 20 % 20, i % 20});
    plane.push_back({1, i / 90 * 64, 3, i % 90 * 64});
    line.push_back({2, -7, i * 1024, 0});
  }
  sets.insert(sets.end(), {cube, plane, line});
  return sets;
}

struct Numbered {
  std::vector<int32_t> number_of_row, first_row, repeated;
  PooledVector<Coord> distinct;
};

Numbered expected_of(const std::vector<Coord>& coords) {
  Numbered numbered;
  std::map<Coord, int32_t> numbers;
  for (size_t row = 0; row < coords.size(); ++row) {
    const auto [at, is_new] = numbers.emplace(coords[row], static_cast<int32_t>(numbers.size()));
    numbered.number_of_row.push_back(at->second);
    (is_new ? numbered.first_row : numbered.repeated).push_back(static_cast<int32_t>(row));
    if (is_new) numbered.distinct.push_back(coords[row]);
  }
  return numbered;
}

TEST(DistinctRows, NumberCoordinatesByFirstAppearance) {
  for (const std::vector<Coord>& coords : sets()) {
    const Numbered expected = expected_of(coords);
    const DistinctRows rows = DistinctRows::of(coords);
    ASSERT_THAT(rows.number_of_row, ElementsAreArray(expected.number_of_row));
    ASSERT_THAT(rows.first_row, ElementsAreArray(expected.first_row));
    ASSERT_THAT(rows.repeated, ElementsAreArray(expected.repeated));
    ASSERT_EQ(rows.distinct_coords(coords), expected.distinct);
  }
}

TEST(DistinctCoords, NumberCoordinatesByFirstAppearance) {
  for (const std::vector<Coord>& coords : sets()) {
    const Numbered expected = expected_of(coords);
    for (const int64_t expected_rows : {int64_t{0}, int64_t{100000}}) {
      DistinctCoords distinct(expected_rows);
      for (size_t row = 0; row < coords.size(); ++row) {
        ASSERT_EQ(distinct.add(coords[row]), expected.number_of_row[row]);
      }
      EXPECT_EQ(distinct.take(), expected.distinct);
    }
  }
}

}  // namespace
}  // namespace lattice

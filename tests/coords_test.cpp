#include "lattice/coords.h"

#include <set>
#include <thread>

#include "block_numbers.h"
#include "ops/sparse_examples.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;

TEST(CoordSet, KeepsItsRows) {
  const Support set = CoordSet::make({{0, 1, -2, 3}, {4, 0, 0, 0}}, {1, 2, 3});
  EXPECT_EQ(set->rows(), 2);
  EXPECT_THAT(coords_of(set), ElementsAre(Coord{0, 1, -2, 3}, Coord{4, 0, 0, 0}));
  EXPECT_EQ(set->stride(), Triple(1, 2, 3));
  EXPECT_EQ(set->extent(), std::nullopt);
  EXPECT_EQ(set->batches(), 5);
  EXPECT_EQ(set->tensor().shape(), (Shape{2, 4}));
  EXPECT_THAT(set->tensor().values<int32_t>(), ElementsAre(0, 1, -2, 3, 4, 0, 0, 0));
}

TEST(CoordSet, TakesBothIntegerTypes) {
  const Tensor narrow = Tensor::from(std::vector<int32_t>{0, 1, 2, 3}, {1, 4});
  const Tensor wide = Tensor::from(std::vector<int64_t>{0, 1, -2147483648, 2147483647}, {1, 4});
  EXPECT_THAT(coords_of(CoordSet::make(narrow)), ElementsAre(Coord{0, 1, 2, 3}));
  EXPECT_THAT(coords_of(CoordSet::make(wide)),
              ElementsAre(Coord{0, 1, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}));
}

TEST(CoordSet, AnEmptyOneIsFine) {
  const Support set = CoordSet::make(Tensor::zeros(DType::i64, {0, 4}), 2, Triple(5));
  EXPECT_EQ(set->rows(), 0);
  EXPECT_EQ(set->batches(), 0);
  EXPECT_FALSE(set->has_duplicates());
  EXPECT_EQ(set->tensor().shape(), (Shape{0, 4}));
}

TEST(CoordSet, AnExtentAdmitsItsCells) {
  const Support set = CoordSet::make({{0, 0, 0, 0}, {0, 1, 2, 3}}, 1, Triple(2, 3, 4));
  EXPECT_EQ(set->extent(), Triple(2, 3, 4));
}

/// With their blocks.
NumberedCoords numbered(const std::vector<Coord>& coords) {
  return {{coords.begin(), coords.end()}, BlockNumbers::of(coords)};
}

// Of these the bounds are known by blocks alone, which an extent may cut.
TEST(CoordSet, KnowsTheSameOfNumberedCoordinates) {
  const std::vector<Coord> coords = {{2, 4, 0, 0}, {0, 1, 2, 3}, {0, 1, 2, 3}};
  const Support set = CoordSet::make(numbered(coords), 1, Triple(5, 3, 4));
  EXPECT_EQ(set->batches(), 3);
  EXPECT_TRUE(set->has_duplicates());
  expect_error(ErrorCode::invalid_argument, {"row 0 at (2, 4, 0, 0) lies outside the extent (4, 3, 4)"},
               [&] { CoordSet::make(numbered(coords), 1, Triple(4, 3, 4)); });
  expect_error(ErrorCode::invalid_argument, {"row 1 has the batch -1"}, [&] {
    CoordSet::make(numbered({{0, 0, 0, 0}, {-1, 0, 0, 0}}));
  });
}

TEST(CoordSet, EachHasAnIdentityOfItsOwn) {
  std::set<uint64_t> seen;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(seen.insert(CoordSet::make({{0, 0, 0, 0}})->id()).second);
}

TEST(CoordSet, KnowsWhetherACoordinateRepeats) {
  EXPECT_FALSE(CoordSet::make({{0, 1, 0, 0}, {1, 1, 0, 0}, {0, 0, 1, 0}})->has_duplicates());
  EXPECT_TRUE(CoordSet::make({{0, 1, 0, 0}, {1, 1, 0, 0}, {0, 1, 0, 0}})->has_duplicates());
  const int32_t least = std::numeric_limits<int32_t>::min(), most = std::numeric_limits<int32_t>::max();
  EXPECT_FALSE(
      CoordSet::make({{0, least, least, least}, {0, most, most, most}, {most, most, most, most}})->has_duplicates());
  EXPECT_TRUE(
      CoordSet::make({{0, least, most, least}, {0, most, most, most}, {0, least, most, least}})->has_duplicates());
  Random random(51);
  for (int run = 0; run < 20; ++run) {
    const std::vector<Coord> coords = random_coords(random, 30, 5);
    const std::set<Coord> distinct(coords.begin(), coords.end());
    EXPECT_EQ(CoordSet::make(coords)->has_duplicates(), distinct.size() < coords.size());
  }
}

TEST(CoordSet, ManyThreadsMayAskAtOnce) {
  Random random(52);
  const Support set = CoordSet::make(random_distinct_coords(random, 5000, 40));
  std::vector<std::thread> threads;
  std::vector<const void*> seen(4);
  for (auto& index : seen) {
    threads.emplace_back([&index, &set] {
      EXPECT_FALSE(set->has_duplicates());
      index = &set->index();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const void* index : seen) EXPECT_EQ(index, seen[0]);
}

TEST(Coords, PrintForMessages) {
  EXPECT_EQ(to_string(Triple(3)), "(3, 3, 3)");
  EXPECT_EQ(to_string(Coord{1, -2, 3, 4}), "(1, -2, 3, 4)");
}

TEST(Coords, OrderByBatchThenAxes) {
  EXPECT_LT((Coord{0, 9, 9, 9}), (Coord{1, 0, 0, 0}));
  EXPECT_LT((Coord{0, -1, 5, 5}), (Coord{0, 0, 0, 0}));
  EXPECT_LT((Coord{0, 0, 0, 1}), (Coord{0, 0, 0, 2}));
}

}  // namespace
}  // namespace lattice

#include "cli/street_scene.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "cli/ray_shapes.h"

namespace lattice::cli {
namespace {

TEST(StreetScene, SameSeedGivesTheSamePoints) {
  const PointCloud one = street_scan(5), two = street_scan(5);
  ASSERT_EQ(one.rows(), two.rows());
  const auto a = one.values.values<float>(), b = two.values.values<float>();
  EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin()));
}

TEST(StreetScene, OtherSeedGivesOtherPoints) {
  const PointCloud one = street_scan(5), two = street_scan(6);
  const auto a = one.values.values<float>(), b = two.values.values<float>();
  EXPECT_FALSE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
}

// FNV-1a over the little-endian bytes of one scan: what other compilers and machines must give as well.
TEST(StreetScene, PointsAreTheSameEverywhere) {
  const PointCloud scan = street_scan(1);
  const auto values = scan.values.values<float>();
  uint64_t hash = 0xCBF29CE484222325u;
  for (float value : values) {
    for (uint32_t bits = std::bit_cast<uint32_t>(value), byte = 0; byte < 4; ++byte, bits >>= 8) {
      hash = (hash ^ (bits & 0xFF)) * 0x100000001B3u;
    }
  }
  EXPECT_EQ(scan.rows(), 114135);
  EXPECT_EQ(hash, 12261579045220688701u);
}

class StreetSceneSeeds : public testing::TestWithParam<uint64_t> {
 protected:
  static const PointCloud& scan_of(uint64_t seed) {
    static std::map<uint64_t, PointCloud> scans;
    const auto [entry, fresh] = scans.try_emplace(seed);
    if (fresh) entry->second = street_scan(seed);
    return entry->second;
  }

  const PointCloud& scan_ = scan_of(GetParam());
  const float* point(int64_t row) const { return scan_.values.data<float>() + 4 * row; }
};

TEST_P(StreetSceneSeeds, HasTheSizeAndColumnsOfALidarScan) {
  EXPECT_EQ(scan_.columns, (std::vector<std::string>{"x", "y", "z", "intensity"}));
  EXPECT_EQ(scan_.values.shape(), (Shape{scan_.rows(), 4}));
  EXPECT_GT(scan_.rows(), 80000);
  EXPECT_LT(scan_.rows(), 130000);
}

TEST_P(StreetSceneSeeds, PointsAreFiniteAndInRange) {
  for (int64_t row = 0; row < scan_.rows(); ++row) {
    const float* p = point(row);
    ASSERT_TRUE(std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2]) && std::isfinite(p[3])) << row;
    const double range = std::sqrt(double{p[0]} * p[0] + double{p[1]} * p[1] + double{p[2]} * p[2]);
    ASSERT_LE(range, 80.001) << row;
    ASSERT_GT(range, 0.5) << row;
    ASSERT_GE(p[3], 0) << row;
    ASSERT_LE(p[3], 1) << row;
    const double elevation = std::asin(p[2] / range) * 180 / std::numbers::pi;
    ASSERT_GE(elevation, -24.81) << row;
    ASSERT_LE(elevation, 2.01) << row;
  }
}

TEST_P(StreetSceneSeeds, StandsOnARoadAndAKerb) {
  int64_t road = 0, pavement = 0, below = 0;
  for (int64_t row = 0; row < scan_.rows(); ++row) {
    const float z = point(row)[2];
    road += std::abs(z + 1.73f) < 0.06f ? 1 : 0;
    pavement += std::abs(z + 1.60f) < 0.06f ? 1 : 0;
    below += z < -2.0f ? 1 : 0;
  }
  EXPECT_GT(road, scan_.rows() / 5);
  EXPECT_GT(pavement, scan_.rows() / 50);
  EXPECT_EQ(below, 0);
}

// A vertical structure fills, over one square of 0.2 m, at least one metre of height.
TEST_P(StreetSceneSeeds, HasVerticalStructures) {
  constexpr int kSide = 801;
  struct Square {
    float low = 100, high = -100;
    int points = 0;
  };
  std::vector<Square> squares(size_t{kSide} * kSide);
  for (int64_t row = 0; row < scan_.rows(); ++row) {
    const float* p = point(row);
    const auto place = [](float metres) { return static_cast<size_t>(std::clamp(metres / 0.2f + 400, 0.f, 800.f)); };
    Square& square = squares[place(p[0]) * kSide + place(p[1])];
    square.low = std::min(square.low, p[2]);
    square.high = std::max(square.high, p[2]);
    ++square.points;
  }
  int64_t upright = 0;
  for (const Square& square : squares) upright += square.high - square.low > 1 ? square.points : 0;
  EXPECT_GT(upright, 8000);
}

INSTANTIATE_TEST_SUITE_P(Seeds, StreetSceneSeeds, testing::Values(0, 1, 2, 3, uint64_t{0} - 1));

TEST(RayShapes, TurnIsCosineAndSine) {
  for (double angle = -3.1; angle < 3.15; angle += 0.1) {
    EXPECT_NEAR(turn(angle).c, std::cos(angle), 1e-13);
    EXPECT_NEAR(turn(angle).s, std::sin(angle), 1e-13);
  }
}

constexpr Surface kPlain{0.5, 1}, kPane{0.1, 0.5}, kDoor{0.4, 1};

TEST(RayShapes, MeetsTheNearSideOfRoundBodies) {
  const Cylinder pole{10, 0, 0.5, -1, 2, kPlain};
  ASSERT_TRUE(intersect(pole, {1, 0, 0}));
  EXPECT_DOUBLE_EQ(intersect(pole, {1, 0, 0})->range, 9.5);
  EXPECT_DOUBLE_EQ(intersect(pole, {1, 0, 0})->cosine, 1);
  EXPECT_FALSE(intersect(pole, {-1, 0, 0}));
  EXPECT_FALSE(intersect(pole, {0.8, 0, 0.6}));  // above its top

  const Ball ball{{0, 0, 4}, 1, kPlain, 0};
  ASSERT_TRUE(intersect(ball, {0, 0, 1}));
  EXPECT_DOUBLE_EQ(intersect(ball, {0, 0, 1})->range, 3);
  EXPECT_FALSE(intersect(ball, {0, 0, -1}));
  EXPECT_FALSE(intersect(ball, {1, 0, 0}));
}

TEST(RayShapes, MeetsTheNearFaceOfASolid) {
  const Solid box{{{{1, 0, 0}, 6, kPlain},
                   {{-1, 0, 0}, -5, kPane},
                   {{0, 1, 0}, 1, kPlain},
                   {{0, -1, 0}, 1, kPlain},
                   {{0, 0, 1}, 1, kPlain},
                   {{0, 0, -1}, 1, kPlain}}};
  const auto hit = intersect(box, {1, 0, 0});
  ASSERT_TRUE(hit);
  EXPECT_DOUBLE_EQ(hit->range, 5);
  EXPECT_EQ(hit->surface.reflectance, kPane.reflectance);
  EXPECT_FALSE(intersect(box, {0.6, 0.8, 0}));
  EXPECT_FALSE(intersect(box, {-1, 0, 0}));
}

// One column of windows, 2 m wide and 1 to 2 m above the floor, in the middle of a wall 10 m ahead.
TEST(RayShapes, WindowsLieBehindTheWall) {
  const Building house{.low = {10, -2},
                       .high = {15, 2},
                       .bottom = -1,
                       .top = 5,
                       .pitch = 4,
                       .window_width = 2,
                       .sill = 0.5,
                       .head = 2,
                       .door_column = 1,
                       .wall = kPlain,
                       .pane = kPane,
                       .door = kDoor};
  const auto pane = intersect(house, {1, 0, 0});
  ASSERT_TRUE(pane);
  EXPECT_GT(pane->range, 10.1);
  EXPECT_EQ(pane->surface.reflectance, kPane.reflectance);

  const double length = std::sqrt(100 + 1.5 * 1.5);
  const auto wall = intersect(house, {10 / length, 1.5 / length, 0});
  ASSERT_TRUE(wall);
  EXPECT_NEAR(wall->range, length, 1e-12);
  EXPECT_EQ(wall->surface.reflectance, kPlain.reflectance);

  const double edge = std::sqrt(100 + 0.99 * 0.99);  // enters the recess just inside its edge: meets the reveal
  const auto reveal = intersect(house, {10 / edge, 0.99 / edge, 0});
  ASSERT_TRUE(reveal);
  EXPECT_NEAR(reveal->range * 0.99 / edge, 1, 1e-12);
  EXPECT_EQ(reveal->surface.reflectance, kPlain.reflectance);
  EXPECT_FALSE(intersect(house, {-1, 0, 0}));
}

}  // namespace
}  // namespace lattice::cli

#include "lattice/conv_geometry.h"

#include "ops/sparse_examples.h"

namespace lattice {
namespace {

TEST(ConvGeometry, DefaultsAreAPlainCube) {
  const ConvGeometry geometry({});
  EXPECT_EQ(geometry.kernel_size(), Triple(3));
  EXPECT_EQ(geometry.stride(), Triple(1));
  EXPECT_EQ(geometry.padding(), Triple(0));
  EXPECT_EQ(geometry.dilation(), Triple(1));
  EXPECT_EQ(geometry.taps(), 27);
}

TEST(ConvGeometry, TapsRunXSlowestZFastest) {
  const ConvGeometry geometry({.kernel_size = {2, 3, 4}});
  int64_t tap = 0;
  for (int64_t x = 0; x < 2; ++x) {
    for (int64_t y = 0; y < 3; ++y) {
      for (int64_t z = 0; z < 4; ++z) EXPECT_EQ(geometry.indexed_offset(tap++), Triple(x, y, z));
    }
  }
  EXPECT_EQ(tap, geometry.taps());
}

TEST(ConvGeometry, OddAxesAreCenteredEvenOnesAreNot) {
  const ConvGeometry geometry({.kernel_size = {3, 2, 5}, .dilation = {1, 4, 2}});
  EXPECT_EQ(geometry.centered_offset(0), Triple(-1, 0, -4));
  EXPECT_EQ(geometry.centered_offset(geometry.taps() - 1), Triple(1, 4, 4));
  EXPECT_EQ(geometry.centered_offset((1 * 2 + 0) * 5 + 2), Triple(0, 0, 0));
  EXPECT_EQ(geometry.indexed_offset(geometry.taps() - 1), Triple(2, 4, 8));
}

TEST(ConvGeometry, OffsetsCannotOverflow) {
  const int64_t most = std::numeric_limits<int32_t>::max();
  const ConvGeometry geometry({.kernel_size = {most, 1, 1}, .stride = most, .padding = most, .dilation = most});
  EXPECT_EQ(geometry.taps(), most);
  EXPECT_EQ(geometry.indexed_offset(most - 1), Triple((most - 1) * most, 0, 0));
  EXPECT_EQ(geometry.centered_offset(0), Triple(-(most / 2) * most, 0, 0));
}

TEST(ConvGeometry, KnowsItsSpecialCases) {
  EXPECT_TRUE(ConvGeometry({.kernel_size = 1}).is_pointwise());
  EXPECT_FALSE(ConvGeometry({.kernel_size = {1, 1, 2}}).is_pointwise());
  EXPECT_FALSE(ConvGeometry({.kernel_size = 1, .stride = {1, 2, 1}}).is_pointwise());
  EXPECT_FALSE(ConvGeometry({.kernel_size = 1, .padding = {0, 0, 1}}).is_pointwise());
  EXPECT_FALSE(ConvGeometry({.kernel_size = 1, .dilation = 2}).is_pointwise());
  EXPECT_TRUE(ConvGeometry({.kernel_size = 2, .stride = 2}).taps_never_meet());
  EXPECT_FALSE(ConvGeometry({.kernel_size = 3, .stride = 2}).taps_never_meet());
  EXPECT_FALSE(ConvGeometry({.kernel_size = 2, .stride = 2, .dilation = 2}).taps_never_meet());
  EXPECT_TRUE(ConvGeometry({.kernel_size = 2, .stride = 3, .dilation = 2}).taps_never_meet());
  EXPECT_FALSE(ConvGeometry({.kernel_size = {2, 2, 3}, .stride = 2}).taps_never_meet());
  EXPECT_TRUE(ConvGeometry({}).has_unit_stride());
  EXPECT_FALSE(ConvGeometry({.stride = {1, 1, 2}}).has_unit_stride());
}

TEST(ConvGeometry, MapsStrides) {
  const ConvGeometry geometry({.kernel_size = 2, .stride = {1, 2, 3}});
  EXPECT_EQ(geometry.coarser_stride({4, 5, 6}, "test"), Triple(4, 10, 18));
  EXPECT_EQ(geometry.finer_stride({4, 10, 18}, "test"), Triple(4, 5, 6));
}

TEST(ConvGeometry, MapsExtents) {
  // spconv's SECOND backbone: 41 -> 21 -> 11 -> 5 in height, the last without padding.
  const ConvGeometry down({.kernel_size = 3, .stride = 2, .padding = 1});
  EXPECT_EQ(down.regular_extent({41, 1600, 1408}, "test"), Triple(21, 800, 704));
  const ConvGeometry last({.kernel_size = 3, .stride = 2, .padding = {0, 1, 1}});
  EXPECT_EQ(last.regular_extent({11, 400, 352}, "test"), Triple(5, 200, 176));
  const ConvGeometry dilated({.kernel_size = 3, .dilation = 2});
  EXPECT_EQ(dilated.regular_extent(5, "test"), Triple(1));
}

TEST(ConvGeometry, EqualityIsThatOfAllFour) {
  const ConvGeometry plain({});
  EXPECT_TRUE(plain == ConvGeometry({.kernel_size = 3}));
  EXPECT_FALSE(plain == ConvGeometry({.kernel_size = {3, 3, 1}}));
  EXPECT_FALSE(plain == ConvGeometry({.stride = 2}));
  EXPECT_FALSE(plain == ConvGeometry({.padding = 1}));
  EXPECT_FALSE(plain == ConvGeometry({.dilation = 2}));
}

TEST(FloorDivide, IsFloorBelowZeroToo) {
  EXPECT_EQ(floor_divide(-1, 2), -1);
  EXPECT_EQ(floor_divide(-2, 2), -1);
  EXPECT_EQ(floor_divide(-3, 2), -2);
  EXPECT_EQ(floor_divide(0, 2), 0);
  EXPECT_EQ(floor_divide(3, 2), 1);
  for (int64_t a = -20; a <= 20; ++a) {
    for (int64_t b = 1; b <= 5; ++b) {
      EXPECT_EQ(floor_divide(a, b), static_cast<int64_t>(std::floor(static_cast<double>(a) / static_cast<double>(b))));
    }
  }
}

}  // namespace
}  // namespace lattice

#include <gtest/gtest.h>

#include <vector>

#include "lattice/session.h"

namespace lattice {
namespace {

// A full cube of 432^3 voxels has more than 2^31 edges. The relation takes 13 GiB and some minutes, so the test runs on
// demand: large_relation_test --gtest_also_run_disabled_tests
TEST(LargeRelation, DISABLED_HoldsMoreThanTwoToThe31Edges) {
  constexpr int32_t kSide = 432;
  std::vector<Coord> coords;
  coords.reserve(size_t{kSide} * kSide * kSide);
  for (int32_t x = 0; x < kSide; ++x) {
    for (int32_t y = 0; y < kSide; ++y) {
      for (int32_t z = 0; z < kSide; ++z) coords.push_back({0, x, y, z});
    }
  }
  const Support support = CoordSet::make(std::move(coords));
  Session session;
  const auto related = session.relate(RelationKind::submanifold, support, ConvGeometry({.kernel_size = 3}));
  // On each axis kSide - 1 pairs of neighbours in either direction, and every voxel with itself.
  constexpr int64_t kPairs = 3 * int64_t{kSide} - 2;
  static_assert(kPairs * kPairs * kPairs > int64_t{1} << 31);
  EXPECT_EQ(related.relation->edges(), kPairs * kPairs * kPairs);
}

}  // namespace
}  // namespace lattice

#include "lattice/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace lattice {
namespace {

TEST(Random, GivesThePublishedValues) {
  Random random(1234567);
  for (uint64_t expected : {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u,
                            16408922859458223821u}) {
    EXPECT_EQ(random.next(), expected);
  }
  EXPECT_EQ(Random(0).next(), 0xE220A8397B1DCDAFu);
}

TEST(Random, UniformIsTheUpper53Bits) {
  EXPECT_EQ(Random(1234567).uniform(), static_cast<double>(6457827717110365317u >> 11) / 9007199254740992.0);
}

TEST(Random, UniformFillsTheUnitInterval) {
  constexpr int kCount = 100000;
  Random random(1);
  double sum = 0, smallest = 1, largest = 0;
  for (int draw = 0; draw < kCount; ++draw) {
    const double value = random.uniform();
    sum += value;
    smallest = std::min(smallest, value);
    largest = std::max(largest, value);
  }
  EXPECT_GE(smallest, 0);
  EXPECT_LT(largest, 1);
  // Five standard errors of the mean; the chance that a tail of 100/kCount stays empty is e^-100.
  EXPECT_NEAR(sum / kCount, 0.5, 5 / std::sqrt(12.0 * kCount));
  EXPECT_LT(smallest, 100.0 / kCount);
  EXPECT_GT(largest, 1 - 100.0 / kCount);
}

TEST(Random, UniformTakesBounds) {
  Random random(2);
  for (int draw = 0; draw < 1000; ++draw) {
    const double value = random.uniform(-3, 5);
    EXPECT_GE(value, -3);
    EXPECT_LE(value, 5);
  }
}

TEST(Random, NormalHasMeanZeroAndVarianceOne) {
  constexpr int kCount = 100000;
  Random random(3);
  double sum = 0, squares = 0;
  int within_one = 0;
  for (int draw = 0; draw < kCount; ++draw) {
    const double value = random.normal();
    sum += value;
    squares += value * value;
    within_one += std::abs(value) < 1 ? 1 : 0;
  }
  EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(double{kCount}));
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(within_one, 0.6827 * kCount, 0.01 * kCount);
}

}  // namespace
}  // namespace lattice

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cpu/packed_panel.h"

// Activations to integers, and which rows have none; the same of sums of bfloat16.

namespace lattice::cpu {
namespace {

/// Kernels quantize many groups at once where rows are many; one row for itself is too few for that.
TEST_P(EveryIsa, QuantizesRowsTogetherAsOneByOne) {
  Random random(17);
  const auto check = [](const IntegerRoute& route, int32_t limit, const RandomPanel& packed, int64_t channels,
                        const std::vector<float>& x) {
    const RouteRows together = quantized(route, limit, packed, x, channels);
    const auto rows = static_cast<int64_t>(together.exact.size());
    const size_t row_bytes = together.x.size() / together.exact.size();
    for (int64_t row = 0; row < rows; ++row) {
      const std::vector<float> values(x.begin() + row * channels, x.begin() + (row + 1) * channels);
      const RouteRows alone = quantized(route, limit, packed, values, channels);
      const auto at = static_cast<size_t>(row);
      ASSERT_EQ(together.exact[at], alone.exact[0]) << "row " << row << " of " << rows;
      ASSERT_EQ(std::memcmp(together.x.data() + at * row_bytes, alone.x.data(), row_bytes), 0)
          << "row " << row << " of " << rows << ", groups of " << packed.group_size;
      ASSERT_EQ(std::memcmp(together.factors.data() + row * packed.groups, alone.factors.data(),
                            alone.factors.size() * sizeof(GroupFactors)),
                0)
          << "row " << row << " of " << rows << ", groups of " << packed.group_size;
    }
  };
  for (const int64_t group_size : {int64_t{32}, int64_t{64}, int64_t{128}}) {
    for (const int64_t groups : {1, 3}) {
      const RandomPanel packed(random, groups, group_size, 8, kernels().lanes);
      for (const int64_t rows : {1, 7, 8, 15, 16, 17, 40, 100}) {
        const int64_t channels = packed.channels() - (rows % 3 == 1 ? static_cast<int64_t>(random.next() % 31) : 0);
        std::vector<float> x(static_cast<size_t>(rows * channels));
        for (size_t i = 0; i < x.size(); ++i) {
          const float size = std::ldexp(1.0F, static_cast<int>(i / static_cast<size_t>(group_size) % 40) - 20);
          x[i] = static_cast<float>(random.uniform(-size, size));
        }
        std::fill_n(x.begin() + rows / 2 * channels, std::min(group_size, channels), 0.0F);
        std::vector<float> odd = x;
        odd[odd.size() / 3] = std::nanf("");
        odd[odd.size() / 2] = 0x1p-140F;
        for (const auto& values : {x, odd}) {
          check(kernels().wide, 32767, packed, channels, values);
          check(kernels().narrow, 127, packed, channels, values);
        }
      }
    }
  }
}

TEST_P(EveryIsa, LeavesRowsThatCannotBeQuantizedToFloat32) {
  constexpr int64_t kChannels = 64, kGroup = 32;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  // One value of each row: those that are no number, and those whose group's scale would be none or subnormal.
  const std::vector<float> odd = {1.0F,      kInfinity,  -kInfinity, std::nanf(""), 0.0F,
                                  0x1p-126F, -0x1p-149F, 3e38F,      0x1p-100F,     0x1p-113F};
  const std::vector<uint8_t> expected = {0, 1, 1, 1, 0, 1, 1, 0, 0, 1};
  const auto rows = static_cast<int64_t>(odd.size());
  std::vector<float> x(static_cast<size_t>(rows * kChannels));
  for (int64_t row = 0; row < rows; ++row) {
    x[static_cast<size_t>(row * kChannels + 40)] = odd[static_cast<size_t>(row)];
  }
  for (const IntegerRoute& route : {kernels().wide, kernels().narrow}) {
    std::vector<uint8_t> q(static_cast<size_t>(rows * kChannels * route.activation_bytes)), exact(odd.size(), 9);
    std::vector<GroupFactors> factors(static_cast<size_t>(rows * 2), {-1, -1});
    const auto quantize = [&](int32_t limit) {
      route.quantize({.x = x.data(),
                      .rows = rows,
                      .channels = kChannels,
                      .groups = kChannels / kGroup,
                      .group_size = kGroup,
                      .limit = limit,
                      .q = q.data(),
                      .factors = factors.data(),
                      .exact = exact.data()});
    };
    quantize(route.activation_bytes == 2 ? 32767 : 127);
    if (route.activation_bytes == 2) {
      EXPECT_EQ(exact, expected);
    }
    EXPECT_EQ(exact[0], 0);
    EXPECT_EQ(exact[1], 1);
    EXPECT_EQ(factors[2 * 1 + 1].scale, 0.0F);
    EXPECT_EQ(factors[2 * 3 + 1].sum, 0.0F);
    EXPECT_EQ(factors[2 * 4 + 1].scale, 0.0F);
    EXPECT_GT(factors[1].scale, 0.0F);
  }
}

TEST_P(EveryIsaWithBf16, LeavesRowsOfExtremeValuesToFloat32) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> odd = {1.0F,      0.0F,  -0.0F,       kInfinity,  -kInfinity,   std::nanf(""),
                                  -0x1p112F, 3e38F, 0x1.FEp111F, -0x1p-119F, 0x1.FEp-120F, 0x1p-133F};
  const std::vector<uint8_t> expected = {0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1};
  Random random(5);
  const RandomPanel packed(random, 2, 32, 8, kernels().lanes);
  std::vector<float> x(odd.size() * 64);
  for (size_t row = 0; row < odd.size(); ++row) x[row * 64 + 40] = odd[row];
  EXPECT_EQ(bf16_rows(kernels(), packed, x).exact, expected);
}

}  // namespace
}  // namespace lattice::cpu

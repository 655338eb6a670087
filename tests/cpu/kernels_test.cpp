#include "cpu/kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cpu/forced_isa.h"
#include "cpu/kernel_models/kernel_models.h"
#include "cpu/kernels/select.h"
#include "lattice/dtype.h"
#include "lattice/random.h"

namespace lattice::cpu {
namespace {

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const auto isa : available_isas()) names.emplace_back(isa);
  return names;
}

std::vector<std::string> models() {
  std::vector<std::string> names;
  for (const Kernels* model : kernel_models()) names.emplace_back(model->isa);
  return names;
}

class EveryIsa : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const {
    for (const Kernels* model : kernel_models()) {
      if (model->isa == GetParam()) return *model;
    }
    const ForcedIsa forced(GetParam());
    return select_kernels().kernels;
  }
};

INSTANTIATE_TEST_SUITE_P(Models, EveryIsa, testing::ValuesIn(models()), [](const auto& isa) { return isa.param; });
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsa, testing::ValuesIn(isas()), [](const auto& isa) { return isa.param; });

/// Edges of one tap with distinct slots, and what their kernels add to.
struct RandomEdges {
  std::vector<int32_t> input;
  std::vector<uint16_t> slot;
  std::vector<float> sums;
  int64_t width, stride;

  RandomEdges(Random& random, int64_t count, int64_t rows, int64_t columns) : width(columns), stride(columns + 4) {
    for (int64_t e = 0; e < count; ++e) {
      input.push_back(static_cast<int32_t>(random.next() % static_cast<uint64_t>(rows)));
      slot.push_back(static_cast<uint16_t>(count - 1 - e));
    }
    for (int64_t i = 0; i < count * stride; ++i) sums.push_back(static_cast<float>(random.next() % 16));
  }
  TapEdges view() {
    return {.input = input.data(),
            .slot = slot.data(),
            .count = static_cast<int64_t>(input.size()),
            .width = width,
            .sums = sums.data(),
            .sums_stride = stride};
  }
  float& sum(int64_t edge, int64_t column) {
    return sums[static_cast<size_t>(slot[static_cast<size_t>(edge)] * stride + column)];
  }
};

constexpr int64_t kMostRows = 2 * 12 + 1;  // two blocks of the largest kernel, and one row more

// Products of small integers are exact in float32, in any order and with or without fusing.
TEST_P(EveryIsa, MultipliesFloatsOfAnyNumberOfRows) {
  Random random(1);
  const auto small = [&] { return static_cast<float>(static_cast<int>(random.next() % 17) - 8); };
  const Kernels& k = kernels();
  for (int64_t count = 0; count <= kMostRows; ++count) {
    for (int64_t width = k.lanes; width <= k.panel_width; width += k.lanes) {
      const int64_t channels = 1 + static_cast<int64_t>(random.next() % 300);  // more than one pass over the panel
      const int64_t rows = count + 3;
      std::vector<float> x(static_cast<size_t>(rows * channels)), panel(static_cast<size_t>(channels * width));
      for (float& value : x) value = small();
      for (float& value : panel) value = small();
      RandomEdges edges(random, count, rows, width), expected = edges;
      for (int64_t e = 0; e < count; ++e) {
        for (int64_t n = 0; n < width; ++n) {
          for (int64_t c = 0; c < channels; ++c) {
            expected.sum(e, n) += x[static_cast<size_t>(edges.input[static_cast<size_t>(e)] * channels + c)] *
                                  panel[static_cast<size_t>(c * width + n)];
          }
        }
      }
      k.float_product(
          {.edges = edges.view(), .x = x.data(), .x_stride = channels, .panel = panel.data(), .channels = channels});
      ASSERT_EQ(edges.sums, expected.sums) << count << " rows, width " << width;
    }
  }
}

/// A panel of random codes, whose scales and biases are powers of two, so that no rounding hides a wrong code.
struct RandomPanel {
  int64_t groups, group_size, bits, width;
  std::vector<uint32_t> words;
  std::vector<float> scales, biases;

  RandomPanel(Random& random, int64_t groups_, int64_t group_size_, int64_t bits_, int64_t width_)
      : groups(groups_),
        group_size(group_size_),
        bits(bits_),
        width(width_),
        words(static_cast<size_t>(groups * group_size * bits / 32 * width)),
        scales(static_cast<size_t>(groups * width)),
        biases(scales.size()) {
    for (uint32_t& word : words) word = static_cast<uint32_t>(random.next());
    for (float& scale : scales) scale = std::ldexp(1.0F, static_cast<int>(random.next() % 3) - 1);
    for (float& bias : biases) bias = -std::ldexp(1.0F, static_cast<int>(random.next() % 4));
  }
  PanelCodes view() const {
    return {.words = words.data(),
            .scales = scales.data(),
            .biases = biases.data(),
            .groups = groups,
            .group_size = group_size,
            .bits = bits,
            .width = width};
  }
  int64_t channels() const { return groups * group_size; }
  int32_t code(int64_t channel, int64_t column) const {
    const int64_t codes_a_word = 32 / bits;
    const uint32_t word = words[static_cast<size_t>(channel / codes_a_word * width + column)];
    return static_cast<int32_t>(word >> code_shift(channel % codes_a_word) & ((1U << bits) - 1));
  }
  float scale(int64_t channel, int64_t column) const {
    return scales[static_cast<size_t>(channel / group_size * width + column)];
  }
  float bias(int64_t channel, int64_t column) const {
    return biases[static_cast<size_t>(channel / group_size * width + column)];
  }
};

template <typename Visit>
void for_packings(const Kernels& k, const Visit& visit) {
  for (const int64_t bits : {int64_t{4}, int64_t{8}}) {
    for (const int64_t group_size : {int64_t{32}, int64_t{64}, int64_t{128}}) {
      for (int64_t width = k.lanes; width <= k.panel_width; width += k.lanes) visit(bits, group_size, width);
    }
  }
}

TEST_P(EveryIsa, DecodesEveryCodeToFloats) {
  Random random(2);
  for_packings(kernels(), [&](int64_t bits, int64_t group_size, int64_t width) {
    const RandomPanel packed(random, 2, group_size, bits, width);
    std::vector<float> panel(static_cast<size_t>(packed.channels() * width));
    kernels().decode_floats(packed.view(), panel.data());
    for (int64_t c = 0; c < packed.channels(); ++c) {
      for (int64_t n = 0; n < width; ++n) {
        ASSERT_EQ(panel[static_cast<size_t>(c * width + n)],
                  packed.scale(c, n) * static_cast<float>(packed.code(c, n)) + packed.bias(c, n));
      }
    }
  });
}

/// Rows whose values are integers up to `limit`, which the largest of every group reaches, so that the scale is 1.
std::vector<float> rows_of_scale_one(Random& random, int64_t rows, int64_t channels, int64_t group_size,
                                     int32_t limit) {
  std::vector<float> x(static_cast<size_t>(rows * channels));
  for (float& value : x) {
    value = static_cast<float>(static_cast<int64_t>(random.next() % static_cast<uint64_t>(2 * limit + 1)) - limit);
  }
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < channels; c += group_size) {
      x[static_cast<size_t>(row * channels + c)] = static_cast<float>(random.next() % 2 == 0 ? limit : -limit);
    }
  }
  return x;
}

/// Checks a route's product of `count` edges with rows of `x`, whose scale is 1.
void check_product(const IntegerRoute& route, int32_t limit, const RandomPanel& packed, const std::vector<float>& x,
                   int64_t channels, int64_t count, Random& random) {
  const auto rows = static_cast<int64_t>(x.size()) / channels;
  std::vector<uint8_t> q(static_cast<size_t>(rows * packed.channels() * route.activation_bytes));
  std::vector<float> scales(static_cast<size_t>(rows * packed.groups)), sums(scales.size());
  std::vector<uint8_t> exact(static_cast<size_t>(rows), 9);
  route.quantize({.x = x.data(),
                  .rows = rows,
                  .channels = channels,
                  .groups = packed.groups,
                  .group_size = packed.group_size,
                  .limit = limit,
                  .q = q.data(),
                  .scales = scales.data(),
                  .sums = sums.data(),
                  .exact = exact.data()});
  ASSERT_EQ(exact, std::vector<uint8_t>(exact.size(), 0));
  std::vector<uint8_t> codes(static_cast<size_t>(packed.channels() * packed.width * route.code_bytes));
  route.decode(packed.view(), codes.data());
  RandomEdges edges(random, count, rows, packed.width);
  std::vector<double> expected(edges.sums.begin(), edges.sums.end()), size(expected.size());
  for (int64_t e = 0; e < count; ++e) {
    for (int64_t n = 0; n < packed.width; ++n) {
      const auto at = static_cast<size_t>(edges.slot[static_cast<size_t>(e)] * edges.stride + n);
      for (int64_t c = 0; c < channels; ++c) {
        const double value = x[static_cast<size_t>(edges.input[static_cast<size_t>(e)] * channels + c)];
        const double scaled = double{packed.scale(c, n)} * packed.code(c, n);
        expected[at] += value * (scaled + packed.bias(c, n));
        size[at] += std::abs(value) * (scaled + std::abs(packed.bias(c, n)));
      }
    }
  }
  route.product({.edges = edges.view(),
                 .q = q.data(),
                 .row_scales = scales.data(),
                 .row_sums = sums.data(),
                 .codes = codes.data(),
                 .scales = packed.scales.data(),
                 .biases = packed.biases.data(),
                 .groups = packed.groups,
                 .group_size = packed.group_size});
  // Sums of integers are exact; what rounds are a group's scaling and its addition, four operations each.
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(edges.sums[i], expected[i], 8 * 0x1p-24 * (size[i] + 16)) << count << " rows, width " << packed.width;
  }
}

void check_route(const Kernels& k, const IntegerRoute& route, int32_t limit) {
  Random random(3);
  for_packings(k, [&](int64_t bits, int64_t group_size, int64_t width) {
    for (int64_t count = 0; count <= kMostRows; count += 1 + static_cast<int64_t>(random.next() % 3)) {
      const RandomPanel packed(random, 2, group_size, bits, width);
      const int64_t channels = packed.channels() - 5;  // the last group is not full
      const auto x = rows_of_scale_one(random, count + 3, channels, group_size, limit);
      check_product(route, limit, packed, x, channels, count, random);
    }
    // The largest sums that there can be, of either sign.
    RandomPanel packed(random, 2, group_size, bits, width);
    packed.words.assign(packed.words.size(), ~0U);
    std::vector<float> x(static_cast<size_t>(2 * packed.channels()), static_cast<float>(limit));
    std::fill(x.begin() + packed.channels(), x.end(), static_cast<float>(-limit));
    check_product(route, limit, packed, x, packed.channels(), 4, random);
  });
}

TEST_P(EveryIsa, MultipliesSixteenBitActivations) {
  check_route(kernels(), kernels().wide, 32767);
}
TEST_P(EveryIsa, MultipliesEightBitActivations) {
  check_route(kernels(), kernels().narrow, 127);
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
    std::vector<float> scales(static_cast<size_t>(rows * 2), -1.0F), sums(scales);
    const auto quantize = [&](int32_t limit) {
      route.quantize({.x = x.data(),
                      .rows = rows,
                      .channels = kChannels,
                      .groups = kChannels / kGroup,
                      .group_size = kGroup,
                      .limit = limit,
                      .q = q.data(),
                      .scales = scales.data(),
                      .sums = sums.data(),
                      .exact = exact.data()});
    };
    quantize(route.activation_bytes == 2 ? 32767 : 127);
    if (route.activation_bytes == 2) {
      EXPECT_EQ(exact, expected);
    }
    EXPECT_EQ(exact[0], 0);
    EXPECT_EQ(exact[1], 1);
    EXPECT_EQ(scales[2 * 1 + 1], 0.0F);
    EXPECT_EQ(sums[2 * 3 + 1], 0.0F);
    EXPECT_EQ(scales[2 * 4 + 1], 0.0F);
    EXPECT_GT(scales[1], 0.0F);
  }
}

TEST_P(EveryIsa, FinishesRows) {
  Random random(4);
  const auto value = [&] { return static_cast<float>(random.normal()); };
  constexpr int64_t kRows = 5, kStride = 40;
  const std::vector<int32_t> order = {3, 0, 4, 1, 2};
  for (const int64_t channels : {1, 7, 16, 37}) {
    for (const bool is_affine : {false, true}) {
      for (const bool has_residual : {false, true}) {
        for (const Negative negative : {Negative::kept, Negative::zeroed, Negative::sloped}) {
          std::vector<float> sums(kRows * 48), bias(48), scale(48), shift(48), residual(kRows * kStride);
          for (auto* vector : {&sums, &bias, &scale, &shift, &residual}) {
            for (float& v : *vector) v = value();
          }
          std::vector<float> y(kRows * kStride, 7.0F), expected = y;
          for (int64_t r = 0; r < kRows; ++r) {
            for (int64_t c = 0; c < channels; ++c) {
              const auto at = static_cast<size_t>(order[static_cast<size_t>(r)] * kStride + c);
              const auto channel = static_cast<size_t>(c);
              float sum = sums[static_cast<size_t>(r * 48 + c)];
              if (is_affine) sum = (sum + bias[channel]) * scale[channel] + shift[channel];
              if (has_residual) sum += residual[at];
              if (sum < 0 && negative != Negative::kept) sum = negative == Negative::zeroed ? 0 : sum * 0.25F;
              expected[at] = sum;
            }
          }
          kernels().finish({.sums = sums.data(),
                            .sums_stride = 48,
                            .order = order.data(),
                            .rows = kRows,
                            .channels = channels,
                            .bias = is_affine ? bias.data() : nullptr,
                            .scale = is_affine ? scale.data() : nullptr,
                            .shift = is_affine ? shift.data() : nullptr,
                            .residual = has_residual ? residual.data() : nullptr,
                            .residual_stride = kStride,
                            .negative = negative,
                            .slope = 0.25F,
                            .y = y.data(),
                            .stride = kStride});
          ASSERT_EQ(y, expected);
        }
      }
    }
  }
}

TEST_P(EveryIsa, WidensEverySixteenBitPattern) {
  std::vector<uint16_t> from(65536 + 3);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint16_t>(i);
  std::vector<float> to(from.size());
  const auto same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  kernels().widen_f16({.from = from.data(), .to = to.data(), .count = static_cast<int64_t>(from.size())});
  for (size_t i = 0; i < from.size(); ++i) {
    ASSERT_TRUE(same(to[i], static_cast<float>(Float16::from_bits(from[i])))) << i;
  }
  kernels().widen_bf16({.from = from.data(), .to = to.data(), .count = static_cast<int64_t>(from.size())});
  for (size_t i = 0; i < from.size(); ++i) {
    ASSERT_TRUE(same(to[i], static_cast<float>(BFloat16::from_bits(from[i])))) << i;
  }
}

}  // namespace
}  // namespace lattice::cpu

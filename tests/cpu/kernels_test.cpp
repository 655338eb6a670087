#include "cpu/kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
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

const Kernels& kernels_named(const std::string& isa) {
  for (const Kernels* model : kernel_models()) {
    if (model->isa == isa) return *model;
  }
  const ForcedIsa forced(isa);
  return select_kernels().kernels;
}

std::vector<std::string> with_bf16(std::vector<std::string> names) {
  std::erase_if(names, [](const std::string& isa) { return !kernels_named(isa).bf16.exists(); });
  return names;
}

std::vector<std::string> with_split(std::vector<std::string> names, bool exists) {
  std::erase_if(names, [&](const std::string& isa) { return kernels_named(isa).split.exists() != exists; });
  return names;
}

class EveryIsa : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return kernels_named(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Models, EveryIsa, testing::ValuesIn(models()), [](const auto& isa) { return isa.param; });
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsa, testing::ValuesIn(isas()), [](const auto& isa) { return isa.param; });

class EveryIsaWithBf16 : public EveryIsa {};

INSTANTIATE_TEST_SUITE_P(Models, EveryIsaWithBf16, testing::ValuesIn(with_bf16(models())),
                         [](const auto& isa) { return isa.param; });
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsaWithBf16, testing::ValuesIn(with_bf16(isas())),
                         [](const auto& isa) { return isa.param; });

/// Activations of 16 bits are integers or split rows.
class EveryIsaWithIntegers : public EveryIsa {};
class EveryIsaWithSplitRows : public EveryIsa {};

INSTANTIATE_TEST_SUITE_P(Models, EveryIsaWithIntegers, testing::ValuesIn(with_split(models(), false)),
                         [](const auto& isa) { return isa.param; });
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsaWithIntegers, testing::ValuesIn(with_split(isas(), false)),
                         [](const auto& isa) { return isa.param; });
INSTANTIATE_TEST_SUITE_P(Models, EveryIsaWithSplitRows, testing::ValuesIn(with_split(models(), true)),
                         [](const auto& isa) { return isa.param; });
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsaWithSplitRows, testing::ValuesIn(with_split(isas(), true)),
                         [](const auto& isa) { return isa.param; });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EveryIsaWithSplitRows);  // the model is x86's

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

/// With rows and a panel of small integers, whose products and sums are exact in float32, in any order and with or
/// without fusing. T is float, or BFloat16, which a panel holds in pairs of channels.
template <typename T>
void check_float_product(void (*product)(const FloatProduct&), const Kernels& k, int64_t channels_a_word) {
  Random random(1);
  const auto fill = [&](std::vector<T>& values) {
    for (T& value : values) value = T(static_cast<float>(static_cast<int>(random.next() % 17) - 8));
  };
  for (int64_t count = 0; count <= kMostRows; ++count) {
    for (int64_t width = k.lanes; width <= k.panel_width; width += k.lanes) {
      // More than one pass over the panel; from one word on.
      const int64_t words = 1 + static_cast<int64_t>(random.next() % 300), channels = words * channels_a_word;
      const int64_t rows = count + 3;
      std::vector<T> x(static_cast<size_t>(rows * channels)), panel(static_cast<size_t>(channels * width));
      fill(x), fill(panel);
      RandomEdges edges(random, count, rows, width), expected = edges;
      for (int64_t e = 0; e < count; ++e) {
        for (int64_t n = 0; n < width; ++n) {
          for (int64_t c = 0; c < channels; ++c) {
            const int64_t at = (c / channels_a_word * width + n) * channels_a_word + c % channels_a_word;
            expected.sum(e, n) +=
                static_cast<float>(x[static_cast<size_t>(edges.input[static_cast<size_t>(e)] * channels + c)]) *
                static_cast<float>(panel[static_cast<size_t>(at)]);
          }
        }
      }
      product(
          {.edges = edges.view(), .x = x.data(), .x_stride = channels, .panel = panel.data(), .channels = channels});
      ASSERT_EQ(edges.sums, expected.sums) << count << " rows, width " << width;
    }
  }
}

TEST_P(EveryIsa, MultipliesFloatsOfAnyNumberOfRows) {
  check_float_product<float>(kernels().float_product, kernels(), 1);
}

TEST_P(EveryIsaWithBf16, MultipliesPairsOfAnyNumberOfRows) {
  check_float_product<BFloat16>(kernels().bf16.float_product, kernels(), 2);
}

// Each product is exact, each addition rounds; what is subnormal may count as zero.
TEST_P(EveryIsaWithBf16, RoundsSumsOfPairsWithinTheBound) {
  const Kernels& k = kernels();
  constexpr int64_t kRows = 7, kChannels = 90;
  const int64_t width = k.panel_width;
  Random random(6);
  for (const float size : {1.0F, 0x1p-60F, 0x1p-66F, 0x1p-128F}) {
    const auto fill = [&](std::vector<BFloat16>& values) {
      for (BFloat16& value : values) value = BFloat16(static_cast<float>(random.normal()) * size);
    };
    std::vector<BFloat16> x(static_cast<size_t>(kRows * kChannels)), panel(static_cast<size_t>(kChannels * width));
    fill(x), fill(panel);
    RandomEdges edges(random, kRows, kRows, width);
    edges.sums.assign(edges.sums.size(), 0);
    k.bf16.float_product(
        {.edges = edges.view(), .x = x.data(), .x_stride = kChannels, .panel = panel.data(), .channels = kChannels});
    for (int64_t e = 0; e < kRows; ++e) {
      for (int64_t n = 0; n < width; ++n) {
        double expected = 0, magnitude = 0, flushed = 0;
        for (int64_t c = 0; c < kChannels; ++c) {
          const int64_t row = edges.input[static_cast<size_t>(e)];
          const double value{static_cast<float>(x[static_cast<size_t>(row * kChannels + c)])};
          const double weight{static_cast<float>(panel[static_cast<size_t>((c / 2 * width + n) * 2 + c % 2)])};
          expected += value * weight;
          magnitude += std::abs(value * weight);
          flushed += 1 + std::abs(value) + std::abs(weight);
        }
        ASSERT_NEAR(edges.sum(e, n), expected, (kChannels + 4) * 0x1p-24 * magnitude + 0x1p-125 * flushed) << size;
      }
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

/// Activations in the form of a route.
struct RouteRows {
  std::vector<uint8_t> x;
  std::vector<GroupFactors> factors;
  std::vector<uint8_t> exact;

  RouteRows(int64_t rows, const RandomPanel& packed, int64_t activation_bytes)
      : x(static_cast<size_t>(rows * packed.channels() * activation_bytes)),
        factors(static_cast<size_t>(rows * packed.groups)),
        exact(static_cast<size_t>(rows), 9) {}
};

RouteRows quantized(const IntegerRoute& route, int32_t limit, const RandomPanel& packed, const std::vector<float>& x,
                    int64_t channels) {
  const auto rows = static_cast<int64_t>(x.size()) / channels;
  RouteRows result(rows, packed, route.activation_bytes);
  route.quantize({.x = x.data(),
                  .rows = rows,
                  .channels = channels,
                  .groups = packed.groups,
                  .group_size = packed.group_size,
                  .limit = limit,
                  .q = result.x.data(),
                  .factors = result.factors.data(),
                  .exact = result.exact.data()});
  return result;
}

/// Checks a route's product of `count` edges with `rows`, which are those of `x`: to a bound of `roundings` for each
/// output.
void check_product(const CodeKernels& kernels, const RouteRows& rows, const RandomPanel& packed,
                   const std::vector<float>& x, int64_t channels, int64_t count, int64_t roundings, Random& random) {
  ASSERT_EQ(rows.exact, std::vector<uint8_t>(rows.exact.size(), 0));
  std::vector<uint8_t> codes(static_cast<size_t>(packed.channels() * packed.width * kernels.code_bytes));
  kernels.decode(packed.view(), codes.data());
  RandomEdges edges(random, count, static_cast<int64_t>(x.size()) / channels, packed.width);
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
  kernels.product({.edges = edges.view(),
                   .x = rows.x.data(),
                   .rows = rows.factors.data(),
                   .codes = codes.data(),
                   .scales = packed.scales.data(),
                   .biases = packed.biases.data(),
                   .groups = packed.groups,
                   .group_size = packed.group_size});
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(edges.sums[i], expected[i], static_cast<double>(roundings) * 0x1p-24 * (size[i] + 16))
        << count << " rows, width " << packed.width;
  }
}

/// Numbers of edges: up to kMostRows not all, and one of a kernel that works on many blocks of rows at once.
std::vector<int64_t> some_counts(Random& random) {
  std::vector<int64_t> counts = {83};
  for (int64_t count = 0; count <= kMostRows; count += 1 + static_cast<int64_t>(random.next() % 3)) {
    counts.push_back(count);
  }
  return counts;
}

/// Sums of integers are exact; what rounds are a group's scaling and its addition, four operations each.
constexpr int64_t kIntegerRoundings = 8;

void check_route(const Kernels& k, const IntegerRoute& route, int32_t limit) {
  Random random(3);
  for_packings(k, [&](int64_t bits, int64_t group_size, int64_t width) {
    for (const int64_t count : some_counts(random)) {
      const RandomPanel packed(random, 2, group_size, bits, width);
      const int64_t channels = packed.channels() - 5;  // the last group is not full
      const auto x = rows_of_scale_one(random, count + 3, channels, group_size, limit);
      check_product(route.codes, quantized(route, limit, packed, x, channels), packed, x, channels, count,
                    kIntegerRoundings, random);
    }
    // The largest sums that there can be, of either sign.
    RandomPanel packed(random, 2, group_size, bits, width);
    packed.words.assign(packed.words.size(), ~0U);
    std::vector<float> x(static_cast<size_t>(2 * packed.channels()), static_cast<float>(limit));
    std::fill(x.begin() + packed.channels(), x.end(), static_cast<float>(-limit));
    check_product(route.codes, quantized(route, limit, packed, x, packed.channels()), packed, x, packed.channels(), 4,
                  kIntegerRoundings, random);
  });
}

TEST_P(EveryIsaWithIntegers, MultipliesSixteenBitActivations) {
  check_route(kernels(), kernels().wide, 32767);
}
TEST_P(EveryIsa, MultipliesEightBitActivations) {
  check_route(kernels(), kernels().narrow, 127);
}

/// A tile of some runs with one panel or two, and its sums before the product.
struct SplitTile {
  std::vector<RandomPanel> panels;  // run by run
  std::vector<TapRun> runs;
  std::vector<int32_t> input;
  std::vector<uint16_t> slot;
  std::vector<float> sums, scales;
  std::vector<uint32_t> decoded;
  const Kernels& kernels;
  int64_t panel_count, stride;
  bool is_centred;

  SplitTile(const Kernels& k, Random& random, int64_t rows, int64_t groups, int64_t group_size, int64_t bits,
            int64_t width, int64_t panel_count_, bool is_centred_)
      : kernels(k), panel_count(panel_count_), stride(width * panel_count_ + 4), is_centred(is_centred_) {
    for (const int64_t count : {int64_t{1}, int64_t{16}, int64_t{17}, 1 + static_cast<int64_t>(random.next() % 50)}) {
      const RandomEdges edges(random, count, rows, width);
      runs.push_back({.tap = static_cast<int32_t>(runs.size()), .count = static_cast<int32_t>(count)});
      input.insert(input.end(), edges.input.begin(), edges.input.end());
      slot.insert(slot.end(), edges.slot.begin(), edges.slot.end());
      for (int64_t panel = 0; panel < panel_count; ++panel) {
        panels.emplace_back(random, groups, group_size, bits, width);
        RandomPanel& made = panels.back();
        const uint64_t most = uint64_t{1} << bits;
        for (size_t i = 0; is_centred && i < made.biases.size(); ++i) {
          made.biases[i] = -made.scales[i] * static_cast<float>(random.next() % most);
        }
        if (!is_centred) made.biases[0] = made.scales[0] / 4;  // of no integer
      }
    }
    for (const RandomPanel& panel : panels) scales.insert(scales.end(), panel.scales.begin(), panel.scales.end());
    for (int64_t i = 0; i < 51 * stride; ++i) sums.push_back(static_cast<float>(random.next() % 16));
  }

  const RandomPanel& panel(int64_t run, int64_t number) const {
    return panels[static_cast<size_t>(run * panel_count + number)];
  }

  static SplitWeights weights_of(const void* opaque, int64_t run) {
    auto& tile = *static_cast<SplitTile*>(const_cast<void*>(opaque));
    const int64_t codes = tile.panels[0].channels() * tile.panels[0].width;
    tile.decoded.assign(static_cast<size_t>(codes * tile.panel_count), 0xFFFFFFFFU);  // NaN
    uint32_t* to = tile.decoded.data();
    for (int64_t number = 0; number < tile.panel_count; ++number) {
      PanelCodes packed = tile.panel(run, number).view();
      packed.is_centred = tile.is_centred;
      to += tile.kernels.split.decode(packed, to);
    }
    const auto scales_a_run = static_cast<int64_t>(tile.scales.size()) / static_cast<int64_t>(tile.runs.size());
    return {.panels = tile.decoded.data(), .scales = tile.scales.data() + run * scales_a_run};
  }

  void multiply(const std::vector<float>& x) {
    kernels.split.product({.runs = runs.data(),
                           .run_count = static_cast<int64_t>(runs.size()),
                           .input = input.data(),
                           .slot = slot.data(),
                           .edges = static_cast<int64_t>(input.size()),
                           .x = x.data(),
                           .groups = panels[0].groups,
                           .group_size = panels[0].group_size,
                           .weights = weights_of,
                           .weights_of = this,
                           .is_centred = is_centred,
                           .panel_count = panel_count,
                           .width = panels[0].width,
                           .sums = sums.data(),
                           .sums_stride = stride});
  }
};

// Integers of 16 bits are exact in the parts that rows are split into; so are the weights of a RandomPanel. Only sums
// round.
TEST_P(EveryIsaWithSplitRows, MultipliesRowsAsTwoBfloat16) {
  const Kernels& k = kernels();
  Random random(11);
  for_packings(k, [&](int64_t bits, int64_t group_size, int64_t width) {
    for (const bool is_centred : {true, false}) {
      for (const int64_t panel_count : {1, 2}) {
        if (panel_count == 2 && (!is_centred || width < k.panel_width)) continue;
        const int64_t groups = 1 + static_cast<int64_t>(random.next() % 3), rows = 9;
        SplitTile tile(k, random, rows, groups, group_size, bits, width, panel_count, is_centred);
        const int64_t channels = groups * group_size;
        const auto x = rows_of_scale_one(random, rows, channels, group_size, 32767);
        std::vector<double> expected(tile.sums.begin(), tile.sums.end()), size(expected.size());
        size_t edge = 0;
        for (size_t run = 0; run < tile.runs.size(); ++run) {
          for (int32_t e = 0; e < tile.runs[run].count; ++e, ++edge) {
            for (int64_t column = 0; column < panel_count * width; ++column) {
              const RandomPanel& panel = tile.panel(static_cast<int64_t>(run), column / width);
              const auto at = static_cast<size_t>(tile.slot[edge] * tile.stride + column);
              for (int64_t c = 0; c < channels; ++c) {
                const double value = x[static_cast<size_t>(tile.input[edge] * channels + c)];
                const double scaled = double{panel.scale(c, column % width)} * panel.code(c, column % width);
                const double bias = panel.bias(c, column % width);
                expected[at] += value * (scaled + bias);
                size[at] += std::abs(value) * (scaled + std::abs(bias));
              }
            }
          }
        }
        tile.multiply(x);
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(tile.sums[i], expected[i], static_cast<double>(channels) * 0x1p-24 * size[i])
              << bits << " bits, groups of " << group_size << ", width " << width << ", " << panel_count << " panels";
        }
      }
    }
  });
}

TEST_P(EveryIsaWithSplitRows, SumsOfWhatIsNotFiniteAreNotFinite) {
  const Kernels& k = kernels();
  constexpr int64_t kRows = 2, kChannels = 64;
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float odd :
       {infinity, -infinity, std::nanf(""), std::bit_cast<float>(0x7FFFFFFFU), std::bit_cast<float>(0xFFFFFFFFU),
        std::bit_cast<float>(0x7F800001U), std::numeric_limits<float>::max()}) {
    Random random(12);
    SplitTile tile(k, random, kRows, 1, kChannels, 8, k.panel_width, 1, true);
    for (size_t i = 0; i < tile.panels.size(); ++i) {
      tile.panels[i].words.assign(tile.panels[i].words.size(), 0xC8C8C8C8U);  // codes of 200, less at most 100
      for (size_t j = 0; j < tile.panels[i].biases.size(); ++j) {
        tile.panels[i].biases[j] = -tile.panels[i].scales[j] * 100;
      }
    }
    std::vector<float> x(static_cast<size_t>(kRows * kChannels), 0.5F);
    tile.multiply(x);
    EXPECT_TRUE(k.split.all_finite(tile.sums.data(), static_cast<int64_t>(tile.sums.size()) / 16 * 16));
    x[kChannels + 37] = odd;
    tile.multiply(x);
    EXPECT_FALSE(k.split.all_finite(tile.sums.data(), static_cast<int64_t>(tile.sums.size()) / 16 * 16)) << odd;
    for (size_t e = 0; e < tile.input.size(); ++e) {
      if (tile.input[e] != 1) continue;
      for (int64_t n = 0; n < k.panel_width; ++n) {
        EXPECT_FALSE(std::isfinite(tile.sums[static_cast<size_t>(tile.slot[e] * tile.stride + n)])) << odd;
      }
    }
  }
}

std::vector<uint16_t> bits_of(const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  for (const float value : values) bits.push_back(BFloat16(value).bits);
  return bits;
}

/// Rows of x, of bfloat16 values, as they are.
RouteRows bf16_rows(const Kernels& k, const RandomPanel& packed, const std::vector<float>& x) {
  const auto rows = static_cast<int64_t>(x.size()) / packed.channels();
  RouteRows result(rows, packed, 2);
  const std::vector<uint16_t> bits = bits_of(x);
  std::memcpy(result.x.data(), bits.data(), result.x.size());
  k.bf16.sum_groups({.x = bits.data(),
                     .rows = rows,
                     .groups = packed.groups,
                     .group_size = packed.group_size,
                     .factors = result.factors.data(),
                     .exact = result.exact.data()});
  return result;
}

TEST_P(EveryIsaWithBf16, MultipliesCodes) {
  const Kernels& k = kernels();
  Random random(3);
  for_packings(k, [&](int64_t bits, int64_t group_size, int64_t width) {
    const auto check = [&](RandomPanel& packed, const std::vector<float>& x, int64_t count) {
      // A product's channels and its groups' scaling and addition, or a sum's channels, its bias and addition.
      check_product(k.bf16.codes, bf16_rows(k, packed, x), packed, x, packed.channels(), count, packed.channels() + 4,
                    random);
    };
    for (const int64_t count : some_counts(random)) {
      RandomPanel packed(random, 2, group_size, bits, width);
      std::vector<float> x(static_cast<size_t>((count + 3) * packed.channels()));
      for (float& value : x) value = static_cast<float>(BFloat16(static_cast<float>(random.normal())));
      check(packed, x, count);
      // Small integers: exact, so that no product may be missing.
      for (float& value : x) value = static_cast<float>(static_cast<int>(random.next() % 17) - 8);
      check_product(k.bf16.codes, bf16_rows(k, packed, x), packed, x, packed.channels(), count, 0, random);
    }
    // The largest sums that there can be, and the smallest, which no instruction may flush to zero.
    RandomPanel packed(random, 2, group_size, bits, width);
    for (float& scale : packed.scales) scale = 1;
    for (float& bias : packed.biases) bias = 0;
    std::vector<float> x(static_cast<size_t>(2 * packed.channels()));
    for (const float size : {0x1.FEp111F, 0x1.02p-119F}) {
      for (float& value : x) value = random.next() % 2 == 0 ? size : -size;
      check(packed, x, 4);
    }
  });
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

TEST_P(EveryIsaWithBf16, WidensPanels) {
  constexpr int64_t kPairs = 3;
  const int64_t width = kernels().panel_width;
  std::vector<BFloat16> from(static_cast<size_t>(2 * kPairs * width));
  for (size_t i = 0; i < from.size(); ++i) from[i] = BFloat16(static_cast<float>(i % 251) - 100.0F);
  std::vector<float> to(from.size());
  kernels().bf16.widen_panel(
      {.from = reinterpret_cast<const uint32_t*>(from.data()), .pairs = kPairs, .width = width, .to = to.data()});
  for (int64_t c = 0; c < 2 * kPairs; ++c) {
    for (int64_t n = 0; n < width; ++n) {
      ASSERT_EQ(to[static_cast<size_t>(c * width + n)],
                static_cast<float>(from[static_cast<size_t>((c / 2 * width + n) * 2 + c % 2)]));
    }
  }
}

TEST_P(EveryIsaWithIntegers, LeavesRowsThatCannotBeQuantizedToFloat32) {
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

// Small integers and halves, so that everything is exact in any order, with or without fusing.
TEST_P(EveryIsa, MakesDenseRows) {
  const Kernels& k = kernels();
  Random random(5);
  const auto fill = [&](std::vector<float>& values) {
    for (float& value : values) value = static_cast<float>(static_cast<int>(random.next() % 17) - 8) / 2;
  };
  for (int64_t channels = 1; channels <= kMostDenseChannels; channels += channels < 20 ? 1 : 27) {
    for (int64_t width = k.lanes; width <= k.panel_width; width += k.lanes) {
      const auto outs = width - static_cast<int64_t>(random.next() % static_cast<uint64_t>(k.lanes));
      const auto rows = static_cast<int64_t>(random.next() % kMostRows);
      const int64_t stride = outs + static_cast<int64_t>(random.next() % 3), residual_stride = outs + 1;
      const bool is_affine = random.next() % 2 == 0, has_residual = random.next() % 2 == 0;
      const Negative negative = random.next() % 2 == 0 ? Negative::zeroed : Negative::kept;
      // No more than what may be read, so that a sanitizer sees what is read beyond.
      const auto sized = [](int64_t size) { return std::vector<float>(static_cast<size_t>(size)); };
      std::vector<float> x = sized(rows * channels), panel = sized(channels * width), bias = sized(outs),
                         scale = sized(outs), shift = sized(outs), residual = sized(rows * residual_stride),
                         y = sized(rows * stride);
      for (auto* values : {&x, &panel, &bias, &scale, &shift, &residual, &y}) fill(*values);
      if (rows > 0) x[0] = std::numeric_limits<float>::quiet_NaN();  // must reach every output of its row
      std::vector<float> expected = y;
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t n = 0; n < outs; ++n) {
          const auto at = static_cast<size_t>(n);
          float sum = 0;
          for (int64_t c = 0; c < channels; ++c) {
            sum += x[static_cast<size_t>(r * channels + c)] * panel[static_cast<size_t>(c * width + n)];
          }
          if (is_affine) sum = (sum + bias[at]) * scale[at] + shift[at];
          if (has_residual) sum += residual[static_cast<size_t>(r * residual_stride + n)];
          if (negative == Negative::zeroed && sum < 0) sum = 0;
          expected[static_cast<size_t>(r * stride + n)] = sum;
        }
      }
      k.dense_rows({.x = x.data(),
                    .channels = channels,
                    .panel = panel.data(),
                    .width = width,
                    .finish = {.rows = rows,
                               .channels = outs,
                               .bias = is_affine ? bias.data() : nullptr,
                               .scale = is_affine ? scale.data() : nullptr,
                               .shift = is_affine ? shift.data() : nullptr,
                               .residual = has_residual ? residual.data() : nullptr,
                               .residual_stride = residual_stride,
                               .negative = negative,
                               .y = y.data(),
                               .stride = stride}});
      for (size_t i = 0; i < y.size(); ++i) {
        ASSERT_TRUE(y[i] == expected[i] || (std::isnan(y[i]) && std::isnan(expected[i])))
            << channels << " channels, width " << width << ", " << i << ": " << y[i] << ", not " << expected[i];
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

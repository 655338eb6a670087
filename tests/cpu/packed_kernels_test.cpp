#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cpu/packed_panel.h"

// Kernels of packed weights: decoding, and the products of each route.

namespace lattice::cpu {
namespace {

/// Activations of 16 bits are sums of two bfloat16.
std::vector<std::string> with_split(std::vector<std::string> names) {
  std::erase_if(names, [](const std::string& isa) { return !kernels_named(isa).split.exists(); });
  return names;
}

class EveryIsaWithSplitRows : public EveryIsa {};

INSTANTIATE_TEST_SUITE_P(Models, EveryIsaWithSplitRows, testing::ValuesIn(with_split(models())),
                         [](const auto& isa) { return isa.param; });
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsaWithSplitRows, testing::ValuesIn(with_split(isas())),
                         [](const auto& isa) { return isa.param; });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EveryIsaWithSplitRows);  // the model is x86's

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

/// Rows of so many channels and a panel, decoded to `decoded`.
CodeOperands code_operands(const CodeKernels& kernels, const RouteRows& rows, int64_t channels,
                           const RandomPanel& packed, std::vector<uint8_t>& decoded) {
  decoded.resize(static_cast<size_t>(packed.channels() * packed.width * kernels.code_bytes));
  return {.x = rows.x.data(),
          .rows = rows.factors.data(),
          .codes = kernels.decode(packed.view(), decoded.data()),
          .scales = packed.scales.data(),
          .biases = kernels.centres && packed.is_centred ? nullptr : packed.biases.data(),
          .groups = packed.groups,
          .group_size = packed.group_size,
          .channels = channels};
}

/// Checks a route's product of `count` edges with `rows`, which are those of `x`: to a bound of `roundings` for each
/// output.
void check_product(const CodeKernels& kernels, const RouteRows& rows, const RandomPanel& packed,
                   const std::vector<float>& x, int64_t channels, int64_t count, int64_t roundings, Random& random) {
  ASSERT_EQ(rows.exact, std::vector<uint8_t>(rows.exact.size(), 0));
  std::vector<uint8_t> decoded;
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
  kernels.product({code_operands(kernels, rows, channels, packed, decoded), edges.view()});
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

void check_route(const Kernels& k, const IntegerRoute& route, int32_t limit, bool is_centred) {
  Random random(3);
  for_packings(k, [&](int64_t bits, int64_t group_size, int64_t width) {
    for (const int64_t count : some_counts(random)) {
      const RandomPanel packed(random, 2, group_size, bits, width, is_centred);
      const int64_t channels = packed.channels() - 5;  // the last group is not full
      const auto x = rows_of_scale_one(random, count + 3, channels, group_size, limit);
      check_product(route.codes, quantized(route, limit, packed, x, channels), packed, x, channels, count,
                    kIntegerRoundings, random);
    }
    // The largest sums that there can be, of either sign.
    RandomPanel packed(random, 2, group_size, bits, width, is_centred);
    packed.words.assign(packed.words.size(), ~0U);
    if (is_centred) packed.biases = packed.scales;
    std::vector<float> x(static_cast<size_t>(2 * packed.channels()), static_cast<float>(limit));
    std::fill(x.begin() + packed.channels(), x.end(), static_cast<float>(-limit));
    check_product(route.codes, quantized(route, limit, packed, x, packed.channels()), packed, x, packed.channels(), 4,
                  kIntegerRoundings, random);
  });
}

TEST_P(EveryIsa, MultipliesSixteenBitActivations) {
  check_route(kernels(), kernels().wide, 32767, false);
}
TEST_P(EveryIsa, MultipliesSixteenBitActivationsWithCentredCodes) {
  // Planes of bytes have no room for more than codes.
  const std::string isa = kernels().isa;
  ASSERT_EQ(kernels().wide.codes.centres, isa.find("neon_") == std::string::npos);
  check_route(kernels(), kernels().wide, 32767, true);
}
TEST_P(EveryIsa, MultipliesEightBitActivations) {
  check_route(kernels(), kernels().narrow, 127, false);
}

/// Rows made whole: finished as they are stored, and nothing beside them is touched.
void check_dense_codes(const IntegerRoute& route, int32_t limit, const RandomPanel& packed, int64_t rows,
                       Random& random) {
  const int64_t channels = packed.channels() - static_cast<int64_t>(random.next() % 9), stride = packed.width + 16;
  const int64_t outs = packed.width - static_cast<int64_t>(random.next() % 3);
  const bool is_affine = random.next() % 2 == 0, has_residual = random.next() % 2 == 0,
             is_zeroed = random.next() % 2 == 0;
  const bool streams = outs % 16 == 0 && random.next() % 2 == 0;
  const auto x = rows_of_scale_one(random, rows, channels, packed.group_size, limit);
  const RouteRows rounded = quantized(route, limit, packed, x, channels);
  std::vector<float> bias(static_cast<size_t>(outs)), scale(bias.size()), shift(bias.size());
  std::vector<float> residual(static_cast<size_t>(rows * outs));
  for (auto* values : {&bias, &scale, &shift, &residual}) {
    for (float& value : *values) value = static_cast<float>(static_cast<int>(random.next() % 17) - 8) / 2;
  }
  constexpr float kUntouched = 7.25F;
  LineVector y(static_cast<size_t>(rows * stride), kUntouched);
  std::vector<uint8_t> decoded;
  const RowFinish finish = {.rows = rows,
                            .channels = outs,
                            .bias = is_affine ? bias.data() : nullptr,
                            .scale = is_affine ? scale.data() : nullptr,
                            .shift = is_affine ? shift.data() : nullptr,
                            .residual = has_residual ? residual.data() : nullptr,
                            .residual_stride = outs,
                            .negative = is_zeroed ? Negative::zeroed : Negative::kept,
                            .y = y.data(),
                            .stride = stride,
                            .streams = streams};
  route.codes.dense_rows({code_operands(route.codes, rounded, channels, packed, decoded), packed.width, finish});
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t n = 0; n < stride; ++n) {
      const float made = y[static_cast<size_t>(row * stride + n)];
      if (n >= outs) {
        ASSERT_EQ(made, kUntouched) << "row " << row << " of " << rows << ", " << n << " of " << outs;
        continue;
      }
      const auto at = static_cast<size_t>(n);
      double sum = 0, size = 0;
      for (int64_t c = 0; c < channels; ++c) {
        const double value = x[static_cast<size_t>(row * channels + c)];
        const double scaled = double{packed.scale(c, n)} * packed.code(c, n);
        sum += value * (scaled + packed.bias(c, n));
        size += std::abs(value) * (scaled + std::abs(packed.bias(c, n)));
      }
      if (is_affine) {
        sum = (sum + bias[at]) * scale[at] + shift[at];
        size = (size + std::abs(bias[at])) * std::abs(scale[at]) + std::abs(shift[at]);
      }
      if (has_residual) sum += residual[static_cast<size_t>(row * outs + n)];
      if (is_zeroed) sum = std::max(sum, 0.0);
      constexpr int64_t kFinishRoundings = 4;
      ASSERT_NEAR(made, sum, static_cast<double>(kIntegerRoundings + kFinishRoundings) * 0x1p-24 * (size + 16))
          << "row " << row << " of " << rows << ", " << n << " of " << outs;
    }
  }
}

TEST_P(EveryIsa, MakesDenseRowsOfCodes) {
  Random random(19);
  const Kernels& k = kernels();
  // Routes that multiply tiles, or planes of bytes, have no such kernels; they take the way by sums.
  const std::string isa = k.isa;
  const bool has_wide = isa.find("neon_") == std::string::npos,
             has_narrow = has_wide && isa.find("amx") == std::string::npos;
  ASSERT_EQ(k.wide.codes.dense_rows != nullptr, has_wide);
  ASSERT_EQ(k.narrow.codes.dense_rows != nullptr, has_narrow);
  for_packings(k, [&](int64_t bits, int64_t group_size, int64_t width) {
    for (const int64_t groups : {1, 3}) {
      const RandomPanel packed(random, groups, group_size, bits, width, random.next() % 2 == 0);
      for (const int64_t rows : {int64_t{1}, int64_t{5}, int64_t{12}, 12 + static_cast<int64_t>(random.next() % 20)}) {
        if (has_wide) check_dense_codes(k.wide, 32767, packed, rows, random);
        if (has_narrow) check_dense_codes(k.narrow, 127, packed, rows, random);
      }
    }
  });
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
        panels.emplace_back(random, groups, group_size, bits, width, is_centred);
        if (!is_centred) panels.back().biases[0] = panels.back().scales[0] / 4;  // of no integer
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
      to += tile.kernels.split.decode(tile.panel(run, number).view(), to);
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
    for (RandomPanel& panel : tile.panels) {
      panel.words.assign(panel.words.size(), 0xC8C8C8C8U);  // codes of 200, less 100
      panel.scales.assign(panel.scales.size(), 1);
      panel.biases.assign(panel.biases.size(), -100);
    }
    tile.scales.assign(tile.scales.size(), 1);
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

}  // namespace
}  // namespace lattice::cpu

#include "cpu/kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <new>
#include <vector>

#include "cpu/every_isa.h"
#include "lattice/dtype.h"

// Kernels of floating weights, and what stands around all products.

namespace lattice::cpu {
namespace {

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
      edges.outputs -= static_cast<int64_t>(random.next() % static_cast<uint64_t>(k.lanes));
      const auto weight = [&](int64_t c, int64_t n) -> T& {
        return panel[static_cast<size_t>((c / channels_a_word * width + n) * channels_a_word + c % channels_a_word)];
      };
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t n = edges.outputs; n < width; ++n) weight(c, n) = T(0);
      }
      for (int64_t e = 0; e < count; ++e) {
        for (int64_t n = 0; n < width; ++n) {
          for (int64_t c = 0; c < channels; ++c) {
            const T value = x[static_cast<size_t>(edges.input[static_cast<size_t>(e)] * channels + c)];
            expected.sum(e, n) += static_cast<float>(value) * static_cast<float>(weight(c, n));
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

TEST_P(EveryIsa, FinishesRows) {
  Random random(4);
  const auto value = [&] { return static_cast<float>(random.normal()); };
  constexpr int64_t kRows = 5, kStride = 48;
  const std::vector<int32_t> order = {3, 0, 4, 1, 2};
  for (const int64_t channels : {1, 7, 16, 37, 48}) {
    for (const bool is_affine : {false, true}) {
      for (const bool has_residual : {false, true}) {
        for (const Negative negative : {Negative::kept, Negative::zeroed, Negative::sloped}) {
          std::vector<float> sums(kRows * 48), bias(48), scale(48), shift(48), residual(kRows * kStride);
          for (auto* vector : {&sums, &bias, &scale, &shift, &residual}) {
            for (float& v : *vector) v = value();
          }
          LineVector y(kRows * kStride, 7.0F), expected = y;
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
          RowFinish task = {.sums = sums.data(),
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
                            .stride = kStride};
          kernels().finish(task);
          ASSERT_EQ(y, expected);
          if (channels % 16 != 0) continue;  // no whole lines, which could be streamed
          std::fill(y.begin(), y.end(), 7.0F);
          task.streams = true;
          kernels().finish(task);
          ASSERT_EQ(y, expected);
        }
      }
    }
  }
}

/// Rows of a product; `of_edges`: that stand anywhere.
struct DenseShape {
  int64_t channels, width, outs, stride, residual_stride;
  bool of_edges = false, streams = false;
};

/// Small integers and halves, so that everything is exact in any order, with or without fusing.
void check_dense_rows(const Kernels& k, Random& random, const DenseShape& shape) {
  const auto [channels, width, outs, stride, residual_stride, of_edges, streams] = shape;
  const auto fill = [&](auto& values) {
    for (float& value : values) value = static_cast<float>(static_cast<int>(random.next() % 17) - 8) / 2;
  };
  const auto rows = static_cast<int64_t>(random.next() % kMostRows);
  const bool is_affine = random.next() % 2 == 0, has_residual = random.next() % 2 == 0;
  const Negative negative = random.next() % 2 == 0 ? Negative::zeroed : Negative::kept;
  RandomEdges edges(random, rows, std::max<int64_t>(rows, 1), 0);
  std::vector<int32_t> order(static_cast<size_t>(rows));
  for (size_t r = 0; r < order.size(); ++r) order[r] = static_cast<int32_t>((r + 3) % order.size());
  // No more than what may be read, so that a sanitizer sees what is read beyond.
  const auto sized = [](int64_t size) { return std::vector<float>(static_cast<size_t>(size)); };
  std::vector<float> x = sized(rows * channels), panel = sized(channels * width), bias = sized(outs),
                     scale = sized(outs), shift = sized(outs), residual = sized(rows * residual_stride);
  LineVector y(static_cast<size_t>(rows * stride));
  for (auto* values : {&x, &panel, &bias, &scale, &shift, &residual}) fill(*values);
  fill(y);
  if (rows > 0) x[0] = std::numeric_limits<float>::quiet_NaN();  // must reach every output of its row
  LineVector expected = y;
  for (int64_t r = 0; r < rows; ++r) {
    const auto edge = static_cast<size_t>(r);
    const int64_t from = of_edges ? edges.input[edge] : r, to = of_edges ? order[edges.slot[edge]] : r;
    for (int64_t n = 0; n < outs; ++n) {
      const auto at = static_cast<size_t>(n);
      float sum = 0;
      for (int64_t c = 0; c < channels; ++c) {
        sum += x[static_cast<size_t>(from * channels + c)] * panel[static_cast<size_t>(c * width + n)];
      }
      if (is_affine) sum = (sum + bias[at]) * scale[at] + shift[at];
      if (has_residual) sum += residual[static_cast<size_t>(to * residual_stride + n)];
      if (negative == Negative::zeroed && sum < 0) sum = 0;
      expected[static_cast<size_t>(to * stride + n)] = sum;
    }
  }
  k.dense_rows({.x = x.data(),
                .channels = channels,
                .panel = panel.data(),
                .width = width,
                .input = of_edges ? edges.input.data() : nullptr,
                .slot = of_edges ? edges.slot.data() : nullptr,
                .finish = {.order = of_edges ? order.data() : nullptr,
                           .rows = rows,
                           .channels = outs,
                           .bias = is_affine ? bias.data() : nullptr,
                           .scale = is_affine ? scale.data() : nullptr,
                           .shift = is_affine ? shift.data() : nullptr,
                           .residual = has_residual ? residual.data() : nullptr,
                           .residual_stride = residual_stride,
                           .negative = negative,
                           .y = y.data(),
                           .stride = stride,
                           .streams = streams}});
  for (size_t i = 0; i < y.size(); ++i) {
    ASSERT_TRUE(y[i] == expected[i] || (std::isnan(y[i]) && std::isnan(expected[i])))
        << channels << " channels, width " << width << ", " << i << ": " << y[i] << ", not " << expected[i];
  }
}

void check_dense_rows(const Kernels& k, bool of_edges) {
  Random random(5);
  for (int64_t channels = 1; channels <= kMostDenseChannels; channels += channels < 20 ? 1 : 27) {
    for (int64_t width = k.lanes; width <= k.panel_width; width += k.lanes) {
      const auto outs = width - static_cast<int64_t>(random.next() % static_cast<uint64_t>(k.lanes));
      const int64_t stride = outs + static_cast<int64_t>(random.next() % 3);
      check_dense_rows(k, random, {channels, width, outs, stride, outs + 1, of_edges});
    }
  }
}

TEST_P(EveryIsa, MakesDenseRows) {
  check_dense_rows(kernels(), false);
}

TEST_P(EveryIsa, MakesDenseRowsOfEdges) {
  check_dense_rows(kernels(), true);
}

// Whole lines, past the caches.
TEST_P(EveryIsa, StreamsDenseRows) {
  Random random(8);
  const int64_t step = std::min<int64_t>(16, kernels().panel_width);  // of the scalar set, half a line
  for (int64_t outs = step; outs <= kernels().panel_width; outs += step) {
    for (const int64_t channels : {int64_t{1}, int64_t{16}, int64_t{70}}) {
      for (const bool of_edges : {false, true}) {
        for (int i = 0; i < 4; ++i) {
          check_dense_rows(kernels(), random, {channels, outs, outs, outs + 16, outs, of_edges, true});
        }
      }
    }
  }
}

TEST_P(EveryIsa, MakesDenseRowsOfFourChannels) {
  Random random(6);
  const int64_t lanes = kernels().lanes;
  for (int i = 0; i < 100; ++i) check_dense_rows(kernels(), random, {4, (3 + lanes) / lanes * lanes, 4, 4, 4});
}

// Along the channels, whole vectors of them and not.
TEST_P(EveryIsa, MakesDenseRowsOfFewOutputs) {
  Random random(7);
  const int64_t lanes = kernels().lanes;
  for (const int64_t channels :
       {int64_t{15}, int64_t{16}, int64_t{17}, int64_t{40}, int64_t{100}, kMostDenseChannels}) {
    for (int64_t outs = 1; outs <= 5; ++outs) {
      for (const bool of_edges : {false, true}) {
        const int64_t width = (outs + lanes - 1) / lanes * lanes;
        for (int i = 0; i < 4; ++i) {
          check_dense_rows(kernels(), random, {channels, width, outs, outs + 1, outs + 2, of_edges});
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

/// Points near and far, on borders of voxels, and without a voxel.
std::vector<float> random_points(Random& random, int64_t count) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kOdd[] = {kInf, -kInf, std::numeric_limits<float>::quiet_NaN(), -0.0F, 1e-40F, 3e8F, -3e8F, 2e9F};
  std::vector<float> points;
  for (int64_t i = 0; i < 3 * count; ++i) {
    const uint64_t way = random.next() % 16;
    const float value = static_cast<float>(random.next() % 2001) / 10.0F - 100.0F;
    points.push_back(way == 0 ? kOdd[random.next() % std::size(kOdd)] : way == 1 ? std::floor(value) * 0.1F : value);
  }
  return points;
}

TEST_P(EveryIsa, FindsTheVoxelsOfPoints) {
  Random random(31);
  for (int round = 0; round < 40; ++round) {
    const int64_t count = round < 34 ? round : 200 + round;
    const std::vector<float> points = random_points(random, count);
    std::vector<int32_t> batches(static_cast<size_t>(count)), voxels(static_cast<size_t>(count) * 4 + 1, 77);
    for (int32_t& batch : batches) batch = static_cast<int32_t>(random.next() % 5);
    VoxelSearch search = {.points = points.data(),
                          .count = count,
                          .origin = {0.3F, -1.7F, 0},
                          .voxel_size = {0.1F, 0.2F, 0.7F},
                          .batches = round % 2 == 0 ? batches.data() : nullptr,
                          .has_range = round % 3 == 0,
                          .last = {900, 400, 120},
                          .voxels = voxels.data()};
    const FoundVoxels found = kernels().find_voxels(search);
    int64_t dropped = 0, out_of_range = 0;
    for (int64_t i = 0; i < count; ++i) {
      bool fits = true, inside = true;
      std::array<int32_t, 4> voxel = {search.batches != nullptr ? batches[static_cast<size_t>(i)] : 0};
      for (size_t axis = 0; axis < 3; ++axis) {
        const float value = points[static_cast<size_t>(i) * 3 + axis];
        const float place = std::floor((value - search.origin[axis]) / search.voxel_size[axis]);
        fits = fits && place >= -0x1p31F && place < 0x1p31F;
        if (!fits) break;
        voxel[axis + 1] = static_cast<int32_t>(place);
        inside = inside && (!search.has_range || (voxel[axis + 1] >= 0 && voxel[axis + 1] <= search.last[axis]));
      }
      const int32_t* const at = &voxels[static_cast<size_t>(i) * 4];
      if (!fits || !inside) {
        ++(fits ? out_of_range : dropped);
        ASSERT_EQ(at[0], -1) << "round " << round << ", point " << i;
        continue;
      }
      for (size_t axis = 0; axis < 4; ++axis) {
        ASSERT_EQ(at[axis], voxel[axis]) << "round " << round << ", point " << i << ", axis " << axis;
      }
    }
    EXPECT_EQ(voxels.back(), 77) << "round " << round;
    EXPECT_EQ(found.dropped, dropped) << "round " << round;
    EXPECT_EQ(found.out_of_range, out_of_range) << "round " << round;
  }
}

std::vector<std::string> that_find_edges(std::vector<std::string> names) {
  std::erase_if(names, [](const std::string& isa) { return !kernels_named(isa).edges.finds(); });
  return names;
}

class EveryIsaThatFindsEdges : public EveryIsa {};

INSTANTIATE_TEST_SUITE_P(Models, EveryIsaThatFindsEdges, testing::ValuesIn(that_find_edges(models())),
                         [](const auto& isa) { return isa.param; });
INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsaThatFindsEdges, testing::ValuesIn(that_find_edges(isas())),
                         [](const auto& isa) { return isa.param; });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EveryIsaThatFindsEdges);  // x86 alone has it

/// Where a block of a pattern's corner stands in the box.
uint32_t place_in_box(const CornerPattern& pattern, uint32_t block) {
  return pattern.corner + (block >> 3) * 16 + (block >> 2 & 1) * 4 + (block & 3);
}

/// A source of random blocks, a random box in front of it, and outputs with random patterns.
struct RandomSearch {
  static constexpr uint32_t kBlocks = 40, kColumns = 3, kTaps = 125, kListRoom = 4096, kMostOfBlock = 40;

  std::vector<int32_t> blocks_by_height, first = {0};
  std::vector<uint64_t> cells, cells_by_height;
  std::vector<BoxColumns> columns;
  std::vector<uint32_t> taps;
  std::vector<CornerPattern> patterns;
  std::vector<uint8_t> output_cells;
  std::vector<CornerOutputs> outputs;
  static constexpr int64_t kFirstSlot = 7;

  RandomSearch(Random& random, uint32_t emptiness, int64_t box_x, int64_t box_y, bool one_block) {
    const auto below = [&](uint32_t bound) { return static_cast<uint32_t>(random.next() % bound); };
    for (uint32_t block = 0; block < kBlocks; ++block) {
      uint64_t held = ~uint64_t{0};
      for (uint32_t i = 0; i < emptiness; ++i) held &= random.next();
      cells.push_back(held);
      first.push_back(first.back() + __builtin_popcountll(held));
    }
    for (int i = 0; i < 64; ++i) {
      blocks_by_height.push_back(static_cast<int32_t>(below(kBlocks)));
      cells_by_height.push_back(cells[static_cast<size_t>(blocks_by_height.back())]);
    }
    const auto columns_of_box = [](int64_t box) { return static_cast<uint32_t>(std::min<int64_t>(box, 2)); };
    const uint32_t columns_x = columns_of_box(box_x), columns_y = columns_of_box(box_y);
    for (uint32_t i = 0; i < kColumns; ++i) {
      BoxColumns& column = columns.emplace_back();
      for (int at = 0; at < 16; ++at) {
        if (at / 4 >= box_x || at % 4 >= box_y) {  // not to be read
          column.low[at] = column.high[at] = column.zero[at] = std::numeric_limits<int32_t>::max() / 2;
          continue;
        }
        column.low[at] = static_cast<int32_t>(below(10)) - 20;
        column.high[at] = column.low[at] + static_cast<int32_t>(below(30));
        column.zero[at] = 30 - (column.low[at] + static_cast<int32_t>(below(30)));
        column.zero[at] = std::clamp(column.zero[at], -column.low[at], 60 - column.high[at]);
      }
    }
    for (int cell = 0; cell < 64; ++cell) {
      CornerPattern& pattern = patterns.emplace_back();
      const uint32_t x = below(static_cast<uint32_t>(box_x) - columns_x + 1),
                     y = below(static_cast<uint32_t>(box_y) - columns_y + 1);
      pattern.corner = (x * 4 + y) * 4;
      const auto any_block = [&] { return (below(columns_x) * 2 + below(columns_y)) * 4 + below(4); };
      const uint32_t only = any_block();
      pattern.only_block = place_in_box(pattern, only);
      pattern.first = static_cast<uint32_t>(taps.size());
      const uint32_t count = below(kTaps + 1);
      for (uint32_t tap = 0; tap < count; ++tap) {
        const uint32_t block = one_block ? only : any_block();
        taps.push_back(CornerTap::of(static_cast<int>(below(64)), static_cast<int>(block), static_cast<int>(tap)));
      }
      pattern.vectors = std::max(1U, (count + 15) / 16);
      pattern.last_lanes = (1U << (count - (pattern.vectors - 1) * 16)) - 1;
      taps.resize(pattern.first + pattern.vectors * 16, ~0U);
    }
    for (uint32_t i = 0; i < 5; ++i) {
      CornerOutputs& block = outputs.emplace_back();
      block.columns = &columns[below(kColumns)];
      block.patterns = patterns.data();
      block.count = below(below(4) == 0 ? kMostOfBlock + 1 : 9);
      block.height = static_cast<int32_t>(below(60)) - 30;
      for (int64_t output = 0; output < block.count; ++output) output_cells.push_back(static_cast<uint8_t>(below(64)));
    }
  }
};

/// Edges by the tap's list: rank and slot.
using EdgeLists = std::vector<std::vector<std::pair<int32_t, uint16_t>>>;

EdgeLists expected_edges(const RandomSearch& search) {
  EdgeLists lists(RandomSearch::kTaps);
  size_t output = 0;
  for (const CornerOutputs& outputs : search.outputs) {
    for (int64_t i = 0; i < outputs.count; ++i, ++output) {
      const CornerPattern& pattern = search.patterns[search.output_cells[output]];
      for (uint32_t at = 0; at < pattern.vectors * 16; ++at) {
        const uint32_t tap = search.taps[pattern.first + at];
        if (at / 16 + 1 == pattern.vectors && (pattern.last_lanes >> at % 16 & 1) == 0) continue;
        const uint32_t place = place_in_box(pattern, tap >> CornerTap::kBlockBit & 15), column = place / 4;
        const BoxColumns& columns = *outputs.columns;
        const int32_t z = std::max(columns.low[column], std::min(columns.high[column], outputs.height));
        const auto block =
            static_cast<size_t>(search.blocks_by_height[static_cast<size_t>(z + columns.zero[column]) + place % 4]);
        const uint64_t held = search.cells[block];
        if ((held >> CornerTap::cell(tap) & 1) == 0) continue;
        const int32_t before = __builtin_popcountll(held & ((uint64_t{1} << CornerTap::cell(tap)) - 1));
        lists[CornerTap::tap(tap)].push_back(
            {search.first[block] + before,
             static_cast<uint16_t>(RandomSearch::kFirstSlot + static_cast<int64_t>(output))});
      }
    }
  }
  return lists;
}

TEST_P(EveryIsaThatFindsEdges, FindsThoseOfAPlainSearch) {
  Random random(5);
  for (int round = 0; round < 60; ++round) {
    const auto emptiness = static_cast<uint32_t>(round % 5);  // from full blocks to blocks of four cells
    const int64_t box_x = 1 + round % 4, box_y = 1 + round / 4 % 4;
    const bool one_block = round % 3 == 0;
    RandomSearch search(random, emptiness, box_x, box_y, one_block);
    const size_t most = search.output_cells.size() * RandomSearch::kTaps + 16;
    std::vector<uint32_t> blocks(most), edges(most), next;
    for (uint32_t tap = 0; tap < RandomSearch::kTaps; ++tap) next.push_back(tap * RandomSearch::kListRoom);
    std::vector<int32_t> ranks(size_t{RandomSearch::kTaps} * RandomSearch::kListRoom, -1);
    std::vector<uint16_t> slots(ranks.size());
    const EdgeLists expected = expected_edges(search);
    kernels().edges.find({.blocks_by_height = search.blocks_by_height.data(),
                          .cells_by_height = search.cells_by_height.data(),
                          .source_cells = search.cells.data(),
                          .source_first = search.first.data(),
                          .taps = search.taps.data(),
                          .box_x = box_x,
                          .box_y = box_y,
                          .one_block = one_block,
                          .blocks_of_outputs = search.outputs.data(),
                          .block_count = static_cast<int64_t>(search.outputs.size()),
                          .cells = search.output_cells.data(),
                          .slot = RandomSearch::kFirstSlot,
                          .blocks = blocks.data(),
                          .edges = edges.data(),
                          .next = next.data(),
                          .ranks = ranks.data(),
                          .slots = slots.data()});
    for (uint32_t tap = 0; tap < RandomSearch::kTaps; ++tap) {
      const size_t begin = size_t{tap} * RandomSearch::kListRoom;
      std::vector<std::pair<int32_t, uint16_t>> found;
      for (size_t at = begin; at < next[tap]; ++at) found.push_back({ranks[at], slots[at]});
      ASSERT_EQ(found, expected[tap]) << "round " << round << ", tap " << tap;
      ASSERT_EQ(ranks[begin + found.size()], -1) << "round " << round << ", tap " << tap;
    }
  }
}

// Runs of any length, whose edges lie in one tile or in many, to lists that fill up to the last place.
TEST_P(EveryIsa, TurnsEdgesRound) {
  Random random(5);
  constexpr int kTileBits = 3;
  constexpr size_t kTiles = 5, kStride = 2;
  const auto below = [&](uint64_t bound) { return static_cast<int32_t>(random.next() % bound); };
  for (int64_t count = 0; count < 70; ++count) {
    std::vector<int32_t> positions, rows;
    std::vector<uint16_t> slots;
    const uint64_t tiles = 1 + random.next() % kTiles;
    for (int64_t i = 0; i < count; ++i) {
      positions.push_back(below(tiles << kTileBits));
      slots.push_back(static_cast<uint16_t>(below(90)));
    }
    for (int i = 0; i < 90; ++i) rows.push_back(below(100000));
    std::vector<std::vector<int32_t>> expected_rows(kTiles);
    std::vector<std::vector<uint16_t>> expected_slots(kTiles);
    for (size_t i = 0; i < positions.size(); ++i) {
      const auto tile = static_cast<size_t>(positions[i] >> kTileBits);
      expected_rows[tile].push_back(rows[slots[i]]);
      expected_slots[tile].push_back(static_cast<uint16_t>(positions[i] & 7));
    }

    std::vector<uint32_t> next(kTiles * kStride, 3);
    TurnedEdges edges = {.positions = positions.data(),
                         .slots = slots.data(),
                         .count = count,
                         .tile_bits = kTileBits,
                         .rows = rows.data(),
                         .next = next.data(),
                         .stride = kStride,
                         .lists = nullptr};
    kernels().edges.count_turned(edges);
    // Each list begins with one place, and ends with another one, that must stay as they are.
    std::vector<std::vector<int32_t>> found_rows(kTiles);
    std::vector<std::vector<uint16_t>> found_slots(kTiles);
    std::vector<TileLists> lists;
    for (size_t tile = 0; tile < kTiles; ++tile) {
      ASSERT_EQ(next[tile * kStride], 3 + expected_rows[tile].size()) << count << " edges, tile " << tile;
      ASSERT_EQ(next[tile * kStride + 1], 3U);
      next[tile * kStride] = 1;
      found_rows[tile].assign(expected_rows[tile].size() + 2, -7);
      found_slots[tile].assign(expected_rows[tile].size() + 2, 7777);
      lists.push_back({found_rows[tile].data(), found_slots[tile].data()});
    }
    edges.lists = lists.data();
    kernels().edges.place_turned(edges);
    for (size_t tile = 0; tile < kTiles; ++tile) {
      std::vector<int32_t>& row = expected_rows[tile];
      std::vector<uint16_t>& slot = expected_slots[tile];
      ASSERT_EQ(next[tile * kStride], 1 + row.size()) << count << " edges, tile " << tile;
      row.insert(row.begin(), -7);
      row.push_back(-7);
      slot.insert(slot.begin(), 7777);
      slot.push_back(7777);
      ASSERT_EQ(found_rows[tile], row) << count << " edges, tile " << tile;
      ASSERT_EQ(found_slots[tile], slot) << count << " edges, tile " << tile;
    }
  }
}

}  // namespace
}  // namespace lattice::cpu

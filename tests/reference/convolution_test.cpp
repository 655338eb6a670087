// The reference backend against dense grids and against relations worked out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "backend.h"
#include "dense_convolution.h"
#include "lattice/conv.h"
#include "lattice/error.h"
#include "lattice/feature.h"
#include "lattice/session.h"
#include "random_geometry.h"

namespace lattice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();
constexpr int32_t kLargest = std::numeric_limits<int32_t>::max();

Session reference_session() {
  return Session({.backend = BackendKind::reference});
}

// ---- Dense grids ----------------------------------------------------------------------------------------------------

/// A small random problem whose features and weights are small integers: every sum is exact, so that values compare
/// exactly.
struct IntegerProblem {
  ConvOptions options;
  SparseTensor x;
  DenseGrid dense;
  DenseKernel kernel;

  ConvGeometry geometry() const { return ConvGeometry(options); }
  ConvWeight weight() const {
    const std::vector<float> values(kernel.weights.begin(), kernel.weights.end());
    const Triple& size = options.kernel_size;
    return ConvWeight::from_kernel_major(
        Tensor::from(values, {size.x * size.y * size.z, kernel.in_channels, kernel.out_channels}), size);
  }
};

Triple place_of(const Coord& coord) {
  return {coord.x, coord.y, coord.z};
}

/// Coordinates without duplicates in a box at `low`, with features in [-8, 8].
IntegerProblem integer_problem(Draw& draw, const ConvOptions& options, bool centered, Triple low,
                               Triple input_stride = 1, std::optional<Triple> extent = std::nullopt) {
  const random_case::Box box{.low = low, .size = extent ? *extent : draw.triple(1, 6), .batches = draw.integer(1, 3)};
  std::vector<Coord> coords = random_case::random_coords(draw, box, draw.integer(0, 40), false);
  const int64_t in_channels = draw.integer(1, 4), out_channels = draw.integer(1, 4);
  DenseGrid dense(box.batches, box.low, box.size, in_channels);
  std::vector<float> features;
  for (const Coord& coord : coords) {
    dense.occupy(coord.batch, place_of(coord));
    for (int64_t channel = 0; channel < in_channels; ++channel) {
      const auto value = static_cast<float>(draw.integer(-8, 8));
      features.push_back(value);
      dense.values(coord.batch, place_of(coord))[channel] = value;
    }
  }
  DenseKernel kernel{options, centered, in_channels, out_channels, {}};
  const Triple& size = options.kernel_size;
  for (int64_t i = 0; i < size.x * size.y * size.z * in_channels * out_channels; ++i) {
    kernel.weights.push_back(static_cast<double>(draw.integer(-8, 8)));
  }
  const auto rows = static_cast<int64_t>(coords.size());
  SparseTensor x(CoordSet::make(std::move(coords), input_stride, extent), Tensor::from(features, {rows, in_channels}));
  return {options, std::move(x), std::move(dense), std::move(kernel)};
}

void expect_values(const SparseTensor& y, const DenseGrid& expected) {
  ASSERT_EQ(y.channels(), expected.channels());
  const float* features = y.features().data<float>();
  for (int64_t row = 0; row < y.rows(); ++row) {
    const Coord& coord = y.support()->coords()[static_cast<size_t>(row)];
    ASSERT_TRUE(expected.contains(place_of(coord))) << to_string(coord) << " lies outside the dense box";
    for (int64_t channel = 0; channel < y.channels(); ++channel) {
      ASSERT_EQ(double{features[row * y.channels() + channel]}, expected.values(coord.batch, place_of(coord))[channel])
          << "at " << to_string(coord) << ", channel " << channel;
    }
  }
}

std::set<Coord> coord_set(const SparseTensor& y) {
  return {y.support()->coords().begin(), y.support()->coords().end()};
}

/// The support, as a set, and that no coordinate repeats.
void expect_support(const SparseTensor& y, const std::set<Coord>& expected) {
  EXPECT_EQ(coord_set(y), expected);
  EXPECT_EQ(y.rows(), static_cast<int64_t>(expected.size()));
}

ConvOptions random_options(Draw& draw) {
  return {.kernel_size = draw.triple(1, 4),
          .stride = draw.triple(1, 3),
          .padding = draw.triple(0, 3),
          .dilation = draw.triple(1, 2)};
}

// Holds every output of inputs in [-4, 9] under the options above: |o| <= 9*3 + 3*2 + 3.
constexpr int64_t kReach = 36;
const Triple kOutputLow = -kReach;
const Triple kOutputSize = 2 * kReach + 1;

std::set<Coord> floored(const SparseTensor& x, const Triple& stride) {
  const auto down = [](int32_t value, int64_t step) {
    return static_cast<int32_t>(std::floor(static_cast<double>(value) / static_cast<double>(step)));
  };
  std::set<Coord> coords;
  for (const Coord& c : x.support()->coords()) {
    coords.insert({c.batch, down(c.x, stride.x), down(c.y, stride.y), down(c.z, stride.z)});
  }
  return coords;
}

class ReferenceAgainstDense : public testing::TestWithParam<uint64_t> {};

TEST_P(ReferenceAgainstDense, Forward) {
  Draw draw(GetParam());
  const ConvOptions options = random_options(draw);
  const IntegerProblem problem = integer_problem(draw, options, true, draw.triple(-4, 4));
  Session session = reference_session();
  const SparseTensor y = conv3d(session, problem.x, problem.weight(), problem.geometry());
  expect_support(y, floored(problem.x, problem.options.stride));
  expect_values(y, dense_convolution(problem.dense, problem.kernel, -8, 18));
}

TEST_P(ReferenceAgainstDense, Target) {
  Draw draw(GetParam());
  const ConvOptions options = random_options(draw);
  const IntegerProblem problem = integer_problem(draw, options, true, draw.triple(-4, 4));
  const random_case::Box box{.low = -6, .size = 13, .batches = problem.dense.batches()};
  const Support target = CoordSet::make(random_case::random_coords(draw, box, 40, true), problem.options.stride);
  Session session = reference_session();
  const SparseTensor y = conv3d(session, problem.x, problem.weight(), problem.geometry(), target);
  EXPECT_EQ(y.support(), target);
  expect_values(y, dense_convolution(problem.dense, problem.kernel, -8, 18));
}

TEST_P(ReferenceAgainstDense, Submanifold) {
  Draw draw(GetParam());
  const Triple half = draw.triple(0, 2);
  const ConvOptions options = {.kernel_size = {2 * half.x + 1, 2 * half.y + 1, 2 * half.z + 1},
                               .dilation = draw.triple(1, 3)};
  const IntegerProblem problem = integer_problem(draw, options, true, draw.triple(-4, 4));
  Session session = reference_session();
  const SparseTensor y = subm_conv3d(session, problem.x, problem.weight(), problem.geometry());
  EXPECT_EQ(y.support(), problem.x.support());
  expect_values(y, dense_convolution(problem.dense, problem.kernel, -4, 14));
}

/// Options that are not pointwise, which would keep the support.
ConvOptions spatial_options(Draw& draw) {
  ConvOptions options = random_options(draw);
  if (ConvGeometry(options).is_pointwise()) options.kernel_size = 2;
  return options;
}

TEST_P(ReferenceAgainstDense, Regular) {
  Draw draw(GetParam());
  const ConvOptions options = spatial_options(draw);
  const IntegerProblem problem = integer_problem(draw, options, false, draw.triple(-4, 4));
  Session session = reference_session();
  const SparseTensor y =
      conv3d(session, problem.x, problem.weight(), problem.geometry(), nullptr, {}, SupportRule::regular);
  const DenseGrid expected = dense_convolution(problem.dense, problem.kernel, -16, 40);
  expect_support(y, expected.occupied_coords());
  expect_values(y, expected);
}

TEST_P(ReferenceAgainstDense, RegularInAnExtent) {
  Draw draw(GetParam());
  const ConvOptions options = spatial_options(draw);
  const random_case::Box box{.low = 0, .size = draw.triple(1, 6)};
  const Triple extent = random_case::random_extent(draw, box, options);
  const IntegerProblem problem = integer_problem(draw, options, false, 0, 1, extent);
  // A convolution over the padded grid has an output for each place where the whole kernel fits.
  const auto fitting = [](int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    int64_t count = 0;
    while (count * stride + dilation * (kernel - 1) < size + 2 * padding) ++count;
    return count;
  };
  const auto& [kernel, stride, padding, dilation] = options;
  const Triple sites = {fitting(extent.x, kernel.x, stride.x, padding.x, dilation.x),
                        fitting(extent.y, kernel.y, stride.y, padding.y, dilation.y),
                        fitting(extent.z, kernel.z, stride.z, padding.z, dilation.z)};
  Session session = reference_session();
  const SparseTensor y =
      conv3d(session, problem.x, problem.weight(), problem.geometry(), nullptr, {}, SupportRule::regular);
  const DenseGrid expected = dense_convolution(problem.dense, problem.kernel, 0, sites);
  EXPECT_EQ(y.extent(), sites);
  expect_support(y, expected.occupied_coords());
  expect_values(y, expected);
}

TEST_P(ReferenceAgainstDense, Transposed) {
  Draw draw(GetParam());
  const ConvOptions options = random_options(draw);
  const IntegerProblem problem = integer_problem(draw, options, false, draw.triple(-4, 4), options.stride);
  Session session = reference_session();
  const SparseTensor y = conv_transpose3d(session, problem.x, problem.weight(), problem.geometry());
  const DenseGrid expected = dense_transposed_convolution(problem.dense, problem.kernel, kOutputLow, kOutputSize);
  expect_support(y, expected.occupied_coords());
  expect_values(y, expected);
}

TEST_P(ReferenceAgainstDense, TargetTransposed) {
  Draw draw(GetParam());
  const ConvOptions options = random_options(draw);
  const IntegerProblem problem = integer_problem(draw, options, false, draw.triple(-4, 4), options.stride);
  const random_case::Box box{.low = -12, .size = 30, .batches = problem.dense.batches()};
  const Support target = CoordSet::make(random_case::random_coords(draw, box, 60, true));
  Session session = reference_session();
  const SparseTensor y = conv_transpose3d(session, problem.x, problem.weight(), problem.geometry(), target);
  EXPECT_EQ(y.support(), target);
  expect_values(y, dense_transposed_convolution(problem.dense, problem.kernel, kOutputLow, kOutputSize));
}

TEST_P(ReferenceAgainstDense, GenerativeRowsAddUpToTheTransposed) {
  Draw draw(GetParam());
  const ConvOptions options = {.kernel_size = draw.triple(1, 4), .stride = draw.triple(1, 3)};
  const IntegerProblem problem = integer_problem(draw, options, false, draw.triple(-4, 4), options.stride);
  Session session = reference_session();
  const SparseTensor y = generative_conv_transpose3d(session, problem.x, problem.weight(), problem.geometry());
  EXPECT_EQ(y.rows(), problem.x.rows() * problem.geometry().taps());
  const DenseGrid expected = dense_transposed_convolution(problem.dense, problem.kernel, kOutputLow, kOutputSize);
  EXPECT_EQ(coord_set(y), expected.occupied_coords());
  std::map<Coord, std::vector<double>> sums;
  for (int64_t row = 0; row < y.rows(); ++row) {
    std::vector<double>& sum = sums[y.support()->coords()[static_cast<size_t>(row)]];
    sum.resize(static_cast<size_t>(y.channels()));
    for (size_t c = 0; c < sum.size(); ++c) {
      sum[c] += double{y.features().data<float>()[static_cast<size_t>(row * y.channels()) + c]};
    }
  }
  for (const auto& [coord, sum] : sums) {
    const double* dense = expected.values(coord.batch, place_of(coord));
    EXPECT_EQ(sum, std::vector<double>(dense, dense + y.channels())) << to_string(coord);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReferenceAgainstDense, testing::Range(uint64_t{1}, uint64_t{41}));

/// The packed weight of (tap, in, out), decoded from the stored arrays of a spatial weight.
double decoded(const QuantizedWeight& weight, int64_t tap, int64_t in, int64_t out) {
  const int64_t codes_a_word = 32 / weight.bits(), outs = weight.out_channels();
  const int64_t words = weight.words().size(1), groups = weight.scales().size(1);
  const uint32_t word = weight.words().data<uint32_t>()[(tap * words + in / codes_a_word) * outs + out];
  const uint32_t code = word >> (in % codes_a_word * weight.bits()) & ((1u << weight.bits()) - 1);
  const int64_t group = (tap * groups + in / weight.group_size()) * outs + out;
  return double{weight.scales().data<float>()[group]} * code + double{weight.biases().data<float>()[group]};
}

TEST_P(ReferenceAgainstDense, PackedWeights) {
  Draw draw(GetParam());
  IntegerProblem problem = integer_problem(draw, {.kernel_size = 3}, true, draw.triple(-4, 4));
  const int64_t ins = problem.kernel.in_channels, outs = problem.kernel.out_channels;
  const Tensor dense = random_tensor(draw, DType::f32, {outs, 3, 3, 3, ins}, 1);
  PackingOptions packing;
  packing.bits = draw.one_in(2) ? 4 : 8;
  const QuantizedWeight packed = QuantizedWeight::pack(dense, packing);
  for (int64_t i = 0; i < 27 * ins * outs; ++i) {
    problem.kernel.weights[static_cast<size_t>(i)] = decoded(packed, i / (ins * outs), i / outs % ins, i % outs);
  }
  Session session = reference_session();
  const SparseTensor y = subm_conv3d(session, problem.x, ConvWeight(packed), problem.geometry());
  // Both sum the same doubles in the same order, so that after the one rounding they are equal.
  DenseGrid expected = dense_convolution(problem.dense, problem.kernel, -4, 14);
  expected.for_each_site([&](int64_t batch, const Triple& place) {
    for (int64_t c = 0; c < outs; ++c) {
      double& value = expected.values(batch, place)[c];
      value = static_cast<double>(static_cast<float>(value));
    }
  });
  expect_values(y, expected);
}

// ---- Relations worked out by hand -----------------------------------------------------------------------------------

/// Coordinates along x, in batch 0.
Support on_x(const std::vector<int32_t>& places, Triple stride = 1, std::optional<Triple> extent = std::nullopt) {
  std::vector<Coord> coords;
  for (const int32_t x : places) coords.push_back({0, x, 0, 0});
  return CoordSet::make(std::move(coords), stride, extent);
}

std::vector<int32_t> places_on_x(const Support& support) {
  std::vector<int32_t> places;
  for (const Coord& coord : support->coords()) places.push_back(coord.x);
  return places;
}

using OutputTapInput = std::array<int32_t, 3>;

std::vector<OutputTapInput> edges_of(const RelatedSupport& related) {
  const EdgeList list = related.relation->edge_list();
  std::vector<OutputTapInput> edges;
  for (size_t i = 0; i < list.tap.size(); ++i) edges.push_back({list.output_row[i], list.tap[i], list.input_row[i]});
  EXPECT_EQ(list.output_begin.size(), static_cast<size_t>(related.output->rows()) + 1);
  for (size_t row = 0; row + 1 < list.output_begin.size(); ++row) {
    for (int64_t edge = list.output_begin[row]; edge < list.output_begin[row + 1]; ++edge) {
      EXPECT_EQ(list.output_row[static_cast<size_t>(edge)], static_cast<int32_t>(row));
    }
  }
  EXPECT_EQ(list.output_begin.back(), related.relation->edges());
  return edges;
}

RelatedSupport relate(RelationKind kind, const Support& source, const ConvOptions& options,
                      const Support& target = nullptr) {
  Session session = reference_session();
  return session.relate(kind, source, ConvGeometry(options), target);
}

TEST(ReferenceRelation, ForwardFloorsAndKeepsFirstAppearance) {
  const RelatedSupport related =
      relate(RelationKind::forward, on_x({-3, -1, 0, 1, 4}), {.kernel_size = {3, 1, 1}, .stride = {2, 1, 1}});
  EXPECT_THAT(places_on_x(related.output), ElementsAre(-2, -1, 0, 2));
  EXPECT_THAT(edges_of(related), ElementsAre(OutputTapInput{0, 2, 0}, OutputTapInput{1, 0, 0}, OutputTapInput{1, 2, 1},
                                             OutputTapInput{2, 0, 1}, OutputTapInput{2, 1, 2}, OutputTapInput{2, 2, 3},
                                             OutputTapInput{3, 1, 4}));
}

TEST(ReferenceRelation, ForwardPaddingShiftsOnlyWhatIsRead) {
  // Output o reads o - 1 and o; at unit stride with padding duplicates merge.
  const RelatedSupport related =
      relate(RelationKind::forward, on_x({5, 6, 5}), {.kernel_size = {2, 1, 1}, .padding = {1, 0, 0}});
  EXPECT_THAT(places_on_x(related.output), ElementsAre(5, 6));
  EXPECT_THAT(edges_of(related),
              ElementsAre(OutputTapInput{0, 1, 0}, OutputTapInput{1, 0, 0}, OutputTapInput{1, 1, 1}));
}

TEST(ReferenceRelation, ForwardOfUnitStrideKeepsDuplicates) {
  const Support source = on_x({5, 6, 5});
  const RelatedSupport related = relate(RelationKind::forward, source, {.kernel_size = {2, 1, 1}});
  EXPECT_NE(related.output, source);
  EXPECT_THAT(places_on_x(related.output), ElementsAre(5, 6, 5));
  EXPECT_THAT(edges_of(related), ElementsAre(OutputTapInput{0, 0, 0}, OutputTapInput{0, 1, 1}, OutputTapInput{1, 0, 1},
                                             OutputTapInput{2, 0, 0}, OutputTapInput{2, 1, 1}));
}

TEST(ReferenceRelation, TapsCountZFastestAndEvenAxesAreNotCentered) {
  // Kernel (2, 1, 3): x offsets 0, 1; z offsets -1, 0, 1; tap = 3 * ix + iz.
  const Support source = CoordSet::make(std::vector<Coord>{{0, 0, 0, 0}, {0, 1, 0, -1}, {0, 0, 0, 1}, {1, 1, 0, 0}});
  const RelatedSupport related = relate(RelationKind::forward, source, {.kernel_size = {2, 1, 3}});
  EXPECT_THAT(edges_of(related), ElementsAre(OutputTapInput{0, 1, 0}, OutputTapInput{0, 2, 2}, OutputTapInput{0, 3, 1},
                                             OutputTapInput{1, 1, 1}, OutputTapInput{2, 0, 0}, OutputTapInput{2, 1, 2},
                                             OutputTapInput{3, 1, 3}));
}

TEST(ReferenceRelation, SubmanifoldLooksUpTheFirstCopy) {
  const Support source = on_x({-1, 0, 0, 2});
  const RelatedSupport related = relate(RelationKind::submanifold, source, {.kernel_size = {3, 1, 1}});
  EXPECT_EQ(related.output, source);
  EXPECT_THAT(edges_of(related), ElementsAre(OutputTapInput{0, 1, 0}, OutputTapInput{0, 2, 1}, OutputTapInput{1, 0, 0},
                                             OutputTapInput{1, 1, 1}, OutputTapInput{2, 0, 0}, OutputTapInput{2, 1, 1},
                                             OutputTapInput{3, 1, 3}));
}

TEST(ReferenceRelation, SubmanifoldDilationReachesFurther) {
  const RelatedSupport related =
      relate(RelationKind::submanifold, on_x({0, 1, 3}), {.kernel_size = {3, 1, 1}, .dilation = {2, 1, 1}});
  EXPECT_THAT(edges_of(related), ElementsAre(OutputTapInput{0, 1, 0}, OutputTapInput{1, 1, 1}, OutputTapInput{1, 2, 2},
                                             OutputTapInput{2, 0, 1}, OutputTapInput{2, 1, 2}));
}

TEST(ReferenceRelation, RegularHasEveryReachedSiteInTheExtent) {
  const Support source = on_x({4, 0, 3}, 1, Triple(5, 1, 1));
  const RelatedSupport related =
      relate(RelationKind::regular, source, {.kernel_size = {3, 1, 1}, .stride = {2, 1, 1}, .padding = {1, 0, 0}});
  EXPECT_EQ(related.output->extent(), Triple(3, 1, 1));
  EXPECT_THAT(places_on_x(related.output), ElementsAre(2, 0, 1));
  EXPECT_THAT(edges_of(related), ElementsAre(OutputTapInput{0, 0, 2}, OutputTapInput{0, 1, 0}, OutputTapInput{1, 1, 1},
                                             OutputTapInput{2, 2, 2}));
}

TEST(ReferenceRelation, RegularWithoutExtentIsUnbounded) {
  // o = (i + 1 - k) / 2 where exact: input 0 reaches 0 (k = 1), input -1 reaches 0 (k = 0) and -1 (k = 2).
  const RelatedSupport related = relate(RelationKind::regular, on_x({0, -1, -1}),
                                        {.kernel_size = {3, 1, 1}, .stride = {2, 1, 1}, .padding = {1, 0, 0}});
  EXPECT_THAT(places_on_x(related.output), ElementsAre(0, -1));
  EXPECT_THAT(edges_of(related),
              ElementsAre(OutputTapInput{0, 0, 1}, OutputTapInput{0, 1, 0}, OutputTapInput{1, 2, 1}));
}

TEST(ReferenceRelation, TransposedMergesAndEveryDuplicateContributes) {
  const RelatedSupport related =
      relate(RelationKind::transposed, on_x({0, 1, 0}, {2, 1, 1}), {.kernel_size = {3, 1, 1}, .stride = {2, 1, 1}});
  EXPECT_EQ(related.output->stride(), Triple(1));
  EXPECT_THAT(places_on_x(related.output), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(edges_of(related),
              ElementsAre(OutputTapInput{0, 0, 0}, OutputTapInput{0, 0, 2}, OutputTapInput{1, 1, 0},
                          OutputTapInput{1, 1, 2}, OutputTapInput{2, 0, 1}, OutputTapInput{2, 2, 0},
                          OutputTapInput{2, 2, 2}, OutputTapInput{3, 1, 1}, OutputTapInput{4, 2, 1}));
}

TEST(ReferenceRelation, TransposedTapsThatCannotMeetKeepEveryRow) {
  const RelatedSupport related = relate(RelationKind::transposed, on_x({-1, -1}, {2, 1, 1}),
                                        {.kernel_size = {2, 1, 1}, .stride = {2, 1, 1}, .padding = {1, 0, 0}});
  EXPECT_THAT(places_on_x(related.output), ElementsAre(-3, -2, -3, -2));
  EXPECT_THAT(edges_of(related), ElementsAre(OutputTapInput{0, 0, 0}, OutputTapInput{1, 1, 0}, OutputTapInput{2, 0, 1},
                                             OutputTapInput{3, 1, 1}));
}

TEST(ReferenceRelation, GenerativeKeepsDuplicates) {
  const RelatedSupport related = relate(RelationKind::generative, on_x({0, 1}), {.kernel_size = {3, 1, 1}});
  EXPECT_THAT(places_on_x(related.output), ElementsAre(0, 1, 2, 1, 2, 3));
  EXPECT_THAT(edges_of(related),
              ElementsAre(OutputTapInput{0, 0, 0}, OutputTapInput{1, 1, 0}, OutputTapInput{2, 2, 0},
                          OutputTapInput{3, 0, 1}, OutputTapInput{4, 1, 1}, OutputTapInput{5, 2, 1}));
}

TEST(ReferenceRelation, TargetTransposedNeedsExactDivision) {
  // (o - k) / 2 for k = 0, 1, 2: o = -3 reads -2 (k = 1), o = 2 reads 1 (k = 0) and 0 (k = 2).
  const RelatedSupport related = relate(RelationKind::target_transposed, on_x({0, 1, -2, 0}, {2, 1, 1}),
                                        {.kernel_size = {3, 1, 1}, .stride = {2, 1, 1}}, on_x({-3, 2, 2, 9}));
  EXPECT_THAT(edges_of(related), ElementsAre(OutputTapInput{0, 1, 2}, OutputTapInput{1, 0, 1}, OutputTapInput{1, 2, 0},
                                             OutputTapInput{2, 0, 1}, OutputTapInput{2, 2, 0}));
}

TEST(ReferenceRelation, BatchesNeverMix) {
  const Support source = CoordSet::make(std::vector<Coord>{{0, 0, 0, 0}, {1, 1, 0, 0}, {0, 1, 0, 0}, {3, 0, 0, 0}});
  const RelatedSupport related = relate(RelationKind::submanifold, source, {.kernel_size = {3, 1, 1}});
  EXPECT_THAT(edges_of(related),
              ElementsAre(OutputTapInput{0, 1, 0}, OutputTapInput{0, 2, 2}, OutputTapInput{1, 1, 1},
                          OutputTapInput{2, 0, 0}, OutputTapInput{2, 1, 2}, OutputTapInput{3, 1, 3}));
}

TEST(ReferenceRelation, EmptySourcesGiveNoEdges) {
  for (const RelationKind kind : {RelationKind::submanifold, RelationKind::forward, RelationKind::regular,
                                  RelationKind::transposed, RelationKind::generative}) {
    const RelatedSupport related = relate(kind, on_x({}), {.kernel_size = 3});
    EXPECT_EQ(related.output->rows(), 0) << name(kind);
    EXPECT_THAT(edges_of(related), IsEmpty()) << name(kind);
  }
  for (const RelationKind kind : {RelationKind::target, RelationKind::target_transposed}) {
    EXPECT_THAT(edges_of(relate(kind, on_x({}), {.kernel_size = 3}, on_x({1, 2}))), IsEmpty());
    EXPECT_EQ(relate(kind, on_x({1, 2}), {.kernel_size = 3}, on_x({})).output->rows(), 0);
  }
}

TEST(ReferenceRelation, LookUpsOutsideInt32AreAbsent) {
  // Were the sums narrowed, the largest coordinate's right neighbour would be the lowest coordinate.
  EXPECT_THAT(edges_of(relate(RelationKind::submanifold, on_x({kLargest, kLowest}), {.kernel_size = {3, 1, 1}})),
              ElementsAre(OutputTapInput{0, 1, 0}, OutputTapInput{1, 1, 1}));
  // 2^31 - 1 times a stride of 2^30 must not wrap onto 0 either.
  EXPECT_THAT(edges_of(relate(RelationKind::target, on_x({0}), {.kernel_size = {1, 1, 1}, .stride = {1 << 30, 1, 1}},
                              on_x({kLargest, 4, 0}, {1 << 30, 1, 1}))),
              ElementsAre(OutputTapInput{2, 0, 0}));
}

TEST(ReferenceRelation, ForwardFloorsTheEndsOfInt32) {
  const RelatedSupport related =
      relate(RelationKind::forward, on_x({kLowest, kLargest}), {.kernel_size = {2, 1, 1}, .stride = {2, 1, 1}});
  EXPECT_THAT(places_on_x(related.output), ElementsAre(kLowest / 2, kLargest / 2));
  EXPECT_THAT(edges_of(related), ElementsAre(OutputTapInput{0, 0, 0}, OutputTapInput{1, 1, 1}));
}

std::string refusal(RelationKind kind, const Support& source, const ConvOptions& options) {
  try {
    make_reference_backend()->output_coords(kind, *source, ConvGeometry(options), std::nullopt, "my_layer");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::out_of_range);
    return error.what();
  }
  return "nothing was thrown";
}

TEST(ReferenceRelation, OutputsOutsideInt32NameOperationAndRow) {
  const Support source = on_x({0, kLargest});
  const ConvOptions options = {.kernel_size = {3, 1, 1}};
  // Rows 0, 1, 2 come from the first input; the second gives 2^31 - 1 as row 3, then leaves int32.
  for (const RelationKind kind : {RelationKind::transposed, RelationKind::generative}) {
    EXPECT_THAT(refusal(kind, source, options), HasSubstr("my_layer: output row 4 would lie at (2147483648, 0, 0)"));
  }
  EXPECT_THAT(refusal(RelationKind::regular, on_x({kLowest}), options),
              HasSubstr("my_layer: output row 1 would lie at (-2147483649, 0, 0)"));
}

TEST(ReferenceRelation, RowsBeyondInt32AreRefusedBeforeTheyAreMade) {
  const Support source = on_x({0, 1});
  const ConvOptions options = {.kernel_size = {kLargest, 1, 1}, .stride = {kLargest, 1, 1}};
  for (const RelationKind kind : {RelationKind::transposed, RelationKind::generative}) {
    EXPECT_THAT(refusal(kind, source, options), HasSubstr("my_layer: the output has 4294967294 rows"));
  }
}

// ---- Values ---------------------------------------------------------------------------------------------------------

TEST(ReferenceConvolution, RowsWithoutEdgesAreTheBias) {
  Session session = reference_session();
  const SparseTensor x(on_x({0}), Tensor::from(std::vector<float>{3}, {1, 1}));
  const ConvWeight weight(Tensor::from(std::vector<float>{2, 5}, {2, 1, 1, 1, 1}));
  Epilogue epilogue;
  epilogue.bias = Tensor::from(std::vector<float>{0.5F, -1}, {2});
  const SparseTensor y = conv3d(session, x, weight, ConvGeometry({.kernel_size = 1}), on_x({7, 0}), epilogue);
  EXPECT_THAT(y.features().values<float>(), ElementsAre(0.5F, -1, 6.5F, 14));
}

TEST(ReferenceConvolution, EpilogueFollowsItsEquation) {
  Session session = reference_session();
  const Tensor x = Tensor::from(std::vector<float>{1, 2}, {2, 1});
  const ConvWeight weight(Tensor::from(std::vector<float>{3}, {1, 1}));
  Epilogue epilogue;
  epilogue.bias = Tensor::from(std::vector<float>{1}, {1});
  epilogue.scale = Tensor::from(std::vector<float>{2}, {1});
  epilogue.shift = Tensor::from(std::vector<float>{-10}, {1});
  epilogue.residual = Tensor::from(std::vector<float>{0.5F, 0.25F}, {2, 1});
  epilogue.activation = {.kind = ActivationKind::leaky_relu, .alpha = 0.5F};
  // (3 + 1) * 2 - 10 + 0.5 = -1.5, halved; (6 + 1) * 2 - 10 + 0.25 = 4.25.
  EXPECT_THAT(linear(session, x, weight, epilogue).values<float>(), ElementsAre(-0.75F, 4.25F));
}

TEST(ReferenceConvolution, RoundsOnceTo16Bits) {
  // 1 + half a unit of the type + 2^-40: over float32, which drops the last term, the tie would go down to 1.
  Session session = reference_session();
  const Tensor x = Tensor::from(std::vector<float>{1, 1, 1}, {1, 3});
  const auto sum = [&](DType dtype, float half_unit) {
    const ConvWeight weight(Tensor::from(std::vector<float>{1, half_unit, 0x1p-40F}, {1, 3}));
    return linear(session, x.to(dtype), weight).to(DType::f32).data<float>()[0];
  };
  EXPECT_EQ(sum(DType::f16, 0x1p-11F), 1 + 0x1p-10F);
  EXPECT_EQ(sum(DType::bf16, 0x1p-8F), 1 + 0x1p-7F);
}

TEST(ReferenceConvolution, NotANumberPropagates) {
  Session session = reference_session();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = Tensor::from(std::vector<float>{nan, -2}, {2, 1});
  for (int kind = 0; kind <= static_cast<int>(ActivationKind::gelu_fast); ++kind) {
    const Tensor y = activate(session, x, {.kind = static_cast<ActivationKind>(kind)});
    EXPECT_TRUE(std::isnan(y.data<float>()[0])) << name(static_cast<ActivationKind>(kind));
    EXPECT_FALSE(std::isnan(y.data<float>()[1])) << name(static_cast<ActivationKind>(kind));
  }
}

}  // namespace
}  // namespace lattice

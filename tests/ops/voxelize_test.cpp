#include "lattice/voxelize.h"

#include <cstring>

#include "exact_error.h"
#include "lattice/random.h"
#include "ops/sparse_examples.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class VoxelizeTest : public ::testing::TestWithParam<BackendKind> {
 protected:
  Session session_{SessionOptions{.backend = GetParam(), .threads = 2}};
  const VoxelizeOptions half_metre_{.voxel_size = {0.5F, 0.5F, 0.5F}};
};
INSTANTIATE_TEST_SUITE_P(Backends, VoxelizeTest, both_backends(), backend_name);

TEST_P(VoxelizeTest, OneRowAnOccupiedVoxel) {
  const Tensor points = f32({0.6F, 0, 0, -0.1F, 0, 0, 0.9F, 0.4F, 0.4F}, {3, 3});
  const Tensor features = f32({1, 10, 2, 20, 4, 40}, {3, 2});
  const Voxels mean = voxelize(session_, points, features, half_metre_);
  EXPECT_THAT(coords_of(mean.tensor.support()), ElementsAre(Coord{0, 1, 0, 0}, Coord{0, -1, 0, 0}));
  EXPECT_THAT(numbers(mean.tensor.features()), ElementsAre(2.5, 25, 2, 20));
  EXPECT_EQ(mean.tensor.stride(), Triple(1));
  EXPECT_THAT(mean.point_row, ElementsAre(0, 1, 0));
  EXPECT_THAT(mean.counts, ElementsAre(2, 1));
  EXPECT_EQ(mean.dropped, 0);
  VoxelizeOptions sum = half_metre_;
  sum.reduction = Reduction::sum;
  EXPECT_THAT(numbers(voxelize(session_, points, features, sum).tensor.features()), ElementsAre(5, 50, 2, 20));
}

TEST_P(VoxelizeTest, BatchesStayApart) {
  const Tensor points = f32({0, 0, 0, 0, 0, 0}, {2, 3});
  const Tensor batch = Tensor::from(std::vector<int32_t>{3, 0}, {2});
  const Voxels voxels = voxelize(session_, points, f32({1, 2}, {2, 1}), half_metre_, batch);
  EXPECT_THAT(coords_of(voxels.tensor.support()), ElementsAre(Coord{3, 0, 0, 0}, Coord{0, 0, 0, 0}));
}

TEST_P(VoxelizeTest, DividesInFloat32) {
  // 0.7f / 0.1f is 7 after rounding to float32, though a little less than 7 in exact arithmetic (6.9999998).
  const VoxelizeOptions tenth = {.voxel_size = {0.1F, 0.1F, 0.1F}};
  const Voxels voxels = voxelize(session_, f32({0.7F, 0.3F, 0.6F}, {1, 3}), f32({1}, {1, 1}), tenth);
  EXPECT_THAT(coords_of(voxels.tensor.support()), ElementsAre(Coord{0, 7, 3, 6}));
}

TEST_P(VoxelizeTest, DropsWhatHasNoVoxel) {
  const Tensor points =
      f32({kNan, 0, 0, 0, kInf, 0, 0, 0, 2e9F, -2e9F, 0, 0, 0.2F, 0, 0, 0, 0, -1073741824.0F}, {6, 3});
  const Voxels voxels = voxelize(session_, points, f32({1, 2, 3, 4, 5, 6}, {6, 1}), half_metre_);
  EXPECT_THAT(voxels.point_row, ElementsAre(-1, -1, -1, -1, 0, 1));
  EXPECT_EQ(voxels.dropped, 4);
  // The last point's voxel is -2^31, the first of int32.
  EXPECT_THAT(coords_of(voxels.tensor.support()),
              ElementsAre(Coord{0, 0, 0, 0}, Coord{0, 0, 0, std::numeric_limits<int32_t>::min()}));
  EXPECT_THAT(numbers(voxels.tensor.features()), ElementsAre(5, 6));
}

TEST_P(VoxelizeTest, KeepsTheGridAlone) {
  VoxelizeOptions options = half_metre_;
  options.origin = {-1, 0, 0};
  options.upper = {1, 1, 0.6F};  // 4 x 2 x 1 voxels: 1.2 rounds to 1
  const Tensor points = f32({-1, 0, 0, 0.9F, 0.9F, 0.4F, 1, 0, 0, -1.1F, 0, 0, 0, 0, 0.55F, kNan, 0, 0}, {6, 3});
  const Voxels voxels = voxelize(session_, points, f32({1, 2, 3, 4, 5, 6}, {6, 1}), options);
  EXPECT_EQ(voxels.tensor.extent(), Triple(4, 2, 1));
  EXPECT_THAT(coords_of(voxels.tensor.support()), ElementsAre(Coord{0, 0, 0, 0}, Coord{0, 3, 1, 0}));
  EXPECT_THAT(voxels.point_row, ElementsAre(0, 1, -1, -1, -1, -1));
  EXPECT_EQ(voxels.out_of_range, 3);
  EXPECT_EQ(voxels.dropped, 1);
}

TEST_P(VoxelizeTest, LimitsPointsAndVoxels) {
  VoxelizeOptions options = half_metre_;
  options.most_points = 2;
  options.most_voxels = 2;
  // Batch 0 meets voxels 0, 1, 0, 2 (too many), 0 (full), 1; batch 1 has a count of its own.
  const Tensor points = f32({0, 0, 0, 0.6F, 0, 0, 0.1F, 0, 0, 1.1F, 0, 0, 0.2F, 0, 0, 1.2F, 0, 0, 0.7F, 0, 0}, {7, 3});
  const Tensor batch = Tensor::from(std::vector<int32_t>{0, 0, 0, 0, 0, 1, 0}, {7});
  const Voxels voxels = voxelize(session_, points, f32({1, 2, 4, 8, 16, 32, 64}, {7, 1}), options, batch);
  EXPECT_THAT(coords_of(voxels.tensor.support()), ElementsAre(Coord{0, 0, 0, 0}, Coord{0, 1, 0, 0}, Coord{1, 2, 0, 0}));
  EXPECT_THAT(voxels.point_row, ElementsAre(0, 1, 0, -1, 0, 2, 1));
  EXPECT_THAT(voxels.counts, ElementsAre(2, 2, 1));
  EXPECT_THAT(numbers(voxels.tensor.features()), ElementsAre(2.5, 33, 32));
  EXPECT_EQ(voxels.beyond_points, 1);
  EXPECT_EQ(voxels.beyond_voxels, 1);
  EXPECT_EQ(voxels.dropped, 0);
}

TEST_P(VoxelizeTest, RefusesLimitsThatLimitNothing) {
  const auto with = [&](auto set) {
    VoxelizeOptions options = half_metre_;
    set(options);
    return [this, options] { voxelize(session_, f32({0, 0, 0}, {1, 3}), f32({1}, {1, 1}), options); };
  };
  expect_error(with([](VoxelizeOptions& o) { o.most_points = 0; }),
               "voxelize: most_points 0 must be at least 1; leave it out for no limit");
  expect_error(with([](VoxelizeOptions& o) { o.most_voxels = -1; }),
               "voxelize: most_voxels -1 must be at least 1; leave it out for no limit");
  for (const float upper : {0.0F, -1.0F, kNan, kInf, 2e9F}) {
    EXPECT_THROW(with([&](VoxelizeOptions& o) { o.upper = {1, 1, upper}; })(), Error) << upper;
    VoxelizeOptions options;
    options.upper = {1, 1, upper};
    EXPECT_THROW(grid_extent(options), Error) << upper;
  }
}

// Whatever a voxel's points, limits and order: the same rows, counts and bits as the reference.
TEST(Voxelize, AgreesWithTheReference) {
  Random random(43);
  Session cpu(SessionOptions{.threads = 2}), reference(SessionOptions{.backend = BackendKind::reference});
  int64_t dropped = 0, out_of_range = 0, beyond_voxels = 0, beyond_points = 0, shared = 0;
  for (int round = 0; round < 24; ++round) {
    const int64_t points = 37 + 61 * round, channels = 1 + round % 7;
    std::vector<float> xyz, values;
    std::vector<int32_t> batches;
    const auto draw = [&] { return static_cast<float>(random.next() % 4096) / 512.0F - 2.0F; };
    for (int64_t i = 0; i < points; ++i) {
      for (int axis = 0; axis < 3; ++axis) xyz.push_back(random.next() % 97 == 0 ? kNan : draw());
      for (int64_t c = 0; c < channels; ++c) values.push_back(random.next() % 9 == 0 ? -0.0F : draw());
      batches.push_back(static_cast<int32_t>(random.next() % 3));
    }
    VoxelizeOptions options = {.voxel_size = {0.5F, 0.7F, 1.1F}, .origin = {-1, 0, -0.5F}};
    if (round % 2 == 1) options.upper = {4, 4, 4};
    if (round % 3 == 1) options.most_points = 1 + round % 4;
    if (round % 4 == 1) options.most_voxels = 30;
    if (round % 5 == 1) options.reduction = Reduction::sum;
    const Tensor batch = round % 3 == 0 ? Tensor() : Tensor::from(batches, {points});
    const auto with = [&](Session& session) {
      return voxelize(session, f32(xyz, {points, 3}), f32(values, {points, channels}), options, batch);
    };
    const Voxels found = with(cpu), expected = with(reference);
    EXPECT_EQ(coords_of(found.tensor.support()), coords_of(expected.tensor.support())) << round;
    EXPECT_EQ(found.point_row, expected.point_row) << round;
    EXPECT_EQ(found.counts, expected.counts) << round;
    EXPECT_EQ(found.dropped, expected.dropped) << round;
    EXPECT_EQ(found.out_of_range, expected.out_of_range) << round;
    EXPECT_EQ(found.beyond_voxels, expected.beyond_voxels) << round;
    EXPECT_EQ(found.beyond_points, expected.beyond_points) << round;
    dropped += found.dropped;
    out_of_range += found.out_of_range;
    beyond_voxels += found.beyond_voxels;
    beyond_points += found.beyond_points;
    for (const int32_t count : found.counts) shared += count > 2 ? 1 : 0;
    const Tensor &a = found.tensor.features(), &b = expected.tensor.features();
    ASSERT_EQ(a.shape(), b.shape()) << round;
    EXPECT_EQ(std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.elements()) * sizeof(float)), 0) << round;
  }
  for (const int64_t met : {dropped, out_of_range, beyond_voxels, beyond_points, shared}) EXPECT_GT(met, 20);
}

TEST_P(VoxelizeTest, NoPoints) {
  const Voxels voxels = voxelize(session_, Tensor::zeros(DType::f32, {0, 3}), Tensor::zeros(DType::f32, {0, 4}),
                                 half_metre_, Tensor::zeros(DType::i32, {0}));
  EXPECT_EQ(voxels.tensor.features().shape(), (Shape{0, 4}));
  EXPECT_TRUE(voxels.point_row.empty());
  const SparseTensor none(CoordSet::make(std::vector<Coord>()), Tensor::zeros(DType::f16, {0, 2}));
  for (const Interpolation way : {Interpolation::nearest, Interpolation::linear}) {
    EXPECT_EQ(devoxelize(session_, none, Tensor::zeros(DType::f32, {0, 3}), half_metre_, way).shape(), (Shape{0, 2}));
    EXPECT_THAT(numbers(devoxelize(session_, none, f32({1, 2, 3}, {1, 3}), half_metre_, way)), ElementsAre(0, 0));
  }
}

TEST_P(VoxelizeTest, NearestRoundsHalfUp) {
  const SparseTensor voxels = sparse({{0, 0, 0, 0}, {0, 1, 0, 0}, {0, -1, 0, 0}}, {10, 20, 30});
  // p = 0.4, 0.5, 1.6 (absent), -0.5 (up to 0), -0.6, not finite
  const Tensor points = f32({0.2F, 0, 0, 0.25F, 0, 0, 0.8F, 0, 0, -0.25F, 0, 0, -0.3F, 0, 0, kNan, 0, 0}, {6, 3});
  EXPECT_THAT(numbers(devoxelize(session_, voxels, points, half_metre_, Interpolation::nearest)),
              ElementsAre(10, 20, 0, 10, 30, 0));
}

TEST_P(VoxelizeTest, LinearWeighsTheEightCorners) {
  const SparseTensor voxels = sparse({{0, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 1}}, {8, 16, 32});
  const Tensor points = f32({0.125F, 0, 0, 0.25F, 0.25F, 0.25F, -0.125F, 0, 0, kInf, 0, 0}, {4, 3});
  // (0.25, 0, 0): 0.75 * 8 + 0.25 * 16; the centre: an eighth of each; (-0.25, 0, 0): 0.75 * 8, the corner -1 is
  // absent.
  EXPECT_THAT(numbers(devoxelize(session_, voxels, points, half_metre_, Interpolation::linear)),
              ElementsAre(10, 7, 6, 0));
}

TEST_P(VoxelizeTest, DevoxelizeLooksInThePointsBatch) {
  const SparseTensor voxels = sparse({{0, 0, 0, 0}, {1, 0, 0, 0}}, {1, 2});
  const Tensor points = f32({0, 0, 0, 0, 0, 0, 0, 0, 0}, {3, 3});
  const Tensor batch = Tensor::from(std::vector<int32_t>{1, 0, 7}, {3});
  for (const Interpolation way : {Interpolation::nearest, Interpolation::linear}) {
    EXPECT_THAT(numbers(devoxelize(session_, voxels, points, half_metre_, way, batch)), ElementsAre(2, 1, 0));
  }
}

TEST_P(VoxelizeTest, OriginIsSubtractedFirst) {
  VoxelizeOptions options = half_metre_;
  options.origin = {10, 20, 30};
  const Tensor points = f32({10.6F, 19.9F, 30}, {1, 3});
  const Voxels voxels = voxelize(session_, points, f32({3}, {1, 1}), options);
  EXPECT_THAT(coords_of(voxels.tensor.support()), ElementsAre(Coord{0, 1, -1, 0}));
  const Tensor at_voxel = f32({10.5F, 19.5F, 30}, {1, 3});
  EXPECT_THAT(numbers(devoxelize(session_, voxels.tensor, at_voxel, options, Interpolation::linear)), ElementsAre(3));
}

TEST(GatherRows, CopiesRowsOfAnyType) {
  const Tensor features = f32({1, 2, 3, 4}, {2, 2});
  const std::vector<int32_t> rows = {1, -1, 0, 1};
  EXPECT_THAT(numbers(gather_rows(features, rows)), ElementsAre(3, 4, 0, 0, 1, 2, 3, 4));
  EXPECT_THAT(numbers(gather_rows(features.to(DType::f16), rows)), ElementsAre(3, 4, 0, 0, 1, 2, 3, 4));
  const Tensor labels = Tensor::from(std::vector<uint8_t>{7, 9}, {2, 1});
  EXPECT_THAT(gather_rows(labels, rows).values<uint8_t>(), ElementsAre(9, 0, 7, 9));
  EXPECT_EQ(gather_rows(features, {}).shape(), (Shape{0, 2}));
}

TEST(VoxelizeComparison, CpuAgreesWithReferenceExactly) {
  // Sums are added in point order in float64 and rounded once, so that both give the same bits.
  Session cpu({.backend = BackendKind::cpu, .threads = 2}), reference({.backend = BackendKind::reference});
  Random random(41);
  const int64_t count = 3000;
  const Tensor points = random_tensor(random, {count, 3}, DType::f32, -3, 3);
  const Tensor features = random_tensor(random, {count, 5});
  Tensor batch = Tensor::empty(DType::i32, {count});
  for (int64_t i = 0; i < count; ++i) batch.mutable_data<int32_t>()[i] = static_cast<int32_t>(random.next() % 3);
  for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
    const VoxelizeOptions options = {
        .voxel_size = {0.3F, 0.7F, 1.1F}, .origin = {0.1F, -0.2F, 5}, .reduction = reduction};
    const Voxels actual = voxelize(cpu, points, features, options, batch);
    const Voxels expected = voxelize(reference, points, features, options, batch);
    EXPECT_EQ(coords_of(actual.tensor.support()), coords_of(expected.tensor.support()));
    EXPECT_EQ(actual.point_row, expected.point_row);
    EXPECT_EQ(actual.counts, expected.counts);
    expect_same(actual.tensor.features(), expected.tensor.features());
  }
}

TEST(VoxelizeComparison, DevoxelizeAgreesToo) {
  Session cpu({.backend = BackendKind::cpu, .threads = 2}), reference({.backend = BackendKind::reference});
  Random random(42);
  const VoxelizeOptions options = {.voxel_size = {0.3F, 0.7F, 1.1F}, .origin = {0.1F, -0.2F, 0}};
  const Tensor points = random_tensor(random, {2000, 3}, DType::f32, -3, 3);
  // Positions p stay below (3 + 0.2) / 0.3 < 11. They are rounded twice, so that a fraction errs by at most 11 * 2 * u,
  // and each of the eight products of three fractions with a value of at most 2, and their sum, by ten more.
  const double error = 8 * 2 * (3 * 22 + 10) * 0x1p-24;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const std::vector<Coord> coords = random_distinct_coords(random, 600, 9);
    const auto rows = static_cast<int64_t>(coords.size());
    const SparseTensor voxels(CoordSet::make(coords), random_tensor(random, {rows, 6}, dtype));
    expect_same(devoxelize(cpu, voxels, points, options, Interpolation::nearest),
                devoxelize(reference, voxels, points, options, Interpolation::nearest));
    const Tensor expected = devoxelize(reference, voxels, points, options, Interpolation::linear);
    std::vector<double> bound = numbers(expected);
    for (double& value : bound) value = stored_difference(dtype, value, error);
    expect_within(devoxelize(cpu, voxels, points, options, Interpolation::linear), expected, bound);
  }
}

}  // namespace
}  // namespace lattice

#include "lattice/minkunet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "io/file_bytes.h"
#include "lattice/point_file.h"
#include "lattice/random.h"
#include "lattice/voxelize.h"
#include "shared_data.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Stem and head, 4 down, 4 up, 4 in each of the 8 pairs of blocks, and the 7 shortcuts where channels change.
constexpr int kConvolutions = 2 + 4 + 4 + 4 * 8 + 7;

/// A surface of about 400 voxels in two batches, with the network's four features.
SparseTensor small_surface(uint64_t seed) {
  Random random(seed);
  std::vector<Coord> coords;
  for (int32_t batch = 0; batch < 2; ++batch) {
    for (int32_t x = 0; x < 14; ++x) {
      for (int32_t y = 0; y < 14; ++y) coords.push_back({batch, x, y, static_cast<int32_t>(random.uniform() * 3)});
    }
  }
  Tensor features = Tensor::empty(DType::f32, {static_cast<int64_t>(coords.size()), 4});
  float* values = features.mutable_data<float>();
  for (int64_t i = 0; i < features.elements(); ++i) values[i] = static_cast<float>(random.uniform());
  return SparseTensor(CoordSet::make(std::move(coords)), features);
}

double relative_error(const Tensor& found, const Tensor& expected) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double truth = expected.data<float>()[i];
    difference += std::pow(found.data<float>()[i] - truth, 2);
    norm += truth * truth;
  }
  return std::sqrt(difference / norm);
}

double variance(const Tensor& values) {
  double sum = 0, squares = 0;
  for (const float value : values.values<float>()) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const double count = static_cast<double>(values.elements());
  return squares / count - sum * sum / count / count;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.nbytes()) == 0;
}

class MinkUNet18Test : public ::testing::Test {
 protected:
  // One network for all tests: drawing its 21 million weights takes most of their time.
  static void SetUpTestSuite() {
    Session session;
    input_ = new SparseTensor(small_surface(1));
    network_ = new MinkUNet18(MinkUNet18::seeded(session, *input_, 7));
  }
  static void TearDownTestSuite() {
    delete network_;
    delete input_;
  }

  static SparseTensor* input_;
  static MinkUNet18* network_;
  Session session_;
};

SparseTensor* MinkUNet18Test::input_ = nullptr;
MinkUNet18* MinkUNet18Test::network_ = nullptr;

TEST_F(MinkUNet18Test, gives_logits_of_unit_variance_on_the_inputs_support) {
  const SparseTensor logits = (*network_)(session_, *input_);
  EXPECT_EQ(logits.support(), input_->support());
  EXPECT_EQ(logits.channels(), 20);
  EXPECT_EQ(logits.channels(), network_->classes());
  // The scale of the last layer is rounded to 10 bits, its values to float32.
  EXPECT_NEAR(variance(logits.features()), 1, 0x1p-8);
}

TEST_F(MinkUNet18Test, the_same_seed_and_any_thread_count_give_the_same_network) {
  const SparseTensor logits = (*network_)(session_, *input_);
  for (const int threads : {1, 3}) {
    Session other({.backend = BackendKind::cpu, .threads = threads});
    const MinkUNet18 again = MinkUNet18::seeded(other, *input_, 7);
    EXPECT_TRUE(same_bytes(again(other, *input_).features(), logits.features())) << threads << " threads";
  }
  const MinkUNet18 different = MinkUNet18::seeded(session_, *input_, 8);
  EXPECT_GT(relative_error(different(session_, *input_).features(), logits.features()), 0.1);
}

TEST_F(MinkUNet18Test, agrees_with_the_reference_backend) {
  Session reference({.backend = BackendKind::reference, .threads = 1});
  const Tensor expected = (*network_)(reference, *input_).features();
  const Tensor found = (*network_)(session_, *input_).features();
  // Each output adds up at most 27 * 384 products (the largest layer) with an error of a few units in the last place
  // that grows with the square root of their number; layers of unit variance hand errors on without enlarging them.
  const double bound = kConvolutions * std::sqrt(27.0 * 384) * std::numeric_limits<float>::epsilon();
  EXPECT_LT(relative_error(found, expected), bound);
}

TEST_F(MinkUNet18Test, eight_bits_err_less_than_four_and_both_err) {
  const Tensor logits = (*network_)(session_, *input_).features();
  const MinkUNet18 int8 = network_->quantized(8), int4 = network_->quantized(4);
  const double error8 = relative_error(int8(session_, *input_).features(), logits);
  const double error4 = relative_error(int4(session_, *input_).features(), logits);
  EXPECT_GT(error8, 0);
  EXPECT_LT(error8, error4);
  EXPECT_LT(error4, 1);
  EXPECT_LT(int4.weight_bytes(), int8.weight_bytes());
  EXPECT_LT(int8.weight_bytes(), network_->weight_bytes() / 3);
  EXPECT_LT(network_->quantized(4, 128).weight_bytes(), network_->quantized(4, 32).weight_bytes());
}

TEST_F(MinkUNet18Test, relate_builds_all_that_a_run_needs) {
  const auto levels = MinkUNet18::relate(session_, input_->support());
  ASSERT_EQ(levels.size(), 5u);
  EXPECT_EQ(levels[0].support, input_->support());
  EXPECT_EQ(levels[4].support->stride(), Triple(16));
  EXPECT_EQ(levels[4].down, nullptr);
  const int64_t relations = session_.relations();
  EXPECT_EQ(relations, 5 + 4 + 4);
  (*network_)(session_, *input_);
  EXPECT_EQ(session_.relations(), relations);
}

TEST_F(MinkUNet18Test, counts_the_operations_of_a_single_voxel) {
  // One voxel has one edge in every relation, so the count is 2 * the sum of C_in * C_out over the layers.
  const Support support = CoordSet::make({Coord{0, 0, 0, 0}});
  const double stem = 4 * 32, head = 96 * 20;
  const double down = 32 * 32 + 32 * 32 + 64 * 64 + 128 * 128;
  const double up = 256 * 256 + 256 * 128 + 128 * 96 + 96 * 96;
  const auto blocks = [](double in, double out) { return in * out + 3 * out * out + (in == out ? 0 : in * out); };
  const double encoder = blocks(32, 32) + blocks(32, 64) + blocks(64, 128) + blocks(128, 256);
  const double decoder = blocks(384, 256) + blocks(192, 128) + blocks(128, 96) + blocks(128, 96);
  const double expected = 2 * (stem + head + down + up + encoder + decoder) / 1e9;
  EXPECT_DOUBLE_EQ(network_->gflop(MinkUNet18::relate(session_, support)), expected);
}

TEST_F(MinkUNet18Test, an_empty_input_gives_an_empty_output) {
  const SparseTensor empty(CoordSet::make(std::vector<Coord>{}), Tensor::zeros(DType::f32, {0, 4}));
  EXPECT_EQ((*network_)(session_, empty).rows(), 0);
  EXPECT_EQ(MinkUNet18::seeded(session_, empty, 1)(session_, *input_).rows(), input_->rows());
}

TEST_F(MinkUNet18Test, refuses_what_does_not_fit) {
  constexpr ErrorCode kInvalid = ErrorCode::invalid_argument;
  const SparseTensor narrow = input_->with_features(Tensor::zeros(DType::f32, {input_->rows(), 3}));
  const MinkUNet18 packed = network_->quantized(4);
  EXPECT_THAT(error_of(kInvalid, [&] { MinkUNet18::seeded(session_, *input_, 1, 0); }), HasSubstr("classes 0"));
  EXPECT_THAT(error_of(kInvalid, [&] { (*network_)(session_, narrow); }), HasSubstr("3 channels"));
  EXPECT_THAT(error_of(kInvalid, [&] { network_->quantized(5); }), HasSubstr("5"));
  EXPECT_THAT(error_of(kInvalid, [&] { network_->quantized(4, 48); }), HasSubstr("48"));
  error_of(kInvalid, [&] { packed.quantized(4); });
  EXPECT_THAT(error_of(kInvalid, [&] { network_->gflop({}); }), HasSubstr("0 levels"));
}

TEST_F(MinkUNet18Test, has_the_known_levels_and_operations_on_a_kitti_scan) {
  const auto path = shared_data("scans/kitti_000008.bin");
  if (!path) GTEST_SKIP() << "scans/kitti_000008.bin of the shared data is absent";
  const PointCloud cloud = read_points(*path);
  Tensor points = Tensor::empty(DType::f32, {cloud.rows(), 3});
  for (int64_t row = 0; row < cloud.rows(); ++row) {
    std::copy_n(cloud.values.data<float>() + row * 4, 3, points.mutable_data<float>() + row * 3);
  }
  const auto voxels = voxelize(session_, points, points, {.voxel_size = {0.05F, 0.05F, 0.05F}});
  const auto fallen = voxels.tensor.support()->coords();
  std::vector<Coord> coords(fallen.begin(), fallen.end());
  Coord low = coords.front();
  for (const Coord& c : coords) low = {0, std::min(low.x, c.x), std::min(low.y, c.y), std::min(low.z, c.z)};
  for (Coord& c : coords) c = {c.batch, c.x - low.x, c.y - low.y, c.z - low.z};

  const auto levels = MinkUNet18::relate(session_, CoordSet::make(std::move(coords)));
  std::vector<int64_t> rows;
  for (const auto& level : levels) rows.push_back(level.support->rows());
  EXPECT_THAT(rows, ElementsAre(14014, 9894, 5618, 2600, 1043));
  EXPECT_NEAR(network_->gflop(levels), 39.0, 0.05);
}

}  // namespace
}  // namespace lattice

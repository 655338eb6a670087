#include "lattice/detectors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include "artifact/exported_network.h"
#include "exact_error.h"
#include "io/file_bytes.h"
#include "lattice/random.h"
#include "shared_data.h"

namespace lattice {
namespace {

Tensor normal(Random& random, Shape shape) {
  Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    tensor.mutable_data<float>()[i] = static_cast<float>(random.normal());
  }
  return tensor;
}

/// Voxels anywhere in an extent, in three batches of which the second is empty.
SparseTensor scattered(uint64_t seed, const Triple& extent, int64_t most) {
  Random random(seed);
  const auto below = [&](int64_t size) { return static_cast<int32_t>(random.next() % static_cast<uint64_t>(size)); };
  std::set<Coord> places;
  while (static_cast<int64_t>(places.size()) < most) {
    places.insert({2 * below(2), below(extent.x), below(extent.y), below(extent.z)});
  }
  std::vector<Coord> coords(places.begin(), places.end());
  for (size_t i = coords.size(); i > 1; --i) std::swap(coords[i - 1], coords[random.next() % i]);
  return {CoordSet::make(std::move(coords), 1, extent), normal(random, {most, 5})};
}

/// Extents and rows that exported networks run on: odd and even sizes, of which conv4 leaves out a plane, one row,
/// none.
struct Geometry {
  Triple extent;
  int64_t rows;
};
constexpr Geometry kGeometries[] = {{{64, 48, 41}, 900}, {{33, 71, 26}, 700}, {{20, 17, 40}, 1}, {{40, 40, 33}, 0}};

/// Two batches of walls and ground.
SparseTensor scene() {
  std::vector<Coord> coords;
  for (int32_t batch = 0; batch < 2; ++batch) {
    for (int32_t x = 0; x < 64; ++x) {
      for (int32_t y = 0; y < 48; ++y) {
        const int32_t height = (x / 16 + y / 16 + batch) % 3 == 0 ? 20 : 1;
        for (int32_t z = 0; z < height; z += 3) {
          if ((x * 7 + y * 3 + z) % 5 < 2) coords.push_back({batch, x, y, z});
        }
      }
    }
  }
  Random random(1);
  const auto rows = static_cast<int64_t>(coords.size());
  return {CoordSet::make(std::move(coords), 1, Triple(64, 48, 41)), normal(random, {rows, 5})};
}

double relative_error(const Tensor& values, const Tensor& expected) {
  double difference = 0, size = 0;
  for (int64_t i = 0; i < values.elements(); ++i) {
    const double a = values.data<float>()[i], b = expected.data<float>()[i];
    difference += (a - b) * (a - b);
    size += b * b;
  }
  return std::sqrt(difference / size);
}

TEST(CenterPointEncoder, RunsItsStagesAsTheReferenceDoes) {
  Session session({.threads = 2}), reference({.backend = BackendKind::reference});
  const SparseTensor x = scene();
  const CenterPointEncoder network = CenterPointEncoder::seeded(session, x, 1);
  EXPECT_EQ(network.in_channels(), 5);
  const auto stages = network(session, x), expected = network(reference, x);
  const auto check = [](const SparseTensor& y, const SparseTensor& specified, Triple extent, int64_t channels) {
    EXPECT_EQ(y.extent(), extent);
    EXPECT_EQ(y.channels(), channels);
    ASSERT_TRUE(std::equal(y.support()->coords().begin(), y.support()->coords().end(),
                           specified.support()->coords().begin(), specified.support()->coords().end()));
    EXPECT_LT(relative_error(y.features(), specified.features()), 1e-5);
  };
  check(stages.conv1, expected.conv1, {64, 48, 41}, 16);
  check(stages.conv2, expected.conv2, {32, 24, 21}, 32);
  check(stages.conv3, expected.conv3, {16, 12, 11}, 64);
  check(stages.conv4, expected.conv4, {8, 6, 5}, 128);
  check(stages.out, expected.out, {8, 6, 2}, 128);
  EXPECT_EQ(stages.out.stride(), Triple(8, 8, 16));
}

TEST(CenterPointEncoder, PacksItsWeights) {
  Session session({.threads = 2});
  const SparseTensor x = scene();
  const CenterPointEncoder network = CenterPointEncoder::seeded(session, x, 1), packed = network.quantized(8);
  EXPECT_LT(packed.weight_bytes() * 3, network.weight_bytes());
  const double error = relative_error(packed(session, x).out.features(), network(session, x).out.features());
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 0.1);
}

TEST(CenterPointEncoder, BecomesAnArtifactThatGivesTheSameBits) {
  Session session({.threads = 2});
  const CenterPointEncoder floating = CenterPointEncoder::seeded(session, scene(), 1);
  const TempFolder folder;
  uint64_t seed = 0;
  for (const CenterPointEncoder& network : {floating, floating.quantized(8), floating.quantized(4, 32)}) {
    for (const auto& [extent, rows] : kGeometries) {
      const SparseTensor x = scattered(++seed, extent, rows);
      network.exported(extent, true).save(folder.path());
      const Model model = Model::load(folder.path());
      const NamedTensors results = model.run(session, inputs_of(x));
      const auto stages = network(session, x);
      EXPECT_EQ(results.size(), 15U);
      expect_same_bits(results, "conv1", stages.conv1);
      expect_same_bits(results, "conv2", stages.conv2);
      expect_same_bits(results, "conv3", stages.conv3);
      expect_same_bits(results, "conv4", stages.conv4);
      expect_same_bits(results, "out", stages.out);
      EXPECT_EQ(model.sparse_output(results, "out").extent(), stages.out.extent());
    }
  }
  ASSERT_EQ(floating.exported({64, 48, 41}).model().outputs().size(), 1U);
  expect_error(
      [&] {
        floating.exported({64, 48, 4});
      },
      "exported: the extent (16, 12, 1) becomes (8, 6, 0) under kernel_size (3, 3, 3), stride (2, 2, 2), "
      "padding (1, 1, 0), dilation (1, 1, 1); each size must stay positive: pad more or use a smaller kernel");
  expect_error(
      [&] {
        floating.exported({64, 48, -1});
      },
      "exported: extent (64, 48, -1) must be at least 1 on every axis; pass that of the inputs");
}

TEST(CenterPointEncoder, HasTheRowsAndTheWorkThatSpconvHas) {
  const auto path = shared_data("scans/nuscenes_voxels_bxyz.i32");
  if (!path) GTEST_SKIP() << "no shared data: scans/nuscenes_voxels_bxyz.i32";
  std::ifstream file(*path, std::ios::binary);
  std::vector<Coord> coords(std::filesystem::file_size(*path) / sizeof(Coord));
  file.read(reinterpret_cast<char*>(coords.data()), static_cast<std::streamsize>(coords.size() * sizeof(Coord)));
  ASSERT_TRUE(file);
  Session session({.threads = 2});
  const CenterPointEncoder network = CenterPointEncoder::seeded(session, scene(), 1);
  const Support voxels = CoordSet::make(std::move(coords), 1, Triple(1440, 1440, 41));
  EXPECT_NEAR(network.gflop(session, voxels), 50.9, 0.05);
  const auto stages = network(session, {voxels, Tensor::zeros(DType::f32, {voxels->rows(), 5})});
  EXPECT_EQ(stages.conv1.rows(), 79745);
  EXPECT_EQ(stages.conv2.rows(), 69276);
  EXPECT_EQ(stages.conv3.rows(), 29723);
  EXPECT_EQ(stages.conv4.rows(), 10335);
  EXPECT_EQ(stages.out.rows(), 7658);
}

TEST(VoxelNeXt, RunsItsHeadsAsTheReferenceDoes) {
  Session session({.threads = 2}), reference({.backend = BackendKind::reference});
  const SparseTensor x = scene();
  const VoxelNeXt network = VoxelNeXt::seeded(session, x, 1);
  const auto y = network(session, x), expected = network(reference, x);
  ASSERT_EQ(y.stages.size(), 6U);
  EXPECT_EQ(y.flat.extent(), Triple(8, 6, 1));
  EXPECT_EQ(y.shared.support(), y.flat.support());
  EXPECT_EQ(y.heads.heat_map.support(), y.flat.support());
  ASSERT_TRUE(std::equal(y.flat.support()->coords().begin(), y.flat.support()->coords().end(),
                         expected.flat.support()->coords().begin(), expected.flat.support()->coords().end()));
  EXPECT_EQ(y.heads.heat_map.channels(), 10);
  EXPECT_LT(relative_error(y.shared.features(), expected.shared.features()), 1e-5);
  EXPECT_LT(relative_error(y.heads.heat_map.features(), expected.heads.heat_map.features()), 1e-5);
  EXPECT_LT(relative_error(y.heads.velocity, expected.heads.velocity), 1e-5);
  Session one({.threads = 1});
  EXPECT_TRUE(same_bits(network(one, x).heads.size, y.heads.size));
  EXPECT_LT(relative_error(network.quantized(8)(session, x).heads.size, y.heads.size), 0.2);
}

TEST(VoxelNeXt, BecomesAnArtifactThatGivesTheSameBits) {
  Session session({.threads = 2});
  const VoxelNeXt floating = VoxelNeXt::seeded(session, scene(), 1);
  const TempFolder folder;
  uint64_t seed = 100;
  for (const VoxelNeXt& network : {floating, floating.quantized(8), floating.quantized(4, 32)}) {
    for (const auto& [extent, rows] : kGeometries) {
      const SparseTensor x = scattered(++seed, extent, rows);
      network.exported(extent, true).save(folder.path());
      const Model model = Model::load(folder.path());
      const NamedTensors results = model.run(session, inputs_of(x));
      const auto y = network(session, x);
      EXPECT_EQ(results.size(), 3U * (6 + 6 + 2));
      for (size_t i = 0; i < y.stages.size(); ++i) {
        expect_same_bits(results, "conv" + std::to_string(i + 1), y.stages[i]);
      }
      expect_same_bits(results, "flat", y.flat);
      expect_same_bits(results, "shared", y.shared);
      expect_same_bits(results, "heat_map", y.heads.heat_map);
      expect_same_bits(results, "centre", y.flat.with_features(y.heads.centre));
      expect_same_bits(results, "height", y.flat.with_features(y.heads.height));
      expect_same_bits(results, "size", y.flat.with_features(y.heads.size));
      expect_same_bits(results, "rotation", y.flat.with_features(y.heads.rotation));
      expect_same_bits(results, "velocity", y.flat.with_features(y.heads.velocity));
      const VoxelNeXt::Heads heads = VoxelNeXt::heads_of(model, results);
      EXPECT_EQ(heads.heat_map.stride(), y.flat.stride());
      EXPECT_EQ(heads.heat_map.extent(), y.flat.extent());
      const auto boxes = decode_boxes(session, heads, {}), expected = network.detect(session, x);
      ASSERT_EQ(boxes.size(), expected.size());
      EXPECT_FALSE(boxes.empty() && rows > 1);
      for (size_t i = 0; i < boxes.size(); ++i) {
        EXPECT_EQ(boxes[i].score, expected[i].score);
        EXPECT_EQ(boxes[i].x, expected[i].x);
        EXPECT_EQ(boxes[i].velocity_y, expected[i].velocity_y);
      }
    }
  }
  ASSERT_EQ(floating.exported({64, 48, 41}).model().outputs().size(), 6U);
}

TEST(Detectors, RefuseInputsThatDoNotFit) {
  Session session;
  const SparseTensor x = scene();
  const CenterPointEncoder network = CenterPointEncoder::seeded(session, x, 1);
  const auto coords = x.support()->coords();
  const SparseTensor unbounded(CoordSet::make({coords.begin(), coords.end()}), x.features());
  expect_error([&] { network(session, unbounded); },
               "centerpoint: the input has no extent, which decides what its strided layers keep; make its coordinates "
               "with one, such as (1440, 1440, 41)");
  expect_error(
      [&] {
        network(session, x.with_features(Tensor::zeros(DType::f32, {x.rows(), 4})));
      },
      "centerpoint: the input has 4 channels, the network takes 5");
  expect_error([&] { VoxelNeXt::seeded(session, x, 1, 0); }, "voxelnext: classes 0 must be positive");
  expect_error(
      [] { CenterPointEncoder::from_spconv([](const std::string&) { return Tensor::zeros(DType::f32, {3}); }); },
      "from_spconv: conv_input.0.weight has shape (3), but must be (16, 3, 3, 3, 3) (out, z, y, x, in)");
}

/// Every voxel and class against its neighbours, in plain loops.
TEST(DecodeBoxes, KeepsThePeaksBestFirst) {
  Session session;
  Random random(9);
  std::vector<Coord> coords;
  for (int32_t x = 0; x < 12; ++x) {
    for (int32_t y = 0; y < 12; ++y) {
      if (random.next() % 3 != 0) coords.push_back({x % 2, x, y, 0});
    }
  }
  const auto rows = static_cast<int64_t>(coords.size());
  const Support support = CoordSet::make(coords, Triple(8, 8, 40));
  const VoxelNeXt::Heads heads = {.heat_map = {support, normal(random, {rows, 3})},
                                  .centre = normal(random, {rows, 2}),
                                  .height = normal(random, {rows, 1}),
                                  .size = normal(random, {rows, 3}),
                                  .rotation = normal(random, {rows, 2}),
                                  .velocity = normal(random, {rows, 2})};
  const BoxDecoding decoding = {.voxel_size = {0.1F, 0.2F, 0.3F}, .origin = {-5, -6, -7}, .least_score = 0.4F};
  const std::vector<Box> boxes = decode_boxes(session, heads, decoding);
  size_t peaks = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t label = 0; label < 3; ++label) {
      const Coord& c = coords[static_cast<size_t>(row)];
      const float value = heads.heat_map.features().data<float>()[row * 3 + label];
      bool is_peak = 1 / (1 + std::exp(-value)) >= decoding.least_score;
      for (int64_t other = 0; other < rows; ++other) {
        const Coord& o = coords[static_cast<size_t>(other)];
        if (o.batch == c.batch && std::abs(o.x - c.x) <= 1 && std::abs(o.y - c.y) <= 1) {
          is_peak &= heads.heat_map.features().data<float>()[other * 3 + label] <= value;
        }
      }
      if (!is_peak) continue;
      ++peaks;
      const auto found = std::find_if(boxes.begin(), boxes.end(), [&](const Box& box) {
        return box.label == label && box.batch == c.batch && box.z == heads.height.data<float>()[row];
      });
      ASSERT_NE(found, boxes.end());
      EXPECT_NEAR(found->x, (static_cast<float>(c.x) + heads.centre.data<float>()[row * 2]) * 8 * 0.1F - 5, 1e-5);
      EXPECT_NEAR(found->y, (static_cast<float>(c.y) + heads.centre.data<float>()[row * 2 + 1]) * 8 * 0.2F - 6, 1e-5);
      EXPECT_NEAR(found->height, std::exp(heads.size.data<float>()[row * 3 + 2]), 1e-5);
      const float sine = heads.rotation.data<float>()[row * 2], cosine = heads.rotation.data<float>()[row * 2 + 1];
      const float length = std::hypot(sine, cosine);
      EXPECT_NEAR(std::sin(found->heading), sine / length, 1e-5);
      EXPECT_NEAR(std::cos(found->heading), cosine / length, 1e-5);
    }
  }
  EXPECT_GT(peaks, 10U);
  EXPECT_EQ(boxes.size(), peaks);
  for (size_t i = 1; i < boxes.size(); ++i) {
    EXPECT_TRUE(boxes[i].batch > boxes[i - 1].batch || boxes[i].score <= boxes[i - 1].score);
  }
  const std::vector<Box> best =
      decode_boxes(session, heads, {.voxel_size = {1, 1, 1}, .origin = {}, .least_score = 0.4F, .most_boxes = 2});
  ASSERT_EQ(best.size(), 4U);  // two a batch
  EXPECT_EQ(best[0].score, boxes[0].score);
  EXPECT_TRUE(decode_boxes(session, heads, {.least_score = 2}).empty());
}

}  // namespace
}  // namespace lattice

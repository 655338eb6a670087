#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifact/conformance.h"
#include "artifact/exported_network.h"
#include "cli/cli_fixture.h"
#include "cli/scan_input.h"
#include "cli/scan_sidecar.h"
#include "lattice/dense.h"
#include "lattice/detectors.h"
#include "lattice/point_file.h"

namespace lattice {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class DetectTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    write_scan("five.bin", 5);
  }

  /// What the command makes of five.bin: voxels in the extent of the networks.
  SparseTensor voxels(Session& session) const {
    const PointCloud cloud = read_points(files() / "five.bin", {.columns = 5, .format = {}});
    const Voxels made = voxelize(session, cli::columns_of(cloud, 0, 3), cli::columns_of(cloud, 0, 5),
                                 {.voxel_size = {0.075F, 0.075F, 0.2F},
                                  .origin = {-54, -54, -5},
                                  .upper = {{54, 54, 3}},
                                  .most_points = 10,
                                  .most_voxels = 160000});
    const auto coords = made.tensor.support()->coords();
    return {CoordSet::make({coords.begin(), coords.end()}, 1, Triple(1440, 1440, 41)), made.tensor.features()};
  }
};

TEST_F(DetectTest, finds_the_same_boxes_by_the_artifact_that_it_wrote) {
  const auto built_in = run_json("detect five.bin --columns 5 --repeat 1 --bits 8 --export model");
  EXPECT_EQ(built_in["weights"], "seeded");
  EXPECT_GT(built_in["rows"], 100);
  ASSERT_GT(built_in["boxes"].size(), 0U);
  const auto artifact = run_json("detect five.bin --columns 5 --repeat 1 --model model");
  EXPECT_EQ(artifact["weights"], "artifact");
  EXPECT_EQ(built_in["bits"], 8);
  EXPECT_EQ(artifact["bits"], run_json("inspect model")["bits"]);  // scales and norms included
  EXPECT_EQ(artifact["boxes"], built_in["boxes"]);
  EXPECT_EQ(artifact["beyond_points"], built_in["beyond_points"]);

  // And `run` gives the heads that these boxes are decoded from.
  EXPECT_EQ(run_json("run model five.bin --columns 5 --out-dir out")["done"], 1);
  Session session;
  const Model model = Model::load(files() / "model");
  const auto heads = VoxelNeXt::heads_of(model, read_tensors(files() / "out" / "five.safetensors"));
  const std::vector<Box> boxes = decode_boxes(session, heads, {});
  ASSERT_THAT(built_in["boxes"], SizeIs(boxes.size()));
  for (size_t i = 0; i < boxes.size(); ++i) {
    EXPECT_EQ(built_in["boxes"][i]["score"].get<float>(), boxes[i].score);
    EXPECT_EQ(built_in["boxes"][i]["centre"][1].get<float>(), boxes[i].y);
  }
  EXPECT_EQ(boxes.at(0).label, built_in["boxes"][0]["label"]);
  EXPECT_EQ(built_in["boxes"][0]["name"],
            cli::read_sidecar(files() / "model").classes.at(static_cast<size_t>(boxes.at(0).label)));
}

TEST_F(DetectTest, takes_scans_of_fewer_columns_and_draws) {
  EXPECT_THAT(run("detect scan.bin --repeat 1 --export model --picture boxes.png").out, HasSubstr("wrote model"));
  EXPECT_TRUE(std::filesystem::exists(files() / "boxes.png"));
  const Outcome outcome = run("detect scan.bin --repeat 1 --model model --picture again.png");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(file_bytes(files() / "boxes.png"), file_bytes(files() / "again.png"));
}

TEST_F(DetectTest, centres_are_in_the_coordinates_of_the_file) {
  PointCloud cloud = read_points(files() / "scan.bin");
  float* values = cloud.values.mutable_data<float>();
  for (int64_t row = 0; row < cloud.rows(); ++row) {
    for (int64_t axis = 0; axis < 2; ++axis) values[row * 4 + axis] += 1;  // from 0 on, as those of a map are read
  }
  write_ply(files() / "local.ply", cloud);
  cloud.origin = {500000, 5400000, 0};
  write_ply(files() / "map.ply", cloud);
  const auto local = run_json("detect local.ply --repeat 1"), map = run_json("detect map.ply --repeat 1");
  EXPECT_EQ(local["origin"], (nlohmann::json{0, 0, 0}));
  EXPECT_EQ(map["origin"], (nlohmann::json{500000, 5400000, 0}));
  ASSERT_GT(local["boxes"].size(), 0U);
  ASSERT_EQ(local["boxes"].size(), map["boxes"].size());
  for (size_t i = 0; i < local["boxes"].size(); ++i) {
    for (size_t axis = 0; axis < 3; ++axis) {
      EXPECT_EQ(map["boxes"][i]["centre"][axis].get<double>(),
                cloud.origin[axis] + local["boxes"][i]["centre"][axis].get<double>());
    }
  }
}

TEST_F(DetectTest, exports_the_encoder_of_centerpoint) {
  const auto report = run_json("detect five.bin --columns 5 --network centerpoint --bits 4 --export model");
  EXPECT_EQ(report["bits"], 4);
  EXPECT_FALSE(report.contains("boxes"));
  EXPECT_EQ(run_json("run model five.bin --columns 5 --out-dir out")["done"], 1);
  Session session;
  const SparseTensor x = voxels(session);
  EXPECT_EQ(report["rows"], x.rows());
  const SparseTensor y = CenterPointEncoder::seeded(session, x, 1).quantized(4)(session, x).out;
  const NamedTensors results = read_tensors(files() / "out" / "five.safetensors");
  expect_same_bits(results, "out", y);

  // What a dense head takes.
  const auto dense = run_json(
      "run model five.bin --columns 5 --out-dir dense --dense out --dense-layout birds_eye --format safetensors");
  EXPECT_EQ(dense["done"], 1);
  const NamedTensors grids = read_tensors(files() / "dense" / "five.safetensors");
  EXPECT_THAT(grids, SizeIs(1));
  EXPECT_EQ(grids.at("out").shape(), (Shape{1, 256, 180, 180}));
  EXPECT_TRUE(same_bits(grids.at("out"), to_birds_eye(y)));
}

TEST_F(DetectTest, refuses_what_does_not_go_together) {
  expect_failure(2, "detect scan.bin --network centerpoint", "give --export");
  expect_failure(2, "detect scan.bin --network pointpillars", "--network");
  expect_failure(2, "detect scan.bin --network centerpoint --export encoder --picture boxes.png", "no boxes to draw");
  expect_failure(2, "detect scan.bin --model model --bits 8", "excludes");
  expect_failure(2, "detect scan.bin --model model --seed 2", "excludes");
  expect_failure(2, "detect scan.bin --score nan", "--score");
  expect_failure(2, "detect scan.bin --model model --export other", "excludes");
  expect_failure(3, "detect scan.bin --model missing", "missing is no folder");
  run("detect scan.bin --network centerpoint --export encoder");
  expect_failure(2, "detect scan.bin --model encoder", "no sparse output heat_map; it has out");
  expect_failure(3, "detect scan.bin --weights missing", "missing");
}

}  // namespace
}  // namespace lattice

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifact/conformance.h"
#include "artifact/exported_network.h"
#include "cli/cli_fixture.h"
#include "lattice/dense.h"
#include "lattice/model_builder.h"
#include "lattice/safetensors.h"

namespace lattice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

/// `model` gives its input back, in an extent as `y` and without one as `open`.
class DenseOutputTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    ModelBuilder builder;
    const auto x = builder.sparse_input("x", 2, {1, 2, 4});
    builder.output("y", builder.bound(x, {3, 2, 2}));
    builder.output("open", x);
    builder.save(files() / "model");
    // At stride (1, 2, 4): logical (0, 0, 0) and (2, 1, 1) of batch 0, (1, 0, 1) of batch 1.
    save_safetensors(files() / "in.safetensors",
                     {{"x_coords", Tensor::from(std::vector<int32_t>{0, 0, 0, 0, 0, 2, 2, 4, 1, 1, 0, 4}, {3, 4})},
                      {"x_features", Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {3, 2})},
                      {"x_active", Tensor::from(std::vector<int32_t>{3}, {1})}});
  }

  SparseTensor expected() const {
    return {CoordSet::make({{0, 0, 0, 0}, {0, 2, 1, 1}, {1, 1, 0, 1}}, {1, 2, 4}, Triple(3, 2, 2)),
            Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {3, 2})};
  }
};

TEST_F(DenseOutputTest, writes_a_grid_as_safetensors) {
  const auto report = run_json("run model --inputs in.safetensors --output y.safetensors --dense y");
  EXPECT_EQ(report["outputs"], (nlohmann::json{{"y", {2, 2, 3, 2, 2}}}));
  const NamedTensors grids = read_tensors(files() / "y.safetensors");
  ASSERT_THAT(grids, SizeIs(1));
  EXPECT_TRUE(same_bits(grids.at("y"), to_dense(expected())));
  EXPECT_EQ(grids.at("y").data<float>()[0], 1);
  EXPECT_EQ(grids.at("y").data<float>()[11], 3);  // x = 2, y = 1, z = 1

  run_json("run model --inputs in.safetensors --output y.safetensors --dense y --dense-layout birds_eye");
  EXPECT_TRUE(same_bits(read_tensors(files() / "y.safetensors").at("y"), to_birds_eye(expected())));
  run_json("run model --inputs in.safetensors --output y.safetensors --dense open --extent 3,4,5");
  EXPECT_TRUE(same_bits(read_tensors(files() / "y.safetensors").at("open"), to_dense(expected(), Triple(3, 4, 5))));
}

TEST_F(DenseOutputTest, writes_npy_by_the_suffix) {
  const auto report =
      run_json("run model --inputs in.safetensors --output y.npy --dense y --dense-layout birds_eye --threads 1");
  EXPECT_EQ(report["outputs"], (nlohmann::json{{"y", {2, 4, 2, 3}}}));
  const std::string bytes = file_bytes(files() / "y.npy");
  EXPECT_THAT(bytes, StartsWith("\x93NUMPY\x01"));
  EXPECT_THAT(bytes, HasSubstr("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4, 2, 3), }"));
  const Tensor grid = to_birds_eye(expected());
  ASSERT_EQ(bytes.size(), 128 + grid.nbytes());
  EXPECT_EQ(std::memcmp(bytes.data() + 128, grid.raw(), grid.nbytes()), 0);
}

TEST_F(DenseOutputTest, writes_one_grid_a_scan) {
  ModelBuilder builder;
  builder.output("y", builder.bound(builder.sparse_input("x", 4), {4, 5, 1}));
  builder.save(files() / "scanned");
  write("scanned/scan.json", R"({"voxel_size": 1, "origin": -1, "upper": [3, 4, 0], "most_points": 1,
                                 "columns": ["x", "y", "z", "intensity"]})");
  // Two of three points lie in the range, in one voxel, of which only the first counts.
  const std::vector<float> points = {0.5F, 1.5F, -0.5F, 7, 0.25F, 1.25F, -0.25F, 8, 0.5F, 1.5F, 0.5F, 9};
  write("three.bin", {reinterpret_cast<const char*>(points.data()), points.size() * sizeof(float)});
  EXPECT_EQ(run_json("run scanned three.bin --out-dir out --dense y --format npy")["done"], 1);
  const std::string bytes = file_bytes(files() / "out" / "three.npy");
  EXPECT_THAT(bytes, HasSubstr("'shape': (1, 4, 4, 5, 1)"));
  std::vector<float> grid(4 * 4 * 5), wanted(grid.size());
  ASSERT_EQ(bytes.size(), 128 + grid.size() * sizeof(float));
  std::memcpy(grid.data(), bytes.data() + 128, grid.size() * sizeof(float));
  for (size_t channel = 0; channel < 4; ++channel) wanted[channel * 20 + 1 * 5 + 2] = points[channel];
  EXPECT_EQ(grid, wanted);
  EXPECT_EQ(run_json("run scanned three.bin --out-dir out --dense y")["done"], 1);
  EXPECT_EQ(std::memcmp(read_tensors(files() / "out" / "three.safetensors").at("y").raw(), wanted.data(),
                        wanted.size() * sizeof(float)),
            0);
}

TEST_F(DenseOutputTest, refuses_before_it_runs) {
  const std::string in = "run model --inputs in.safetensors --output out.npy ";
  expect_failure(2, in + "--dense z", "--dense z is no sparse output of the model");
  expect_failure(2, in + "--dense open",
                 "the model does not tell the extent of open; give it by --extent x,y,z, in "
                 "steps of the output's stride (1, 2, 4)");
  expect_failure(2, in + "--dense open --extent 1,2", "--extent takes one number or three, not 2");
  expect_failure(2, in + "--dense y --extent 2", "row 1 at (0, 2, 1, 1) lies outside");
  expect_failure(2, in + "--dense y --extent 0", "must be at least 1");
  expect_failure(2, "run model scan.bin --out-dir out --dense y --extent 0", "--extent (0, 0, 0) must be at least 1");
  expect_failure(2, in + "--dense-layout birds_eye", "--dense-layout requires --dense");
  expect_failure(2, in + "--dense y --dense-layout flat", "--dense-layout");
  expect_failure(2, in + "--extent 3", "--extent requires --dense");
  expect_failure(2, in, "would hold one tensor, and there are 6; name one by --dense");
  expect_failure(2, "run model scan.bin --out-dir out --format npy", "name its output by --dense");
  expect_failure(2, "run model scan.bin --out-dir out --format png --dense y", "--dense goes with safetensors or npy");
  EXPECT_THAT(file_names(), ElementsAre("in.safetensors", "model", "scan.bin"));
}

}  // namespace
}  // namespace lattice

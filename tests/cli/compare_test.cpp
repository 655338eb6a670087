#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/model_fixture.h"
#include "lattice/quantized_weight.h"

namespace lattice {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class CompareTest : public ModelCliTest {
 protected:
  void write_beside_sidecar(const artifact::GraphBuilder& graph, const std::string& name) const {
    artifact::write_artifact(graph, files() / name);
    std::filesystem::copy_file(files() / "model" / "scan.json", files() / name / "scan.json");
  }

  /// One submanifold convolution of 3 channels to 40 and back, packed to 8 bits.
  static artifact::GraphBuilder packed_graph() {
    artifact::GraphBuilder graph;
    Random random(4);
    ValueId x = graph.sparse_input("x", {}, Tensor::zeros(DType::f32, {0, 3}));
    for (const auto& [key, ins, outs] : {std::tuple("widen", 3, 40), std::tuple("narrow", 40, 3)}) {
      const Tensor weight = artifact::random_tensor(random, {outs, 3, 3, 3, ins});
      const auto packed = QuantizedWeight::pack(weight, {.bits = 8, .group_size = 32});
      x = graph.sparse("subm_conv3d", {x, graph.packed_weight(key, "conv3d", "conv3d_o_xyz_i", packed)}, DType::f32,
                       {{"kernel_size", artifact::Integers{3, 3, 3}},
                        {"dilation", artifact::Integers{1, 1, 1}},
                        {"accumulation", std::string("canonical_f32")}});
    }
    graph.output("y", x);
    return graph;
  }

  using ValueId = artifact::ValueId;
};

TEST_F(CompareTest, a_model_with_itself_differs_nowhere) {
  const Json same = run_json("compare model model scan.bin --repeat 1");
  EXPECT_EQ(same["outputs"]["y.features"]["relative_error"], 0.0);
  EXPECT_EQ(same["outputs"]["y.features"]["same_label"], 1.0);
  EXPECT_EQ(same["weight_bytes"][0], same["weight_bytes"][1]);
  EXPECT_EQ(same["parameters"], Json({1144, 1144}));
  EXPECT_EQ(same["steps"], Json({9, 9}));
  ASSERT_EQ(same["layers"].size(), 9U);
  for (const Json& layer : same["layers"]) EXPECT_EQ(layer["relative_error"], 0.0) << layer;
}

TEST_F(CompareTest, two_numerics_of_one_model_differ_by_layer) {
  write_beside_sidecar(packed_graph(), "packed");
  const Json found = run_json("compare packed packed scan.bin --repeat 1 --numerics float32,int8");
  EXPECT_EQ(found["numerics"], Json({"float32", "int8"}));
  ASSERT_EQ(found["layers"].size(), 3U);
  EXPECT_EQ(found["layers"][0]["relative_error"], 0.0);  // sparse.make
  EXPECT_GT(found["layers"][1]["relative_error"], 1e-5);
  EXPECT_LT(found["layers"][1]["relative_error"], 0.05);
  EXPECT_GT(found["layers"][2]["relative_error"], 1e-5);
  EXPECT_EQ(found["layers"][2]["relative_error"], found["outputs"]["y.features"]["relative_error"]);
  EXPECT_GT(found["layers"][2]["ms"][1], 0.0);
}

TEST_F(CompareTest, two_backends_of_one_model_agree) {
  const Json found = run_json("compare model model line.safetensors --repeat 1 --backend cpu,reference");
  EXPECT_EQ(found["backend"], Json({"cpu", "reference"}));
  const std::string table = run("compare model model line.safetensors --repeat 1 --backend cpu,reference").out;
  EXPECT_THAT(table, HasSubstr(" reference "));  // however wide its column is
  ASSERT_EQ(found["layers"].size(), 9U);
  for (const Json& layer : found["layers"]) EXPECT_LT(layer["relative_error"], 1e-5) << layer;
  EXPECT_EQ(found["outputs"]["y.features"]["same_label"], 1.0);
}

TEST_F(CompareTest, only_values_of_one_name_and_place_are_layers) {
  write_beside_sidecar(packed_graph(), "packed");
  expect_failure(2, "compare model packed scan.bin", "y.features has shape");
  // Without its last convolution the same network ends in another shape, but has a name of its own for it.
  artifact::GraphBuilder shorter = packed_graph();
  shorter.graph.output_names = {"z"};
  write_beside_sidecar(shorter, "renamed");
  expect_failure(2, "compare packed renamed scan.bin", "no floating output of one name");
  artifact::GraphBuilder other = packed_graph();
  for (auto& value : other.graph.values) value.name = "other" + value.name;
  write_beside_sidecar(other, "other");
  const Json found = run_json("compare packed other scan.bin --repeat 1");
  EXPECT_EQ(found["layers"].size(), 0U);
  EXPECT_EQ(found["steps"], Json({3, 3}));
  EXPECT_EQ(found["outputs"]["y.features"]["relative_error"], 0.0);
}

TEST_F(CompareTest, refusals) {
  expect_failure(2, "compare model model line.safetensors --numerics int8,int16,float32", "two, not 3");
  expect_failure(2, "compare model model line.safetensors --backend gpu", "gpu not in {cpu,reference}");
  expect_failure(2, "compare model model line.safetensors --backend 1", "1 not in {cpu,reference}");
  expect_failure(5, "compare model model line.safetensors --backend reference", "quantum", "LATTICE_ISA=quantum");
  expect_failure(2, "compare model model line.safetensors --repeat 0", "--repeat 0");
  artifact::write_artifact(artifact::SmallNetwork(5).graph(), files() / "other");
  expect_failure(2, "compare model other line.safetensors", "outputs must match");
  EXPECT_THAT(run("compare model model line.safetensors --repeat 1").out, HasSubstr("relative error"));
}

}  // namespace
}  // namespace lattice
